"""Segment allocation as a native vector environment: one compiled loop over the same kernel as the scalar environment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.distprivacy import batch
from envs.distprivacy.build import as_generator, make_simulator, make_spaces
from envs.distprivacy.dynamics import latency_so_far
from envs.distprivacy.generator import Generator
from envs.distprivacy.simulator import Options
from envs.distprivacy.state import O_PRESENT
from envs.distprivacy.supply import BLOCK, MOST_TRIES, Supply, absent_slots, no_decision_error
from envs.distprivacy.types import Instance
from envs.distprivacy.warmup import warm_up

ObsType = NDArray[np.float32]


class DistPrivacyVectorEnv(VectorEnv[ObsType, NDArray[np.int64], NDArray[np.float64]]):
    """``num_envs`` copies of ``DistPrivacyEnv``; the arguments are its own.

    Sub-environment i, reset with seed s, is bit for bit the scalar environment reset with seed s + i. An episode that ends
    restarts on the same step (``AutoresetMode.SAME_STEP``): ``infos["final_obs"]`` holds the terminal observations,
    ``infos["final_info"]`` what the scalar environment puts into its last info, ``infos["_final_obs"]`` which are meant.
    ``infos["action_mask"]`` (int8, ``(num_envs, max_devices)``) is the mask of the next decision.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Generator | Instance | Path = "lenet-random",
        *,
        ssim: float = 0.6,
        privacy_scope: str = "group",
        colluders: int = 1,
        churn: float = 0.0,
        requests: int | None = None,
        absent: int = 0,
        max_devices: int | None = None,
        episode: str = "request",
        reward: str = "latency",
        observation: str = "full",
        granularity: int = 1,
        inherit: bool = False,
        sigma: float = 1.0,
        beta: float = 0.5,
        traffic_price: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}, expected a whole number >= 1")
        if render_mode is not None:
            raise ValueError("the vector environment does not render, expected render_mode None")
        self.render_mode = None
        self.num_envs = num_envs
        self.generator = as_generator(
            scenario,
            ssim=ssim,
            privacy_scope=privacy_scope,
            colluders=colluders,
            churn=churn,
            requests=requests,
            absent=absent,
        )
        options = Options(episode, reward, observation, granularity, inherit, sigma, beta, traffic_price)
        self.simulator = make_simulator(self.generator, options, max_devices)
        self.single_observation_space, self.single_action_space = make_spaces(self.simulator)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_layout = self.simulator.observation_layout
        length = self.simulator.observation_length
        self._rows, self._places = self.simulator.new_state(num_envs)
        self._observations = np.zeros((num_envs, length), np.float32)
        self._final_observations = np.zeros((num_envs, length), np.float32)
        self._final = np.zeros((num_envs, batch.N_FINAL))
        self._masks = np.zeros((num_envs, self.simulator.max_devices), np.int8)
        self._heads = np.zeros((num_envs, BLOCK, self.simulator.instance_length))
        self._next_head = np.full(num_envs, BLOCK, np.int64)
        self._supplies: list[Supply] = []
        self._absent: NDArray[np.int64] = np.zeros(0, np.int64)
        tables = self.simulator.tables
        self._arguments = (self.simulator.dims, tables.layers, tables.networks)
        warm_up()

    def devices_leave(self, slots: Iterable[int]) -> None:
        """These device slots stay empty in every period that begins from now on; the current ones are played to their end.

        Raises ``ValueError`` for a slot outside the spaces.
        """
        self._absent = absent_slots(slots, self.simulator.max_devices)
        present = int(self.simulator.dims[O_PRESENT])
        for supply, heads in zip(self._supplies, self._heads, strict=True):
            supply.absent = self._absent
            heads[:, present + self._absent] = 0.0  # periods that are drawn but not begun

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin new periods everywhere. ``seed`` s seeds sub-environment i with s + i; a list seeds each.

        ``options={"absent": [indices]}``: these devices have left. Raises ``ValueError`` for other options.
        """
        options = dict(options or {})
        unknown = set(options) - {"absent"}
        if unknown:
            raise ValueError(f"reset option is {sorted(unknown)[0]!r}, expected absent")
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)] if not isinstance(seed, list) else seed
        )
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds were given, expected {self.num_envs}")
        if "absent" in options:
            self._absent = absent_slots(options["absent"], self.simulator.max_devices)
        for i, number in enumerate(seeds):
            if number is not None or len(self._supplies) <= i:
                rng, _ = seeding.np_random(number)
                supply = Supply(self.generator, self.simulator, rng)
                self._supplies[i : i + 1] = [supply]
            self._supplies[i].absent = self._absent
            self._next_head[i] = BLOCK
            self._restart(i, new_period=True)
            batch.look(self._rows[i], self._places[i], *self._arguments, self._observations[i], self._masks[i])
        latency = np.array([float(latency_so_far(row)) for row in self._rows])
        return self._observations.copy(), {"action_mask": self._masks.copy(), "latency_s": latency}

    def step(  # type: ignore[override]
        self, actions: NDArray[np.int64]
    ) -> tuple[ObsType, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every sub-environment; arrays of length ``num_envs``.

        Raises ``ValueError`` for actions of another shape, or that are not whole numbers; then no sub-environment has moved. A
        whole number that is no allowed device is an invalid action of its own sub-environment alone.
        """
        given, n = np.asarray(actions), self.num_envs
        if given.shape != (n,) or given.dtype.kind not in "biu":
            what = f"{given.dtype} of shape {given.shape}"
            raise ValueError(f"actions are {what}, expected {n} whole numbers in one dimension")
        rewards, latency, done = np.empty(n), np.empty(n), np.empty(n, np.bool_)
        ended = batch.batch_step(
            self._rows,
            self._places,
            *self._arguments,
            np.ascontiguousarray(given, np.int64),
            self._observations,
            self._masks,
            rewards,
            done,
            latency,
            self._final_observations,
            self._final,
            self._heads,
            self._next_head,
        )
        infos: dict[str, Any] = {}
        if ended:
            if self._next_head.min() < 0:
                self._refill(latency)
            infos.update(self._final_infos(done))
        infos["action_mask"] = self._masks.copy()
        infos["latency_s"] = latency
        return self._observations.copy(), rewards, done, np.zeros(n, np.bool_), infos

    def _final_infos(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        f = self._final
        final_info = {
            "latency_s": f[:, batch.FINAL_LATENCY].copy(),
            "rejected": f[:, batch.FINAL_REJECTED] > 0,
            "shared_bytes": f[:, batch.FINAL_BYTES].copy(),
            "invalid_action": f[:, batch.FINAL_INVALID] > 0,
            "served_requests": f[:, batch.FINAL_SERVED].astype(np.int64),
            "rejected_requests": f[:, batch.FINAL_REJECTIONS].astype(np.int64),
            "period_latency_s": f[:, batch.FINAL_SUM].copy(),
            "request": f[:, batch.FINAL_REQUEST].astype(np.int64),
        }
        # zeros come from the system untouched: only the rows that ended cost anything
        final_observations = np.zeros(self._final_observations.shape, np.float32)
        final_observations[done] = self._final_observations[done]
        return {
            "final_obs": final_observations,
            "_final_obs": done.copy(),
            "final_info": final_info,
            "_final_info": done.copy(),
        }

    def _refill(self, latency: NDArray[np.float64]) -> None:
        """Restart the sub-environments whose heads ran out on fresh ones."""
        for i in np.flatnonzero(self._next_head < 0):
            self._next_head[i] = BLOCK
            self._restart(int(i), new_period=True)
            batch.look(self._rows[i], self._places[i], *self._arguments, self._observations[i], self._masks[i])
            latency[i] = latency_so_far(self._rows[i])

    def _restart(self, i: int, *, new_period: bool) -> None:
        for _ in range(MOST_TRIES // BLOCK):
            if self._next_head[i] == BLOCK:
                self._supplies[i].draw(self._heads[i])
                self._next_head[i] = 0
            found = batch.restart(
                self._rows[i], self._places[i], *self._arguments, self._heads[i], int(self._next_head[i]), new_period
            )
            if found >= 0:
                self._next_head[i] = found
                return
            self._next_head[i] = BLOCK
        raise no_decision_error()

    # --- for adapters and resumable training -------------------------------------------------------------------------
    def _state_arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays that hold the state of the sub-environments."""
        return self._rows, self._places, self._heads, self._next_head, self._observations, self._masks

    def get_state(self) -> dict[str, Any]:
        """Everything that a run needs to go on exactly: rows, placements, queued instances, random generators."""
        return {
            "arrays": [array.copy() for array in self._state_arrays()],
            "absent": self._absent.copy(),
            "generators": [supply.rng.bit_generator.state for supply in self._supplies],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of ``get_state``."""
        for mine, saved in zip(self._state_arrays(), state["arrays"], strict=True):
            np.copyto(mine, saved)
        self._absent = state["absent"]
        self._supplies = []
        for generator_state in state["generators"]:
            rng = np.random.Generator(np.random.PCG64())
            rng.bit_generator.state = generator_state
            supply = Supply(self.generator, self.simulator, rng)
            supply.absent = self._absent
            self._supplies.append(supply)
