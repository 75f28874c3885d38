"""The numbers of one request that an integer program needs: rows of the layer table, prices, room, states behind convs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import BUDGET_TOLERANCE
from envs.distprivacy.tables import compile_task
from envs.distprivacy.types import Instance

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SenderState:
    """Which holder of a conv has the slowest link, by classes of equal rate; D devices.

    In the state of a class no slower device holds the conv. Where ``lone``, exactly one device of the class does: it waits for
    others only as a receiver of what they send. Otherwise at least two do, and every receiver waits for a link of this class.
    """

    slowness: float  # seconds per byte of the class
    lone: bool
    members: NDArray[np.bool_]  # (D,) devices of the class
    holders: NDArray[np.bool_]  # (D,) devices that may hold the conv
    price: Floats  # (D,) seconds per byte towards each receiver; a lone state's members: 0, they wait for others


@dataclass(frozen=True)
class RequestData:
    """One request: L layers, D devices. Seconds, bytes, multiplications."""

    index: int  # in the instance
    rows: Floats  # (L, t.COLUMNS)
    layer_names: tuple[str, ...]
    speed: Floats  # (D,)
    slowness: Floats  # (D,) seconds per byte sent
    source_speed: float
    source_slowness: float
    room: Ints  # (L, D) most segments of each layer on each device, by its own limit and one whole budget
    states: tuple[tuple[SenderState, ...], ...]  # per layer: the states behind it; empty where nothing depends on any
    colluders: int
    grouped: bool  # privacy scope: distinct maps of a group, not maps of a layer
    memory: float  # weight bytes, multiplications and bytes sent that the source has to bear
    compute: float
    sent: float

    def on_source(self, k: int) -> bool:
        """Whether the source runs layer ``k``."""
        return bool(self.rows[k, t.ON_SOURCE])

    def mode(self, k: int) -> int:
        """How the data reach layer ``k``: t.NONE .. t.GATHER_ALL."""
        return int(self.rows[k, t.IN_MODE])

    def limit(self, k: int) -> int:
        """Most maps on one device (on all colluders), -1: no limit."""
        return int(self.rows[k, t.LIMIT])

    def is_fc(self, k: int) -> bool:
        """Whether layer ``k`` is a single segment."""
        return bool(self.rows[k, t.KIND] == t.KIND_CODE["fc"])

    def segments(self, k: int) -> int:
        """Number of segments of layer ``k``."""
        return int(self.rows[k, t.SEGMENTS])

    def work(self, k: int) -> Floats:
        """(D,) seconds that one segment of layer ``k`` takes on each device."""
        return np.asarray(self.rows[k, t.MULTS] / self.speed)

    def source_work(self, k: int) -> float:
        """Seconds that the source takes for the whole layer ``k``."""
        return float(self.rows[k, t.SEGMENTS] * self.rows[k, t.MULTS] / self.source_speed)

    def gathered_from_source(self, k: int) -> float:
        """Seconds in which the source sends an fc layer ``k`` all that it needs."""
        held = self.rows[k - 1, t.SEGMENTS] if self.mode(k) == t.GATHER else 1.0
        return float(self.rows[k, t.IN_UNIT] * held * self.source_slowness)

    def groups(self) -> list[list[int]]:
        """Layers on devices with a limit that carry the same maps, in order; without ``grouped`` each layer alone."""
        result: dict[int, list[int]] = {}
        for k in range(1, len(self.rows) - 1):
            if not self.on_source(k) and self.limit(k) >= 0:
                start = compile_start(self.rows)
                key = int(self.rows[k, t.GROUP]) - start if self.grouped else k
                result.setdefault(key, []).append(k)
        return list(result.values())


def compile_start(rows: Floats) -> int:
    """Row of the first of ``rows`` in the table of all networks: the first layer is a group of its own."""
    return int(rows[0, t.GROUP])


def request_data(instance: Instance, index: int) -> RequestData:
    """The numbers of the request of this index."""
    wanted = instance.requests[index]
    source, network = instance.sources[wanted.source], instance.task.networks[wanted.network]
    tables = compile_task(instance.task)
    numbers = tables.networks[tables.index(wanted.network)]
    start, length = int(numbers[t.START]), int(numbers[t.LENGTH])
    rows = tables.layers[start : start + length]
    slowness = np.array([1.0 / device.rate_bytes_per_s for device in instance.devices])
    return RequestData(
        index=index,
        rows=rows,
        layer_names=tuple(layer.name for layer in network.layers),
        speed=np.array([device.mults_per_s for device in instance.devices]),
        slowness=slowness,
        source_speed=source.mults_per_s,
        source_slowness=1.0 / source.rate_bytes_per_s,
        room=_room(instance, rows),
        states=tuple(_states(rows, k, slowness) for k in range(length)),
        colluders=instance.task.colluders,
        grouped=instance.task.privacy_scope == "group",
        memory=float(numbers[t.SOURCE_MEMORY]),
        compute=float(numbers[t.SOURCE_MULTS]),
        sent=float(numbers[t.SOURCE_BYTES]),
    )


def _room(instance: Instance, rows: Floats) -> Ints:
    """(L, D) most segments of each layer on each device, 0 where the source runs it."""
    room = np.zeros((len(rows), len(instance.devices)), np.int64)
    for k, row in enumerate(rows):
        if row[t.ON_SOURCE]:
            continue
        most = row[t.SEGMENTS] if row[t.LIMIT] < 0 else min(row[t.SEGMENTS], row[t.LIMIT])
        for j, device in enumerate(instance.devices):
            fit = [float(most)]
            budgets = (device.memory_bytes, row[t.WEIGHT]), (device.compute(instance.period_s), row[t.MULTS])
            fit += [np.floor(budget * (1.0 + BUDGET_TOLERANCE) / unit) for budget, unit in budgets if unit > 0.0]
            room[k, j] = int(min(fit))
    return room


def _states(rows: Floats, k: int, slowness: Floats) -> tuple[SenderState, ...]:
    """The states behind layer ``k``: of a conv on devices whose partial sums go to devices."""
    partial = k + 1 < len(rows) and not rows[k + 1, t.ON_SOURCE] and rows[k + 1, t.IN_MODE] == t.PARTIAL
    if rows[k, t.ON_SOURCE] or not partial:
        return ()
    result = []
    for value in np.unique(slowness):
        members, holders = slowness == value, slowness <= value
        price = np.full(len(slowness), value)
        result.append(SenderState(float(value), True, members, holders, np.where(members, 0.0, price)))
        if members.sum() > 1:
            result.append(SenderState(float(value), False, members, holders, price))
    return tuple(result)
