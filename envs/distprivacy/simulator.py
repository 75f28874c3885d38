"""Python's handle on the compiled physics: sizes, tables and options bundled, instances loaded into state rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import dynamics, episode, features, observation
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.tables import TaskTables, compile_task
from envs.distprivacy.types import Device, Instance, Task

EPISODES = {"request": s.REQUEST_EPISODE, "period": s.PERIOD_EPISODE, "layer": s.LAYER_EPISODE}
REWARDS = {"latency": s.LATENCY_REWARD, "paper": s.PAPER_REWARD}
OBSERVATIONS = {"full": s.FULL_OBSERVATION, "paper": s.PAPER_OBSERVATION}


@dataclass(frozen=True)
class Options:
    """How an environment presents the physics (spec section 7).

    Raises ``ValueError`` for an unknown name or a granularity below 1.
    """

    episode: str = "request"  # request, period, layer
    reward: str = "latency"  # latency, paper
    observation: str = "full"  # full, paper
    granularity: int = 1  # most maps of a layer that one step places on the chosen device
    inherit: bool = False  # act and pool maps stay with the holder of the map before, without a decision
    sigma: float = 1.0  # paper reward: bonus per segment that the device already holds
    beta: float = 0.5  # paper reward: penalty for a device slower than the mean
    traffic_price: float = 0.0  # latency reward: price of shared data, seconds per second of the whole fleet's sending

    def __post_init__(self) -> None:
        for name in ("sigma", "beta", "traffic_price"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected a number >= 0")
        for name, known in (("episode", EPISODES), ("reward", REWARDS), ("observation", OBSERVATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if isinstance(self.granularity, bool) or not isinstance(self.granularity, int) or self.granularity < 1:
            raise ValueError(f"granularity is {self.granularity!r}, expected a whole number >= 1")


class Simulator:
    """The physics of one task for a number of device, source and request slots.

    It holds no state: state rows (float64, shape ``(row_length,)``) and placement rows (int16, shape ``(placement_length,)``)
    belong to the caller, one pair per environment. In a placement row, slot ``max_devices`` is the source.
    """

    def __init__(
        self, task: Task, max_devices: int, max_sources: int, max_requests: int, options: Options | None = None
    ) -> None:
        self.task = task
        self.options = options or Options()
        self.tables: TaskTables = compile_task(task)
        self.max_devices, self.max_sources, self.max_requests = max_devices, max_sources, max_requests
        self.dims = s.make_dims(
            max_devices,
            max_sources,
            max_requests,
            group_scope=task.privacy_scope == "group",
            colluders=task.colluders,
            granularity=self.options.granularity,
            inherit=self.options.inherit,
            episode=EPISODES[self.options.episode],
            reward=REWARDS[self.options.reward],
            observation=OBSERVATIONS[self.options.observation],
        )
        self.tables.networks[:, t.SIGMA] = self.options.sigma
        self.tables.networks[:, t.BETA] = self.options.beta
        self.tables.networks[:, t.PRICE] = self.options.traffic_price
        self.row_length = int(self.dims[s.ROW])
        self.instance_length = int(self.dims[s.O_END_OF_INSTANCE])
        self.placement_length = self.tables.placement_length
        self.observation_layout = features.layout(self.options.observation, max_devices)
        self.observation_length = max(part.stop for part in self.observation_layout.values())

    @classmethod
    def of(cls, instance: Instance, options: Options | None = None) -> Simulator:
        """A simulator with just the slots that ``instance`` needs."""
        return cls(instance.task, len(instance.devices), len(instance.sources), len(instance.requests), options)

    def new_state(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        """Fresh state rows ``(count, row_length)`` and placement rows ``(count, placement_length)``."""
        return np.zeros((count, self.row_length)), np.full((count, self.placement_length), -1, np.int16)

    def encode(self, instance: Instance, absent: frozenset[int] = frozenset()) -> NDArray[np.float64]:
        """The instance as the head of a state row, float64 ``(instance_length,)``.

        ``absent``: indices of devices that have left. Raises ``ValueError`` when the instance has more devices, sources or
        requests than there are slots, or belongs to another task.
        """
        sizes = (
            ("devices", len(instance.devices), self.max_devices),
            ("sources", len(instance.sources), self.max_sources),
            ("requests", len(instance.requests), self.max_requests),
        )
        for name, given, room in sizes:
            if given > room:
                raise ValueError(f"the instance has {given} {name}, expected at most {room} (raise max_{name})")
        if instance.task is not self.task and instance.task != self.task:
            raise ValueError(
                "the instance has other networks or privacy limits than the environment, expected the same task"
            )
        head = np.zeros(self.instance_length)
        d = self.dims
        for index, device in enumerate(instance.devices):
            parts = (s.O_SPEED, s.O_RATE, s.O_MEMORY, s.O_COMPUTE, s.O_BANDWIDTH)
            for part, value in zip(parts, _numbers(device, instance.period_s), strict=True):
                head[d[part] + index] = value
            head[d[s.O_PRESENT] + index] = index not in absent
        for index, source in enumerate(instance.sources):
            at = d[s.O_SOURCES] + 5 * index
            head[at : at + 5] = _numbers(source, instance.period_s)
        for index, request in enumerate(instance.requests):
            at = d[s.O_REQUESTS] + 2 * index
            head[at : at + 2] = request.source, self.tables.index(request.network)
        head[s.N_SOURCES], head[s.N_REQUESTS] = len(instance.sources), len(instance.requests)
        return head

    def begin(self, row: NDArray[np.float64], head: NDArray[np.float64]) -> None:
        """Start a period on an encoded instance; the first request is begun by ``next_request``."""
        row[: self.instance_length] = head
        dynamics.begin_period(row, self.dims)
        episode.set_period_scale(row, self.dims, self.tables.networks)

    def next_request(self, row: NDArray[np.float64], place: NDArray[np.int16]) -> int:
        """Go to the next request with a decision; its index, or -1 at the end of the period."""
        return int(episode.next_request(row, place, self.dims, self.tables.layers, self.tables.networks))

    def step(self, row: NDArray[np.float64], place: NDArray[np.int16], action: int) -> tuple[float, bool, bool]:
        """One step: ``(reward, terminated, valid)``; see ``episode.step``."""
        reward, terminated, valid = episode.step(
            row, place, self.dims, self.tables.layers, self.tables.networks, action
        )
        return float(reward), bool(terminated), bool(valid)

    def observe(self, row: NDArray[np.float64], place: NDArray[np.int16], out: NDArray[np.float32]) -> None:
        """Write the observation into ``out``, float32 ``(observation_length,)``."""
        observation.observe(row, place, self.dims, self.tables.layers, self.tables.networks, out)

    def mask(self, row: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Action mask of the next decision, bool ``(max_devices,)``; all False where none is left."""
        at = int(self.dims[s.O_MASK])
        if row[s.STATUS] != s.DECIDE:
            return np.zeros(self.max_devices, np.bool_)
        return row[at : at + self.max_devices] > 0.0


def _numbers(device: Device, period_s: float) -> tuple[float, float, float, float, float]:
    return (
        device.mults_per_s,
        device.rate_bytes_per_s,
        device.memory_bytes,
        device.compute(period_s),
        device.bandwidth(period_s),
    )
