"""What going from one exit to the next costs: seconds, joules and bytes from counted work, never from measured times.

Measured times of small batches are mostly noise, and an optimiser would fit thresholds to it; multiply-accumulates and bytes
of a network are exact, and a device is known by its rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SENT = ("input", "features")
"""What crosses the network: the row as it came, or what the last block on the device made of it."""


def _check(name: str, value: float, *, above: bool = False) -> None:
    if not (np.isfinite(value) and (value > 0 if above else value >= 0)):
        raise ValueError(f"{name} is {value}, expected a number {'>' if above else '>='} 0")


@dataclass(frozen=True)
class NetworkWork:
    """Work of a network with E exits on one row. Raises ``ValueError`` for unequal lengths or negative work."""

    block_macs: tuple[
        int, ...
    ]  # (E,) multiply-accumulates from the exit before (or the input) to where this one branches
    exit_macs: tuple[int, ...]  # (E,) of the exit itself
    feature_bytes: tuple[int, ...]  # (E,) of what block k hands on to block k + 1; the last one hands on nothing: 0
    input_bytes: int  # of a row as it comes

    def __post_init__(self) -> None:
        lengths = {len(self.block_macs), len(self.exit_macs), len(self.feature_bytes)}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(
                "block_macs, exit_macs and feature_bytes have different lengths, expected one entry an exit"
            )
        if min(*self.block_macs, *self.exit_macs, *self.feature_bytes, self.input_bytes) < 0:
            raise ValueError("a number of multiply-accumulates or bytes is negative, expected numbers >= 0")

    @property
    def exits(self) -> int:
        """Number of exits E."""
        return len(self.block_macs)


@dataclass(frozen=True)
class Device:
    """A device that computes. Raises ``ValueError`` for a rate that is not above 0, a negative energy or time."""

    macs_per_s: float  # multiply-accumulates a second
    joules_per_mac: float = 0.0
    overhead_s: float = 0.0  # seconds a row besides

    def __post_init__(self) -> None:
        _check("macs_per_s", self.macs_per_s, above=True)
        _check("joules_per_mac", self.joules_per_mac)
        _check("overhead_s", self.overhead_s)


@dataclass(frozen=True)
class Link:
    """The way from the edge to the cloud. Raises ``ValueError`` for numbers out of range."""

    bytes_per_s: float
    round_trip_s: float = 0.0
    joules_per_byte: float = 0.0  # of the edge's radio

    def __post_init__(self) -> None:
        _check("bytes_per_s", self.bytes_per_s, above=True)
        _check("round_trip_s", self.round_trip_s)
        _check("joules_per_byte", self.joules_per_byte)


@dataclass(frozen=True)
class Deployment:
    """Where the exits run: those before ``remote_from`` on the edge, the others in the cloud.

    ``remote_from``: exit, from 1; one more than there are exits keeps all on the edge. ``sends``: one of ``SENT``; with
    ``input`` the cloud computes all blocks again from the row itself, which is often shorter than its features.
    The default devices: an edge processor and a server of some tens of times its rate, a link of 1 MB/s and 50 ms.
    """

    edge: Device = Device(1e9, 1e-10)
    cloud: Device = Device(5e10, 0.0, 0.01)
    link: Link = Link(1e6, 0.05, 1e-6)
    remote_from: int = 2
    sends: str = "input"

    def __post_init__(self) -> None:
        if self.remote_from < 1:
            raise ValueError(f"remote_from is {self.remote_from}, expected an exit from 1 on")
        if self.sends not in SENT:
            raise ValueError(f"sends is {self.sends!r}, expected one of {', '.join(SENT)}")


@dataclass(frozen=True, eq=False)
class StageCosts:
    """What reaching each exit adds for one row, the exit itself included; what answers at exit k paid for 1..k."""

    edge_s: NDArray[np.float64]  # (E,) seconds of computing on the edge
    cloud_s: NDArray[np.float64]  # (E,) seconds of computing in an idle cloud
    joules: NDArray[np.float64]  # (E,) energy of the edge, its radio included
    bytes: NDArray[np.float64]  # (E,) bytes that the edge sends
    crosses: NDArray[np.bool_]  # (E,) whether the row goes over the link before this exit

    def seconds(self, deployment: Deployment, *, bandwidth: float = 1.0, load: float = 0.0) -> NDArray[np.float64]:
        """Seconds that each stage takes ``(E,)``: computing, and the link where it is crossed.

        ``bandwidth``: share of the link's usual speed; ``load``: share of the cloud that others use, in [0, 1).
        """
        way = (deployment.link.round_trip_s + self.bytes / deployment.link.bytes_per_s) / bandwidth
        return self.edge_s + self.cloud_s / (1.0 - load) + np.where(self.crosses, way, 0.0)


def stage_costs(work: NetworkWork, deployment: Deployment) -> StageCosts:
    """Costs of each stage of a network on a deployment. Raises ``ValueError`` where the network has too few exits."""
    if deployment.remote_from > work.exits + 1:
        raise ValueError(f"remote_from is {deployment.remote_from}, but the network has {work.exits} exits")
    first = deployment.remote_from - 1
    edge, cloud, sent = np.zeros(work.exits), np.zeros(work.exits), np.zeros(work.exits)
    for k in range(work.exits):
        macs = float(work.block_macs[k] + work.exit_macs[k])
        if k < first:
            edge[k] = macs
            continue
        cloud[k] = macs
        if k == first:
            whole = deployment.sends == "input" or first == 0
            sent[k] = work.input_bytes if whole else work.feature_bytes[k - 1]
            cloud[k] += sum(work.block_macs[:first]) if whole else 0
    crosses = np.zeros(work.exits, np.bool_)
    crosses[first : first + 1] = True
    return StageCosts(
        edge / deployment.edge.macs_per_s + np.where(np.arange(work.exits) < first, deployment.edge.overhead_s, 0.0),
        cloud / deployment.cloud.macs_per_s + np.where(crosses, deployment.cloud.overhead_s, 0.0),
        edge * deployment.edge.joules_per_mac + sent * deployment.link.joules_per_byte,
        sent,
        crosses,
    )
