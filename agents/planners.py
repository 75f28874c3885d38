"""Compiled planning of whole requests: greedy, greedy over subsets, lookahead, local search.

Every kernel works on a state row that stands before a decision and plays the request to its end through the environment's
own ``place_maps``: no physics of its own. A request that a plan can't serve is left rejected.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import allocating_kernel, inlined_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import survey_increase
from envs.distprivacy.episode import place_maps
from envs.distprivacy.foresight import survey_later
from envs.distprivacy.state import Dims, Place, Row, Table
from envs.distprivacy.transfers import map_holder

Allowed = NDArray[np.bool_]


@inlined_kernel
def greedy_choice(row: Row, place: Place, d: Dims, table: Table, allowed: Allowed, foresight: bool) -> int:
    """The valid device with the smallest increase of latency, among ``allowed`` ones if any of them is valid.

    ``foresight``: what later layers take longer, should the map stay, counts too.
    """
    survey_increase(row, place, d, table)
    if foresight:
        survey_later(row, d, table)
    best, best_increase, inside = -1, np.inf, False
    for j in range(d[s.DEVICES]):
        if row[d[s.O_MASK] + np.uint64(j)] == 0.0:
            continue
        increase = row[d[s.O_INCREASE] + np.uint64(j)]
        if foresight:
            increase += row[d[s.O_LATER] + np.uint64(j)]
        if (allowed[j] and not inside) or (allowed[j] == inside and increase < best_increase):
            best, best_increase, inside = int(j), increase, allowed[j]
    return best


@kernel
def greedy_request(
    row: Row, place: Place, d: Dims, table: Table, nets: Table, allowed: Allowed, foresight: bool = False
) -> None:
    """Play the request to its end by ``greedy_choice``."""
    request = row[s.REQUEST]
    while row[s.STATUS] == s.DECIDE and row[s.REQUEST] == request:
        place_maps(row, place, d, table, nets, greedy_choice(row, place, d, table, allowed, foresight))


@allocating_kernel
def random_plan(row: Row, place: Place, d: Dims, table: Table, nets: Table, rng: np.random.Generator) -> None:
    """Play the request to its end by uniformly random valid placements."""
    request = row[s.REQUEST]
    while row[s.STATUS] == s.DECIDE and row[s.REQUEST] == request:
        valid = 0
        for j in range(d[s.DEVICES]):
            valid += int(row[d[s.O_MASK] + j])
        pick = int(rng.random() * valid)
        for j in range(d[s.DEVICES]):
            if row[d[s.O_MASK] + j] > 0.0:
                if pick == 0:
                    place_maps(row, place, d, table, nets, int(j))
                    break
                pick -= 1


@inlined_kernel
def is_better(row: Row, best: Row) -> bool:
    """Whether the finished request in ``row`` beats the one in ``best``: served first, then lower latency."""
    if best[s.STATUS] != s.SERVED or row[s.STATUS] != s.SERVED:
        return row[s.STATUS] == s.SERVED and best[s.STATUS] != s.SERVED  # type: ignore[no-any-return]
    return row[s.LAST_LATENCY] < best[s.LAST_LATENCY]  # type: ignore[no-any-return]


@allocating_kernel
def subset_request(row: Row, place: Place, d: Dims, table: Table, nets: Table, foresight: bool = False) -> None:
    """Greedy restricted to the first n devices by rate, by speed, and by both; the best n and order.

    ``foresight``: see ``greedy_choice``.
    """
    devices = int(d[s.DEVICES])
    best, best_place = row.copy(), place.copy()
    trial, trial_place = row.copy(), place.copy()
    worth = np.empty(devices)
    for order in range(3):
        for j in range(devices):
            rate, speed = row[d[s.O_LOG_RATE] + np.uint64(j)], row[d[s.O_LOG_SPEED] + np.uint64(j)]
            worth[j] = rate if order == 0 else speed if order == 1 else rate + speed
            if row[d[s.O_PRESENT] + np.uint64(j)] == 0.0:
                worth[j] = -np.inf
        ranked = np.argsort(-worth)
        allowed = np.zeros(devices, np.bool_)
        for n in range(int(row[s.DEVICE_COUNT])):
            allowed[ranked[n]] = True
            trial[:] = row
            trial_place[:] = place
            greedy_request(trial, trial_place, d, table, nets, allowed, foresight)
            if is_better(trial, best):
                best[:] = trial
                best_place[:] = trial_place
    if best[s.STATUS] == s.DECIDE:
        best[:] = trial  # no subset serves it: keep the last, rejected trial
    row[:] = best
    place[:] = best_place


@allocating_kernel
def foresight_request(row: Row, place: Place, d: Dims, table: Table, nets: Table) -> None:
    """The better of ``subset_request`` with and without foresight."""
    plain, plain_place = row.copy(), place.copy()
    subset_request(row, place, d, table, nets, True)
    subset_request(plain, plain_place, d, table, nets, False)
    if is_better(plain, row):
        row[:] = plain
        place[:] = plain_place


@allocating_kernel
def lookahead_request(row: Row, place: Place, d: Dims, table: Table, nets: Table) -> None:
    """For every map, the device from which greedy ends with the lowest latency."""
    devices = int(d[s.DEVICES])
    everyone = np.ones(devices, np.bool_)
    trial, trial_place = row.copy(), place.copy()
    while row[s.STATUS] == s.DECIDE:
        best, best_latency = -1, np.inf
        for j in range(devices):
            if row[d[s.O_MASK] + np.uint64(j)] == 0.0:
                continue
            trial[:] = row
            trial_place[:] = place
            place_maps(trial, trial_place, d, table, nets, j)
            greedy_request(trial, trial_place, d, table, nets, everyone)
            latency = trial[s.LAST_LATENCY] if trial[s.STATUS] == s.SERVED else 1e300
            if latency < best_latency:
                best, best_latency = j, latency
        place_maps(row, place, d, table, nets, best)


@kernel
def follow(row: Row, place: Place, d: Dims, table: Table, nets: Table, plan: Place) -> None:
    """Play the request by ``plan`` (a placement row); stops before the first placement that the mask forbids."""
    while row[s.STATUS] == s.DECIDE:
        at = int(table[int(row[s.LAYER]), t.OFFSET]) + int(row[s.SEGMENT])
        device = int(plan[at])
        if device >= int(d[s.DEVICES]) or row[d[s.O_MASK] + np.uint64(device)] == 0.0:
            return
        place_maps(row, place, d, table, nets, device)


@kernel
def _change(plan: Place, table: Table, k: int, p: int, device: int, column: bool) -> None:
    """Give map p of layer k to ``device``; with ``column`` in every later layer of its group too."""
    plan[int(table[k, t.OFFSET]) + p] = device
    if column:
        group = table[k, t.GROUP]
        r = k + 1
        while r < table.shape[0] and table[r, t.GROUP] == group:
            plan[int(table[r, t.OFFSET]) + p] = device
            r += 1


@allocating_kernel
def improve_request(start: Row, row: Row, place: Place, d: Dims, table: Table, nets: Table, sweeps: int) -> None:
    """Local search from the finished request in ``row``, ``place``; ``start``: the row before its first decision.

    Moves: one map to another device, in its layer alone or through the rest of its group. First improvement, until no move
    helps or ``sweeps`` sweeps are done.
    """
    if row[s.STATUS] != s.SERVED:
        return
    devices, net = int(d[s.DEVICES]), int(row[s.NETWORK])
    first, last = int(nets[net, t.START]) + 1, int(nets[net, t.START] + nets[net, t.LENGTH]) - 1
    plan, trial_place = place.copy(), place.copy()
    trial = row.copy()
    for _ in range(sweeps):
        improved = False
        for k in range(first, last):
            if table[k, t.ON_SOURCE] > 0.0:
                continue
            for p in range(int(table[k, t.SEGMENTS])):
                for device in range(devices):
                    if start[d[s.O_PRESENT] + np.uint64(device)] == 0.0 or place[int(table[k, t.OFFSET]) + p] == device:
                        continue
                    for column in range(2):
                        plan[:] = place
                        _change(plan, table, k, p, device, column == 1)
                        trial[:] = start
                        trial_place[:] = place
                        follow(trial, trial_place, d, table, nets, plan)
                        if trial[s.STATUS] == s.SERVED and trial[s.LAST_LATENCY] < row[s.LAST_LATENCY] * (1.0 - 1e-12):
                            row[:] = trial
                            place[:] = trial_place
                            improved = True
        if not improved:
            return


@allocating_kernel
def packing_request(row: Row, place: Place, d: Dims, table: Table, nets: Table) -> None:
    """Spare the fleet's bandwidth: the map's holder, else a device that the layer already uses, else the freest device.

    Fewer holders of a conv send fewer partial sums, so more requests fit a period; the price is latency.
    """
    request = row[s.REQUEST]
    while row[s.STATUS] == s.DECIDE and row[s.REQUEST] == request:
        holder = map_holder(row, place, d, table, int(row[s.LAYER]))
        best, best_score = -1, -np.inf
        for j in range(d[s.DEVICES]):
            if row[d[s.O_MASK] + j] == 0.0:
                continue
            left = row[d[s.O_BANDWIDTH] + j] - row[d[s.O_USED_BANDWIDTH] + j]
            score = left * row[d[s.O_PER_BANDWIDTH] + j]
            score += 2.0 if j == holder else 1.0 if row[d[s.O_COUNT] + j] > 0.0 else 0.0
            if score > best_score:
                best, best_score = int(j), score
        place_maps(row, place, d, table, nets, best)
