"""Traces and whole episodes of token-bucket offloading, for several test files."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.token_bucket.env import TokenBucketEnv
from envs.token_bucket.types import Trace


def trace_of(count: int, seed: int = 0, **changes: Any) -> Trace:
    rng = np.random.default_rng(seed)
    gap = rng.integers(1, 5, count - 1)
    return Trace(rng.random(count), gap, rng.integers(-1, 2, count).astype(np.float64), **changes)


def play(env: TokenBucketEnv, actions: Any, **reset: Any) -> list[tuple[Any, ...]]:
    """What reset and every step returned, up to the end of the episode."""
    found: list[tuple[Any, ...]] = [env.reset(**reset)]
    for action in actions:
        found.append(env.step(action))
        if found[-1][3]:
            break
    return found
