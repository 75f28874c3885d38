"""Instances as objects: random fleets, fixed fleets with shuffled requests and churn, lists, a toy (spec section 3).

A generator turns a fixed number of uniform random numbers into the head of a state row (``simulator.Simulator.encode``), in
compiled code, so that scalar and vector environments draw the same instances from the same seeds. ``sample`` gives
the same thing as an ``Instance``, which can be saved and replayed exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import state as s
from envs.distprivacy.sampler import (
    ABSENT,
    CHURN,
    LEAST,
    LEAST_PRESENT,
    MEMORY,
    N_SPEC,
    PERIOD,
    RANDOM_FLEET,
    SHUFFLE,
    sample_block,
)
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import Device, Instance, Layer, Network, Request, Task


@dataclass(frozen=True, slots=True)
class RandomFleet:
    """A distribution of fleets: number of devices uniform, speeds and rates log-uniform, memory constant."""

    devices: tuple[int, int] = (6, 12)  # least, most
    mults_per_s: tuple[float, float] = (40e6, 2000e6)
    rate_bytes_per_s: tuple[float, float] = (1e6, 20e6)
    memory_bytes: float = float(2**30)

    def __post_init__(self) -> None:
        for name in ("devices", "mults_per_s", "rate_bytes_per_s"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"fleet: field '{name}' is {[low, high]}, expected 0 < least <= most")
        if self.memory_bytes <= 0:
            raise ValueError(f"fleet: field 'memory_bytes' is {self.memory_bytes}, expected a number > 0")


class Generator:
    """What an environment draws its periods from. Sizes are the slots that its instances need."""

    task: Task
    max_devices: int
    max_sources: int
    max_requests: int
    uniforms: int  # uniform random numbers that one instance takes

    def fill(self, head: NDArray[np.float64], simulator: Simulator, uniforms: NDArray[np.float64]) -> None:
        """Write an instance into ``head`` (float64, ``(instance_length,)``) from ``uniforms`` in [0, 1)."""
        raise NotImplementedError

    def fill_block(self, heads: NDArray[np.float64], simulator: Simulator, uniforms: NDArray[np.float64]) -> None:
        """``fill`` for a block: ``heads`` (B, instance_length), ``uniforms`` (B, self.uniforms)."""
        for head, numbers in zip(heads, uniforms, strict=True):
            self.fill(head, simulator, numbers)

    def decode(self, head: NDArray[np.float64], simulator: Simulator) -> Instance:
        """The instance that ``head`` encodes; absent devices are left out."""
        raise NotImplementedError

    def simulator(self) -> Simulator:
        """A simulator with the slots of this generator and default options."""
        return Simulator(self.task, self.max_devices, self.max_sources, self.max_requests)

    def sample(self, rng: np.random.Generator) -> Instance:
        """One instance."""
        simulator = self.simulator()
        head = np.zeros(simulator.instance_length)
        self.fill(head, simulator, rng.random(self.uniforms))
        return self.decode(head, simulator)


class FleetGenerator(Generator):
    """A fleet, random or fixed, with churn between periods, and requests in given or shuffled order.

    ``networks``: the network of every request of a period. With ``shuffle`` their order and sources are drawn anew for
    each period; networks named in ``once_per_source`` then get distinct sources. Otherwise request r has source
    ``r mod sources``. ``churn``: probability that a device is absent in a period; ``least_present`` devices stay.
    ``absent``: the last so many devices of every fleet have left for good.

    Raises ``ValueError`` when a size contradicts another.
    """

    def __init__(
        self,
        task: Task,
        fleet: RandomFleet | Sequence[Device],
        sources: Sequence[Device],
        networks: Sequence[str],
        *,
        period_s: float = 1.0,
        shuffle: bool = False,
        once_per_source: frozenset[str] = frozenset(),
        churn: float = 0.0,
        least_present: int = 1,
        absent: int = 0,
    ) -> None:
        if not 0 <= churn < 1:
            raise ValueError(f"churn is {churn}, expected a probability in 0..1, below 1")
        if not networks or not sources:
            raise ValueError("a generator needs at least one source and one request")
        if sum(name in once_per_source for name in networks) > len(sources):
            raise ValueError(
                f"more requests for {', '.join(sorted(once_per_source))} than the {len(sources)} sources allow"
            )
        self.task, self.sources, self.networks, self.period_s = task, tuple(sources), tuple(networks), period_s
        self.fleet = fleet if isinstance(fleet, RandomFleet) else tuple(fleet)
        self.max_devices = fleet.devices[1] if isinstance(fleet, RandomFleet) else len(self.fleet)  # type: ignore[arg-type]
        self.max_sources, self.max_requests = len(self.sources), len(self.networks)
        fewest = fleet.devices[0] if isinstance(fleet, RandomFleet) else len(self.fleet)  # type: ignore[arg-type]
        if not 0 <= absent < fewest:
            raise ValueError(f"absent is {absent}, expected 0..{fewest - 1}, so that a device is left")
        self.uniforms = 1 + 3 * self.max_devices + 2 * self.max_requests
        self.churn, self.once_per_source = churn, once_per_source
        self._spec = np.zeros(N_SPEC)
        if isinstance(fleet, RandomFleet):
            low = (*fleet.devices, *fleet.mults_per_s, *fleet.rate_bytes_per_s, fleet.memory_bytes)
            self._spec[LEAST : MEMORY + 1] = low
            self._spec[RANDOM_FLEET] = 1.0
        self._spec[[PERIOD, CHURN, LEAST_PRESENT, SHUFFLE, ABSENT]] = period_s, churn, least_present, shuffle, absent
        names = list(task.networks)
        self._apart = np.array([name in once_per_source for name in names])
        self._heads: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    def _template(self, simulator: Simulator) -> NDArray[np.float64]:
        """The parts that no draw changes: sources, fixed devices, requests in given order."""
        key = (simulator.max_devices, simulator.max_sources, simulator.max_requests)
        if key not in self._heads:
            devices = self.fleet if isinstance(self.fleet, tuple) else (Device("device-0", 1.0, 1.0, 1.0),)
            requests = tuple(Request(r % len(self.sources), name) for r, name in enumerate(self.networks))
            self._heads[key] = simulator.encode(Instance(self.task, devices, self.sources, requests, self.period_s))
        return self._heads[key]

    def fill(self, head: NDArray[np.float64], simulator: Simulator, uniforms: NDArray[np.float64]) -> None:
        self.fill_block(head[None], simulator, uniforms[None])

    def fill_block(self, heads: NDArray[np.float64], simulator: Simulator, uniforms: NDArray[np.float64]) -> None:
        sample_block(heads, self._template(simulator), simulator.dims, self._spec, self._apart, uniforms)

    def decode(self, head: NDArray[np.float64], simulator: Simulator) -> Instance:
        d = simulator.dims
        devices = []
        for j in range(simulator.max_devices):
            if not head[d[s.O_PRESENT] + j]:
                continue
            if isinstance(self.fleet, tuple):
                devices.append(self.fleet[j])
                continue
            memory, speed, rate = (float(head[d[part] + j]) for part in (s.O_MEMORY, s.O_SPEED, s.O_RATE))
            devices.append(Device(f"device-{j}", memory, speed, rate))
        names = list(self.task.networks)
        requests = []
        for r in range(int(head[s.N_REQUESTS])):
            source, network = head[d[s.O_REQUESTS] + 2 * r : d[s.O_REQUESTS] + 2 * r + 2].astype(int)
            requests.append(Request(int(source), names[network]))
        return Instance(self.task, tuple(devices), self.sources, tuple(requests), self.period_s)


class InstanceList(Generator):
    """Given instances of one task, drawn uniformly at random (for training on a user's file).

    Raises ``ValueError`` when the list is empty or its instances belong to different tasks.
    """

    def __init__(self, instances: Sequence[Instance]) -> None:
        if not instances:
            raise ValueError("the list of instances is empty, expected at least one")
        self.instances = tuple(instances)
        self.task = instances[0].task
        for index, instance in enumerate(instances):
            if instance.task != self.task:
                raise ValueError(
                    f"instance {index} has other networks or privacy limits than instance 0, expected one task"
                )
        self.max_devices = max(len(instance.devices) for instance in instances)
        self.max_sources = max(len(instance.sources) for instance in instances)
        self.max_requests = max(len(instance.requests) for instance in instances)
        self.uniforms = 1
        self._heads: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    def _encoded(self, simulator: Simulator) -> NDArray[np.float64]:
        key = (simulator.max_devices, simulator.max_sources, simulator.max_requests)
        if key not in self._heads:
            self._heads[key] = np.stack([simulator.encode(instance) for instance in self.instances])
        return self._heads[key]

    def fill(self, head: NDArray[np.float64], simulator: Simulator, uniforms: NDArray[np.float64]) -> None:
        heads = self._encoded(simulator)
        index = min(int(uniforms[0] * len(heads)), len(heads) - 1)
        head[:] = heads[index]
        head[s.INDEX] = index

    def decode(self, head: NDArray[np.float64], simulator: Simulator) -> Instance:
        instance = self.instances[int(head[s.INDEX])]
        present = head[simulator.dims[s.O_PRESENT] :]
        devices = tuple(device for device, here in zip(instance.devices, present, strict=False) if here)
        return instance if len(devices) == len(instance.devices) else replace(instance, devices=devices)


def toy_instance() -> Instance:
    """A hand-made instance for tests and first steps: a 5-layer CNN, 3 unequal devices, one request.

    Two maps a layer, limit 1: each device may hold one map, so two of the three devices share every layer.
    """
    layers = (
        Layer("conv1", "conv", 1, 2, 16, 9),
        Layer("relu1", "act", 2, 2, 16),
        Layer("conv2", "conv", 2, 2, 4, 9),
        Layer("relu2", "act", 2, 2, 4),
        Layer("fc1", "fc", 8, 4),
    )
    network = Network("toy", layers)
    privacy: dict[str, dict[int, float | None]] = {"conv1": {2: 0.9, 1: 0.2}, "conv2": {2: 0.8, 1: 0.1}}
    task = Task({"toy": network}, {"toy": privacy}, ssim=0.5)
    devices = (Device("fast", 1e6, 2e6, 1e5), Device("middle", 1e6, 1e6, 1e5), Device("slow", 1e6, 1e6, 1e4))
    return Instance(task, devices, (Device("camera", 1e6, 1e6, 1e5),), (Request(0, "toy"),))
