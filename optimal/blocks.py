"""A request cut into blocks between which only the slowest senders matter (docs/distprivacy.md, "Data", "Latency").

What a conv sends into slot j takes n_j * bytes * max 1/rate over the conv's other holders, so all that follows depends on
the conv's placement only through its slowest sender and the slowest of the rest. The same holds for an fc layer (one
sender) and for a layer on the source. Between two such *interfaces* lies one block: the layers that carry the same
maps, act and pool up to the next conv, or up to the fc or source that gathers them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import tables as t
from envs.distprivacy.tables import compile_task
from envs.distprivacy.types import Instance

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interface:
    """The S states in which the layers before an interface can leave those behind it, for D devices."""

    price: Array  # (S, D) seconds per byte from the slowest sender to device j, j itself left out
    to_source: Array  # (S,) seconds per byte from the slowest sender to the source


@dataclass(frozen=True)
class Block:
    """Layers that carry the same maps, and what the last of them costs in each of the S states behind the block.

    A device that holds n maps costs n * entry_bytes * price at the entry and n * exit at the end; moved maps cost
    move_bytes / rate for each that one device sends to one other between two layers. In a conv those of the last move
    and its own work add up on the receiver.
    """

    positions: tuple[int, ...]  # of its m + 1 layers in the network
    maps: int
    entry_bytes: float  # per map
    joint: bool  # a single conv: a device's entry and its work add up, and the slowest sum counts
    move_bytes: tuple[float, ...]  # (m,) per map moved into layers 1..m of the block
    conv: bool  # ends in a conv (else in maps that are gathered)
    limits: tuple[int, ...]  # (m + 1,) most maps on one device (or on all colluders), -1: no limit
    grouped: int  # the first so many layers limit the distinct maps of a device together (0: each for itself)
    colluders: int
    slowness: Array  # (D,) seconds per byte that a device sends
    exit: Array  # (S, D) seconds per map on device j; inf where the state does not let j hold any


@dataclass(frozen=True)
class Stage:
    """One step along the chain, from the states of one interface to those of the next: exact costs, or a block to solve."""

    positions: tuple[int, ...]  # of the layers that it places
    before: Interface
    cost: Array  # (S before, S after) seconds; where there is a block, without its maps' part
    block: Block | None
    on_device: bool  # the last of its layers is an fc that device s runs in state s after it; else the source runs it


@dataclass(frozen=True)
class Chain:
    """A request as stages; ``constant``: seconds of its first layer."""

    stages: tuple[Stage, ...]
    constant: float
    spans: bool  # some group of the privacy scope reaches over a layer on the source, into two blocks


def conv_states(slowness: Array, *, senders: bool) -> tuple[Interface, NDArray[np.bool_]]:
    """The states behind a conv and who may hold its maps in each, bool (S, D).

    A state is (slowest sender, next slowest), and its holders are all devices no slower; that a holder set may lack the two
    only means that the state prices it too high, while another prices it right. ``senders`` False: all that counts is the
    slowest, since the next layer runs on the source.
    """
    devices = len(slowness)
    values = np.unique(slowness)
    price, to_source, holders = [], [], []
    for value in values:
        if not senders or (slowness == value).sum() > 1:
            price.append(np.full(devices, value))
            to_source.append(value)
            holders.append(slowness <= value)
    for slowest in range(devices) if senders else ():
        for second in (0.0, *values[values < slowness[slowest]]):
            row = np.full(devices, slowness[slowest])
            row[slowest] = second
            price.append(row)
            to_source.append(slowness[slowest])
            holders.append(slowness <= second)
            holders[-1][slowest] = True
    return Interface(np.array(price), np.array(to_source)), np.array(holders)


def cut(instance: Instance, request: int) -> Chain:
    """The request of this index as a chain of stages. Budgets are left out."""
    wanted = instance.requests[request]
    source = instance.sources[wanted.source]
    tables = compile_task(instance.task)
    numbers = tables.networks[tables.index(wanted.network)]
    start, length = int(numbers[t.START]), int(numbers[t.LENGTH])
    rows = tables.layers[start : start + length]
    slowness = np.array([1.0 / device.rate_bytes_per_s for device in instance.devices])
    per_mult = np.array([1.0 / device.mults_per_s for device in instance.devices])
    at_source = Interface(np.full((1, len(slowness)), 1.0 / source.rate_bytes_per_s), np.zeros(1))
    work = rows[:, t.SEGMENTS] * rows[:, t.MULTS] / source.mults_per_s  # (L,) seconds on the source
    stages: list[Stage] = []
    before, k, spans = at_source, 1, False
    while k < length:
        row = rows[k]
        if row[t.ON_SOURCE]:
            amount = row[t.IN_UNIT] * (row[t.SEGMENTS] if row[t.IN_MODE] == t.PARTIAL else 1.0)
            cost = (work[k] + amount * before.to_source)[:, None]
            stages.append(Stage((k,), before, cost, None, False))
            before, k = at_source, k + 1
        elif row[t.KIND] == t.KIND_CODE["fc"]:
            amount = row[t.IN_UNIT] * (rows[k - 1, t.SEGMENTS] if row[t.IN_MODE] == t.GATHER else 1.0)
            stages.append(Stage((k,), before, row[t.MULTS] * per_mult + amount * before.price, None, True))
            before, k = _one_sender(slowness), k + 1
        else:
            last = k
            while rows[last, t.KIND] != 0 and not rows[last + 1, t.ON_SOURCE] and rows[last + 1, t.KIND] != 3:
                last += 1
            group = rows[k : last + 1, t.GROUP] - start
            spans = spans or bool((group < k).any())
            follower = rows[last + 1]
            if rows[last, t.KIND] == 0:
                after, holders = conv_states(slowness, senders=not follower[t.ON_SOURCE])
                leaving = np.where(holders, rows[last, t.MULTS] * per_mult, np.inf)
                constant = np.zeros(len(leaving))
            elif follower[t.ON_SOURCE]:
                after, leaving, constant = at_source, follower[t.IN_UNIT] * slowness[None], work[last + 1 : last + 2]
            else:
                after = _one_sender(slowness)
                leaving = follower[t.IN_UNIT] * after.to_source * (1.0 - np.eye(len(slowness)))
                constant = follower[t.MULTS] * per_mult
            on_device = rows[last, t.KIND] != 0 and not follower[t.ON_SOURCE]
            block = Block(
                positions=tuple(range(k, last + 1)),
                maps=int(row[t.SEGMENTS]),
                entry_bytes=float(row[t.IN_UNIT]),
                joint=row[t.KIND] == 0 and not row[t.FIRST],
                move_bytes=tuple(float(unit) for unit in rows[k + 1 : last + 1, t.IN_UNIT]),
                conv=rows[last, t.KIND] == 0,
                limits=tuple(int(limit) for limit in rows[k : last + 1, t.LIMIT]),
                grouped=int((rows[k : last + 1, t.LIMIT] >= 0).sum()) if instance.task.privacy_scope == "group" else 0,
                colluders=instance.task.colluders,
                slowness=slowness,
                exit=leaving,
            )
            done = last if block.conv else last + 1
            cost = np.broadcast_to(constant, (len(before.price), len(constant))).copy()
            stages.append(Stage(tuple(range(k, done + 1)), before, cost, block, bool(on_device)))
            before, k = after, done + 1
    return Chain(tuple(stages), float(work[0]), spans)


def _one_sender(slowness: Array) -> Interface:
    """The states behind an fc layer: device s holds it."""
    return Interface(slowness[:, None] * (1.0 - np.eye(len(slowness))), slowness)
