"""The observation: one flat float32 vector of named slices, the action mask last (spec section 7).

``full``: one slice of D numbers per device feature, then the request's own numbers, then the mask. ``paper``: the binary
state of RL-DistPrivacy (section 3.4.2), without a mask. D is ``max_devices``; absent devices are zero throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import inlined_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import latency_so_far
from envs.distprivacy.feasibility import bandwidth_left
from envs.distprivacy.features import MOST, N_DEVICE, N_PAPER_REQUEST, N_REQUEST
from envs.distprivacy.state import Dims, Place, Row, Table
from envs.distprivacy.transfers import map_holder

LOG2 = np.log2(1.0 + np.arange(4096)) / 10.0
"""log2(1 + maps) / 10 for the feature ``maps``, looked up."""


@inlined_kernel
def observe_full(row: Row, d: Dims, table: Table, nets: Table, out: NDArray[np.float32], fresh: bool) -> None:
    """Write the full observation of the next decision into ``out`` (float32).

    ``fresh``: write everything; else only what can have changed since this buffer was written for the same layer.
    """
    devices, k = d[s.DEVICES], int(row[s.LAYER])
    mode = int(table[k, t.IN_MODE])
    scale, per_map = 1.0 / row[s.SCALE], 1.0 / table[k, t.SEGMENTS]
    latest = row[s.LATENCY_LAYER] + (row[s.LATENCY_FIRST] if table[k, t.FIRST] > 0.0 else 0.0)
    everyone = fresh or row[s.PLACED] != 1.0
    slot = np.uint64(row[s.LAST_SLOT])
    if fresh:
        out[:] = 0.0
        _observe_layer(row, d, table, k, scale, out)
        _observe_request(row, d, table, nets, k, scale, out)
    if everyone:
        for j in range(devices):
            _observe_own(row, d, table, k, per_map, j, out)
            _observe_bandwidth(row, d, j, out)
    else:
        _observe_own(row, d, table, k, per_map, slot, out)
        prev = d[s.O_PREV]
        for j in range(devices):
            if row[prev + j] > 0.0:
                _observe_bandwidth(row, d, j, out)
    present, busy, increase, allowed = d[s.O_PRESENT], d[s.O_BUSY], d[s.O_INCREASE], d[s.O_MASK]
    if everyone or latest != row[s.LATEST]:
        for j in range(devices):
            out[6 * devices + j] = min(max(0.0, latest - row[busy + j]) * scale, MOST) * row[present + j]
    else:
        out[6 * devices + slot] = min(max(0.0, latest - row[busy + slot]) * scale, MOST)
    row[s.LATEST], row[s.PLACED] = latest, 0.0
    later = d[s.O_LATER]
    for j in range(devices):
        out[devices + j] = min(row[increase + j] * scale, MOST)
        out[16 * devices + j] = min(row[later + j] * scale, MOST)
    mask = N_DEVICE * devices + N_REQUEST
    for j in range(devices):
        out[mask + j] = row[allowed + j]
    if mode == t.MAPS:
        home, seen = d[s.O_HOME], d[s.O_SEEN]
        for j in range(devices):
            out[2 * devices + j] = 0.0
            out[3 * devices + j] = row[home + j] * per_map
            out[8 * devices + j] = row[seen + j]
        holder = np.uint64(row[s.HOLDER])
        if holder < devices:
            out[2 * devices + holder] = 1.0
    at = N_DEVICE * devices
    out[at + 10] = row[s.SEGMENT] * per_map
    out[at + 11] = LOG2[min(LOG2.shape[0] - 1, int(table[k, t.SEGMENTS] - row[s.SEGMENT]))]
    out[at + 13] = min(latency_so_far(row) * scale, MOST)
    out[at + 14] = min(row[s.LATENCY_LAYER] * scale, MOST)
    out[at + 15] = min(row[s.LATENCY_FIRST] * scale, MOST)
    out[at + 16] = min(row[s.LATENCY_PENDING] * scale, MOST)


@inlined_kernel
def _observe_own(row: Row, d: Dims, table: Table, k: int, per_map: float, j: int, out: NDArray[np.float32]) -> None:
    """The features of device j that only a placement on it changes: count, privacy room, memory and compute left."""
    devices, limit = d[s.DEVICES], table[k, t.LIMIT]
    if row[d[s.O_PRESENT] + j] == 0.0:
        return
    out[5 * devices + j] = row[d[s.O_COUNT] + j] * per_map
    if limit >= 0.0:
        held = row[d[s.O_DISTINCT] + j] if d[s.GROUP_SCOPE] == 1 else row[d[s.O_COUNT] + j]
        out[7 * devices + j] = max(0.0, min(1.0, (limit - held) * per_map))
    memory = row[d[s.O_MEMORY] + j] - row[d[s.O_USED_MEMORY] + j]
    out[9 * devices + j] = max(0.0, min(1.0, memory * row[d[s.O_PER_MEMORY] + j]))
    compute = row[d[s.O_COMPUTE] + j] - row[d[s.O_USED_COMPUTE] + j]
    out[10 * devices + j] = max(0.0, min(1.0, compute * row[d[s.O_PER_COMPUTE] + j]))


@inlined_kernel
def _observe_bandwidth(row: Row, d: Dims, j: int, out: NDArray[np.float32]) -> None:
    left = row[d[s.O_BANDWIDTH] + j] - row[d[s.O_USED_BANDWIDTH] + j]
    out[11 * d[s.DEVICES] + j] = max(0.0, min(1.0, left * row[d[s.O_PER_BANDWIDTH] + j]))


@kernel
def _observe_layer(row: Row, d: Dims, table: Table, k: int, scale: float, out: NDArray[np.float32]) -> None:
    """The device features that stay the same throughout a layer."""
    devices = d[s.DEVICES]
    per_prev = 1.0 / table[k - 1, t.SEGMENTS]
    for j in range(devices):
        if row[d[s.O_PRESENT] + j] > 0.0:
            out[j] = 1.0
            out[4 * devices + j] = row[d[s.O_PREV] + j] * per_prev
            out[7 * devices + j] = 1.0
            out[12 * devices + j] = max(-10.0, min(10.0, row[d[s.O_LOG_SPEED] + j]))
            out[13 * devices + j] = max(-10.0, min(10.0, row[d[s.O_LOG_RATE] + j]))
            out[14 * devices + j] = min(row[d[s.O_COST] + j] * scale, MOST)
            out[15 * devices + j] = min(table[k, t.OUT_BYTES] * row[d[s.O_PER_RATE] + j] * scale, MOST)


@kernel
def _observe_request(
    row: Row, d: Dims, table: Table, nets: Table, k: int, scale: float, out: NDArray[np.float32]
) -> None:
    """The request features that stay the same throughout a layer."""
    segments, limit = table[k, t.SEGMENTS], table[k, t.LIMIT]
    mode = int(table[k, t.IN_MODE])
    at = N_DEVICE * d[s.DEVICES]
    out[at + int(table[k, t.KIND])] = 1.0
    out[at + 4] = 1.0 if mode == t.PARTIAL else 0.0
    out[at + 5] = 1.0 if mode == t.MAPS else 0.0
    out[at + 6] = table[k + 1, t.ON_SOURCE]
    out[at + 7] = 1.0 if table[k, t.NEXT_UNIT] > 0.0 else 0.0
    out[at + 8] = row[s.NETWORK] / nets.shape[0]
    out[at + 9] = table[k, t.DEPTH]
    out[at + 12] = 1.0 if limit < 0.0 else min(1.0, limit / segments)
    out[at + 17] = min(table[k, t.IN_UNIT] * row[s.SLOWEST] * scale, MOST) if mode == t.PARTIAL else 0.0
    out[at + 18] = min(table[k, t.MULTS] / row[s.SPEED_CENTER] * scale, MOST)
    out[at + 19] = min(table[k, t.OUT_BYTES] / row[s.RATE_CENTER] * scale, MOST)
    source = d[s.DEVICES]
    out[at + 20] = max(-10.0, min(10.0, row[d[s.O_LOG_SPEED] + source]))
    out[at + 21] = max(-10.0, min(10.0, row[d[s.O_LOG_RATE] + source]))
    out[at + 22] = (row[s.N_REQUESTS] - 1.0 - row[s.REQUEST]) / row[s.N_REQUESTS]
    out[at + 23] = row[s.DEVICE_COUNT] / 100.0


@kernel
def observe_paper(row: Row, d: Dims, table: Table, nets: Table, out: NDArray[np.float32]) -> None:
    """Write the paper's binary state into ``out`` (float32)."""
    out[:] = 0.0
    devices, k, p = d[s.DEVICES], int(row[s.LAYER]), int(row[s.SEGMENT])
    segments, limit = table[k, t.SEGMENTS], table[k, t.LIMIT]
    grouped = d[s.GROUP_SCOPE] == 1
    held = d[s.O_DISTINCT] if grouped else d[s.O_COUNT]
    out[0] = row[s.NETWORK] / nets.shape[0]
    out[1] = table[k, t.DEPTH]
    out[2] = p / segments
    at = N_PAPER_REQUEST
    for j in range(devices):
        if row[d[s.O_PRESENT] + j] == 0.0:
            continue
        compute = row[d[s.O_COMPUTE] + j] - row[d[s.O_USED_COMPUTE] + j]
        memory = row[d[s.O_MEMORY] + j] - row[d[s.O_USED_MEMORY] + j]
        seen = row[d[s.O_SEEN] + j] > 0.0
        out[at + j] = 1.0 if compute >= table[k, t.MULTS] else 0.0
        out[at + devices + j] = 1.0 if bandwidth_left(row, d, j) >= table[k, t.OUT_BYTES] else 0.0
        out[at + 2 * devices + j] = 1.0 if memory >= table[k, t.WEIGHT] else 0.0
        out[at + 3 * devices + j] = 1.0 if limit < 0.0 or seen or row[held + j] + 1.0 <= limit else 0.0
        out[at + 4 * devices + j] = row[d[s.O_COUNT] + j] / segments
        out[at + 5 * devices + j] = row[d[s.O_PREV] + j] / table[k - 1, t.SEGMENTS]


@kernel
def observe(
    row: Row, place: Place, d: Dims, table: Table, nets: Table, out: NDArray[np.float32], fresh: bool = True
) -> None:
    """Write the observation that ``d`` asks for into ``out``; all zero where no decision is left. See ``observe_full``."""
    if row[s.STATUS] != s.DECIDE:
        out[:] = 0.0
    elif d[s.OBSERVATION] == s.PAPER_OBSERVATION:
        observe_paper(row, d, table, nets, out)
    else:
        row[s.HOLDER] = map_holder(row, place, d, table, int(row[s.LAYER]))
        observe_full(row, d, table, nets, out, fresh)
