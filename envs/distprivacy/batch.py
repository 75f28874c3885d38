"""Compiled entry points of the environments: one scalar step with its observation, and the same for a whole batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.distprivacy import state as s
from envs.distprivacy.dynamics import begin_period, finish_request, latency_so_far, survey_increase
from envs.distprivacy.episode import IDLE, next_request, set_period_scale, step
from envs.distprivacy.foresight import survey_later
from envs.distprivacy.observation import observe
from envs.distprivacy.state import Dims, Place, Row, Table

Observation = NDArray[np.float32]
Mask = NDArray[np.int8]

# Columns of what is kept of a finished episode.
(
    FINAL_LATENCY,
    FINAL_REJECTED,
    FINAL_BYTES,
    FINAL_INVALID,
    FINAL_SERVED,
    FINAL_REJECTIONS,
    FINAL_SUM,
    FINAL_REQUEST,
) = range(8)
N_FINAL = 8


@kernel
def look(
    row: Row, place: Place, d: Dims, table: Table, nets: Table, out: Observation, mask: Mask, fresh: bool = True
) -> None:
    """Write observation and mask of the next decision; the mask is zero where none is left."""
    if row[s.STATUS] == s.DECIDE:
        if d[s.OBSERVATION] == s.FULL_OBSERVATION:
            survey_increase(row, place, d, table)
            survey_later(row, d, table)
        allowed = d[s.O_MASK]
        for j in range(d[s.DEVICES]):
            mask[j] = np.int8(row[allowed + j])
    else:
        mask[:] = 0
    observe(row, place, d, table, nets, out, fresh)


@kernel
def scalar_step(
    row: Row, place: Place, d: Dims, table: Table, nets: Table, action: int, out: Observation, mask: Mask
) -> tuple[float, bool, bool, float]:
    """One step and what follows it: ``(reward, terminated, valid, latency so far in seconds)``."""
    layer, request = row[s.LAYER], row[s.REQUEST]
    reward, done, valid = step(row, place, d, table, nets, action)
    fresh = done or row[s.LAYER] != layer or row[s.REQUEST] != request
    look(row, place, d, table, nets, out, mask, fresh)
    return reward, done, valid, latency_so_far(row)


@kernel
def abandon_request(row: Row, d: Dims) -> None:
    """Drop the current request without counting it; its budgets are given back."""
    finish_request(row, d, False)
    row[s.REJECTED_COUNT] -= 1.0


@kernel
def restart(
    row: Row, place: Place, d: Dims, table: Table, nets: Table, heads: Row, next_head: int, new_period: bool
) -> int:
    """Go to the next decision: of the same request (layer episodes), of the period, or of the next periods in ``heads``.

    Returns the index of the next unused head, or -1 when the heads ran out before a decision was found.
    """
    if not new_period:
        if row[s.STATUS] == s.DECIDE or next_request(row, place, d, table, nets) != IDLE:
            return next_head
    while next_head < heads.shape[0]:
        for i in range(heads.shape[1]):
            row[i] = heads[next_head, i]
        next_head += 1
        begin_period(row, d)
        set_period_scale(row, d, nets)
        if next_request(row, place, d, table, nets) != IDLE:
            return next_head
    return -1


@kernel
def batch_step(
    rows: Row,
    places: Place,
    d: Dims,
    table: Table,
    nets: Table,
    actions: NDArray[np.int64],
    out: Observation,
    mask: Mask,
    rewards: Row,
    done: NDArray[np.bool_],
    latency: Row,
    final_out: Observation,
    final: Row,
    heads: Row,
    next_head: NDArray[np.int64],
) -> int:
    """One step of every environment, with reset on the same step where an episode ends; returns how many ended.

    Shapes: ``rows`` (N, row length), ``out`` and ``final_out`` (N, observation length), ``final`` (N, N_FINAL), ``heads``
    (N, B, instance length). An environment whose heads ran out is left with ``next_head`` -1 for the caller to restart.
    """
    ended = 0
    for i in range(actions.shape[0]):
        row, place = rows[i], places[i]
        layer, request = row[s.LAYER], row[s.REQUEST]
        rewards[i], done[i], valid = step(row, place, d, table, nets, actions[i])
        if done[i]:
            ended += 1
            look(row, place, d, table, nets, final_out[i], mask[i])
            final[i, FINAL_LATENCY] = latency_so_far(row)
            final[i, FINAL_REJECTED] = 1.0 if row[s.STATUS] == s.REJECTED else 0.0
            final[i, FINAL_BYTES] = row[s.BYTES]
            final[i, FINAL_INVALID] = 0.0 if valid else 1.0
            final[i, FINAL_SERVED] = row[s.SERVED_COUNT]
            final[i, FINAL_REJECTIONS] = row[s.REJECTED_COUNT]
            final[i, FINAL_SUM] = row[s.LATENCY_SUM]
            final[i, FINAL_REQUEST] = row[s.REQUEST]
            new_period = d[s.EPISODE] == s.PERIOD_EPISODE
            next_head[i] = restart(row, place, d, table, nets, heads[i], next_head[i], new_period)
            if next_head[i] < 0:
                continue
        fresh = done[i] or row[s.LAYER] != layer or row[s.REQUEST] != request
        look(row, place, d, table, nets, out[i], mask[i], fresh)
        latency[i] = latency_so_far(row)
    return ended
