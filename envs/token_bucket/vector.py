"""Token-bucket offloading as a native vector environment: one compiled loop over the same kernels as the scalar one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.token_bucket import batch
from envs.token_bucket.build import Options, make_world
from envs.token_bucket.generator import Generator
from envs.token_bucket.reset_options import read_options
from envs.token_bucket.types import N_ENDOGENOUS, N_FRAME, Trace
from envs.token_bucket.warmup import warm_up
from envs.vector_state import ResumableVector

ObsType = NDArray[np.float32]


class TokenBucketVectorEnv(ResumableVector, VectorEnv[ObsType, NDArray[np.int64], NDArray[np.float64]]):
    """``num_envs`` copies of ``TokenBucketEnv``; the arguments are its own.

    Sub-environment i, reset with seed s, is bit for bit the scalar environment reset with seed s + i. An episode that ends
    restarts on the same step (``AutoresetMode.SAME_STEP``): ``infos["final_obs"]`` holds the last observations,
    ``infos["final_info"]`` what the scalar environment puts into its last info, ``infos["_final_obs"]`` which are meant.
    ``infos["action_mask"]`` (int8, ``(num_envs, 2)``) is the mask of the next decision.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Path | Trace | Generator = "s1",
        *,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}, expected a whole number >= 1")
        if render_mode is not None:
            raise ValueError("the vector environment does not render, expected render_mode None")
        self.render_mode = None
        self.num_envs = num_envs
        self.world = make_world(scenario, **options)
        window = self.world.dynamics.window
        self.observation_layout = window.layout
        self.single_observation_space, self.single_action_space = window.space, spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._numbers = window.numbers
        self._generators: list[np.random.Generator] = []
        self._endogenous = np.zeros((num_envs, N_ENDOGENOUS), np.int64)
        self._rows = np.zeros((num_envs, window.exogenous_length))
        self._frames = np.zeros((num_envs, self.world.most_frames, N_FRAME))
        self._clocks, self._lengths = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)
        self._totals = np.zeros((num_envs, batch.N_TOTAL))
        self._observations = np.zeros((num_envs, window.length), np.float32)
        self._masks = np.zeros((num_envs, 2), np.int8)
        self._ints, self._floats = np.zeros((num_envs, batch.N_INT), np.int64), np.zeros((num_envs, batch.N_FLOAT))
        warm_up()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin new episodes everywhere. ``seed`` s seeds sub-environment i with s + i; a list seeds each.

        ``options={"bucket": (rate, depth)}``: this bucket in the episodes that begin now. Raises ``ValueError`` for others.
        """
        given = dict(options or {})
        if "trace" in given:
            raise ValueError("reset option is 'trace', expected bucket: a trace belongs to a single environment")
        _, bucket = read_options(given, self.world.generator.ticks_per_unit)
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)] if not isinstance(seed, list) else seed
        )
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds were given, expected {self.num_envs}")
        for i, number in enumerate(seeds):
            if number is not None or len(self._generators) <= i:
                self._generators[i : i + 1] = [seeding.np_random(number)[0]]
            self._begin(i, bucket)
        return self._observations.copy(), self._infos()

    def _begin(self, i: int, bucket: Any = None) -> None:
        trace, self._endogenous[i] = self.world.begin(self._generators[i], bucket=bucket)
        trace.write(self._frames[i, : len(trace)])
        self._clocks[i], self._lengths[i] = 0, len(trace)
        batch.begin(
            self._endogenous[i], self._rows[i], self._frames[i], self._numbers, self._totals[i], self._observations[i],
            self._masks[i], self._ints[i], self._floats[i],
        )  # fmt: skip

    def step(  # type: ignore[override]
        self, actions: NDArray[np.int64]
    ) -> tuple[ObsType, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every sub-environment; arrays of length ``num_envs``.

        Raises ``ValueError`` for actions of another shape, or other than 0 and 1; then no sub-environment has moved.
        """
        given = np.asarray(actions)
        if given.shape != (self.num_envs,) or given.dtype.kind not in "biu":
            what = f"{given.dtype} of shape {given.shape}"
            raise ValueError(f"actions are {what}, expected {self.num_envs} whole numbers in one dimension")
        rewards, done = np.empty(self.num_envs), np.empty(self.num_envs, np.bool_)
        ended = batch.batch_decide(
            self._endogenous, self._rows, self._frames, self._clocks, self._lengths,
            np.ascontiguousarray(given, np.int64), self._numbers, self.world.dynamics.numbers,
            self.world.generator.weak_loss, self._totals, self._observations, self._masks, self._ints, self._floats,
            rewards, done,
        )  # fmt: skip
        if ended < 0:
            raise ValueError(f"actions[{-1 - ended}] is {given[-1 - ended]}, expected 0 (keep) or 1 (send)")
        final: dict[str, Any] = {}
        if ended:
            observations = np.zeros(self._observations.shape, np.float32)
            observations[done] = self._observations[done]
            report = self._infos()
            del report["action_mask"]
            final = {
                "final_obs": observations,
                "_final_obs": done.copy(),
                "final_info": report,
                "_final_info": done.copy(),
            }
            for i in np.flatnonzero(done):
                self._begin(int(i))
        return (
            self._observations.copy(),
            rewards,
            np.zeros(self.num_envs, np.bool_),
            done,
            self._infos() | final,
        )

    def _infos(self) -> dict[str, Any]:
        ints, floats = self._ints.T.copy(), self._floats.T.copy()
        infos: dict[str, Any] = {"action_mask": self._masks.copy()}
        infos.update(zip(batch.INTS, ints, strict=True))
        infos.update(zip(batch.FLOATS, floats, strict=True))
        for name in batch.FLAGS:
            infos[name] = infos[name] != 0
        for name in () if self.world.generator.has_reward else batch.NEED_REWARD:
            del infos[name]
        return infos

    # --- for replay of other decisions -------------------------------------------------------------------------------
    @property
    def exogenous(self) -> NDArray[np.float64]:
        """What the outside world does at the current frames, float64 ``(num_envs, X)``, as ``Dynamics.transition`` takes it."""
        return self._rows.copy()

    # --- for adapters and resumable training -------------------------------------------------------------------------
    def _state_arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays that hold the state of the sub-environments."""
        return (
            self._endogenous, self._rows, self._frames, self._clocks, self._lengths, self._totals, self._observations,
            self._masks, self._ints, self._floats,
        )  # fmt: skip
