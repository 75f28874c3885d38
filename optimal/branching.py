"""Where a flow breaks a limit that is no arc's own: bounds that the limits imply, and the meter to branch on.

A *meter* is the flow through one arc of a device, (2m + 1, D) in all for m moves: 0 maps at the entry; 1..m maps arriving by
move t; m + 1..2m maps held after move t. ``low`` and ``high``, of the same shape, say where its value lies in a branch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import allocating_kernel
from envs.distprivacy.counting import largest, most_total
from optimal.peaks import SLACK

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@allocating_kernel
def _seen(meters: Ints, seen_moves: int) -> Floats:
    """Distinct maps per device: those of the entry and those that arrive while the group lasts."""
    total = np.zeros(meters.shape[1])
    for j in range(meters.shape[1]):
        for kind in range(seen_moves + 1):
            total[j] += meters[kind, j]
    return total


@allocating_kernel
def room(threshold: float, held: int, per_map: float, per_move: float) -> int:
    """Maps that one sender may move to a receiver that ends with ``held`` maps, within the threshold of a conv."""
    return int(np.floor((threshold - held * per_map) / per_move + SLACK))


@allocating_kernel
def tighten(low: Ints, high: Ints, limits: Ints, seen_moves: int, colluders: int, maps: int) -> bool:
    """Lower the highest values that privacy leaves, given the lowest; False where none are left."""
    devices, moves = low.shape[1], limits.shape[0] - 1
    for layer in range(1 if seen_moves >= 0 else moves + 1):
        limit = limits[layer]
        if limit < 0:
            continue
        kind = layer if layer == 0 else moves + layer
        least = _seen(low, seen_moves) if seen_moves >= 0 else low[kind].astype(np.float64)
        most = np.empty(devices)
        for j in range(devices):
            others = largest(least, 0, devices, colluders - 1, j, 0.0) if colluders > 1 else 0.0
            most[j] = limit - others
            if least[j] > most[j]:
                return False
            if seen_moves >= 0:
                for part in range(seen_moves + 1):
                    high[part, j] = min(high[part, j], int(most[j] - least[j]) + low[part, j])
            else:
                high[kind, j] = min(high[kind, j], int(most[j]))
        if colluders > 1 and most_total(least, np.maximum(least, most), limit, colluders) < maps:
            return False
    for kind in range(low.shape[0]):
        for j in range(devices):
            if low[kind, j] > high[kind, j]:
                return False
    return True


@allocating_kernel
def tighten_tied(low: Ints, high: Ints, threshold: float, per_map: Floats, per_move: Floats) -> None:
    """Lower what a receiver can end with, and receive: the more it ends with, the less can arrive in time."""
    kinds, devices = low.shape
    moves = (kinds - 1) // 2
    before = 0 if moves == 1 else kinds - 2
    for j in range(devices):
        held = high[kinds - 1, j]
        while held > 0:
            arriving = 0
            for i in range(devices):
                if i != j:
                    most = room(threshold, max(held, low[kinds - 1, j]), per_map[j], per_move[i])
                    arriving += max(0, min(most, high[before, i]))
            if held <= high[before, j] + min(arriving, high[moves, j]):
                break
            held -= 1
        high[kinds - 1, j] = held
        arrived = min(high[moves, j], held)
        while arrived > 0:
            arriving = 0
            for i in range(devices):
                if i != j:
                    most = room(threshold, max(arrived, low[kinds - 1, j]), per_map[j], per_move[i])
                    arriving += max(0, min(most, high[before, i]))
            if arrived <= arriving:
                break
            arrived -= 1
        high[moves, j] = arrived


@allocating_kernel
def pick_private(value: Ints, low: Ints, limits: Ints, seen_moves: int, colluders: int) -> tuple[int, int, int]:
    """Where a privacy limit is broken: meter (kind, device) and value from which on to branch; (-1, -1, 0) where none is."""
    devices, moves = low.shape[1], limits.shape[0] - 1
    for layer in range(1 if seen_moves >= 0 else moves + 1):
        limit = limits[layer]
        if limit < 0:
            continue
        kind = layer if layer == 0 else moves + layer
        held = _seen(value, seen_moves) if seen_moves >= 0 else value[kind].astype(np.float64)
        if largest(held, 0, devices, colluders, -1, 0.0) <= limit:
            continue
        best, best_j = 0.0, -1
        for j in range(devices):
            least = _seen(low, seen_moves)[j] if seen_moves >= 0 else float(low[kind, j])
            if held[j] > max(best, least):
                best, best_j = held[j], j
        if seen_moves < 0:
            return kind, best_j, value[kind, best_j]
        for part in range(seen_moves, -1, -1):
            at = value[part, best_j]
            if at > low[part, best_j]:
                if colluders == 1:  # from `allowed` on, the other parts can't be as they are
                    allowed = limit - (int(held[best_j]) - at) + 1
                    at = max(low[part, best_j] + 1, (allowed + at + 1) // 2)
                return part, best_j, at
    return -1, -1, 0


@allocating_kernel
def pick_tied(
    value: Ints, low: Ints, moved: Ints, threshold: float, per_map: Floats, per_move: Floats
) -> tuple[int, int, int]:
    """The same where a receiver's work and the maps moved to it exceed the threshold together."""
    kind, devices = value.shape[0] - 1, value.shape[1]
    worst, worst_j, worst_at = 0, -1, 0
    for j in range(devices):
        held = value[kind, j]
        allowed = held  # most maps held with which all of these moves are in time
        for i in range(devices):
            if i != j and moved[i, j] > 0:
                left = (threshold - moved[i, j] * per_move[i]) / per_map[j]
                allowed = min(allowed, int(np.floor(left + SLACK)))
        allowed = max(allowed, max(1, low[kind, j]))
        if held - allowed > worst:
            worst, worst_j, worst_at = held - allowed, j, (allowed + held + 2) // 2
    if worst_j < 0:
        return -1, -1, 0
    return kind, worst_j, worst_at
