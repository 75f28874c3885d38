"""The arguments with which this package's own environments are checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from envs.distprivacy.scenarios import SCENARIOS as _PLACEMENTS
from envs.token_bucket.generator import TraceList
from envs.token_bucket.scenarios import SCENARIOS as _STREAMS
from envs.token_bucket.scenarios import scenario


def _given_traces(*, known: bool) -> TraceList:
    """Three short traces of unequal lengths on a clock of four ticks a time unit, such as files hold.

    ``known``: with realised rewards, regimes and locations.
    """
    rng = np.random.default_rng(4)
    drawn = [scenario("s3").draw(rng, count) for count in (40, 2, 150)]
    traces = [replace(one, gap=one.gap * 3, ticks_per_unit=4) for one in drawn]
    if not known:
        traces = [replace(one, reward=None, regime=None, location=None) for one in traces]
    return TraceList(traces, weak_loss=0.3)


CASES: dict[str, dict[str, dict[str, Any]]] = {
    "offramp/DistPrivacy-v0": {
        **{name: {"scenario": name} for name in _PLACEMENTS},
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
    },
    "offramp/TokenBucket-v0": {
        **{name: {"scenario": name, "length": 150} for name in _STREAMS},
        "drawn buckets": {
            "scenario": "s3",
            "rates": (0.05, 0.29, "1/3"),
            "depths": (1, 2.5, 20),
            "start": "random",
            "length": 30,
        },
        "priced latency": {"scenario": "s1", "reward": "realised", "latency_price": 0.5, "length": 100},
        "latent": {"scenario": "bursts", "include_latent": True, "length": 100},
        "no past": {"scenario": "s2", "history": 1, "gap_history": 0, "length": 100},
        "deep and slow": {"scenario": "iid", "rate": 0.05, "depth": 20, "length": 700},
        "given traces": {
            "scenario": _given_traces(known=True),
            "include_latent": True,
            "reward": "realised",
            "length": 100,
        },
        "given metrics": {"scenario": _given_traces(known=False), "include_latent": True, "length": 100},
        "strong pair": {"scenario": "iid", "distribution": "strong-pair", "metric_scale": 0.325, "length": 100},
    },
}
"""Environment id -> name of the case -> arguments."""
