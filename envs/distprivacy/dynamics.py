"""The physics of segment allocation, once: transfers, latency and budgets of a placement (paper Eq 5 to 9; spec 4 to 6).

Everything that states a latency calls these kernels: the scalar and the vector environment, the checker that replays
solution files, the baselines, the viewer. They do not ask whether a placement is allowed (``feasibility`` does), so a
replayed solution that breaks constraints still has its latency.

Arguments, everywhere: ``row`` (state row, float64), ``place`` (int16, slot of every segment of the current request),
``d`` (integers of ``state.make_dims``), ``table`` (layer table), ``nets`` (network table).
"""

from __future__ import annotations

import numpy as np

from envs._jit import inlined_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.state import Dims, Place, Row, Table
from envs.distprivacy.transfers import has_seen, map_holder, pending_time, survey_toll, tolled_bytes_to, transfer_time

BUDGET_TOLERANCE = 1e-9
"""Relative tolerance of memory, compute and bandwidth budgets."""


@kernel
def begin_period(row: Row, d: Dims) -> None:
    """Start a period on the instance in ``row``: all budgets afresh, no request begun."""
    slots = d[s.DEVICES] + 1
    row[d[s.O_END_OF_INSTANCE] :] = 0.0
    row[s.REQUEST] = -1.0
    row[s.STATUS] = s.SERVED
    for scalar in (s.SERVED_COUNT, s.REJECTED_COUNT, s.LATENCY_SUM, s.BYTES_SUM, s.LAST_LATENCY, s.LAST_BYTES, s.DEBT):
        row[scalar] = 0.0
    speed_sum, log_speed, log_rate, present = 0.0, 0.0, 0.0, 0.0
    for j in range(slots - 1):
        if row[d[s.O_PRESENT] + j] > 0.0:
            present += 1.0
            speed_sum += row[d[s.O_SPEED] + j]
            log_speed += np.log(row[d[s.O_SPEED] + j])
            log_rate += np.log(row[d[s.O_RATE] + j])
    row[s.DEVICE_COUNT] = present
    if present > 0.0:
        row[s.MEAN_SPEED] = speed_sum / present
        row[s.SPEED_CENTER] = np.exp(log_speed / present)
        row[s.RATE_CENTER] = np.exp(log_rate / present)
    for j in range(slots - 1):
        if row[d[s.O_PRESENT] + j] > 0.0:
            row[d[s.O_LOG_SPEED] + j] = np.log(row[d[s.O_SPEED] + j] / row[s.SPEED_CENTER])
            row[d[s.O_LOG_RATE] + j] = np.log(row[d[s.O_RATE] + j] / row[s.RATE_CENTER])
            set_reciprocals(row, d, j)


@inlined_kernel
def set_reciprocals(row: Row, d: Dims, j: int) -> None:
    """1 / rate and 1 / budgets of slot j, so that the hot loops multiply."""
    row[d[s.O_PER_RATE] + j] = 1.0 / row[d[s.O_RATE] + j]
    for budget, per in (
        (s.O_MEMORY, s.O_PER_MEMORY),
        (s.O_COMPUTE, s.O_PER_COMPUTE),
        (s.O_BANDWIDTH, s.O_PER_BANDWIDTH),
    ):
        amount = row[d[budget] + j]
        row[d[per] + j] = 1.0 / amount if amount > 0.0 else 0.0


@kernel
def request_scale(row: Row, d: Dims, nets: Table, request: int) -> float:
    """Seconds by which the rewards of a request are divided: an even split over an average device, from the instance alone."""
    source = d[s.O_SOURCES] + 5 * int(row[d[s.O_REQUESTS] + 2 * request])
    net = int(row[d[s.O_REQUESTS] + 2 * request + 1])
    seconds = nets[net, t.SOURCE_MULTS] / row[source]
    count = row[s.DEVICE_COUNT]
    if count > 0.0:
        seconds += nets[net, t.SPLIT_MULTS] / (count * row[s.MEAN_SPEED])
        seconds += nets[net, t.SPLIT_LINK] / (count * row[s.RATE_CENTER])
        seconds += nets[net, t.SOURCE_LINK] / (count * row[source + 1])
    return float(seconds)


@kernel
def load_request(row: Row, d: Dims, nets: Table, request: int) -> None:
    """Make ``request`` the current one: its source into slot D, used budgets saved, counters at zero, before layer 1."""
    devices = d[s.DEVICES]
    slots = devices + 1
    index = int(row[d[s.O_REQUESTS] + 2 * request])
    net = int(row[d[s.O_REQUESTS] + 2 * request + 1])
    source = d[s.O_SOURCES] + 5 * index
    row[d[s.O_SPEED] + devices] = row[source]
    row[d[s.O_RATE] + devices] = row[source + 1]
    row[d[s.O_PRESENT] + devices] = 1.0
    row[d[s.O_MEMORY] + devices] = row[source + 2]
    row[d[s.O_COMPUTE] + devices] = row[source + 3]
    row[d[s.O_BANDWIDTH] + devices] = row[source + 4]
    set_reciprocals(row, d, devices)
    used = d[s.O_SOURCE_USED] + 3 * index
    row[d[s.O_USED_MEMORY] + devices] = row[used]
    row[d[s.O_USED_COMPUTE] + devices] = row[used + 1]
    row[d[s.O_USED_BANDWIDTH] + devices] = row[used + 2]
    for i in range(3 * slots):
        row[d[s.O_SAVED] + i] = row[d[s.O_USED_MEMORY] + i]
    row[s.REQUEST], row[s.NETWORK] = request, net
    row[s.LAYER] = nets[net, t.START] - 1.0
    for scalar in (
        s.SEGMENT,
        s.LATENCY_DONE,
        s.LATENCY_FIRST,
        s.LATENCY_LAYER,
        s.LATENCY_PENDING,
        s.BYTES,
        s.TOLLED_BYTES,
        s.PAID,
    ):
        row[scalar] = 0.0
    for quantity, log in ((s.O_SPEED, s.O_LOG_SPEED), (s.O_RATE, s.O_LOG_RATE)):
        center = row[s.SPEED_CENTER] if quantity == s.O_SPEED else row[s.RATE_CENTER]
        row[d[log] + devices] = np.log(row[d[quantity] + devices] / center) if center > 0.0 else 0.0
    row[s.SCALE] = request_scale(row, d, nets, request)
    # an even split of the bytes over the links of the whole fleet would take 1 / (count * rate) seconds a byte
    row[s.BYTE_PRICE] = (
        nets[net, t.PRICE] / (row[s.DEVICE_COUNT] * row[s.RATE_CENTER]) if row[s.DEVICE_COUNT] > 0.0 else 0.0
    )
    slowest_speed, slowest_rate = row[source], row[source + 1]
    for j in range(devices):
        if row[d[s.O_PRESENT] + j] > 0.0:
            slowest_speed = min(slowest_speed, row[d[s.O_SPEED] + j])
            slowest_rate = min(slowest_rate, row[d[s.O_RATE] + j])
    row[s.UPPER] = nets[net, t.ALL_MULTS] / slowest_speed + nets[net, t.ALL_BYTES] / slowest_rate
    row[d[s.O_COUNT] : d[s.O_COUNT] + slots] = 0.0


@kernel
def finish_request(row: Row, d: Dims, served: bool) -> None:
    """Book the current request as served, or as rejected: then every budget that it used is given back."""
    devices = d[s.DEVICES]
    slots = devices + 1
    if served:
        row[s.STATUS] = s.SERVED
        row[s.LAST_LATENCY] = latency_so_far(row)
        row[s.LAST_BYTES] = row[s.BYTES]
        row[s.SERVED_COUNT] += 1.0
        row[s.LATENCY_SUM] += row[s.LAST_LATENCY]
        row[s.BYTES_SUM] += row[s.BYTES]
    else:
        row[s.STATUS] = s.REJECTED
        row[s.LAST_LATENCY] = -1.0
        row[s.LAST_BYTES] = 0.0
        row[s.REJECTED_COUNT] += 1.0
        for i in range(3 * slots):
            row[d[s.O_USED_MEMORY] + i] = row[d[s.O_SAVED] + i]
    used = d[s.O_SOURCE_USED] + 3 * int(row[d[s.O_REQUESTS] + 2 * int(row[s.REQUEST])])
    row[used] = row[d[s.O_USED_MEMORY] + devices]
    row[used + 1] = row[d[s.O_USED_COMPUTE] + devices]
    row[used + 2] = row[d[s.O_USED_BANDWIDTH] + devices]


@inlined_kernel
def latency_so_far(row: Row) -> float:
    """Seconds that are already certain for the current request; its latency once all layers are placed."""
    return row[s.LATENCY_DONE] + row[s.LATENCY_FIRST] + row[s.LATENCY_LAYER] + row[s.LATENCY_PENDING]  # type: ignore[no-any-return]


@kernel
def start_layer(row: Row, d: Dims, table: Table) -> None:
    """Close the current layer and open the next: its counts become the previous ones (Eq 5: the layers follow each other)."""
    slots = d[s.DEVICES] + 1
    row[s.LATENCY_DONE] += row[s.LATENCY_LAYER]
    row[s.LATENCY_LAYER] = 0.0
    row[s.LATENCY_PENDING] = 0.0
    row[s.LAYER] += 1.0
    row[s.SEGMENT] = 0.0
    k = int(row[s.LAYER])
    partial = table[k, t.IN_MODE] == t.PARTIAL
    unit, mults = table[k, t.IN_UNIT], table[k, t.MULTS]
    slowest_at, slowest, second = slots, 0.0, 0.0
    for j in range(slots):
        held = row[d[s.O_COUNT] + j]
        row[d[s.O_PREV] + j] = held
        row[d[s.O_HOME] + j] = held
        row[d[s.O_COUNT] + j] = 0.0
        row[d[s.O_COMM] + j] = 0.0
        row[d[s.O_BUSY] + j] = 0.0
        row[d[s.O_COST] + j] = mults / row[d[s.O_SPEED] + j] if row[d[s.O_PRESENT] + j] > 0.0 else 0.0
        if held > 0.0:
            per_byte = row[d[s.O_PER_RATE] + j]
            if per_byte > slowest:
                slowest_at, slowest, second = j, per_byte, slowest
            elif per_byte > second:
                second = per_byte
    row[s.SLOWEST] = slowest
    if partial:
        for j in range(slots):
            row[d[s.O_UNIT_IN] + j] = unit * (second if j == slowest_at else slowest)
    if int(table[k, t.GROUP]) == k and table[k, t.ON_SOURCE] == 0.0:
        row[d[s.O_DISTINCT] : d[s.O_DISTINCT] + slots] = 0.0
    if table[k, t.IN_MODE] == t.MAPS:
        row[d[s.O_SENT] : d[s.O_SENT] + slots * slots] = 0.0


@inlined_kernel
def survey_increase(row: Row, place: Place, d: Dims, table: Table) -> None:
    """Write for every device the increase of the latency so far if it takes the next map, seconds (O_INCREASE).

    Where traffic is priced, what has to be sent for it is charged too.
    """
    k = int(row[s.LAYER])
    mode, unit = int(table[k, t.IN_MODE]), table[k, t.IN_UNIT]
    send_map, send_once = table[k, t.SEND_MAP], table[k, t.SEND_ONCE]
    holder = map_holder(row, place, d, table, k)
    first, layer, pending = row[s.LATENCY_FIRST], row[s.LATENCY_LAYER], row[s.LATENCY_PENDING]
    # offsets in locals: the compiler can't know that writing to `row` leaves `d` alone
    devices, count, cost, increase = d[s.DEVICES], d[s.O_COUNT], d[s.O_COST], d[s.O_INCREASE]
    unit_in, present = d[s.O_UNIT_IN], d[s.O_PRESENT]
    if table[k, t.FIRST] > 0.0:
        for j in range(devices):
            more = max(0.0, transfer_time(row, d, mode, unit, holder, j) - first)
            row[increase + j] = more + max(0.0, (row[count + j] + 1.0) * row[cost + j] - layer)
    elif mode == t.PARTIAL:
        for j in range(devices):
            n = row[count + j] + 1.0
            row[increase + j] = max(0.0, n * row[cost + j] + n * row[unit_in + j] - layer)
    elif mode == t.MAPS:
        comm, per_byte = d[s.O_COMM], unit * row[d[s.O_PER_RATE] + holder]
        sent = d[s.O_SENT] + np.uint64(holder) * (devices + np.uint64(1))
        for j in range(devices):
            move = 0.0 if j == holder else (row[sent + j] + 1.0) * per_byte
            busy = (row[count + j] + 1.0) * row[cost + j] + max(row[comm + j], move)
            row[increase + j] = max(0.0, busy - layer)
    else:
        for j in range(devices):
            busy = (row[count + j] + 1.0) * row[cost + j] + transfer_time(row, d, mode, unit, holder, j)
            row[increase + j] = max(0.0, busy - layer)
    if send_map + send_once > 0.0:
        for j in range(devices):
            row[increase + j] += max(0.0, pending_time(row, d, send_map, send_once, j) - pending)
    if row[s.BYTE_PRICE] > 0.0:
        survey_toll(row, d, mode, unit, holder)
    for j in range(devices):
        row[increase + j] *= row[present + j]


@inlined_kernel
def put_segment(row: Row, place: Place, d: Dims, table: Table, slot: int) -> None:
    """Place the next map of the current layer on a slot: budgets, transfers, latency and counts follow."""
    j = np.uint64(slot)
    k, p = int(row[s.LAYER]), int(row[s.SEGMENT])
    source = d[s.DEVICES]
    slots = source + 1
    mode, unit = int(table[k, t.IN_MODE]), table[k, t.IN_UNIT]
    holder = map_holder(row, place, d, table, k)
    comm = transfer_time(row, d, mode, unit, holder, j)
    if j != source and table[k, t.SEND_MAP] + table[k, t.SEND_ONCE] > 0.0:
        sending = pending_time(row, d, table[k, t.SEND_MAP], table[k, t.SEND_ONCE], j)
        row[s.LATENCY_PENDING] = max(row[s.LATENCY_PENDING], sending)
    row[d[s.O_COUNT] + j] += 1.0
    busy = row[d[s.O_COUNT] + j] * row[d[s.O_COST] + j]
    if table[k, t.FIRST] > 0.0:
        row[s.LATENCY_FIRST] = max(row[s.LATENCY_FIRST], comm)
        row[d[s.O_BUSY] + j] = comm + busy
    else:
        busy += comm
        row[d[s.O_BUSY] + j] = busy
    row[s.LATENCY_LAYER] = max(row[s.LATENCY_LAYER], busy)
    row[d[s.O_COMM] + j] = comm
    if row[s.BYTE_PRICE] > 0.0:
        row[s.TOLLED_BYTES] += tolled_bytes_to(row, d, mode, unit, holder, j)
    sent = 0.0
    bandwidth = d[s.O_USED_BANDWIDTH]
    if mode == t.MAPS:
        row[d[s.O_HOME] + holder] -= 1.0
        if holder != j:
            row[d[s.O_SENT] + holder * slots + j] += 1.0
            row[bandwidth + holder] += unit
            sent = unit
    elif mode != t.NONE:
        prev = d[s.O_PREV]
        for i in range(slots):
            held = row[prev + i]
            if held > 0.0 and i != j:
                amount = unit * held if mode == t.GATHER else unit
                row[bandwidth + i] += amount
                sent += amount
    row[s.BYTES] += sent
    if table[k, t.LIMIT] >= 0.0 and j != source and not has_seen(place, table, k, p, j):
        row[d[s.O_DISTINCT] + j] += 1.0
    place[int(table[k, t.OFFSET]) + p] = j
    row[d[s.O_USED_MEMORY] + j] += table[k, t.WEIGHT]
    row[d[s.O_USED_COMPUTE] + j] += table[k, t.MULTS]
    row[s.SEGMENT] = p + 1.0
    row[s.LAST_SLOT] = slot
    row[s.PLACED] += 1.0


@kernel
def put_layer_on_source(row: Row, place: Place, d: Dims, table: Table) -> None:
    """Place every segment of the current layer on the source."""
    for _ in range(int(table[int(row[s.LAYER]), t.SEGMENTS])):
        put_segment(row, place, d, table, d[s.DEVICES])
