"""Placements of whole periods without proof: greedy, thrifty, and one request after the other with what the others left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import state as s
from envs.distprivacy.dynamics import survey_increase
from envs.distprivacy.episode import begin_request
from envs.distprivacy.placement import placement_of
from envs.distprivacy.replay import Report, replay
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.transfers import map_holder
from envs.distprivacy.types import Device, Instance, RequestSolution, Solution
from optimal.assign import Placement

REJECTED = RequestSolution(True, None)


def replayed(instance: Instance, placements: list[Placement | None]) -> tuple[Solution, Report]:
    """The placements (None: rejected) as a solution with the latencies of the physics, and the report of the replay."""
    entries = [REJECTED if layers is None else RequestSolution(False, None, layers) for layers in placements]
    report = replay(instance, Solution(tuple(entries), 0.0))
    timed = [replace(entry, latency_s=latency) for entry, latency in zip(entries, report.latencies_s, strict=True)]
    return Solution(tuple(timed), report.objective_s, sum(entry.rejected for entry in timed)), report


def better(first: Solution | None, second: Solution | None) -> Solution | None:
    """The one with fewer rejections, then the lower latency."""
    both = [solution for solution in (first, second) if solution is not None]
    return min(both, key=lambda solution: (solution.rejections, solution.objective_s), default=None)


Score = Callable[[Simulator, NDArray[np.float64], NDArray[np.int16]], NDArray[np.float64]]
"""What a state row and its placement say about every device; the valid one with the least is taken."""


def _played(instance: Instance, score: Score, among: NDArray[np.bool_] | None = None) -> Solution:
    """Every map on the valid device with the least score, in the environment's own physics.

    ``among``: (D,) devices that are taken as long as one of them is valid; None: all.
    """
    simulator = Simulator.of(instance)
    rows, places = simulator.new_state(1)
    row, place, d = rows[0], places[0], simulator.dims
    simulator.begin(row, simulator.encode(instance))
    entries = []
    for index in range(len(instance.requests)):
        begin_request(row, place, d, simulator.tables.layers, simulator.tables.networks, index)
        while row[s.STATUS] == s.DECIDE:
            values = score(simulator, row, place)
            valid = simulator.mask(row)
            wanted = valid if among is None or not (valid & among).any() else valid & among
            simulator.step(row, place, int(np.argmin(np.where(wanted, values, np.inf))))
        entries.append(placement_of(simulator, row, place))
    placements = [None if entry.rejected else dict(entry.layers) for entry in entries]
    return replayed(instance, placements)[0]


def _increase(simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16]) -> NDArray[np.float64]:
    """Increase of the latency."""
    survey_increase(row, place, simulator.dims, simulator.tables.layers)
    return row[simulator.dims[s.O_INCREASE] :][: simulator.max_devices]


def _thrift(simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16]) -> NDArray[np.float64]:
    """Least for the holder of the map, then for devices that the layer uses already, then for the most bandwidth left."""
    d, devices = simulator.dims, simulator.max_devices
    left, used, unit, count = (
        row[d[at] :][:devices] for at in (s.O_BANDWIDTH, s.O_USED_BANDWIDTH, s.O_PER_BANDWIDTH, s.O_COUNT)
    )
    values = -(left - used) * unit - (count > 0)
    holder = map_holder(row, place, d, simulator.tables.layers, int(row[s.LAYER]))
    if 0 <= holder < devices:
        values[holder] = -(left[holder] - used[holder]) * unit[holder] - 2.0
    return np.asarray(values)


def greedy(instance: Instance, among: NDArray[np.bool_] | None = None) -> Solution:
    """Every map on the device with the smallest increase of latency; ``among``: see ``_played``."""
    return _played(instance, _increase, among)


def thrifty(instance: Instance) -> Solution:
    """Few holders, so that little is sent: slow, but it serves more requests where bandwidth is short."""
    return _played(instance, _thrift)


def greedy_on_subsets(instance: Instance) -> Solution:
    """Greedy on the fastest few devices, by speed and by rate, for every number of them."""
    found = greedy(instance)
    speed = np.array([device.mults_per_s for device in instance.devices])
    rate = np.array([device.rate_bytes_per_s for device in instance.devices])
    for order in (np.argsort(-speed * rate), np.argsort(-speed), np.argsort(-rate)):
        for count in range(1, len(order)):
            among = np.zeros(len(order), np.bool_)
            among[order[:count]] = True
            found = better(found, greedy(instance, among)) or found
    return found


def in_turn(instance: Instance, place: Callable[[Instance, int], Placement | None]) -> Solution:
    """One request after the other: ``place`` puts the request of an index where the budgets that are left allow it."""
    placements: list[Placement | None] = [None] * len(instance.requests)
    used = np.zeros((len(instance.devices) + len(instance.sources), 3))
    for index in range(len(instance.requests)):
        placements[index] = place(_left(instance, used), index)
        _, report = replayed(instance, placements)
        if report.violations:
            placements[index] = None
        else:
            used = report.used
    return replayed(instance, placements)[0]


def reseated(instance: Instance, solution: Solution, place: Callable[[Instance, int], Placement | None]) -> Solution:
    """Each request once more, the slowest first, with the budgets that the others leave, where that is faster."""
    best = solution
    slowest = sorted(range(len(best.requests)), key=lambda index: -(best.requests[index].latency_s or 0.0))
    for index in slowest:
        placements = [None if entry.rejected else dict(entry.layers) for entry in best.requests]
        without = [None if n == index else layers for n, layers in enumerate(placements)]
        placements[index] = place(_left(instance, replayed(instance, without)[1].used), index)
        tried, report = replayed(instance, placements)
        if not report.violations:
            best = better(best, tried) or best
    return best


def _left(instance: Instance, used: NDArray[np.float64]) -> Instance:
    """The instance with the budgets that are left."""

    def owner(device: Device, spent: NDArray[np.float64]) -> Device:
        period = instance.period_s
        left = np.array([device.memory_bytes, device.compute(period), device.bandwidth(period)]) - spent
        memory, compute, bandwidth = (max(0.0, float(value)) for value in left)
        return replace(device, memory_bytes=memory, compute_budget=compute, bandwidth_budget_bytes=bandwidth)

    count = len(instance.devices)
    devices = tuple(owner(device, used[j]) for j, device in enumerate(instance.devices))
    sources = tuple(owner(source, used[count + j]) for j, source in enumerate(instance.sources))
    return replace(instance, devices=devices, sources=sources)
