"""Which device may take the next map: budgets, privacy and the look-ahead mask (paper Eq 10b to 10h; spec sections 6, 7).

Two promises, both tested. *Sound*: the mask never removes a placement that some complete, valid placement of the request
needs, so an optimum is always reachable. *A layer begun can be completed*: within a layer no sequence of allowed
placements runs into a dead end. The second is exact where a layer's maps compete for privacy room, memory, compute and the
bandwidth of the senders. A dead end stays possible in two corners, and the request is then rejected: a conv layer in
`group` scope whose compute or memory budgets bind, and holders that lack the bandwidth for a later layer.
"""

from __future__ import annotations

import numpy as np

from envs._jit import allocating_kernel, inlined_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.counting import fits, largest, most_total
from envs.distprivacy.dynamics import BUDGET_TOLERANCE
from envs.distprivacy.state import Dims, Place, Row, Table
from envs.distprivacy.transfers import map_holder

_EXACT = 1.0 + BUDGET_TOLERANCE


@inlined_kernel
def capacity(row: Row, d: Dims, table: Table, k: int, j: int) -> float:
    """How many more segments of layer k device j can hold by memory and compute."""
    memory = fits(row[d[s.O_MEMORY] + j], row[d[s.O_USED_MEMORY] + j], table[k, t.WEIGHT])
    compute = fits(row[d[s.O_COMPUTE] + j], row[d[s.O_USED_COMPUTE] + j], table[k, t.MULTS])
    return min(memory, compute)  # type: ignore[no-any-return]


@inlined_kernel
def bandwidth_left(row: Row, d: Dims, j: int) -> float:
    """Bytes that slot j may still send in this period."""
    return row[d[s.O_BANDWIDTH] + j] * _EXACT - row[d[s.O_USED_BANDWIDTH] + j]  # type: ignore[no-any-return]


@kernel
def request_fits(row: Row, d: Dims, table: Table, nets: Table) -> bool:
    """Whether the current request can be served at all, by its source's budgets and the room of each layer (necessary)."""
    devices = d[s.DEVICES]
    net = int(row[s.NETWORK])
    for budget, used, need in (
        (row[d[s.O_MEMORY] + devices], row[d[s.O_USED_MEMORY] + devices], nets[net, t.SOURCE_MEMORY]),
        (row[d[s.O_COMPUTE] + devices], row[d[s.O_USED_COMPUTE] + devices], nets[net, t.SOURCE_MULTS]),
        (row[d[s.O_BANDWIDTH] + devices], row[d[s.O_USED_BANDWIDTH] + devices], nets[net, t.SOURCE_BYTES]),
    ):
        if used + need > budget * _EXACT:
            return False
    start = int(nets[net, t.START])
    for k in range(start + 1, start + int(nets[net, t.LENGTH]) - 1):
        if table[k, t.ON_SOURCE] == 0.0 and not layer_has_room(row, d, table, k):
            return False
    return True


@allocating_kernel
def layer_has_room(row: Row, d: Dims, table: Table, k: int) -> bool:
    """Whether the present devices together have room for all maps of layer k by memory, compute and privacy."""
    devices, segments, limit = d[s.DEVICES], table[k, t.SEGMENTS], table[k, t.LIMIT]
    if d[s.COLLUDERS] > 1 and limit >= 0.0:
        high = np.zeros(devices)
        for j in range(devices):
            if row[d[s.O_PRESENT] + j] > 0.0:
                high[j] = min(segments, capacity(row, d, table, k, j))
        return most_total(np.zeros(devices), high, limit, d[s.COLLUDERS]) >= segments  # type: ignore[no-any-return]
    room = 0.0
    for j in range(devices):
        if row[d[s.O_PRESENT] + j] > 0.0:
            free = capacity(row, d, table, k, j)
            room += min(free, limit) if limit >= 0.0 else free
            if room >= segments:
                return True
    return False


@kernel
def open_layer(row: Row, d: Dims, table: Table) -> None:
    """Limits of the layer just started: most maps on each device (O_CAP) and fewest, for want of bandwidth (O_LOW)."""
    k = int(row[s.LAYER])
    mode, unit, segments = int(table[k, t.IN_MODE]), table[k, t.IN_UNIT], table[k, t.SEGMENTS]
    limit, send = table[k, t.LIMIT], table[k, t.SEND_MAP]
    if d[s.GROUP_SCOPE] == 1 and int(table[k, t.GROUP]) != k:
        limit = -1.0  # maps of one's own are free here; has_seen decides about the others
    devices = d[s.DEVICES]
    looks_on = table[k, t.NEXT_UNIT] * table[k, t.OUT_MAPS]
    row[d[s.O_SEEN] : d[s.O_SEEN] + devices] = 0.0
    room, ample = 0.0, 1.0
    for j in range(devices + 1):
        cap, low = 0.0, 0.0
        if j < devices and row[d[s.O_PRESENT] + j] > 0.0:
            cap = min(segments, capacity(row, d, table, k, j))
            if limit >= 0.0:
                cap = min(cap, limit)
        left = bandwidth_left(row, d, j)
        if mode == t.PARTIAL:
            if row[d[s.O_PREV] + j] > 0.0:
                # it sends `unit` bytes for each map held elsewhere, and `send` to the source for each that it holds
                if unit <= send:
                    low = 0.0 if unit * segments <= left else segments + 1.0
                else:
                    low = max(0.0, np.ceil((unit * segments - left) / (unit - send)))
                    if low > 0.0:
                        low = np.ceil((unit * segments + table[k, t.SEND_ONCE] - left) / (unit - send))
            else:
                cap = min(cap, fits(left, 0.0, send))
            if table[k, t.SEND_ONCE] > left:
                cap = 0.0
        row[d[s.O_CAP] + j] = cap
        row[d[s.O_LOW] + j] = low
        room += cap
        if row[d[s.O_PRESENT] + j] > 0.0:
            # the most that it can have to send: its part of the last layer, to the source, and to the next layer
            most = table[k, t.SEND_MAP] * segments + table[k, t.SEND_ONCE] + looks_on
            if row[d[s.O_PREV] + j] > 0.0:
                most += unit * (row[d[s.O_PREV] + j] if mode == t.MAPS else segments)
            if most > left or (mode == t.MAPS and cap < row[d[s.O_PREV] + j]):
                ample = 0.0
    fc = mode == t.GATHER or mode == t.GATHER_ALL
    row[s.AMPLE] = ample if room >= segments and d[s.COLLUDERS] == 1 and not fc else 0.0


@inlined_kernel
def next_low(row: Row, d: Dims, table: Table, k: int, j: int) -> float:
    """Fewest maps of the next layer that conv holder j must keep, since it can't afford to send more partial sums away."""
    kept = table[k, t.OUT_MAPS] - fits(bandwidth_left(row, d, j), 0.0, table[k, t.NEXT_UNIT])
    return max(0.0, kept)  # type: ignore[no-any-return]


@inlined_kernel
def mark_seen(row: Row, place: Place, d: Dims, table: Table, k: int, p: int) -> bool:
    """Mark the devices that saw map p in an earlier layer of the group (O_SEEN); False where layer k is its group's first."""
    first = int(table[k, t.GROUP])
    if d[s.GROUP_SCOPE] == 0 or first == k:
        return False
    seen = d[s.O_SEEN]
    for j in range(d[s.DEVICES]):
        row[seen + j] = 0.0
    for earlier in range(first, k):
        row[seen + np.uint64(place[int(table[earlier, t.OFFSET]) + p])] = 1.0
    return True


@inlined_kernel
def survey_mask(row: Row, place: Place, d: Dims, table: Table) -> int:
    """Write the look-ahead mask of the next map (O_MASK); returns the number of devices that may take it."""
    k, p = int(row[s.LAYER]), int(row[s.SEGMENT])
    inside = mark_seen(row, place, d, table, k, p)
    if row[s.AMPLE] == 0.0:
        return fill_mask(row, place, d, table)  # type: ignore[no-any-return]
    devices, mask, count, cap = d[s.DEVICES], d[s.O_MASK], d[s.O_COUNT], d[s.O_CAP]
    limit, seen, distinct = table[k, t.LIMIT], d[s.O_SEEN], d[s.O_DISTINCT]
    valid = 0.0
    if inside and limit >= 0.0:
        for j in range(devices):
            free = 1.0 if row[count + j] < row[cap + j] else 0.0
            may = 1.0 if row[distinct + j] < limit else row[seen + j]
            row[mask + j] = free * may
            valid += free * may
    else:
        for j in range(devices):
            free = 1.0 if row[count + j] < row[cap + j] else 0.0
            row[mask + j] = free
            valid += free
    return int(valid)


@allocating_kernel
def may_see(row: Row, d: Dims, table: Table, k: int, j: int) -> bool:
    """Whether device j may see the next map of layer k (10f), room for the layer's other maps included when devices collude."""
    limit = table[k, t.LIMIT]
    if limit < 0.0:
        return True
    devices, c = d[s.DEVICES], d[s.COLLUDERS]
    grouped = d[s.GROUP_SCOPE] == 1
    if grouped and row[d[s.O_SEEN] + j] > 0.0:
        return True
    held = d[s.O_DISTINCT] if grouped else d[s.O_COUNT]
    if c == 1:
        return row[held + j] + 1.0 <= limit  # type: ignore[no-any-return]
    if largest(row, held, devices, c, j, row[held + j] + 1.0) > limit:
        return False
    if grouped and int(table[k, t.GROUP]) != k:
        return True  # every remaining map can stay with its holder
    low, high = np.zeros(devices), np.zeros(devices)
    for i in range(devices):
        low[i] = max(row[held + i] + (1.0 if i == j else 0.0), row[d[s.O_LOW] + i])
        high[i] = max(low[i], row[d[s.O_CAP] + i])
    return most_total(low, high, limit, c) >= table[k, t.SEGMENTS]  # type: ignore[no-any-return]


@inlined_kernel
def can_finish(row: Row, d: Dims, table: Table, k: int, i: int, home: float, count: float, left: float) -> bool:
    """Whether slot i, with ``count`` maps of this layer and ``home`` maps of the last still to go, can afford its sends.

    Maps that find no room at home must move, at IN_UNIT bytes; those that stay cost what the source must get of them,
    which may be more than moving them all.
    """
    move = max(0.0, home - (row[d[s.O_CAP] + i] - count))
    final = count + home - move
    send = table[k, t.SEND_MAP] * final + (table[k, t.SEND_ONCE] if final > 0.0 else 0.0)
    stay = table[k, t.IN_UNIT] * move + send
    leave = table[k, t.IN_UNIT] * home + table[k, t.SEND_MAP] * count + (table[k, t.SEND_ONCE] if count > 0.0 else 0.0)
    return min(stay, leave) <= left  # type: ignore[no-any-return]


@inlined_kernel
def least(row: Row, d: Dims, table: Table, k: int, j: int, more: float) -> float:
    """Fewest maps of conv-fed layer k that slot j must end with, if it takes ``more`` now (PARTIAL).

    A holder that has any map of a conv before a layer on the source sends its own sums there too (SEND_ONCE).
    """
    count, low, once = row[d[s.O_COUNT] + j] + more, row[d[s.O_LOW] + j], table[k, t.SEND_ONCE]
    if count > 0.0 and once > 0.0 and row[d[s.O_PREV] + j] > 0.0:
        unit = table[k, t.IN_UNIT]
        rest = unit * (table[k, t.SEGMENTS] - row[s.SEGMENT] - more)
        low = count + np.ceil((rest + once - bandwidth_left(row, d, j)) / unit)
    return max(low, count)  # type: ignore[no-any-return]


@kernel
def fill_mask(row: Row, place: Place, d: Dims, table: Table) -> int:
    """The look-ahead mask where budgets may bind or devices collude; ``survey_mask`` covers the rest."""
    k = int(row[s.LAYER])
    mode, unit, segments = int(table[k, t.IN_MODE]), table[k, t.IN_UNIT], table[k, t.SEGMENTS]
    devices = d[s.DEVICES]
    mask, count, cap = d[s.O_MASK], d[s.O_COUNT], d[s.O_CAP]
    dead = False
    low_total, room, short, short_at, holder = 0.0, 0.0, 0, int(devices), int(devices)
    home_affords = False
    if mode == t.PARTIAL:
        for i in range(devices + 1):
            must = least(row, d, table, k, i, 0.0)
            low_total += must
            room += row[cap + i]
            dead = dead or must > row[cap + i]
        dead = dead or low_total > segments or room < segments
    elif mode == t.MAPS:
        holder = map_holder(row, place, d, table, k)
        for i in range(devices + 1):
            room += row[cap + i]
            home = row[d[s.O_HOME] + i]
            if home > 0.0 and not can_finish(row, d, table, k, i, home, row[count + i], bandwidth_left(row, d, i)):
                dead = True
        dead = dead or room < segments
        spare = bandwidth_left(row, d, holder) - unit
        home_affords = can_finish(row, d, table, k, holder, row[d[s.O_HOME] + holder] - 1.0, row[count + holder], spare)
    else:
        for i in range(devices + 1):
            held = row[d[s.O_PREV] + i]
            if held > 0.0 and (unit * held if mode == t.GATHER else unit) > bandwidth_left(row, d, i):
                short += 1
                short_at = int(i)
    next_total = 0.0
    looks_on = table[k, t.NEXT_UNIT] > 0.0
    if looks_on:
        for i in range(devices):
            if row[count + i] > 0.0:
                next_total += next_low(row, d, table, k, i)
    valid = 0
    for j in range(devices):
        n = row[count + j]
        ok = not dead and row[d[s.O_PRESENT] + j] > 0.0 and n < row[cap + j]
        if ok:
            if mode == t.PARTIAL:
                must = least(row, d, table, k, j, 1.0)
                ok = must <= row[cap + j] and low_total - least(row, d, table, k, j, 0.0) + must <= segments
            elif mode == t.MAPS:
                home = row[d[s.O_HOME] + j] - (1.0 if j == holder else 0.0)
                ok = j == holder or home_affords
                ok = ok and can_finish(row, d, table, k, j, home, n + 1.0, bandwidth_left(row, d, j))
            else:
                ok = short == 0 or (short == 1 and short_at == j)
                ok = ok and table[k, t.SEND_MAP] + table[k, t.SEND_ONCE] <= bandwidth_left(row, d, j)
        if ok and looks_on:
            need = next_low(row, d, table, k, j)
            ok = need <= table[k, t.NEXT_ROOM] and next_total + (need if n == 0.0 else 0.0) <= table[k, t.OUT_MAPS]
        ok = ok and may_see(row, d, table, k, j)
        row[mask + j] = 1.0 if ok else 0.0
        valid += 1 if ok else 0
    return valid
