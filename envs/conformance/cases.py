"""The arguments with which this package's own environments are checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from envs.distprivacy.scenarios import SCENARIOS as _PLACEMENTS
from envs.early_exit.costs import NetworkWork
from envs.early_exit.scenarios import SCENARIOS as _THRESHOLDS
from envs.early_exit.types import ExitTable, Thresholds
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


def _random_exits(exits: int, months: int = 3, rows: int = 400) -> dict[str, Any]:
    """Random tables, actions and work of a network with any number of exits; half of the rows share few certainties."""
    rng = np.random.default_rng(exits)
    tables = []
    for _ in range(months):
        label = rng.integers(0, 2, rows).astype(np.int8)
        certainty = np.round(0.5 + 0.5 * rng.random((exits, rows)), 6)
        certainty[:, : rows // 2] = np.round(certainty[:, : rows // 2], 1)
        right = rng.random((exits, rows)) < certainty
        tables.append(ExitTable(label, np.where(right, label, 1 - label).astype(np.int8), certainty))
    accept, reject = rng.uniform(0.5, 1.0, (9, exits, 2)), rng.uniform(0.3, 0.7, (9, exits, 2))
    accept[0], accept[1, :-1], accept[1, -1], accept[2] = 0.0, 2.0, 0.0, 2.0
    reject[1], reject[2] = 0.0, 2.0
    work = NetworkWork((1000, 20_000, 300_000)[:exits], (10, 20, 30)[:exits], (400, 100, 0)[3 - exits :], 232)
    return {"tables": tables, "months": [], "actions": Thresholds(accept, reject), "work": work}


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
    "offramp/EarlyExit-v0": {
        **{name: {"scenario": name, "windows": 30, "rows": 100} for name in _THRESHOLDS},
        "three exits": {"scenario": "mixed", "windows": 20, "rows": 60, **_random_exits(3)},
        "two exits on the edge": {
            "scenario": "mixed",
            "windows": 20,
            "rows": 60,
            "remote_from": 3,
            "sends": "features",
            "deadline_s": 0.06,
            "change": 0.5,
            **_random_exits(3),
        },
        "all in the cloud": {
            "scenario": "link",
            "windows": 20,
            "rows": 60,
            "remote_from": 1,
            "budget": 0.5,
            **_random_exits(2),
        },
        "joules": {
            "scenario": "bursts",
            "windows": 25,
            "rows": 50,
            "budget_of": "joules",
            "budgets": (0.0, 0.1, 0.3),
            "joule": 1e3,
            "constraint": "incremental",
        },
        "labels and latent": {
            "scenario": "mixed",
            "windows": 25,
            "rows": 50,
            "label_delay": 3,
            "include_latent": True,
            "order": "shuffled",
            "months": (),
            "constraint": "none",
            "attack_shares": (0.0, 1.0),
        },
        "a row a window": {
            "scenario": "budget",
            "windows": 3,
            "rows": 1,
            "budget": 1.0,
            "memory": 1.0,
            "order": "calendar",
        },
    },
}
"""Environment id -> name of the case -> arguments."""
