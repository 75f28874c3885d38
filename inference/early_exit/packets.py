"""Statistics of flows, computed from their packets: the 58 columns of synthetic rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("min", "q1", "median", "mean", "q3", "max", "variance")
SIDES = ("", "_a_b", "_b_a")
"""Both directions together, from the one that opened the flow, to it."""
COUNTERS = ("packets", "acks", "pure_acks", "pushed", "syn", "fin", "urgent")
NAMES = (
    *(f"gap_{statistic}{side}" for side in SIDES for statistic in STATISTICS),
    *(f"bytes_{statistic}{side}" for side in SIDES for statistic in STATISTICS),
    *(f"{counter}{side}" for counter in COUNTERS for side in SIDES[1:]),
    *(f"throughput{side}" for side in SIDES[1:]),
)
"""(58,) names: gaps between packets, bytes of packets, counters, throughput."""
SECONDS, BYTES, PACKETS = 60.0, 1500.0, 200.0
"""What gaps, bytes and counters are divided by, so that nearly all features lie in 0..1."""
PURE, PUSHED = 60, 200
"""Packets of at most so many bytes only acknowledge; packets from so many on are pushed."""


@dataclass(frozen=True, eq=False)
class Packets:
    """The packets of N flows, at most P each; what lies past the last packet of a flow has no meaning."""

    count: NDArray[np.int64]  # (N,) packets of each flow, from 1 on
    gap: NDArray[np.float64]  # (N, P) seconds since the packet before; 0 for the first
    size: NDArray[np.float64]  # (N, P) bytes
    back: NDArray[np.bool_]  # (N, P) whether the packet answers: b to a
    fin: NDArray[np.bool_]  # (N,) whether both sides close the flow properly


def features(packets: Packets) -> NDArray[np.float64]:
    """The columns ``NAMES`` of flows ``(N, 58)``."""
    present = np.arange(packets.gap.shape[1]) < packets.count[:, None]
    when = np.cumsum(np.where(present, packets.gap, 0.0), axis=1)
    sides = (present, present & ~packets.back, present & packets.back)
    columns = list[NDArray[np.float64]]()
    for side in sides:
        columns += _statistics(_gaps(when, side) / SECONDS, _after_first(side))
    for side in sides:
        columns += _statistics(packets.size / BYTES, side)
    for counted in _counted(packets, sides[1:]):
        columns += [side / PACKETS for side in counted]
    lasts = np.maximum(when[:, -1], 1e-3)
    # a thousand packets of full size in a second are 1
    columns += [(packets.size * side).sum(1) / lasts / BYTES / 1e3 for side in sides[1:]]
    return np.stack(columns, axis=1)


def _counted(packets: Packets, sides: tuple[NDArray[np.bool_], ...]) -> list[list[NDArray[np.float64]]]:
    """The counters in the order of ``COUNTERS``, each for both directions."""
    many = [side.sum(1).astype(np.float64) for side in sides]
    syn = [np.minimum(n, 1.0) for n in many]
    acks = [np.maximum(many[0] - 1, 0.0), many[1]]  # the packet that opens a flow acknowledges nothing
    pure = [(side & (packets.size <= PURE)).sum(1).astype(np.float64) for side in sides]
    pushed = [(side & (packets.size >= PUSHED)).sum(1).astype(np.float64) for side in sides]
    fin = [(packets.fin & (n > 1)).astype(np.float64) for n in many]
    return [many, acks, pure, pushed, syn, fin, [np.zeros_like(n) for n in many]]


def _after_first(side: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The packets of a side but the first."""
    return side & (np.cumsum(side, axis=1) > 1)


def _gaps(when: NDArray[np.float64], side: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Seconds since the packet before of the same side ``(N, P)``, where there is one."""
    latest = np.maximum.accumulate(np.where(side, when, -1.0), axis=1)
    before = np.concatenate([np.zeros_like(when[:, :1]), latest[:, :-1]], axis=1)
    return np.where(_after_first(side), when - before, 0.0)


def _statistics(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """``STATISTICS`` of the chosen values of each row; of none the minimum is 1 and the rest 0."""
    count = chosen.sum(1)
    ordered = np.sort(np.where(chosen, values, np.inf), axis=1)
    rows, last = np.arange(len(values)), np.maximum(count - 1, 0)
    total = np.where(chosen, values, 0.0).sum(1)
    mean = total / np.maximum(count, 1)
    variance = np.where(chosen, (values - mean[:, None]) ** 2, 0.0).sum(1) / np.maximum(count, 1)

    def quantile(share: float) -> NDArray[np.float64]:
        return np.where(count > 0, ordered[rows, np.rint(last * share).astype(np.int64)], 0.0)

    least = np.where(count > 0, ordered[:, 0], 1.0)
    return [least, quantile(0.25), quantile(0.5), mean, quantile(0.75), quantile(1.0), variance]
