"""Placements of whole periods that need no proof: greedy, and one request after the other with what the others left."""

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


def greedy(instance: Instance, among: NDArray[np.bool_] | None = None) -> Solution:
    """Every map on the valid device with the smallest increase of latency, in the environment's own physics.

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
            survey_increase(row, place, d, simulator.tables.layers)
            increase = row[d[s.O_INCREASE] :][: simulator.max_devices]
            valid = simulator.mask(row)
            wanted = valid if among is None or not (valid & among).any() else valid & among
            simulator.step(row, place, int(np.argmin(np.where(wanted, increase, np.inf))))
        entries.append(placement_of(simulator, row, place))
    placements = [None if entry.rejected else dict(entry.layers) for entry in entries]
    return replayed(instance, placements)[0]


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
