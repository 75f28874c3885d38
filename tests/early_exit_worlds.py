"""Small random worlds of early exit for tests: tables with mass points, months that differ, random actions."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.early_exit.build import World, make_world
from envs.early_exit.costs import NetworkWork
from envs.early_exit.types import ExitTable, Thresholds


def random_table(seed: int, rows: int = 600, exits: int = 2, points: int = 60) -> ExitTable:
    """A table whose certainties come from few values, some of them on a large share of the rows."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, rows).astype(np.int8)
    point = rng.zipf(1.5, rows) % points
    certainty, predicted = [], []
    for k in range(exits):
        own = np.round(0.5 + 0.5 * rng.random(points)[point], 6)
        right = rng.random(rows) < (own + k) / (1 + k)
        certainty.append(own)
        predicted.append(np.where(right, label, 1 - label).astype(np.int8))
    return ExitTable(label, np.stack(predicted), np.stack(certainty))


def random_actions(seed: int, count: int, exits: int = 2) -> Thresholds:
    """Exit 1 alone, the last exit alone, and random thresholds, some of which reject at exit 1."""
    rng = np.random.default_rng(seed)
    accept, reject = rng.uniform(0.5, 1.0, (count, exits, 2)), np.zeros((count, exits, 2))
    reject[2::3, 0] = 0.6
    accept[0], accept[1:2], accept[1:2, -1] = 0.0, 2.0, 0.0
    return Thresholds(accept, reject)


def random_world(
    seed: int = 0, actions: int | str | Thresholds = 8, months: int = 3, exits: int = 2, **options: Any
) -> World:
    """A world of random tables and actions; ``options`` as of the environment."""
    work = NetworkWork((100,) * exits, (10,) * exits, (20,) * (exits - 1) + (0,), 232)
    given: dict[str, Any] = {
        "tables": [random_table(100 * seed + month, exits=exits) for month in range(months)],
        "months": [],
        "actions": random_actions(seed, actions, exits) if isinstance(actions, int) else actions,
        "work": work,
        "rows": 40,
        "windows": 12,
        "shortfall": 3.0,
    }
    return make_world(**(given | options))
