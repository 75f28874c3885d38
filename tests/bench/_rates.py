"""Steps per second of environments and the time that functions take; shared by the scripts of this folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

Choose = Callable[[Any], Any]
"""Actions from an action mask; not timed."""


def scalar_rate(env_id: str, steps: int, choose: Choose, **arguments: Any) -> float:
    """Steps per second of one environment through ``gym.make``, resets included; without a mask two actions take turns."""
    env: Any = gym.make(env_id, **arguments)
    _, info = env.reset(seed=0)
    spent = 0.0
    for step in range(steps):
        action = int(choose(info["action_mask"])) if "action_mask" in info else step % 2
        started = time.perf_counter()
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
        spent += time.perf_counter() - started
    return steps / spent


def vector_rate(env_id: str, num_envs: int, steps: int, choose: Choose, **arguments: Any) -> float:
    """Steps per second over all sub-environments of the ``vector_entry_point``; without a mask actions are random."""
    env: Any = gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **arguments)
    _, info = env.reset(seed=0)
    rng, spent = np.random.default_rng(0), 0.0
    for _ in range(steps):
        actions = choose(info["action_mask"]) if "action_mask" in info else rng.integers(2, size=num_envs)
        started = time.perf_counter()
        _, _, _, _, info = env.step(actions)
        spent += time.perf_counter() - started
    return num_envs * steps / spent


class Stopwatch:
    """Sums the seconds that calls of a function take."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self.seconds = function, 0.0

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        started = time.perf_counter()
        result = self._function(*arguments)
        self.seconds += time.perf_counter() - started
        return result
