"""Named scenarios: the paper's fleets and ours (spec section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envs.distprivacy.generator import FleetGenerator, RandomFleet
from envs.distprivacy.networks import NETWORKS
from envs.distprivacy.privacy import published_tables
from envs.distprivacy.types import Device, Task

_RATE = 72.2e6 / 8  # bytes per second; IEEE 802.11n as the paper takes it
DEVICE_TYPES: dict[str, Device] = {
    "rpi3": Device("rpi3", float(2**30), 560e6, _RATE),
    "nexus": Device("nexus", float(2**31), 800e6, _RATE),
    "stm32h7": Device("stm32h7", float(2**20), 40e6, _RATE),
}
"""The paper's device types (section 4.1); stm32h7's speed by the paper's rule of cores * clock / 10."""

PAPER_PERIOD_S = 4.0
"""Long enough for a source to run the first, last and kept layers of one VGG19 (2,142e6 multiplications)."""
MIXED_REQUESTS = {"lenet": 3, "cifar_cnn": 3, "vgg16": 5, "vgg19": 5}
"""Requests of one period of `mixed-70`, tuned once so that greedy rejects 40 +- 2 % at SSIM 0.4, then frozen."""


def fleet(**counts: int) -> tuple[Device, ...]:
    """Devices by type, e.g. ``fleet(nexus=3, rpi3=7)``; raises ``ValueError`` for an unknown type."""
    devices = []
    for kind, count in counts.items():
        if kind not in DEVICE_TYPES:
            raise ValueError(f"device type is {kind!r}, expected one of {', '.join(DEVICE_TYPES)}")
        template = DEVICE_TYPES[kind]
        for index in range(count):
            devices.append(
                Device(f"{kind}-{index}", template.memory_bytes, template.mults_per_s, template.rate_bytes_per_s)
            )
    return tuple(devices)


def cameras(count: int) -> tuple[Device, ...]:
    """Sources: Raspberry Pis, as in the paper."""
    pi = DEVICE_TYPES["rpi3"]
    return tuple(Device(f"camera-{i}", pi.memory_bytes, pi.mults_per_s, pi.rate_bytes_per_s) for i in range(count))


def paper_task(
    networks: Sequence[str],
    ssim: float = 0.6,
    privacy_scope: str = "group",
    colluders: int = 1,
    tolerance: float = 0.01,
) -> Task:
    """A task on the paper's networks with its published SSIM table (Table 2)."""
    tables = published_tables()
    for name in networks:
        if name not in NETWORKS:
            raise ValueError(f"network is {name!r}, expected one of {', '.join(NETWORKS)}")
    return Task(
        {name: NETWORKS[name]() for name in networks},
        {name: tables[name] for name in networks},
        ssim,
        tolerance,
        privacy_scope,
        colluders,
    )


def _lenet_random(task: Task, devices: tuple[int, int], churn: float, absent: int) -> FleetGenerator:
    return FleetGenerator(task, RandomFleet(devices), cameras(1), ("lenet",), churn=churn, absent=absent)


def _paper_fleet(
    task: Task, requests: dict[str, int], churn: float, absent: int, devices: tuple[Device, ...]
) -> FleetGenerator:
    networks = [name for name, count in requests.items() for _ in range(count)]
    vggs = frozenset(name for name in requests if name.startswith("vgg"))
    return FleetGenerator(
        task,
        devices,
        cameras(10),
        networks,
        period_s=PAPER_PERIOD_S,
        shuffle=True,
        once_per_source=vggs,
        churn=churn,
        absent=absent,
    )


SCENARIOS = {
    "lenet-10": "the paper's comparison with the optimum: 3 nexus + 7 rpi3, ten LeNet requests",
    "lenet-random": "the default: 6 to 12 devices of unequal speed and rate, one LeNet request",
    "lenet-20": "the same distribution, 20 devices",
    "lenet-70": "the same distribution, 70 devices",
    "cifar-70": "20 nexus + 50 rpi3, 10 sources, CIFAR-CNN requests",
    "vgg-70": "the same fleet, VGG16 and VGG19 requests",
    "mixed-70": "the same fleet, requests of all four networks",
}
"""Name -> what it is."""


def scenario(
    name: str,
    *,
    ssim: float = 0.6,
    privacy_scope: str = "group",
    colluders: int = 1,
    churn: float = 0.0,
    requests: int | None = None,
    absent: int = 0,
    types: Mapping[str, int] | None = None,
) -> FleetGenerator:
    """The generator of a named scenario.

    ``requests`` overrides the number of requests a period where all requests are alike (`lenet-10`, `cifar-70`).
    ``absent``: the last so many devices have left. ``types``: another fleet, devices by type, where the scenario has a fixed
    one. Raises ``ValueError`` for an unknown name or type, or where ``requests`` or ``types`` does not apply.
    """
    if name not in SCENARIOS:
        raise ValueError(f"scenario is {name!r}, expected one of {', '.join(SCENARIOS)}")
    if requests is not None and name not in ("lenet-10", "cifar-70"):
        raise ValueError(f"requests is {requests}, but scenario {name} has a fixed number of requests")

    fixed = {"nexus": 3, "rpi3": 7} if name == "lenet-10" else {"nexus": 20, "rpi3": 50}
    if types is not None and name in ("lenet-random", "lenet-20", "lenet-70"):
        raise ValueError(f"types is {dict(types)}, but scenario {name} draws its fleets at random")
    devices = fleet(**(types or fixed))

    def task(*networks: str) -> Task:
        return paper_task(networks, ssim, privacy_scope, colluders)

    if name == "lenet-10":
        count = requests or 10
        return FleetGenerator(task("lenet"), devices, cameras(10), ["lenet"] * count, churn=churn, absent=absent)
    if name in ("lenet-random", "lenet-20", "lenet-70"):
        sizes = {"lenet-random": (6, 12), "lenet-20": (20, 20), "lenet-70": (70, 70)}[name]
        return _lenet_random(task("lenet"), sizes, churn, absent)
    if name == "cifar-70":
        return _paper_fleet(task("cifar_cnn"), {"cifar_cnn": requests or 25}, churn, absent, devices)
    if name == "vgg-70":
        return _paper_fleet(task("vgg16", "vgg19"), {"vgg16": 5, "vgg19": 5}, churn, absent, devices)
    return _paper_fleet(task(*MIXED_REQUESTS), MIXED_REQUESTS, churn, absent, devices)
