"""One device per layer, the best chain of single devices, compiled: the paper's comparison [13], which ignores privacy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import allocating_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import (
    BUDGET_TOLERANCE,
    finish_request,
    latency_so_far,
    load_request,
    put_segment,
    start_layer,
)
from envs.distprivacy.state import Dims, Place, Row, Table


@allocating_kernel
def per_layer_request(row: Row, place: Place, d: Dims, table: Table, nets: Table) -> None:
    """Whole layers on single devices: the chain of devices with the lowest latency, by dynamic programming.

    ``row`` stands before the first decision of a request; ``table``, ``nets`` are those of the task without privacy limits.
    The cost of a layer is measured by placing it, so the physics is the environment's.
    """
    net, request = int(row[s.NETWORK]), int(row[s.REQUEST])
    first, count = int(nets[net, t.START]), int(nets[net, t.LENGTH])
    kinds = _representatives(row, d)
    n = kinds.shape[0]
    cost = np.full((count, n), np.inf)
    came = np.zeros((count, n), np.int64)
    trial, trial_place = row.copy(), place.copy()
    slots = int(d[s.DEVICES]) + 1
    back = np.empty(3 * slots)
    saved, used = int(d[s.O_SAVED]), int(d[s.O_USED_MEMORY])
    back[:] = row[saved : saved + 3 * slots]
    for layer in range(1, count - 1):
        for a in range(n if layer > 1 else 1):
            for b in range(n):
                if (
                    table[first + layer, t.WEIGHT] * table[first + layer, t.SEGMENTS]
                    > row[d[s.O_MEMORY] + np.uint64(kinds[b])]
                ):
                    continue
                seconds = _pair_latency(
                    row, trial, trial_place, d, table, first + layer, kinds[a] if layer > 1 else -1, kinds[b]
                )
                if layer == count - 2:
                    seconds += trial[s.LATENCY_PENDING]
                total = seconds + (cost[layer - 1, a] if layer > 1 else 0.0)
                if total < cost[layer, b]:
                    cost[layer, b] = total
                    came[layer, b] = a
    path = np.zeros(count, np.int64)
    at = int(np.argmin(cost[count - 2]))
    for layer in range(count - 2, 0, -1):
        path[layer] = kinds[at]
        at = came[layer, at]
    row[used : used + 3 * slots] = back
    load_request(row, d, nets, request)
    for layer in range(count):
        start_layer(row, d, table)
        for _ in range(int(table[first + layer, t.SEGMENTS])):
            put_segment(row, place, d, table, int(d[s.DEVICES]) if layer == 0 or layer == count - 1 else path[layer])
    if not _within_budgets(row, d):
        row[used : used + 3 * slots] = back
        load_request(row, d, nets, request)
        _layer_by_layer(row, place, d, table, first, count, kinds)
    finish_request(row, d, _within_budgets(row, d))


@allocating_kernel
def _layer_by_layer(
    row: Row, place: Place, d: Dims, table: Table, first: int, count: int, kinds: NDArray[np.int64]
) -> None:
    """Where the best chain breaks a budget: each layer in turn on the fastest device that still has room for all of it."""
    source = int(d[s.DEVICES])
    trial, trial_place = row.copy(), place.copy()
    for layer in range(count):
        k = first + layer
        best, best_latency = source, np.inf
        if 0 < layer < count - 1:
            for m in range(kinds.shape[0]):
                trial[:] = row
                trial_place[:] = place
                start_layer(trial, d, table)
                for _ in range(int(table[k, t.SEGMENTS])):
                    put_segment(trial, trial_place, d, table, kinds[m])
                latency = latency_so_far(trial)
                if latency < best_latency and _within_budgets(trial, d):
                    best, best_latency = kinds[m], latency
        start_layer(row, d, table)
        for _ in range(int(table[k, t.SEGMENTS])):
            put_segment(row, place, d, table, best)


@allocating_kernel
def _representatives(row: Row, d: Dims) -> NDArray[np.int64]:
    """At most two present devices of each (speed, rate, bandwidth left, compute left, memory left)."""
    keep = np.zeros(int(d[s.DEVICES]), np.int64)
    n = 0
    for j in range(d[s.DEVICES]):
        if row[d[s.O_PRESENT] + j] == 0.0:
            continue
        like = 0
        for m in range(n):
            i = np.uint64(keep[m])
            same = True
            for part in (s.O_SPEED, s.O_RATE, s.O_USED_MEMORY, s.O_USED_COMPUTE, s.O_USED_BANDWIDTH):
                same = same and row[d[part] + i] == row[d[part] + j]
            like += 1 if same else 0
        if like < 2:
            keep[n] = int(j)
            n += 1
    return keep[:n]


@allocating_kernel
def _pair_latency(
    row: Row, trial: Row, trial_place: Place, d: Dims, table: Table, k: int, before: int, device: int
) -> float:
    """Seconds that layer k takes on ``device`` when the layer before is on ``before`` (-1: the source)."""
    trial[:] = row
    source = int(d[s.DEVICES])
    trial[d[s.O_COUNT] : d[s.O_COUNT] + d[s.DEVICES] + np.uint64(1)] = 0.0
    segments = int(table[k - 1, t.SEGMENTS])
    trial[d[s.O_COUNT] + np.uint64(source if before < 0 else before)] = segments
    at = int(table[k - 1, t.OFFSET])
    trial_place[at : at + segments] = source if before < 0 else before
    trial[s.LAYER] = k - 1.0
    trial[s.LATENCY_LAYER] = 0.0
    trial[s.LATENCY_FIRST] = 0.0
    start_layer(trial, d, table)
    for _ in range(int(table[k, t.SEGMENTS])):
        put_segment(trial, trial_place, d, table, device)
    return trial[s.LATENCY_LAYER] + trial[s.LATENCY_FIRST]  # type: ignore[no-any-return]


@kernel
def _within_budgets(row: Row, d: Dims) -> bool:
    for budget, used in (
        (s.O_MEMORY, s.O_USED_MEMORY),
        (s.O_COMPUTE, s.O_USED_COMPUTE),
        (s.O_BANDWIDTH, s.O_USED_BANDWIDTH),
    ):
        for j in range(d[s.DEVICES] + np.uint64(1)):
            if row[d[used] + j] > row[d[budget] + j] * (1.0 + BUDGET_TOLERANCE):
                return False
    return True
