"""Requests, rejections and episodes on top of the physics: ``step``, the one kernel of scalar and vector environments."""

from __future__ import annotations

import numpy as np

from envs._jit import inlined_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import (
    finish_request,
    load_request,
    put_layer_on_source,
    put_segment,
    request_scale,
    start_layer,
)
from envs.distprivacy.feasibility import open_layer, request_fits, survey_mask
from envs.distprivacy.reward import latency_reward, paper_reward, rejection_cost, rejection_reward
from envs.distprivacy.state import Dims, Place, Row, Table

IDLE = -1
"""Returned by ``next_request`` when the period has no request left."""


@inlined_kernel
def _advance(row: Row, place: Place, d: Dims, table: Table, nets: Table) -> None:
    """Go on to the next decision of the current request, or finish it: served, or rejected where no device may take the map."""
    net = int(row[s.NETWORK])
    end = int(nets[net, t.START] + nets[net, t.LENGTH])
    while True:
        k = int(row[s.LAYER])
        if k < int(nets[net, t.START]) or row[s.SEGMENT] >= table[k, t.SEGMENTS]:
            if k + 1 == end:
                finish_request(row, d, True)
                return
            start_layer(row, d, table)
            if table[k + 1, t.ON_SOURCE] > 0.0:
                put_layer_on_source(row, place, d, table)
                continue
            open_layer(row, d, table)
            k += 1
        if survey_mask(row, place, d, table) == 0:
            finish_request(row, d, False)
            return
        if d[s.INHERIT] == 1 and table[k, t.IN_MODE] == t.MAPS and (table[k, t.KIND] == 1.0 or table[k, t.KIND] == 2.0):
            holder = int(place[int(table[k - 1, t.OFFSET]) + int(row[s.SEGMENT])])
            if holder < int(d[s.DEVICES]) and row[d[s.O_MASK] + np.uint64(holder)] > 0.0:
                put_segment(row, place, d, table, holder)
                continue
        row[s.STATUS] = s.DECIDE
        return


@kernel
def begin_request(row: Row, place: Place, d: Dims, table: Table, nets: Table, request: int) -> None:
    """Load a request and go to its first decision; it may be served (nothing to decide) or rejected on arrival."""
    load_request(row, d, nets, request)
    if request_fits(row, d, table, nets):
        _advance(row, place, d, table, nets)
    else:
        finish_request(row, d, False)


@kernel
def next_request(row: Row, place: Place, d: Dims, table: Table, nets: Table) -> int:
    """Begin the requests that follow until one needs a decision; returns its index, or IDLE at the end of the period.

    Requests without a decision (all on the source, or rejected on arrival) are booked on the way.
    """
    for request in range(int(row[s.REQUEST]) + 1, int(row[s.N_REQUESTS])):
        begin_request(row, place, d, table, nets, request)
        if row[s.STATUS] == s.DECIDE:
            return request
        row[s.DEBT] += row[s.LAST_LATENCY] if row[s.STATUS] == s.SERVED else rejection_cost(row, nets)
    row[s.REQUEST] = row[s.N_REQUESTS] - 1.0
    return IDLE


@kernel
def set_period_scale(row: Row, d: Dims, nets: Table) -> None:
    """Mean of the scales of the period's requests: one constant, so that a period's return is minus its summed latency."""
    total = 0.0
    for request in range(int(row[s.N_REQUESTS])):
        total += request_scale(row, d, nets, request)
    row[s.PERIOD_SCALE] = total / row[s.N_REQUESTS]


@inlined_kernel
def is_valid(row: Row, d: Dims, action: int) -> bool:
    """Whether ``action`` is a device that the mask allows."""
    return 0 <= action < int(d[s.DEVICES]) and row[d[s.O_MASK] + np.uint64(action)] > 0.0


@kernel
def place_maps(row: Row, place: Place, d: Dims, table: Table, nets: Table, device: int) -> None:
    """Place up to GRANULARITY maps of the current layer on ``device``, as long as the mask allows, then go on."""
    request, layer, served, rejected = row[s.REQUEST], row[s.LAYER], row[s.SERVED_COUNT], row[s.REJECTED_COUNT]
    for _ in range(d[s.GRANULARITY]):
        put_segment(row, place, d, table, device)
        _advance(row, place, d, table, nets)
        moved_on = row[s.REQUEST] != request or row[s.LAYER] != layer
        if moved_on or row[s.SERVED_COUNT] != served or row[s.REJECTED_COUNT] != rejected:
            return
        if row[d[s.O_MASK] + np.uint64(device)] == 0.0:
            return


@kernel
def step(row: Row, place: Place, d: Dims, table: Table, nets: Table, action: int) -> tuple[float, bool, bool]:
    """One step of the environment; returns ``(reward, terminated, valid)``.

    An action that the mask forbids is not carried out: the request is rejected, its budgets are given back, and the
    episode ends.
    """
    layer = row[s.LAYER]
    scale = row[s.PERIOD_SCALE] if d[s.EPISODE] == s.PERIOD_EPISODE else row[s.SCALE]
    valid = row[s.STATUS] == s.DECIDE and is_valid(row, d, action)
    reward = 0.0
    if valid:
        if d[s.REWARD] == s.PAPER_REWARD:
            reward = paper_reward(row, place, d, table, nets, action)
        place_maps(row, place, d, table, nets, action)
    elif row[s.STATUS] == s.DECIDE:
        finish_request(row, d, False)
    if d[s.REWARD] == s.LATENCY_REWARD:
        if row[s.STATUS] == s.REJECTED:
            reward = rejection_reward(row, nets, scale)
        else:
            reward = latency_reward(row, scale)
    done = row[s.STATUS] != s.DECIDE
    if d[s.EPISODE] == s.LAYER_EPISODE:
        done = done or row[s.LAYER] != layer
    elif d[s.EPISODE] == s.PERIOD_EPISODE and done and valid:
        done = next_request(row, place, d, table, nets) == IDLE
        if d[s.REWARD] == s.LATENCY_REWARD:
            reward -= row[s.DEBT] / scale
            row[s.DEBT] = 0.0
    return reward, done, valid
