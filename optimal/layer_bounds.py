"""Lower bounds on each layer's time, and what they leave for the others.

A layer alone, free of all others, takes at least the smallest peak that its room allows. Between a conv and the layer that
reads it the bound depends on the state of the senders (``request_data.SenderState``); the cheapest way through the states is a
lower bound on the whole request. Below a known latency every layer has only so much time, which bounds how many segments
a device can hold: the room shrinks, the bounds rise, and so on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import tables as t
from optimal.peaks import least_peak
from optimal.request_data import Floats, Ints, RequestData

_SLACK = 1e-9
"""Relative: what rounding may cost a bound."""


@dataclass(frozen=True)
class LayerBounds:
    """Bounds of one request, seconds. Layer k has an entry for each state before it (S) and behind it (T), one where none."""

    data: RequestData  # with the room that is left
    alone: tuple[Floats, ...]  # per layer (S, T): its time at least, for layer 1 with the transfer into it
    slack: tuple[Floats, ...]  # per layer (S, T): its time at most; -inf where the states cannot lie on a good path
    total: float  # of the whole request; inf: impossible


def layer_bounds(data: RequestData, most_s: float = math.inf) -> LayerBounds:
    """The bounds of a request whose latency shall be at most ``most_s`` seconds."""
    while True:
        bounds = _bounds(data, most_s)
        room = _room_left(bounds)
        if math.isinf(most_s) or math.isinf(bounds.total) or (room == data.room).all():
            return bounds
        data = replace(data, room=room)


def _bounds(data: RequestData, most_s: float) -> LayerBounds:
    alone = [np.full((1, 1), data.source_work(0))]
    alone += [_layer(data, k) for k in range(1, len(data.rows))]
    ahead = [np.zeros(1)]  # cheapest way from each state to the end
    for times in reversed(alone):
        ahead.append((times + ahead[-1]).min(axis=1))
    ahead.reverse()
    behind, slack = np.zeros(1), []
    for k, times in enumerate(alone):
        others = behind[:, None] + ahead[k + 1][None, :]
        possible = np.isfinite(others) & np.isfinite(times)
        left = most_s * (1.0 + _SLACK) - np.where(possible, others, 0.0)
        slack.append(np.where(possible & (times <= left), left, -np.inf))
        behind = (behind[:, None] + times).min(axis=0)
    return LayerBounds(data, tuple(alone), tuple(slack), float(ahead[0][0]))


def _peak(data: RequestData, k: int, per_map: Floats, room: Ints | None = None) -> float:
    """Least peak over the counts of layer ``k``."""
    most = data.room[k] if room is None else room
    return float(least_peak(per_map, most, data.segments(k), data.limit(k), data.colluders))


def _slowest(data: RequestData, k: int, free: int = -1) -> float:
    """Least slowness, seconds per byte, of the slowest holder of layer ``k``; device ``free`` sends nothing."""
    best = math.inf
    slowness = data.slowness.copy()
    if free >= 0:
        slowness[free] = 0.0
    for value in np.unique(slowness):
        room = np.where(slowness <= value, data.room[k], 0)
        if math.isfinite(_peak(data, k, np.zeros(len(room)), room)):
            best = float(value)
            break
    return best


def _layer(data: RequestData, k: int) -> Floats:
    """(S, T) seconds of layer ``k`` at least."""
    before, behind = data.states[k - 1], data.states[k]
    result = np.zeros((max(1, len(before)), max(1, len(behind))))
    for s in range(result.shape[0]):
        for e in range(result.shape[1]):
            room = np.where(behind[e].holders, data.room[k], 0) if behind else data.room[k]
            result[s, e] = _between(data, k, before[s].price if before else None, room)
    return result


def _between(data: RequestData, k: int, price: Floats | None, room: Ints) -> float:
    mode, unit = data.mode(k), float(data.rows[k, t.IN_UNIT])
    if data.on_source(k):
        return data.source_work(k) + (0.0 if data.on_source(k - 1) else _to_source(data, k))
    if data.is_fc(k):
        return min((_fc(data, k, j) for j in range(len(room)) if room[j] > 0), default=math.inf)
    first = 0.0
    per_map = data.work(k)
    if data.on_source(k - 1):
        entry = np.full(len(room), unit * data.source_slowness)
        if k == 1:
            first = _peak(data, k, entry, room)
        else:
            per_map = per_map + entry
    elif mode == t.PARTIAL and price is not None:
        per_map = per_map + unit * price
    return first + _peak(data, k, per_map, room)


def _to_source(data: RequestData, k: int) -> float:
    """Seconds of the slowest transfer from the devices of layer ``k - 1`` to the source, at least."""
    unit = float(data.rows[k, t.IN_UNIT])
    if data.mode(k) in (t.PARTIAL, t.GATHER_ALL):
        once = unit * (data.segments(k) if data.mode(k) == t.PARTIAL else 1)
        return once * _slowest(data, k - 1)
    return _peak(data, k - 1, unit * data.slowness)


def _fc(data: RequestData, k: int, j: int) -> float:
    """Seconds of an fc layer on device ``j``, at least."""
    unit, work = float(data.rows[k, t.IN_UNIT]), float(data.work(k)[j])
    if data.on_source(k - 1):
        return work + data.gathered_from_source(k)
    if data.mode(k) == t.GATHER_ALL:
        return work + unit * _slowest(data, k - 1, free=j)
    slowness = data.slowness.copy()
    slowness[j] = 0.0
    return work + _peak(data, k - 1, unit * slowness)


def _room_left(bounds: LayerBounds) -> Ints:
    """(L, D) room of each layer within its slack."""
    data = bounds.data
    room = data.room.copy()
    for k in range(1, len(data.rows)):
        unit = float(data.rows[k, t.IN_UNIT])
        most = float(bounds.slack[k].max())
        if data.on_source(k) or data.is_fc(k):
            if data.on_source(k) and not data.on_source(k - 1) and data.mode(k) in (t.MAPS, t.GATHER):
                room[k - 1] = _within(room[k - 1], unit * data.slowness, most - data.source_work(k))
            if not data.on_source(k):
                room[k] = np.where(data.work(k) <= most, room[k], 0)
            continue
        per_map, allowed = data.work(k), np.zeros(room.shape[1], np.int64)
        for s in range(bounds.slack[k].shape[0]):
            price = unit * data.states[k - 1][s].price if data.states[k - 1] else 0.0
            if data.on_source(k - 1) and k > 1:
                price = unit * data.source_slowness
            for e in range(bounds.slack[k].shape[1]):
                holders = data.states[k][e].holders if data.states[k] else np.ones(room.shape[1], bool)
                left = float(bounds.slack[k][s, e])
                if left > -math.inf:
                    fit = _within(room[k], per_map + price, left)
                    allowed = np.maximum(allowed, np.where(holders, fit, 0))
        room[k] = allowed
        if k == 1:
            both = per_map + unit * data.source_slowness  # the transfer into it and its work
            room[k] = _within(room[k], both, most)
    return room


def _within(room: Ints, per_map: Floats | NDArray[np.float64], most: float) -> Ints:
    """(D,) largest counts within ``room`` whose time is within ``most`` seconds."""
    if most < 0.0:
        return np.zeros_like(room)
    with np.errstate(divide="ignore"):
        fit = np.floor(most * (1.0 + _SLACK) / per_map + _SLACK)
    return np.asarray(np.minimum(room, np.where(per_map > 0.0, fit, room)).astype(np.int64))
