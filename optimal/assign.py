"""From counts, flows and paths to a device for every map of every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from optimal.request_data import RequestData

Ints = NDArray[np.int64]
Placement = dict[str, tuple[int, ...]]
"""Distributed layer -> device index per segment, -1 for the source."""
SOURCE = -1


def assign(
    data: RequestData,
    counts: Ints,
    flows: Mapping[tuple[int, int], Ints],
    paths: Sequence[tuple[Sequence[int], Mapping[tuple[int, ...], int]]] = (),
) -> Placement:
    """A placement with these counts (L, D), flows between layers (D, D), and paths through groups of layers.

    Maps go back to where they were seen before as often as the flows allow, which is all that the privacy of groups asks.
    """
    routes = {group[0]: [way for way, number in ways.items() for _ in range(number)] for group, ways in paths}
    place_in_routes = {k: (group[0], at) for group, _ in paths for at, k in enumerate(group)}
    into = {after: before for before, after in flows}
    first_of = {k: group[0] for group in data.groups() for k in group}
    rows: dict[int, list[int]] = {}
    seen: dict[int, list[set[int]]] = {}  # by first layer of a group: the devices that have held each map
    for k in range(1, len(data.rows) - 1):
        memory = seen.setdefault(first_of.get(k, k), [set() for _ in range(data.segments(k))])
        if data.on_source(k):
            rows[k] = [SOURCE] * data.segments(k)
            continue
        if k in place_in_routes:
            first, at = place_in_routes[k]
            rows[k] = [way[at] for way in routes[first]]
        elif k in into:
            rows[k] = _move(rows[into[k]], flows[into[k], k], memory)
        else:
            rows[k] = [j for j, count in enumerate(counts[k]) for _ in range(int(count))]
        for devices, j in zip(memory, rows[k], strict=True):
            devices.add(j)
    return {data.layer_names[k]: tuple(row) for k, row in rows.items()}


def _move(before: list[int], flow: Ints, memory: list[set[int]]) -> list[int]:
    """The device of each map after moves; ``memory``: devices that have held it, where it goes again if it can."""
    left, after = flow.copy(), [SOURCE] * len(before)
    for known in (True, False):
        for p, i in enumerate(before):
            if after[p] != SOURCE:
                continue
            targets = [j for j in np.flatnonzero(left[i] > 0) if not known or (j != i and j in memory[p])]
            if targets:
                # Staying last: maps that other devices know should not be used up by it.
                after[p] = int(min(targets, key=lambda j: j == i))
                left[i, after[p]] -= 1
    return after
