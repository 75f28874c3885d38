"""Stable-Baselines3 on a native Gymnasium vector environment, without a Python loop over sub-environments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

MASK_METHOD = "action_masks"  # the name that sb3-contrib's MaskablePPO asks for
_FINAL = frozenset({"final_obs", "final_info"})


class SB3VecEnv(VecEnv):
    """Any Gymnasium ``VectorEnv`` that resets on the same step, as a Stable-Baselines3 ``VecEnv``.

    Where an episode ends, ``infos[i]`` holds what the sub-environment put into its last info, ``terminal_observation``,
    ``TimeLimit.truncated`` (truncated and not terminated), and ``episode`` with return ``r``, length ``l`` and seconds
    since the adapter was made ``t``, as ``Monitor`` writes it (unrounded): no further wrapper is needed for training
    statistics. Everywhere else ``infos[i]`` is empty, and the same dictionary every time: read it, do not fill it.

    ``env_method("action_masks")`` gives the bool masks of the next decision, from ``infos["action_mask"]`` or from the
    sub-environments' own method. Other attributes and methods are those of the sub-environments where the vector
    environment has any (``SyncVectorEnv``), else of the vector environment, the same for all indices.

    Raises ``ValueError`` if the autoreset mode is not ``AutoresetMode.SAME_STEP``: with another mode the transitions
    across a reset would be wrong.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value):
            raise ValueError(
                f"the vector environment's autoreset mode is {mode}, expected {AutoresetMode.SAME_STEP} "
                "(e.g. SyncVectorEnv(..., autoreset_mode=AutoresetMode.SAME_STEP))"
            )
        self.env = env
        self.actions: NDArray[Any] = np.zeros(0)
        self._start = time.time()
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, np.int64)
        self._masks: NDArray[Any] | None = None
        self._begun = False
        self._ahead: VecEnvObs | None = None  # observation of a reset that was done to look for masks
        self._no_infos: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    # --- stepping ----------------------------------------------------------------------------------------------------
    def reset(self) -> VecEnvObs:
        """Reset every sub-environment; seeds and options given before are used once."""
        fresh = self._seeds[0] is not None or any(self._options)
        if self._ahead is not None and not fresh:
            observations, self._ahead = self._ahead, None
            return observations
        if any(options != self._options[0] for options in self._options):
            raise ValueError(
                "the reset options differ between sub-environments, expected one dictionary for all of them"
            )
        observations, infos = self.env.reset(seed=self._seeds[0], options=self._options[0] or None)
        self._reset_seeds()
        self._reset_options()
        self._ahead, self._begun = None, True
        self._returns[:], self._lengths[:] = 0.0, 0
        self._masks = infos.get("action_mask")
        self.reset_infos = [_of_one(infos, i) for i in range(self.num_envs)]
        return _copy(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take note of the actions ``(num_envs,)``."""
        self.actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step: observations, float32 rewards, dones and infos; sub-environments that ended have begun anew."""
        self._ahead = None
        observations, rewards, terminated, truncated, vector_infos = self.env.step(self.actions)
        dones = np.logical_or(terminated, truncated)
        self._returns += rewards
        self._lengths += 1
        self._masks = vector_infos.get("action_mask")
        infos = self._no_infos.copy()
        for i in np.flatnonzero(dones):
            infos[i] = self._last_info(int(i), vector_infos, bool(truncated[i]) and not bool(terminated[i]))
            self.reset_infos[i] = _of_one(vector_infos, int(i))
        self._returns[dones], self._lengths[dones] = 0.0, 0
        return _copy(observations), np.asarray(rewards, np.float32), dones, infos

    def _last_info(self, i: int, vector_infos: dict[str, Any], truncated: bool) -> dict[str, Any]:
        info = _of_one(vector_infos.get("final_info", {}), i)
        final = vector_infos["final_obs"]
        info["terminal_observation"] = _copy(
            {k: v[i] for k, v in final.items()} if isinstance(final, dict) else final[i]
        )
        info["TimeLimit.truncated"] = truncated
        seconds = round(time.time() - self._start, 6)
        info["episode"] = {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": seconds}
        return info

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed sub-environment i with ``seed + i`` at the next reset; None leaves the generators as they are."""
        self._seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        return self._seeds

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """One RGB array a sub-environment, None where nothing is drawn."""
        frames = self.env.render()
        return [None] * self.num_envs if frames is None else list(cast(Any, frames))

    # --- state -------------------------------------------------------------------------------------------------------
    def get_state(self) -> dict[str, Any]:
        """All that exact continuation needs: the vector environment's own state and the episodes' returns and lengths.

        Raises ``ValueError`` if the vector environment has no ``get_state``.
        """
        return {
            "env": self._stateful("get_state")(),
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "masks": None if self._masks is None else np.array(self._masks),
            "seeds": list(self._seeds),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of ``get_state``, of an environment made with the same arguments."""
        if len(state["returns"]) != self.num_envs:
            raise ValueError(f"the state is of {len(state['returns'])} sub-environments, expected {self.num_envs}")
        self._stateful("set_state")(state["env"])
        self._returns[:], self._lengths[:] = state["returns"], state["lengths"]
        self._masks = None if state["masks"] is None else np.array(state["masks"])
        self._seeds = list(state["seeds"])
        self._ahead, self._begun = None, True

    def _stateful(self, name: str) -> Callable[..., Any]:
        try:
            return cast(Callable[..., Any], getattr(self._layer_with(name), name))
        except AttributeError:
            kind = type(self.env.unwrapped).__name__
            raise ValueError(
                f"the vector environment {kind} has no {name}(), expected one that can be continued"
            ) from None

    # --- attributes and methods --------------------------------------------------------------------------------------
    def has_attr(self, attr_name: str) -> bool:
        """Whether ``get_attr`` finds it. To find out about masks, an environment that was never reset is reset."""
        if attr_name == MASK_METHOD and not self._begun and not self._has_children:
            self._ahead = self.reset()
        return super().has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute, once for each index. Raises ``AttributeError`` if there is none."""
        chosen = list(self._get_indices(indices))
        if attr_name == MASK_METHOD and self._masks is not None:
            return [partial(self._mask, i) for i in chosen]
        if self._has_children:
            values = cast(Any, self.env.unwrapped).get_attr(attr_name)
            return [values[i] for i in chosen]
        return [getattr(self._layer_with(attr_name), attr_name)] * len(chosen)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set the attribute. Raises ``ValueError`` for single indices where there are no sub-environments."""
        chosen = list(self._get_indices(indices))
        if self._has_children:
            whole = len(chosen) == self.num_envs
            values = [value] * self.num_envs if whole else self.get_attr(attr_name)
            for i in chosen:
                values[i] = value
            cast(Any, self.env.unwrapped).set_attr(attr_name, values)
            return
        self._check_all(attr_name, chosen)
        setattr(self.env.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call the method; one result for each index. Raises as ``get_attr`` and ``set_attr`` do."""
        chosen = list(self._get_indices(indices))
        if method_name == MASK_METHOD and self._masks is not None:
            return [self._mask(i) for i in chosen]
        if self._has_children:
            results = cast(Any, self.env.unwrapped).call(method_name, *method_args, **method_kwargs)
            return [results[i] for i in chosen]
        self._check_all(method_name, chosen)
        result = getattr(self._layer_with(method_name), method_name)(*method_args, **method_kwargs)
        return [result] * len(chosen)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether sub-environments carry the wrapper; True for ``Monitor``, whose ``episode`` the adapter writes."""
        children = getattr(self.env.unwrapped, "envs", None)
        chosen = list(self._get_indices(indices))
        if wrapper_class is Monitor:
            return [True] * len(chosen)
        return [children is not None and is_wrapped(children[i], wrapper_class) for i in chosen]

    @property
    def _has_children(self) -> bool:
        return hasattr(self.env.unwrapped, "call")

    def _mask(self, i: int) -> NDArray[np.bool_]:
        assert self._masks is not None
        return cast(NDArray[np.bool_], np.asarray(self._masks[i]).astype(np.bool_))

    def _check_all(self, name: str, chosen: list[int]) -> None:
        if sorted(chosen) != list(range(self.num_envs)):
            kind = type(self.env.unwrapped).__name__
            raise ValueError(
                f"indices for {name!r} are {chosen}, expected all: {kind} has no sub-environments to address"
            )

    def _layer_with(self, name: str) -> Any:
        """The outermost of the wrapped vector environments that has the attribute."""
        layer: Any = self.env
        while not hasattr(layer, name):
            if not isinstance(layer, VectorWrapper):
                raise AttributeError(f"{type(layer).__name__} has no attribute {name!r}")
            layer = layer.env
        return layer


def _of_one(infos: dict[str, Any], i: int) -> dict[str, Any]:
    """What a vector environment's infos say of sub-environment i (Gymnasium marks with ``_key`` who has ``key``)."""
    mine: dict[str, Any] = {}
    for key, value in infos.items():
        if key in _FINAL or (key.startswith("_") and key[1:] in infos):
            continue
        if f"_{key}" in infos and not infos[f"_{key}"][i]:
            continue
        if isinstance(value, dict):
            mine[key] = _of_one(value, i)
        elif isinstance(value, np.ndarray | list | tuple):
            mine[key] = value[i].item() if isinstance(value[i], np.generic) else value[i]
        else:
            mine[key] = value
    return mine


def _copy(observations: Any) -> VecEnvObs:
    """A copy, because an environment may hand out the array that it will write to next."""
    if isinstance(observations, dict):
        return {key: np.array(value) for key, value in observations.items()}
    return np.array(observations)
