"""The checks of a scalar environment; each raises ``ConformanceError`` with one sentence."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from envs.conformance.walk import Walk, has_vector_env, make, make_vector, require, same, warnings_are_errors


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
    first, second = Walk(make(env_id, **kwargs), seed), Walk(make(env_id, **kwargs), seed)
    require(same(first.last, second.last), "two instances reset with one seed return different observations or infos")
    history = []
    for step in range(steps):
        history.append(first.step())
        require(same(history[-1], second.step()), f"two instances with one seed differ at step {step}")
    again = Walk(second.env, seed)
    for step in range(steps):
        require(same(history[step], again.step()), f"an instance that is seeded again differs at step {step}")
    first.env.close()
    second.env.close()


def check_pickling(env_id: str, steps: int = 300, seed: int = 0, **kwargs: Any) -> None:
    """An environment that is pickled in the middle of an episode goes on exactly like the original."""
    walk = Walk(make(env_id, **kwargs), seed)
    for _ in range(steps // 3 + 1):
        walk.step()
    twin: Walk = pickle.loads(pickle.dumps(walk))
    for step in range(steps):
        require(same(walk.step(), twin.step()), f"the unpickled environment differs {step} steps later")
    walk.env.close()
    twin.env.close()


def check_render(env_id: str, steps: int = 5, seed: int = 0, **kwargs: Any) -> None:
    """Every render mode but ``human`` gives a frame or a text, and rendering changes nothing."""
    metadata = make(env_id, **kwargs).metadata
    modes = metadata.get("render_modes", [])
    require(not modes or metadata.get("render_fps", 0) > 0, "metadata has render_modes but no render_fps above 0")
    for mode in sorted(set(modes) - {"human"}):
        shown = Walk(make(env_id, render_mode=mode, **kwargs), seed)
        plain = Walk(make(env_id, **kwargs), seed)
        for step in range(steps):
            _require_picture(shown.env.render(), mode)
            require(same(shown.step(), plain.step()), f"rendering in mode {mode} changes what step {step} returns")
        shown.env.close()
        plain.env.close()


def _require_picture(picture: Any, mode: str) -> None:
    if mode == "ansi":
        require(isinstance(picture, str) and picture, f"render() in mode ansi is a {type(picture)}, expected text")
    elif mode == "rgb_array":
        shape: tuple[int, ...] = picture.shape if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 else ()
        good = len(shape) == 3 and shape[2] == 3 and min(shape) > 0
        require(good, "render() in mode rgb_array is no uint8 frame of shape (height, width, 3)")


def check_invalid_action(env_id: str, steps: int = 2000, seed: int = 0, **kwargs: Any) -> None:
    """An action that the mask forbids never raises; the step says ``info["invalid_action"]`` and returns a finite reward.

    Tried at the first forbidden action within ``steps`` steps; an environment without a mask passes.
    """
    walk = Walk(make(env_id, **kwargs), seed)
    space = walk.env.action_space
    for _ in range(steps):
        mask = walk.info.get("action_mask")
        if mask is None or not isinstance(space, spaces.Discrete):
            break
        if np.all(mask):
            walk.step()
            continue
        observation, reward, _, _, info = walk.env.step(int(space.start) + int(np.argmin(mask)))
        require(info.get("invalid_action") is True, "info['invalid_action'] is not True after a forbidden action")
        require(np.isfinite(float(reward)), f"the reward of a forbidden action is {reward}, expected a finite number")
        inside = walk.env.observation_space.contains(observation)
        require(inside, "the observation after a forbidden action is outside its space")
        break
    walk.env.close()


def check_observation_in_space(env_id: str, steps: int = 1000, seed: int = 0, **kwargs: Any) -> None:
    """Every observation lies in its space, every reward is finite, and the mask in the observation is the one in the info."""
    walk = Walk(make(env_id, **kwargs), seed)
    layout = getattr(walk.env.unwrapped, "observation_layout", {})
    stops = [0] + [part.stop for part in layout.values()]
    require(
        [part.start for part in layout.values()] == stops[:-1], "the slices of observation_layout leave gaps or overlap"
    )
    require(not layout or stops[-1] == len(walk.observation), "observation_layout does not cover the observation")
    for step in range(steps):
        if "action_mask" in layout and "action_mask" in walk.info:
            seen = walk.observation[layout["action_mask"]]
            require(
                np.array_equal(seen, walk.info["action_mask"]),
                f"the observed action mask is not the info's at step {step}",
            )
        observation, reward, *_ = walk.step()
        for seen in (observation, walk.observation):
            require(walk.env.observation_space.contains(seen), f"the observation at step {step} is outside its space")
        require(np.isfinite(float(reward)), f"the reward at step {step} is {reward}, expected a finite number")
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
