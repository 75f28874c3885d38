"""The arguments with which this package's own environments are checked."""

from __future__ import annotations

from typing import Any

from envs.distprivacy.scenarios import SCENARIOS

CASES: dict[str, dict[str, dict[str, Any]]] = {
    "offramp/DistPrivacy-v0": {
        **{name: {"scenario": name} for name in SCENARIOS},
        "churn": {"scenario": "lenet-random", "churn": 0.3},
        "churn of a fixed fleet": {"scenario": "lenet-10", "churn": 0.3, "max_devices": 12},
        "period episodes": {"scenario": "lenet-10", "episode": "period"},
        "layer episodes": {"scenario": "lenet-random", "episode": "layer"},
        "paper": {
            "scenario": "lenet-10",
            "episode": "layer",
            "reward": "paper",
            "observation": "paper",
            "privacy_scope": "layer",
        },
        "colluders": {"scenario": "lenet-random", "colluders": 2, "traffic_price": 0.1},
        "coarse steps": {"scenario": "mixed-70", "granularity": 16, "inherit": True, "ssim": 0.4, "episode": "period"},
        "tight budgets": {"scenario": "cifar-70", "requests": 60, "granularity": 64, "ssim": 0.4},
    }
}
"""Environment id -> name of the case -> arguments."""
