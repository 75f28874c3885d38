"""The vector environment against as many scalar ones, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from envs.conformance.walk import ConformanceError, has_vector_env, make, make_vector, random_action, require, same


def check_scalar_equals_vector(env_id: str, steps: int = 1000, num_envs: int = 2, seed: int = 0, **kwargs: Any) -> None:
    """``steps`` steps of the native vector environment equal those of ``num_envs`` scalar ones bit for bit.

    Sub-environment i, reset with seed s, is the scalar environment reset with seed s + i. Compared are observations,
    rewards, terminations, truncations, infos, and where an episode ends ``final_obs``, ``final_info`` and the first
    observation of the next one (``AutoresetMode.SAME_STEP``; the scalar environment's plain ``reset()``). Halfway, all are
    seeded again. An environment without a native vector environment passes.
    """
    if not has_vector_env(env_id):
        return
    vector = make_vector(env_id, num_envs, **kwargs)
    mode = vector.metadata.get("autoreset_mode")
    require(mode == AutoresetMode.SAME_STEP, f"metadata['autoreset_mode'] is {mode}, expected AutoresetMode.SAME_STEP")
    scalars = [make(env_id, **kwargs) for _ in range(num_envs)]
    rng = np.random.default_rng(seed)
    for half in range(2):
        first = seed + half * num_envs
        observations, infos = vector.reset(seed=first)
        starts = [env.reset(seed=first + i) for i, env in enumerate(scalars)]
        for i, (observation, info) in enumerate(starts):
            require(same(observations[i], observation), f"reset: the observation of sub-environment {i} differs")
            _same_infos(infos, i, info, f"reset, sub-environment {i}")
        latest = [info for _, info in starts]
        for step in range(half * (steps // 2), steps if half else steps // 2):
            actions = [random_action(vector.single_action_space, info, rng) for info in latest]
            observations, rewards, terminated, truncated, infos = vector.step(np.array(actions))
            require(
                vector.observation_space.contains(observations),
                f"step {step}: the observations are outside their space",
            )
            for i, env in enumerate(scalars):
                where = f"step {step}, sub-environment {i}"
                one = env.step(actions[i])
                numbers = (rewards[i], terminated[i], truncated[i])
                require(
                    same(numbers, one[1:4]),
                    f"{where}: reward or end is {numbers}, the scalar environment says {one[1:4]}",
                )
                observation, latest[i] = one[0], one[4]
                ended = bool(one[2] or one[3])
                require(
                    bool(np.any(infos.get("_final_obs", [False] * num_envs)[i])) == ended,
                    f"{where}: '_final_obs' is wrong",
                )
                if ended:
                    require(same(infos["final_obs"][i], one[0]), f"{where}: 'final_obs' differs")
                    _same_final_info(infos, i, one[4], where)
                    observation, latest[i] = env.reset()
                require(same(observations[i], observation), f"{where}: the observation differs")
                _same_infos(infos, i, latest[i], where, complete=not ended)
    vector.close()
    for env in scalars:
        env.close()


def _same_infos(infos: dict[str, Any], i: int, info: dict[str, Any], where: str, *, complete: bool = False) -> None:
    """What the vector environment says of sub-environment i is in ``info``; ``complete``: and the other way round."""
    names = {name for name in infos if not name.startswith("_") and not name.startswith("final_")}
    require(names <= info.keys(), f"{where}: infos have {sorted(names - info.keys())}, which the scalar info has not")
    require(not complete or names == info.keys(), f"{where}: infos lack {sorted(info.keys() - names)}")
    for name in names:
        if not same(infos[name][i], info[name]):  # the sentence takes longer to write than the check
            raise ConformanceError(f"{where}: info {name!r} is {infos[name][i]}, expected {info[name]}")


def _same_final_info(infos: dict[str, Any], i: int, info: dict[str, Any], where: str) -> None:
    """``final_info`` holds the scalar environment's last info; the mask of an episode that is over may be left out."""
    final = infos["final_info"]
    require(bool(infos["_final_info"][i]), f"{where}: '_final_info' is wrong")
    names = {name for name in final if not name.startswith("_")}
    missing = info.keys() - names - {"action_mask"}
    require(not missing, f"{where}: 'final_info' lacks {sorted(missing)}")
    for name in names & info.keys():
        require(
            same(final[name][i], info[name]), f"{where}: final_info {name!r} is {final[name][i]}, expected {info[name]}"
        )
