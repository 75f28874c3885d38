"""Segment allocation as a Gymnasium environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import batch
from envs.distprivacy import state as s
from envs.distprivacy.build import as_generator, make_simulator, make_spaces
from envs.distprivacy.generator import Generator
from envs.distprivacy.placement import placement_of
from envs.distprivacy.simulator import Options
from envs.distprivacy.supply import BLOCK, MOST_TRIES, Supply, absent_slots, no_decision_error
from envs.distprivacy.types import Instance, RequestSolution
from envs.distprivacy.warmup import warm_up
from envs.rendering import Rendered

ObsType = NDArray[np.float32]


class DistPrivacyEnv(Rendered, gym.Env[ObsType, np.int64]):
    """Place the feature maps of a CNN on untrusted devices: lowest latency, no device sees enough to rebuild the picture.

    ## Description
    A camera (the source) asks for one inference of a CNN. It runs the first and the last layer itself. Every other layer
    is split into segments, one per input feature map, and each step gives the next segment (or up to ``granularity`` of
    them) to a device. The physics is that of RL-DistPrivacy (Eq 2 to 10): transfers between holders, the slowest holder
    of each layer sets its time, budgets of memory, compute and bandwidth per period, and a privacy limit on the maps
    that one device may hold.

    ## Action Space
    ``Discrete(max_devices)``: the device that takes the next map. ``info["action_mask"]`` (int8) and ``action_masks()``
    (bool) say which devices may. The mask looks ahead: a layer begun can be completed.

    ## Observation Space
    One flat float32 ``Box`` of named slices (``observation_layout``), the action mask last; see docs/distprivacy.md for
    every slice with unit and range. ``observation="paper"`` gives the paper's binary state instead.

    ## Rewards
    ``latency``: minus the increase of the request's latency so far, divided by a constant of the instance, so that the
    undiscounted return is minus the latency. ``paper``: Eq 11 and Algorithm 1 of the paper.

    ## Starting State
    ``reset()`` goes to the next request of the period; ``reset(seed=...)`` and ``reset(options={"instance": ...})`` begin
    a new period. ``options={"absent": [indices]}``: these devices have left, from the next period on.

    ## Episode End
    ``request`` (default): the request is served or rejected. ``period``: no request of the period is left.
    ``layer``: the layer is placed (paper). A request is rejected when no device may take the next map; its budgets are
    given back. An action that the mask forbids is not carried out: the request is rejected, the episode ends and
    ``info["invalid_action"]`` is True. Episodes are finite, so ``truncated`` is always False.

    ## Arguments
    ``scenario``: a name of ``scenarios.SCENARIOS``, a ``Generator``, an ``Instance`` or the path of an instance file.
    ``ssim``, ``privacy_scope``, ``colluders``, ``churn``, ``requests``, ``absent``: for named scenarios.
    ``max_devices``: more slots than the scenario needs. ``episode``, ``reward``, ``observation``, ``granularity``,
    ``inherit``, ``sigma``, ``beta``, ``traffic_price``: see ``simulator.Options``. ``render_mode``: rgb_array, human, ansi.

    ## Reference
    E. Baccour et al., RL-DistPrivacy: Privacy-Aware Distributed Deep Inference for low latency IoT systems.

    ```python
    import gymnasium as gym
    env = gym.make("envs:offramp/DistPrivacy-v0", scenario="lenet-random")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample(info["action_mask"]))
    ```

    ## Version History
    v0: first version.
    """

    viewer_module = "envs.distprivacy.viewer"
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}

    def __init__(
        self,
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
        self.observation_space, self.action_space = make_spaces(self.simulator)  # type: ignore[assignment]
        self.observation_layout = self.simulator.observation_layout
        self.check_render_mode(render_mode)
        self.render_mode = render_mode
        rows, places = self.simulator.new_state(1)
        self._row, self._place = rows[0], places[0]
        self._observation = np.zeros(self.simulator.observation_length, np.float32)
        self._mask = np.zeros(self.simulator.max_devices, np.int8)
        self._heads = np.zeros((BLOCK, self.simulator.instance_length))
        self._next_head = BLOCK
        self._supply: Supply | None = None
        self._given: Instance | None = None  # instance of the current period, if the caller gave it
        self._begun = False
        self._over = True
        tables = self.simulator.tables
        self._arguments = (self.simulator.dims, tables.layers, tables.networks)
        warm_up()

    # --- Gymnasium ---------------------------------------------------------------------------------------------------
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Go to the next request, or begin a new period; see the class. Raises ``ValueError`` for bad options."""
        super().reset(seed=seed)
        if self._supply is None or seed is not None:
            absent = None if self._supply is None else self._supply.absent
            self._supply = Supply(self.generator, self.simulator, self.np_random)
            if absent is not None:
                self._supply.absent = absent
            self._next_head = BLOCK
            self._begun = False
        given = self._read_options(options or {})
        if given is not None:
            self._begin_given(given)
        elif not self._continue_period():
            self._begin_generated()
        self._over = False
        batch.look(self._row, self._place, *self._arguments, self._observation, self._mask)
        if self.render_mode == "human":
            self.render()
        return self._observation.copy(), self._info()

    def step(self, action: Any) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Give the next map to device ``action``; see the class."""
        reward, terminated, valid, latency = batch.scalar_step(
            self._row, self._place, *self._arguments, int(action), self._observation, self._mask
        )
        info: dict[str, Any] = {"action_mask": self._mask.copy(), "latency_s": latency}
        if terminated:
            self._over = True
            info = self._info(latency)
            info["invalid_action"] = not valid
        if self.render_mode == "human":
            self.render()
        return self._observation.copy(), reward, terminated, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which devices may take the next map, bool ``(max_devices,)`` (the name that sb3-contrib's MaskablePPO asks for)."""
        return self._mask.astype(np.bool_)

    # --- what else users ask for -------------------------------------------------------------------------------------
    @property
    def instance(self) -> Instance:
        """The current period's instance, as generated or given; absent devices are left out."""
        if self._given is not None:
            return self._given
        return self.generator.decode(self._row[: self.simulator.instance_length], self.simulator)

    @property
    def latency_s(self) -> float:
        """Latency of the current request so far, seconds."""
        from envs.distprivacy.dynamics import latency_so_far

        return float(latency_so_far(self._row))

    @property
    def request_index(self) -> int:
        """Index of the current request in the period."""
        return int(self._row[s.REQUEST])

    def request_solution(self) -> RequestSolution:
        """Placement of the current, finished request, in the indices of ``instance``."""
        return placement_of(self.simulator, self._row, self._place)

    # --- periods -----------------------------------------------------------------------------------------------------
    def _read_options(self, options: dict[str, Any]) -> Instance | None:
        unknown = set(options) - {"instance", "absent"}
        if unknown:
            raise ValueError(f"reset option is {sorted(unknown)[0]!r}, expected instance or absent")
        assert self._supply is not None
        if "absent" in options:
            absent = absent_slots(options["absent"], self.simulator.max_devices)
            self._supply.absent = absent
            self._next_head, self._begun = BLOCK, False
        given = options.get("instance")
        if given is None or isinstance(given, Instance):
            return given
        from envs.distprivacy.files import load_instance

        return load_instance(given)

    def _begin_given(self, instance: Instance) -> None:
        head = self.simulator.encode(instance)
        self._given, self._begun = instance, True
        self.simulator.begin(self._row, head)
        if self.simulator.next_request(self._row, self._place) < 0:
            self._begun = False
            rejected = int(self._row[s.REJECTED_COUNT])
            raise ValueError(
                f"no request of the instance needs a decision ({int(self._row[s.SERVED_COUNT])} run on their source alone, "
                f"{rejected} cannot be served), expected at least one"
            )

    def _continue_period(self) -> bool:
        """Go to the next decision of the period begun; False at its end."""
        if not self._begun or self.simulator.options.episode == "period":
            return False
        if self._row[s.STATUS] == s.DECIDE:
            if self._over:
                return True  # the next layer of the same request
            batch.abandon_request(self._row, self.simulator.dims)
        return self.simulator.next_request(self._row, self._place) >= 0

    def _begin_generated(self) -> None:
        assert self._supply is not None
        self._given = None
        for _ in range(MOST_TRIES):
            if self._next_head == BLOCK:
                self._supply.draw(self._heads)
                self._next_head = 0
            head = self._heads[self._next_head]
            self._next_head += 1
            self._begun = True
            self.simulator.begin(self._row, head)
            if self.simulator.next_request(self._row, self._place) >= 0:
                return
        raise no_decision_error()

    def _info(self, latency: float | None = None) -> dict[str, Any]:
        return {
            "action_mask": self._mask.copy(),
            "latency_s": self.latency_s if latency is None else latency,
            "rejected": bool(self._row[s.STATUS] == s.REJECTED),
            "shared_bytes": float(self._row[s.BYTES]),
            "request": int(self._row[s.REQUEST]),
            "served_requests": int(self._row[s.SERVED_COUNT]),
            "rejected_requests": int(self._row[s.REJECTED_COUNT]),
            "period_latency_s": float(self._row[s.LATENCY_SUM]),
        }
