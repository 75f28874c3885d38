"""What an environment shows of itself: a read-only picture of its state in plain names, for text and drawings.

Latencies, times and bytes are read off the physics kernels, which replay the placement so far on a copy of the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs._jit import allocating_kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import load_request, put_segment, start_layer
from envs.distprivacy.generator import FleetGenerator
from envs.distprivacy.state import Dims, Place, Row, Table

if TYPE_CHECKING:
    from envs.distprivacy.env import DistPrivacyEnv

PLACING, SERVED, REJECTED = "placing", "served", "rejected"
_STATUS = {s.DECIDE: PLACING, s.SERVED: SERVED, s.REJECTED: REJECTED}


class Load(NamedTuple):
    """What is used of a budget of the period: bytes held, multiplications or bytes sent."""

    used: float
    budget: float

    @property
    def fraction(self) -> float:
        """Part used, 0..1 (a hair above 1 within the budgets' tolerance); 0 where there is no budget."""
        return self.used / self.budget if self.budget > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class SlotState:
    """One device, or the source of the current request."""

    name: str
    present: bool
    speed: float  # multiplications/s
    rate: float  # bytes/s
    memory: Load
    compute: Load
    bandwidth: Load
    held: int  # segments of the current layer
    held_before: int  # segments of the layer before
    seen: int  # maps that count against the privacy limit
    layer_time_s: float  # when it has finished its part of the current layer, counted from the layer's start
    may_take: bool  # the mask allows it the next map


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer of the current network."""

    name: str
    kind: str  # conv, act, pool, fc
    segments: int
    on_source: bool  # the source must run it
    limit: int | None  # Nf: most maps on one device; None: no limit
    holders: NDArray[np.int16]  # slot of each placed segment, in order; shape (placed,)
    time_s: float | None  # its part of the latency so far, seconds; None: not begun


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a ``DistPrivacyEnv``. Slots are devices ``0..D-1`` and, last, the source of the current request."""

    status: str  # PLACING, SERVED, REJECTED
    reason: str  # why a request was rejected, else empty
    network: str
    request: int  # index in the period
    requests: int
    served: int  # requests of this period
    rejected: int
    ssim: float  # privacy target
    grouped: bool  # the limit counts distinct maps over layers that carry the same maps
    colluders: int  # so many devices together stay within the limit
    slots: tuple[SlotState, ...]
    layers: tuple[LayerState, ...]
    current: int  # index of the current layer; -1: none was begun
    sent: NDArray[np.float64]  # bytes from slot i to slot j into the current layer, (D + 1, D + 1)
    keeps_maps: bool  # maps keep their identity from the layer before (act, pool -> conv, act, pool)
    latency_s: float  # of the current request so far, seconds
    scale_s: float  # an even split over average devices, seconds; what to compare with
    shared_bytes: float  # sent for the current request so far
    period_latency_s: float  # sum over the served requests of the period, seconds

    @property
    def layer(self) -> LayerState | None:
        """The current layer."""
        return self.layers[self.current] if self.current >= 0 else None

    @property
    def before(self) -> LayerState | None:
        """The layer before the current one."""
        return self.layers[self.current - 1] if self.current > 0 else None

    @property
    def source(self) -> int:
        """Slot of the source."""
        return len(self.slots) - 1


@allocating_kernel
def retrace(row: Row, place: Place, d: Dims, table: Table, nets: Table, times: Row, sent: Row) -> None:
    """Play the current request again up to where it stands, on copies: ``row`` and ``place`` are overwritten.

    ``times``, float64 ``(layers,)``: seconds of each layer, with what the holders must already send to a next layer on
    the source; they add up to the latency so far. ``sent``, float64 ``(D + 1, D + 1)``: bytes that each slot sent to
    each other into the current layer.
    """
    last, placed = int(row[s.LAYER]), int(row[s.SEGMENT])
    load_request(row, d, nets, int(row[s.REQUEST]))
    start = int(row[s.LAYER]) + 1
    slots = d[s.DEVICES] + 1
    bandwidth = d[s.O_USED_BANDWIDTH]
    used = np.zeros(slots)
    for k in range(start, last + 1):
        start_layer(row, d, table)
        offset = int(table[k, t.OFFSET])
        for p in range(placed if k == last else int(table[k, t.SEGMENTS])):
            slot = int(place[offset + p])
            used[:] = row[bandwidth : bandwidth + slots]
            put_segment(row, place, d, table, slot)
            if k == last:
                for i in range(slots):
                    sent[i, slot] += row[bandwidth + i] - used[i]
        times[k - start] = row[s.LATENCY_LAYER]
        if table[k, t.FIRST] > 0.0:
            times[k - start] += row[s.LATENCY_FIRST]
    if row[s.LATENCY_PENDING] > 0.0:
        times[last + 1 - start] = row[s.LATENCY_PENDING]


def take_snapshot(env: DistPrivacyEnv) -> Snapshot:
    """The present state of ``env`` (unwrapped). Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``."""
    row, place, simulator = env._row, env._place, env.simulator
    if row[s.N_REQUESTS] == 0.0:
        raise ResetNeeded("the environment has nothing to show before its first reset(), call reset() before render()")
    tables, task = simulator.tables, simulator.task
    net = int(row[s.NETWORK])
    network = task.networks[tables.names[net]]
    start = int(tables.networks[net, t.START])
    current = int(row[s.LAYER]) - start
    slots = simulator.max_devices + 1
    times, sent = np.zeros(len(network.layers)), np.zeros((slots, slots))
    retrace(row.copy(), place.copy(), simulator.dims, tables.layers, tables.networks, times, sent)
    layers = []
    for index, layer in enumerate(network.layers):
        line = tables.layers[start + index]
        placed = layer.segments if index < current else int(row[s.SEGMENT]) if index == current else 0
        offset = int(line[t.OFFSET])
        layers.append(
            LayerState(
                layer.name,
                layer.kind,
                layer.segments,
                bool(line[t.ON_SOURCE]),
                None if line[t.LIMIT] < 0 else int(line[t.LIMIT]),
                place[offset : offset + placed].copy(),
                float(times[index]) if index <= current or times[index] > 0.0 else None,
            )
        )
    status = _STATUS[int(row[s.STATUS])]
    return Snapshot(
        status,
        _reason(env, layers[current] if current >= 0 else None) if status == REJECTED else "",
        tables.names[net],
        int(row[s.REQUEST]),
        int(row[s.N_REQUESTS]),
        int(row[s.SERVED_COUNT]),
        int(row[s.REJECTED_COUNT]),
        task.ssim,
        task.privacy_scope == "group",
        task.colluders,
        _slots(env, begun=current >= 0),
        tuple(layers),
        max(current, -1),
        sent,
        bool(current >= 0 and tables.layers[start + current, t.IN_MODE] == t.MAPS),
        env.latency_s,
        float(row[s.SCALE]),
        float(row[s.BYTES]),
        float(row[s.LATENCY_SUM]),
    )


def _slots(env: DistPrivacyEnv, *, begun: bool) -> tuple[SlotState, ...]:
    """All slots; ``begun``: a layer of the current request was begun, else counts and times are of an older one."""
    row, d, devices = env._row, env.simulator.dims, env.simulator.max_devices
    grouped = env.simulator.task.privacy_scope == "group"

    def part(offset: int) -> list[float]:
        at = int(d[offset])
        return row[at : at + devices + 1].tolist()  # type: ignore[no-any-return]

    deciding = row[s.STATUS] == s.DECIDE
    present, mask = part(s.O_PRESENT), part(s.O_MASK)
    loads = [
        [Load(*pair) for pair in zip(part(used), part(budget), strict=True)]
        for used, budget in (
            (s.O_USED_MEMORY, s.O_MEMORY),
            (s.O_USED_COMPUTE, s.O_COMPUTE),
            (s.O_USED_BANDWIDTH, s.O_BANDWIDTH),
        )
    ]
    held, before, seen = part(s.O_COUNT), part(s.O_PREV), part(s.O_DISTINCT if grouped else s.O_COUNT)
    speed, rate, busy = part(s.O_SPEED), part(s.O_RATE), part(s.O_BUSY)
    return tuple(
        SlotState(
            name,
            present[j] > 0.0,
            speed[j],
            rate[j],
            loads[0][j],
            loads[1][j],
            loads[2][j],
            int(held[j]) if begun else 0,
            int(before[j]) if begun else 0,
            int(seen[j]) if begun else 0,
            busy[j] if begun else 0.0,
            bool(deciding and j < devices and mask[j] > 0.0),
        )
        for j, name in enumerate(_names(env, present))
    )


def _names(env: DistPrivacyEnv, present: list[float]) -> list[str]:
    """Names of all slots. Device slots that the instance does not fill are called by their number."""
    generator, devices = env.generator, env.simulator.max_devices
    names = [f"device-{j}" for j in range(devices)]
    if env._given is None and isinstance(generator, FleetGenerator):
        # the generator's own list also names the devices that are absent in this period
        if isinstance(generator.fleet, tuple):
            names[: len(generator.fleet)] = [device.name for device in generator.fleet]
        source = int(env._row[env.simulator.dims[s.O_REQUESTS] + 2 * env.request_index])
        return [*names, generator.sources[source].name]
    instance = env.instance
    used = [j for j in range(devices) if present[j] > 0.0]
    # an instance lists the present devices only, or (from a file) all of its own
    at = used if len(used) == len(instance.devices) else range(len(instance.devices))
    for j, device in zip(at, instance.devices, strict=True):
        names[j] = device.name
    return [*names, instance.sources[instance.requests[env.request_index].source].name]


def _reason(env: DistPrivacyEnv, layer: LayerState | None) -> str:
    if layer is None:
        return "its camera or the devices have no room for it"
    where = f"map {len(layer.holders) + 1} of {layer.name}"
    at = int(env.simulator.dims[s.O_MASK])
    if env._row[at : at + env.simulator.max_devices].any():
        return f"{where} was given to a device that may not take it"
    return f"no device may take {where}"
