"""Counts on devices whose slowest device is as fast as can be, with and without a second peak over the same counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import allocating_kernel
from envs.distprivacy.counting import most_total

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SLACK = 1e-11
"""Added before rounding down a quotient of thresholds, which may lie a rounding error below a whole number."""


@allocating_kernel
def least_peak(per_map: Floats, most: Ints, maps: int, limit: int, colluders: int) -> float:
    """Smallest v such that counts n <= most with n * per_map <= v hold ``maps`` maps in all; inf where none do.

    ``limit``: the ``colluders`` largest counts together stay within it (-1: no limit). The increments are taken cheapest first.
    """
    devices = per_map.shape[0]
    count = np.zeros(devices)
    taken, peak = 0, 0.0
    while True:
        best, best_j = np.inf, -1
        for j in range(devices):
            next_cost = (count[j] + 1.0) * per_map[j]
            if count[j] < most[j] and next_cost < best and (limit < 0 or count[j] < limit):
                best, best_j = next_cost, j
        if best_j < 0:
            return np.inf
        count[best_j] += 1.0
        taken += 1
        peak = max(peak, best)
        if taken >= maps:
            if limit < 0 or colluders == 1:
                return peak
            if most_total(np.zeros(devices), count, limit, colluders) >= maps:
                return peak


@allocating_kernel
def most_counts(per_map: Floats, most: Ints, peak: float) -> Ints:
    """(D,) largest counts n <= most with n * per_map <= peak."""
    result = most.copy()
    for j in range(per_map.shape[0]):
        if per_map[j] == np.inf:
            result[j] = 0
        elif per_map[j] * most[j] > peak:
            result[j] = min(most[j], int(np.floor(peak / per_map[j] + SLACK)))
    return result


@allocating_kernel
def peak_values(per_map: Floats, maps: int) -> Floats:
    """All values that max(n * per_map) can take for counts n of 0..maps, ascending."""
    devices = per_map.shape[0]
    values = np.zeros(devices * maps + 1)
    size = 1
    for j in range(devices):
        if per_map[j] < np.inf:
            for n in range(1, maps + 1):
                values[size] = n * per_map[j]
                size += 1
    values = np.sort(values[:size])
    kept = 1
    for at in range(1, size):
        if values[at] > values[kept - 1] * (1.0 + 1e-12):
            values[kept] = values[at]
            kept += 1
    return values[:kept]


@allocating_kernel
def least_two_peaks(
    first: Floats, second: Floats, most: Ints, maps: int, limit: int, colluders: int
) -> tuple[float, float]:
    """Peaks (v, w) with the smallest sum such that the same counts keep n * first <= v and n * second <= w; inf where none do.

    Limits as in ``least_peak``.
    """
    best = (np.inf, np.inf)
    least = least_peak(second, most, maps, limit, colluders)
    if least == np.inf:
        return best
    start = least_peak(first, most, maps, limit, colluders)
    for value in peak_values(first, maps):
        if value + least >= best[0] + best[1]:
            break
        if value < start * (1.0 - 1e-12):
            continue
        peak = least_peak(second, most_counts(first, most, value), maps, limit, colluders)
        if value + peak < best[0] + best[1]:
            best = (value, peak)
    return best


@allocating_kernel
def least_peaks(per_map: Floats, most: Ints, maps: int, limit: int, colluders: int) -> Floats:
    """``least_peak`` of every row of ``per_map`` (S, D)."""
    result = np.empty(per_map.shape[0])
    for row in range(per_map.shape[0]):
        result[row] = least_peak(per_map[row], most, maps, limit, colluders)
    return result


@allocating_kernel
def fill(most: Ints, maps: int, limit: int) -> Ints:
    """(D,) counts n <= most, each within ``limit``, of ``maps`` maps in all: as even as can be, which colluders ask."""
    devices = most.shape[0]
    count = np.zeros(devices, np.int64)
    for _ in range(maps):
        best_j = -1
        for j in range(devices):
            room = count[j] < most[j] and (limit < 0 or count[j] < limit)
            if room and (best_j < 0 or count[j] < count[best_j]):
                best_j = j
        if best_j < 0:
            break
        count[best_j] += 1
    return count
