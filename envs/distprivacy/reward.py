"""Named reward functions (spec section 7)."""

from __future__ import annotations

from envs._jit import inlined_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import latency_so_far
from envs.distprivacy.state import Dims, Place, Row, Table
from envs.distprivacy.transfers import MOST_TOLL

REJECTION_FACTOR = 1.01
"""A rejected request returns this many times the upper bound of its latency, so that a dead end never pays."""


@inlined_kernel
def latency_reward(row: Row, scale: float) -> float:
    """Minus the increase of the request's latency so far, in units of ``scale`` seconds: a return of minus the latency.

    With a traffic price, shared data cost too: bytes over the sending rate of the whole fleet, times the price, times the
    toll of their senders (1 with all bandwidth left to 5 with none).
    """
    now = latency_so_far(row)
    now += row[s.BYTE_PRICE] * row[s.TOLLED_BYTES]
    reward = -(now - row[s.PAID]) / scale
    row[s.PAID] = now
    return reward  # type: ignore[no-any-return]


@inlined_kernel
def rejection_cost(row: Row, nets: Table) -> float:
    """Seconds that a rejected request counts for: 1.01 times more than any complete placement of it can cost."""
    # every byte that one link can carry may have to go over the links of all devices and of the source
    traffic = nets[int(row[s.NETWORK]), t.ALL_BYTES] * (row[s.DEVICE_COUNT] + 1.0)
    return REJECTION_FACTOR * (row[s.UPPER] + row[s.BYTE_PRICE] * MOST_TOLL * traffic)  # type: ignore[no-any-return]


@inlined_kernel
def rejection_reward(row: Row, nets: Table, scale: float) -> float:
    """Last reward of a rejected request: brings its return to minus its ``rejection_cost``."""
    return -(rejection_cost(row, nets) - row[s.PAID]) / scale  # type: ignore[no-any-return]


@kernel
def paper_reward(row: Row, place: Place, d: Dims, table: Table, nets: Table, j: int) -> float:
    """Reward of RL-DistPrivacy for a valid placement on device j, before it is carried out (Eq 11, Algorithm 1).

    max(1, sigma * segments of the layer on j, this one included) - seconds of transfer and computation of this segment
    - beta if j is slower than the mean device. A placement that breaks a constraint earns 0 (``step``).
    """
    k, p = int(row[s.LAYER]), int(row[s.SEGMENT])
    mode, unit = int(table[k, t.IN_MODE]), table[k, t.IN_UNIT]
    delay = table[k, t.MULTS] / row[d[s.O_SPEED] + j]
    slowest = 0.0
    holder = int(place[int(table[k - 1, t.OFFSET]) + p]) if mode == t.MAPS else -1
    for i in range(d[s.DEVICES] + 1):
        held = row[d[s.O_PREV] + i]
        if held > 0.0 and i != j and (holder < 0 or holder == i):
            slowest = max(slowest, (unit * held if mode == t.GATHER else unit) / row[d[s.O_RATE] + i])
    net = int(row[s.NETWORK])
    slow = nets[net, t.BETA] if row[d[s.O_SPEED] + j] < row[s.MEAN_SPEED] else 0.0
    return max(1.0, nets[net, t.SIGMA] * (row[d[s.O_COUNT] + j] + 1.0)) - delay - slowest - slow  # type: ignore[no-any-return]
