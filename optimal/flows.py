"""Maps that move from device to device within a block: does any placement keep every limit and threshold?

Whole numbers of maps at the entry, moved and at the end are a flow through a network with one column of devices per
layer, but for two things: on the receivers of a conv, moved maps and own work share one threshold, and the privacy limit
of a group or of colluders is one sum over several arcs. Both are met by branching (``branching``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import allocating_kernel
from optimal.branching import pick_private, pick_tied, room, tighten, tighten_tied
from optimal.max_flow import add_arc, send

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FOUND, IMPOSSIBLE, UNKNOWN = 1, 0, -1
_STACK = 2_000
"""Branches that may wait at a time."""


@allocating_kernel
def find_flows(
    maps: int,
    rooms: Ints,
    entry: Ints,
    final: Ints,
    limits: Ints,
    seen_moves: int,
    colluders: int,
    threshold: float,
    per_map: Floats,
    per_move: Floats,
    most_nodes: int,
    value: Ints,
    flows: Ints,
) -> int:
    """Whether ``maps`` maps can pass m moves within all limits; FOUND, IMPOSSIBLE, or UNKNOWN after ``most_nodes`` flows.

    Args:
        rooms: (m, D) most maps that device i may move to any one other, per move. Ignored in the last move where
            ``threshold`` is finite: then a device that ends with b maps and receives f from i needs
            b * per_map + f * per_move[i] <= threshold.
        entry, final: (D,) most maps of each device at the entry and at the end.
        limits: (m + 1,) privacy limits of the counts at each point, -1: none; in group scope the first is that of the
            distinct maps over the entry and the first ``seen_moves`` moves (-1: layer scope).
        per_map, per_move: (D,) seconds; per_map is finite wherever ``final`` is above 0.
        value: (2m + 1, D) takes the meters. flows: (m, D, D) takes the maps moved from i to j, the diagonal those that stay.
    """
    moves, devices = rooms.shape
    kinds = 2 * moves + 1
    nodes = 2 + devices * (1 + 3 * moves)
    arcs = 2 * devices * (2 + moves * (devices + 4))
    graph, first = np.empty((3, arcs), np.int64), np.empty(nodes, np.int64)
    level, current, path = np.empty(nodes, np.int64), np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    entry_arc, kept_arc = np.empty(devices, np.int64), np.empty((kinds, devices), np.int64)
    flow_arc = np.empty((moves, devices, devices), np.int64)
    stack = np.empty((_STACK, 2, kinds, devices), np.int64)
    stack[0, 0] = 0
    stack[0, 1] = maps
    stack[0, 1, 0] = np.minimum(entry, maps)
    stack[0, 1, kinds - 1] = np.minimum(stack[0, 1, kinds - 1], final)
    size = 1
    for _ in range(most_nodes):
        if size == 0:
            return IMPOSSIBLE
        size -= 1
        low, high = stack[size, 0].copy(), stack[size, 1].copy()
        if threshold < np.inf:
            tighten_tied(low, high, threshold, per_map, per_move)
        if not tighten(low, high, limits, seen_moves, colluders, maps):
            continue
        first[:] = -1
        count = 0
        for j in range(devices):
            entry_arc[j] = count
            count = add_arc(graph, first, count, 0, 2 + j, high[0, j])
        for move in range(moves):
            here = 2 + devices * 3 * move  # nodes: held before the move, then arriving, gathered, and held after it
            tied = threshold < np.inf and move == moves - 1
            for j in range(devices):
                arriving, gathered = here + devices + j, here + 2 * devices + j
                flow_arc[move, j, j] = count
                count = add_arc(graph, first, count, here + j, gathered, maps)
                kept_arc[move + 1, j] = count
                count = add_arc(graph, first, count, arriving, gathered, high[move + 1, j])
                kept_arc[moves + move + 1, j] = count
                after = 1 if move == moves - 1 else here + 3 * devices + j
                count = add_arc(graph, first, count, gathered, after, high[moves + move + 1, j])
                if high[move + 1, j] == 0 or high[moves + move + 1, j] == 0:
                    for i in range(devices):
                        if i != j:
                            flow_arc[move, i, j] = -1
                    continue
                for i in range(devices):
                    if i == j:
                        continue
                    most = rooms[move, i]
                    if tied:
                        most = room(threshold, max(1, low[kinds - 1, j]), per_map[j], per_move[i])
                    flow_arc[move, i, j] = -1
                    if most > 0:
                        flow_arc[move, i, j] = count
                        count = add_arc(graph, first, count, here + i, arriving, min(most, maps))
        if send(graph, first, level, current, path, maps) < maps:
            continue
        for j in range(devices):
            value[0, j] = graph[1, entry_arc[j] + 1]
            for kind in range(1, kinds):
                value[kind, j] = graph[1, kept_arc[kind, j] + 1]
            for move in range(moves):
                for i in range(devices):
                    arc = flow_arc[move, i, j]
                    flows[move, i, j] = graph[1, arc + 1] if arc >= 0 else 0
        kind, device, at = pick_private(value, low, limits, seen_moves, colluders)
        if kind < 0 and threshold < np.inf:
            kind, device, at = pick_tied(value, low, flows[moves - 1], threshold, per_map, per_move)
        if kind < 0:
            return FOUND
        if size + 2 > _STACK:
            return UNKNOWN
        stack[size, 0], stack[size, 1] = low, high
        stack[size, 1, kind, device] = at - 1
        stack[size + 1, 0], stack[size + 1, 1] = low, high
        stack[size + 1, 0, kind, device] = at
        size += 2
    return IMPOSSIBLE if size == 0 else UNKNOWN
