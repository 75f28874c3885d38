"""Replay of any solution in the environment's physics: latencies, and every violated constraint by name (spec section 10)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import dynamics
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import Instance, RequestSolution, Solution


@dataclass(frozen=True, slots=True)
class Violation:
    """One violated constraint; fields that do not apply are None. ``device`` is -1 for a source."""

    kind: str  # assignment, memory, compute, bandwidth, privacy, must_be_on_source, must_not_be_on_source
    request: int | None
    layer: str | None
    device: int | None
    amount: float  # how far over the limit, in its unit


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay found."""

    objective_s: float  # sum over the served requests, seconds
    latencies_s: tuple[float | None, ...]  # None: rejected
    shared_bytes: tuple[float, ...]  # sent between devices, per request
    violations: tuple[Violation, ...]
    used: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)), compare=False)
    # (devices + sources, 3): memory bytes, multiplications and bytes sent, over the period

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, in the format of ``optimal.check``."""
        return {
            "objective_s": self.objective_s,
            "latencies_s": list(self.latencies_s),
            "shared_bytes": list(self.shared_bytes),
            "violations": [
                {"kind": v.kind, "request": v.request, "layer": v.layer, "device": v.device, "amount": v.amount}
                for v in self.violations
            ],
        }


def replay(instance: Instance, solution: Solution) -> Report:
    """Replay ``solution`` and report latencies and violations. It must fit the instance (``files.check_fits``)."""
    simulator = Simulator.of(instance)
    rows, places = simulator.new_state(1)
    row, place = rows[0], places[0]
    simulator.begin(row, simulator.encode(instance))
    latencies: list[float | None] = []
    shared: list[float] = []
    violations: list[Violation] = []
    for index, entry in enumerate(solution.requests):
        if entry.rejected:
            latencies.append(None)
            shared.append(0.0)
            continue
        _replay_request(simulator, row, place, index, instance, entry)
        latencies.append(float(row[s.LAST_LATENCY]))
        shared.append(float(row[s.LAST_BYTES]))
        violations.extend(_placement_violations(simulator, instance, index, place))
    violations.extend(_budget_violations(simulator, instance, row))
    total = float(sum(latency for latency in latencies if latency is not None))
    return Report(total, tuple(latencies), tuple(shared), tuple(violations), _used(simulator, instance, row))


def _replay_request(
    simulator: Simulator,
    row: NDArray[np.float64],
    place: NDArray[np.int16],
    index: int,
    instance: Instance,
    entry: RequestSolution,
) -> None:
    d, table = simulator.dims, simulator.tables.layers
    source = simulator.max_devices
    network = instance.task.networks[instance.requests[index].network]
    dynamics.load_request(row, d, simulator.tables.networks, index)
    for position, layer in enumerate(network.layers):
        dynamics.start_layer(row, d, table)
        if position in (0, len(network.layers) - 1):
            dynamics.put_layer_on_source(row, place, d, table)
            continue
        for device in entry.layers[layer.name]:
            dynamics.put_segment(row, place, d, table, source if device < 0 else device)
    dynamics.finish_request(row, d, True)


def _placement_violations(
    simulator: Simulator, instance: Instance, index: int, place: NDArray[np.int16]
) -> Iterator[Violation]:
    """Violations of 10f to 10h by one request, layer by layer."""
    task, source = instance.task, simulator.max_devices
    network = task.networks[instance.requests[index].network]
    start = int(simulator.tables.networks[simulator.tables.index(instance.requests[index].network), t.START])
    held: dict[int, set[int]] = {}
    groups = simulator.tables.layers[start : start + len(network.layers), t.GROUP]
    for position, layer in enumerate(network.layers[1:-1], start=1):
        k = start + position
        line = simulator.tables.layers[k]
        slots = place[int(line[t.OFFSET]) : int(line[t.OFFSET]) + layer.segments]
        if line[t.ON_SOURCE]:
            for device in np.unique(slots[slots != source]):
                yield Violation("must_be_on_source", index, layer.name, int(device), float((slots == device).sum()))
            continue
        if (slots == source).any():
            yield Violation("must_not_be_on_source", index, layer.name, -1, float((slots == source).sum()))
        if line[t.LIMIT] < 0:
            continue
        if task.privacy_scope == "layer" or int(line[t.GROUP]) == k:
            held = {}
        for segment, device in enumerate(slots):
            if device != source:
                held.setdefault(int(device), set()).add(segment)
        ends_group = task.privacy_scope == "layer" or line[t.GROUP] not in groups[position + 1 :]
        if ends_group:
            yield from _privacy_violations(
                {j: len(maps) for j, maps in held.items()}, line[t.LIMIT], task.colluders, index, layer.name
            )


def _privacy_violations(
    counts: dict[int, int], limit: float, colluders: int, index: int, layer: str
) -> Iterator[Violation]:
    if colluders == 1:
        for device in sorted(counts):
            if counts[device] > limit:
                yield Violation("privacy", index, layer, device, float(counts[device] - limit))
        return
    ranked = sorted(counts, key=lambda device: (-counts[device], device))[:colluders]
    together = sum(counts[device] for device in ranked)
    if together > limit:
        yield Violation("privacy", index, layer, ranked[0], float(together - limit))


def _used(simulator: Simulator, instance: Instance, row: NDArray[np.float64]) -> NDArray[np.float64]:
    """(devices + sources, 3) what has been used of memory, compute and bandwidth."""
    d, devices = simulator.dims, len(instance.devices)
    parts = (s.O_USED_MEMORY, s.O_USED_COMPUTE, s.O_USED_BANDWIDTH)
    of_devices = np.stack([row[d[part] : d[part] + devices] for part in parts], axis=1)
    of_sources = row[d[s.O_SOURCE_USED] :][: 3 * len(instance.sources)].reshape(-1, 3)
    return np.concatenate([of_devices, of_sources])


def _budget_violations(simulator: Simulator, instance: Instance, row: NDArray[np.float64]) -> Iterator[Violation]:
    """Violations of 10b to 10d by devices, then by sources, over the whole period."""
    all_used = _used(simulator, instance, row)
    for index, owner in enumerate((*instance.devices, *instance.sources)):
        budgets = (owner.memory_bytes, owner.compute(instance.period_s), owner.bandwidth(instance.period_s))
        is_source = index >= len(instance.devices)
        for kind, used, budget in zip(("memory", "compute", "bandwidth"), all_used[index], budgets, strict=True):
            if used > budget * (1.0 + dynamics.BUDGET_TOLERANCE):
                yield Violation(kind, None, None, -1 if is_source else index, float(used - budget))
