"""Early exit as a native vector environment: one compiled loop over the same kernels as the scalar one."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.early_exit import batch
from envs.early_exit.build import Options, make_world
from envs.early_exit.dynamics import N_REPORT
from envs.early_exit.env import read_options
from envs.early_exit.scenarios import Scenario
from envs.early_exit.state import N_STATE
from envs.early_exit.warmup import warm_up
from envs.vector_state import ResumableVector

ObsType = NDArray[np.float32]


class EarlyExitVectorEnv(ResumableVector, VectorEnv[ObsType, NDArray[np.int64], NDArray[np.float64]]):
    """``num_envs`` copies of ``EarlyExitEnv``; the arguments are its own.

    Sub-environment i, reset with seed s, is bit for bit the scalar environment reset with seed s + i. An episode that ends
    restarts on the same step (``AutoresetMode.SAME_STEP``): ``infos["final_obs"]`` holds the last observations,
    ``infos["final_info"]`` what the scalar environment puts into its last info, ``infos["_final_obs"]`` which are meant.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Scenario = "budget",
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
        observed, dynamics = self.world.dynamics.observed, self.world.dynamics
        self.observation_layout = observed.layout
        self.single_observation_space = observed.space
        self.single_action_space = spaces.Discrete(len(self.world.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._physics, self._shown = dynamics.physics, observed.arrays
        self._generators: list[np.random.Generator] = []
        self._states = np.zeros((num_envs, N_STATE))
        self._frames = np.zeros((num_envs, self.world.windows + 1, self.world.generator.layout.length), np.float32)
        self._clocks, self._lengths = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)
        self._totals, self._reports = np.zeros((num_envs, N_REPORT)), np.zeros((num_envs, N_REPORT))
        self._statuses = np.zeros((num_envs, batch.N_STATE_INFO))
        self._observations = np.zeros((num_envs, observed.length), np.float32)
        self._masks = np.ones((num_envs, len(self.world.actions)), np.int8)
        self._every = np.arange(num_envs)
        self._told = self.world.generator.layout.told
        warm_up()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin new episodes everywhere. ``seed`` s seeds sub-environment i with s + i; a list seeds each.

        ``options={"budget": 0.15}``: this budget in the episodes that begin now. Raises ``ValueError`` for others.
        """
        given = dict(options or {})
        if "frames" in given:
            raise ValueError("reset option is 'frames', expected budget: frames belong to a single environment")
        _, budget = read_options(given, 0)
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)] if not isinstance(seed, list) else seed
        )
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds were given, expected {self.num_envs}")
        for i, number in enumerate(seeds):
            if number is not None or len(self._generators) <= i:
                self._generators[i : i + 1] = [seeding.np_random(number)[0]]
            self._begin(i, budget)
        return self._observations.copy(), self._infos()

    def _begin(self, i: int, budget: float | None = None) -> None:
        self._frames[i], self._states[i] = self.world.begin(self._generators[i], budget=budget)
        self._clocks[i], self._lengths[i] = 0, self.world.windows
        batch.begin(
            self._states[i], self._frames[i, 0], self._shown, self._totals[i], self._observations[i],
            self._reports[i], self._statuses[i],
        )  # fmt: skip

    def step(  # type: ignore[override]
        self, actions: NDArray[np.int64]
    ) -> tuple[ObsType, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every sub-environment; arrays of length ``num_envs``. Raises ``ValueError`` for wrong actions."""
        if not self._generators:
            raise RuntimeError("no episode has begun, expected reset() before the first step()")
        given, most = np.asarray(actions), self._masks.shape[1] - 1
        good = given.shape == (self.num_envs,) and given.dtype.kind in "biu"
        if not good or given.min() < 0 or given.max() > most:
            raise ValueError(f"actions are {actions}, expected {self.num_envs} whole numbers in 0..{most}")
        chosen = np.ascontiguousarray(given, np.int64)
        rewards, done = np.empty(self.num_envs), np.empty(self.num_envs, np.bool_)
        ended = batch.batch_decide(
            self._states, self._frames, self._clocks, self._lengths, chosen, self._physics, self._shown, self._totals,
            self._observations, self._reports, self._statuses, rewards, done,
        )  # fmt: skip
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
        return self._observations.copy(), rewards, np.zeros(self.num_envs, np.bool_), done, self._infos() | final

    def _infos(self) -> dict[str, Any]:
        infos: dict[str, Any] = {"action_mask": self._masks.copy()}
        at = np.maximum(self._clocks - 1, 0)[:, None]
        hidden = self._frames[self._every[:, None], at, self._told[None]].astype(np.float64)
        parts = (self._reports, self._totals, self._statuses, hidden)
        infos.update(zip(batch.INFO, (column for part in parts for column in part.T.copy()), strict=True))
        infos["over_budget"] = infos["over_budget"] != 0
        return infos

    # --- for replay of other decisions -------------------------------------------------------------------------------
    @property
    def exogenous(self) -> NDArray[np.float32]:
        """The current frames, float32 ``(num_envs, X)``, as ``Dynamics.transition`` takes them."""
        return self._frames[self._every, self._clocks]

    # --- for adapters and resumable training -------------------------------------------------------------------------
    def _state_arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays that hold the state of the sub-environments."""
        return (
            self._states, self._frames, self._clocks, self._lengths, self._totals, self._observations, self._reports,
            self._statuses,
        )  # fmt: skip
