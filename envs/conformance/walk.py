"""Random walks through an environment, and equality bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

INVALID_SHARE = 0.01
"""Share of actions that the mask forbids."""


class ConformanceError(AssertionError):
    """An environment breaks a promise; the message is one sentence that says which, and where."""


def require(condition: object, message: str) -> None:
    """Raise ``ConformanceError(message)`` unless ``condition`` holds."""
    if not condition:
        raise ConformanceError(message)


def same(first: object, second: object) -> bool:
    """Whether two values of an environment are equal bit for bit: arrays, numbers, texts, and containers of them."""
    if isinstance(first, float) and isinstance(second, float) and first == second != 0.0:
        return True  # the common case, fast; zeros have signs
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    a, b = np.asarray(first), np.asarray(second)
    if a.dtype == object or b.dtype == object:
        return bool(first == second)
    # a Python bool, int or float may be a numpy one elsewhere; its kind and its bits must agree
    return a.shape == b.shape and a.dtype.kind == b.dtype.kind and a.tobytes() == b.astype(a.dtype).tobytes()


def random_action(space: spaces.Space[Any], info: dict[str, Any], rng: np.random.Generator) -> Any:
    """An action of ``space``: one that the mask in ``info`` allows, a forbidden one with probability ``INVALID_SHARE``."""
    mask = info.get("action_mask")
    if mask is None or not isinstance(space, spaces.Discrete):
        space.seed(int(rng.integers(2**31)))
        return space.sample(mask)
    wanted = np.flatnonzero(mask)
    if rng.random() < INVALID_SHARE and len(wanted) < len(mask):
        wanted = np.flatnonzero(np.asarray(mask) == 0)
    require(len(wanted), "the action mask forbids every action although the episode goes on")
    return int(space.start) + int(wanted[rng.integers(len(wanted))])


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """The environment as users make it, without Gymnasium's passive checks."""
    return gym.make(env_id, disable_env_checker=True, **kwargs)


def has_vector_env(env_id: str) -> bool:
    """Whether a native vector environment is registered under this id."""
    return gym.spec(env_id).vector_entry_point is not None


def make_vector(env_id: str, num_envs: int, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """The native vector environment of an id that has one."""
    return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **kwargs)


class Walk:
    """Steps an environment with random actions, resetting it where episodes end, and remembers what it last returned."""

    def __init__(self, env: gym.Env[Any, Any], seed: int) -> None:
        self.env, self.rng = env, np.random.default_rng(seed)
        self.observation, self.info = env.reset(seed=seed)
        self.last: tuple[Any, ...] = (self.observation, self.info)

    def step(self) -> tuple[Any, ...]:
        action = random_action(self.env.action_space, self.info, self.rng)
        self.observation, reward, terminated, truncated, self.info = self.env.step(action)
        self.last = (self.observation, reward, terminated, truncated, self.info)
        if terminated or truncated:
            self.observation, self.info = self.env.reset()
            self.last += (self.observation, self.info)
        return self.last


@contextmanager
def warnings_are_errors() -> Iterator[None]:
    """Any warning inside raises ``ConformanceError``."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            yield
        except Warning as warning:
            raise ConformanceError(f"an unexpected warning: {warning}") from warning
