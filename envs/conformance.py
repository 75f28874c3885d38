"""What an environment must keep to, as checks that anyone can run on their own registered environment.

Every ``check_*`` takes a registered Gymnasium id, and the environment's own arguments as keywords; it returns nothing and
raises ``ConformanceError`` with one sentence where the environment breaks a promise. ``check_environment`` runs all of them.

```python
from envs.conformance import check_environment
check_environment("offramp/DistPrivacy-v0", scenario="lenet-10")
```

Actions are random: mostly what ``info["action_mask"]`` allows, now and then one that it forbids. An environment without a
mask gets any action of its space. ``python -m envs.conformance steps=100000`` checks all of this package's environments.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

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


class _Walk:
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


# --- the checks ------------------------------------------------------------------------------------------------------
def check_spaces(env_id: str, **kwargs: Any) -> None:
    """Spaces are Gymnasium's, equal for every instance, and the vector environment's are batches of them."""
    env, other = make(env_id, **kwargs), make(env_id, **kwargs)
    for name in ("observation_space", "action_space"):
        space = getattr(env, name)
        require(isinstance(space, spaces.Space), f"{name} is {space!r}, expected a gymnasium space")
        require(space == getattr(other, name), f"{name} differs between two instances")
        require(pickle.loads(pickle.dumps(space)) == space, f"{name} changes when it is pickled")
        if has_vector_env(env_id):
            vector = make_vector(env_id, 3, **kwargs)
            require(getattr(vector, f"single_{name}") == space, f"single_{name} is not the scalar environment's {name}")
            require(getattr(vector, name) == batch_space(space, 3), f"{name} is no batch of single_{name}")
            vector.close()
    env.close()
    other.close()


def check_seeding(env_id: str, steps: int = 300, seed: int = 0, **kwargs: Any) -> None:
    """Two instances with one seed, and one instance seeded twice, give the same observations, rewards and infos."""
    first, second = _Walk(make(env_id, **kwargs), seed), _Walk(make(env_id, **kwargs), seed)
    require(same(first.last, second.last), "two instances reset with one seed return different observations or infos")
    history = []
    for step in range(steps):
        history.append(first.step())
        require(same(history[-1], second.step()), f"two instances with one seed differ at step {step}")
    again = _Walk(second.env, seed)
    for step in range(steps):
        require(same(history[step], again.step()), f"an instance that is seeded again differs at step {step}")
    first.env.close()
    second.env.close()


def check_pickling(env_id: str, steps: int = 300, seed: int = 0, **kwargs: Any) -> None:
    """An environment that is pickled in the middle of an episode goes on exactly like the original."""
    walk = _Walk(make(env_id, **kwargs), seed)
    for _ in range(steps // 3 + 1):
        walk.step()
    twin: _Walk = pickle.loads(pickle.dumps(walk))
    for step in range(steps):
        require(same(walk.step(), twin.step()), f"the unpickled environment differs {step} steps later")
    walk.env.close()
    twin.env.close()


def check_render(env_id: str, steps: int = 5, seed: int = 0, **kwargs: Any) -> None:
    """Every render mode but ``human`` gives a frame or a text, and rendering changes nothing."""
    modes = make(env_id, **kwargs).metadata.get("render_modes", [])
    for mode in sorted(set(modes) - {"human"}):
        shown = _Walk(make(env_id, render_mode=mode, **kwargs), seed)
        plain = _Walk(make(env_id, **kwargs), seed)
        for step in range(steps):
            picture = shown.env.render()
            if mode == "ansi":
                require(isinstance(picture, str) and picture, f"render() in mode ansi gives {type(picture)}, expected text")
            elif mode == "rgb_array":
                is_frame = isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3
                require(is_frame and picture.shape[2] == 3 and picture.size, "render() gives no uint8 frame (height, width, 3)")
                require(shown.env.metadata.get("render_fps", 0) > 0, "metadata has no render_fps")
            require(same(shown.step(), plain.step()), f"rendering in mode {mode} changes what step {step} returns")
        shown.env.close()
        plain.env.close()


def check_invalid_action(env_id: str, steps: int = 2000, seed: int = 0, **kwargs: Any) -> None:
    """An action that the mask forbids never raises; the step says ``info["invalid_action"]`` and returns a finite reward."""
    env = make(env_id, **kwargs)
    walk = _Walk(env, seed)
    for _ in range(steps):
        mask = walk.info.get("action_mask")
        if mask is None or not isinstance(env.action_space, spaces.Discrete):
            break
        for index in np.flatnonzero(np.asarray(mask) == 0)[:1]:
            trial = pickle.loads(pickle.dumps(env))
            observation, reward, _, _, info = trial.step(int(env.action_space.start) + int(index))
            require(info.get("invalid_action") is True, "info['invalid_action'] is not True after an action that the mask forbids")
            require(np.isfinite(reward), f"the reward of an invalid action is {reward}, expected a finite number")
            require(env.observation_space.contains(observation), "the observation after an invalid action is outside its space")
            trial.close()
            env.close()
            return
        *_, last_info = walk.step()
        del last_info
    env.close()


def check_observation_in_space(env_id: str, steps: int = 1000, seed: int = 0, **kwargs: Any) -> None:
    """Every observation lies in its space, every reward is finite, and the mask in the observation is the one in the info."""
    walk = _Walk(make(env_id, **kwargs), seed)
    layout = getattr(walk.env.unwrapped, "observation_layout", {})
    stops = [0] + [part.stop for part in layout.values()]
    require([part.start for part in layout.values()] == stops[:-1], "the slices of observation_layout leave gaps or overlap")
    require(not layout or stops[-1] == len(walk.observation), "observation_layout does not cover the observation")
    for step in range(steps):
        if "action_mask" in layout and "action_mask" in walk.info:
            seen = walk.observation[layout["action_mask"]]
            require(np.array_equal(seen, walk.info["action_mask"]), f"the observed action mask is not the info's at step {step}")
        observation, reward, *_ = walk.step()
        for seen in (observation, walk.observation):
            require(walk.env.observation_space.contains(seen), f"the observation at step {step} is outside its space")
        require(np.isfinite(reward), f"the reward at step {step} is {reward}, expected a finite number")
    walk.env.close()


def check_gymnasium(env_id: str, **kwargs: Any) -> None:
    """``gymnasium.utils.env_checker`` finds nothing; its warnings are errors. Rendering is left to ``check_render``."""
    from gymnasium.utils.env_checker import check_env

    with warnings_are_errors():
        check_env(make(env_id, **kwargs).unwrapped, skip_render_check=True)


def check_sb3(env_id: str, **kwargs: Any) -> None:
    """``stable_baselines3.common.env_checker`` finds nothing; its warnings are errors. Needs Stable-Baselines3."""
    from stable_baselines3.common.env_checker import check_env

    with warnings_are_errors():
        check_env(make(env_id, **kwargs).unwrapped, warn=True, skip_render_check=True)
