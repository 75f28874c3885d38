"""Transfers between slots and their price: times and bytes of one more map (paper Eq 6; spec section 4)."""

from __future__ import annotations

import numpy as np

from envs._jit import inlined_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.state import Dims, Place, Row, Table

MOST_TOLL = 5.0
"""What a byte counts for, where traffic is priced, when its sender has no bandwidth left."""


@inlined_kernel
def has_seen(place: Place, table: Table, k: int, p: int, j: int) -> bool:
    """Whether slot j held map p in an earlier layer of the group of layer k."""
    for earlier in range(int(table[k, t.GROUP]), k):
        if place[int(table[earlier, t.OFFSET]) + p] == j:
            return True
    return False


@inlined_kernel
def transfer_time(row: Row, d: Dims, mode: int, unit: float, holder: int, j: int) -> float:
    """Time of the slowest transfer into slot j, seconds, if it also took the next map (Eq 5, 6).

    ``holder``: the slot that holds the next map at the layer before (MAPS only).
    """
    if mode == t.PARTIAL:
        return (row[d[s.O_COUNT] + j] + 1.0) * row[d[s.O_UNIT_IN] + j]  # type: ignore[no-any-return]
    slowest = row[d[s.O_COMM] + j]
    if mode == t.MAPS:
        if j != holder:
            moved = row[d[s.O_SENT] + holder * (d[s.DEVICES] + 1) + j] + 1.0
            slowest = max(slowest, moved * (unit * row[d[s.O_PER_RATE] + holder]))
    elif mode == t.GATHER or mode == t.GATHER_ALL:
        for i in range(d[s.DEVICES] + 1):
            held = row[d[s.O_PREV] + i]
            if held > 0.0 and i != j:
                amount = unit * held if mode == t.GATHER else unit
                slowest = max(slowest, amount * row[d[s.O_PER_RATE] + i])
    return slowest  # type: ignore[no-any-return]


@inlined_kernel
def pending_time(row: Row, d: Dims, send_map: float, send_once: float, j: int) -> float:
    """Time in which device j sends to the source what it must, seconds, if it also took the next map."""
    return (send_map * (row[d[s.O_COUNT] + j] + 1.0) + send_once) * row[d[s.O_PER_RATE] + j]  # type: ignore[no-any-return]


@inlined_kernel
def map_holder(row: Row, place: Place, d: Dims, table: Table, k: int) -> int:
    """Slot that holds the next map of layer k at the layer before; the slot past the source where maps do not matter."""
    if table[k, t.IN_MODE] == t.MAPS:
        return int(place[int(table[k - 1, t.OFFSET]) + int(row[s.SEGMENT])])
    return int(d[s.DEVICES]) + 1


@inlined_kernel
def toll(row: Row, d: Dims, i: int) -> float:
    """What a byte sent by slot i counts for where traffic is priced: 1 with all its bandwidth left, MOST_TOLL with none."""
    used = row[d[s.O_USED_BANDWIDTH] + i] * row[d[s.O_PER_BANDWIDTH] + i]
    return 1.0 + (MOST_TOLL - 1.0) * used * used  # type: ignore[no-any-return]


@inlined_kernel
def tolled_bytes_to(row: Row, d: Dims, mode: int, unit: float, holder: int, j: int) -> float:
    """Bytes that other slots send to slot j if it takes the next map (Eq 6), each times its sender's toll."""
    if mode == t.MAPS:
        return 0.0 if j == holder else unit * toll(row, d, holder)
    total = 0.0
    if mode != t.NONE:
        for i in range(d[s.DEVICES] + 1):
            held = row[d[s.O_PREV] + i]
            if held > 0.0 and i != j:
                total += (unit * held if mode == t.GATHER else unit) * toll(row, d, i)
    return total


@kernel
def survey_toll(row: Row, d: Dims, mode: int, unit: float, holder: int) -> None:
    """Add the price of the traffic to O_INCREASE."""
    devices, price = d[s.DEVICES], row[s.BYTE_PRICE]
    if mode == t.PARTIAL:
        # all devices receive from all senders but themselves
        everything = tolled_bytes_to(row, d, mode, unit, int(devices), devices + np.uint64(1))
        for j in range(devices):
            own = unit * toll(row, d, j) if row[d[s.O_PREV] + j] > 0.0 else 0.0
            row[d[s.O_INCREASE] + j] += price * (everything - own)
    else:
        for j in range(devices):
            row[d[s.O_INCREASE] + j] += price * tolled_bytes_to(row, d, mode, unit, holder, j)
