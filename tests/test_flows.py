"""The feasibility test of moved maps against all ways to send a few maps along all routes."""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement, pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray

from optimal.flows import FOUND, IMPOSSIBLE, find_flows
from optimal.max_flow import add_arc, send


@cache
def all_plans(devices: int, moves: int, maps: int) -> tuple[list[tuple[int, ...]], NDArray[np.int64]]:
    """All routes (devices passed), and all plans as numbers of maps on each route, (plans, routes)."""
    routes = list(product(range(devices), repeat=moves + 1))
    chosen = list(combinations_with_replacement(range(len(routes)), maps))
    plans = np.zeros((len(chosen), len(routes)), np.int64)
    for row, routes_taken in enumerate(chosen):
        np.add.at(plans[row], list(routes_taken), 1)
    return routes, plans


def on(routes: list[tuple[int, ...]], plans: NDArray[np.int64], at: slice, j: int) -> NDArray[np.int64]:
    """(plans,) distinct maps that pass device j at some of these points."""
    return plans[:, [j in route[at] for route in routes]].sum(axis=1)


def within(counts: list[NDArray[np.int64]], limit: int, colluders: int) -> NDArray[np.bool_]:
    """Whether the ``colluders`` largest counts together stay within the limit (-1: none)."""
    if limit < 0:
        return np.ones(len(counts[0]), np.bool_)
    largest: NDArray[np.int64] = np.sort(np.array(counts), axis=0)[::-1][:colluders].sum(axis=0)
    return largest <= limit


@pytest.mark.parametrize("seed", range(3))
def test_flows_are_found_where_there_are_any(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(500):
        moves = int(rng.integers(1, 3))
        devices = int(rng.integers(2, 4)) if moves == 1 else 2
        maps = int(rng.integers(2, 8 if devices == 2 and moves == 1 else 6))
        rooms = rng.integers(0, 3, (moves, devices))
        entry, final = rng.integers(0, maps + 2, devices), rng.integers(1, maps + 1, devices)
        limits = np.where(rng.random(moves + 1) < 0.5, -1, rng.integers(2, maps + 1, moves + 1))
        seen_moves, colluders = int(rng.integers(-1, moves + 1)), int(rng.choice((1, 1, 2)))
        per_map, per_move = rng.uniform(0.2, 2.0, devices), rng.uniform(0.2, 2.0, devices)
        threshold = np.inf if rng.random() < 0.2 else float(rng.uniform(2.0, 8.0))
        if threshold < np.inf:  # as the callers do: a device's own work keeps to the threshold
            final = np.minimum(final, np.floor(threshold / per_map).astype(np.int64))

        routes, plans = all_plans(devices, moves, maps)
        good = np.ones(len(plans), np.bool_)
        for j in range(devices):
            held = on(routes, plans, slice(moves, None), j)
            good &= (on(routes, plans, slice(0, 1), j) <= entry[j]) & (held <= final[j])
            for move, i in product(range(moves), range(devices)):
                if i != j:
                    moved = plans[:, [route[move : move + 2] == (i, j) for route in routes]].sum(axis=1)
                    if threshold < np.inf and move == moves - 1:
                        good &= (moved == 0) | (held * per_map[j] + moved * per_move[i] <= threshold)
                    else:
                        good &= moved <= rooms[move, i]
        if seen_moves >= 0:
            seen = [on(routes, plans, slice(0, seen_moves + 1), j) for j in range(devices)]
            good &= within(seen, limits[0], colluders)
        else:
            for point in range(moves + 1):
                counts = [on(routes, plans, slice(point, point + 1), j) for j in range(devices)]
                good &= within(counts, limits[point], colluders)

        meters, flows = np.zeros((2 * moves + 1, devices), np.int64), np.zeros((moves, devices, devices), np.int64)
        result = find_flows(
            maps, rooms, entry, final, limits, seen_moves, colluders, threshold, per_map, per_move, 10_000, meters, flows
        )  # fmt: skip
        assert result == (FOUND if good.any() else IMPOSSIBLE)
        if result == FOUND:
            found += 1
            assert (flows.sum(axis=(1, 2)) == maps).all()
            assert (flows[0].sum(axis=1) == meters[0]).all() and (flows[-1].sum(axis=0) == meters[-1]).all()
            assert all((a.sum(axis=0) == b.sum(axis=1)).all() for a, b in pairwise(flows))
    assert 100 < found < 400  # neither answer is rare


def test_a_flow_through_a_network_is_the_largest_that_is_wanted() -> None:
    graph, first = np.zeros((3, 10), np.int64), np.full(4, -1, np.int64)
    count = 0
    for tail, head, room in ((0, 2, 3), (0, 3, 1), (2, 3, 2), (2, 1, 1), (3, 1, 4)):
        count = add_arc(graph, first, count, tail, head, room)
    scratch = [np.zeros(4, np.int64) for _ in range(3)]
    assert send(graph.copy(), first, *scratch, 2) == 2
    assert send(graph.copy(), first, *scratch, 9) == 4
