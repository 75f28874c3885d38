"""Every policy scored by the same code, on the same instances, with the same random numbers; each placement replayed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.optimality import Bounds, gaps, is_solved
from envs._jit import announce_compilation
from envs.distprivacy import batch
from envs.distprivacy import state as s
from envs.distprivacy.generator import Generator
from envs.distprivacy.held_out import held_out_heads
from envs.distprivacy.placement import placement_of
from envs.distprivacy.replay import replay
from envs.distprivacy.simulator import Options, Simulator
from envs.distprivacy.types import Instance, RequestSolution, Solution
from optimal.standard_sets import find_references

BATCH = 256
"""Instances that a learned policy answers at a time, where nothing else is said."""


class Learned(Protocol):
    """What evaluation needs of a learned policy."""

    name: str
    respects_privacy: bool
    options: Options  # how the environment presented itself in training

    def act(self, observation: NDArray[np.float32]) -> Any:
        """Devices for a batch of observations ``(B, L)``."""


@dataclass
class InstanceSet:
    """Held-out instances in encoded form, all of one generator."""

    generator: Generator
    heads: NDArray[np.float64]  # (instances, instance_length)
    bounds: Bounds | None = None  # what is proven about them; None: nobody has looked

    @classmethod
    def draw(cls, generator: Generator, count: int, seed: int) -> InstanceSet:
        """``count`` instances from a seed; their stream is apart from every training stream."""
        return cls(generator, held_out_heads(generator, generator.simulator(), count, seed))

    @classmethod
    def of(cls, generator: Generator, instances: Sequence[Instance]) -> InstanceSet:
        """Given instances, in order."""
        simulator = generator.simulator()
        heads = np.stack([simulator.encode(instance) for instance in instances])
        heads[:, s.INDEX] = np.arange(len(heads))
        return cls(generator, heads)

    def simulator(self, options: Options | None = None) -> Simulator:
        """A simulator for these instances that presents itself by ``options`` (always with the latency in seconds)."""
        g = self.generator
        return Simulator(g.task, g.max_devices, g.max_sources, g.max_requests, options)

    def decoded(self) -> list[Instance]:
        """The instances as objects."""
        simulator = self.simulator()
        return [self.generator.decode(head, simulator) for head in self.heads]

    def with_shipped_bounds(self) -> InstanceSet:
        """The same instances with what the standard sets prove about them, found by hash."""
        return InstanceSet(self.generator, self.heads, Bounds.of(find_references(self.generator.task, self.decoded())))

    def __len__(self) -> int:
        return len(self.heads)


@dataclass
class Outcome:
    """What one policy did on a set of instances; one row per instance, one column per request."""

    policy: str
    respects_privacy: bool
    latency_s: NDArray[np.float64]  # (instances, requests); nan: rejected or no such request
    requests: NDArray[np.int64]  # (instances,) number of requests
    shared_bytes: NDArray[np.float64]  # (instances, requests); nan like latency_s
    violations: NDArray[np.int64]  # (instances,) violated constraints, by replay
    seconds: float  # decision time per request
    gap: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros(0)
    )  # (instances,) see ``optimality.gaps``; or empty
    solved: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, np.bool_)
    )  # (instances,) to optimality; or empty
    solutions: list[Solution] = field(default_factory=list)

    @property
    def rejected(self) -> int:
        """Rejected requests over all instances."""
        return int(self.requests.sum() - np.isfinite(self.latency_s).sum())

    @property
    def rejection_rate(self) -> float:
        """Share of the requests that were rejected."""
        return self.rejected / int(self.requests.sum())

    @property
    def mean_latency_s(self) -> float:
        """Mean latency over served requests, seconds; nan when none was served."""
        served = self.latency_s[np.isfinite(self.latency_s)]
        return float(served.mean()) if len(served) else float("nan")

    @property
    def mean_shared_bytes(self) -> float:
        """Mean bytes sent between devices per served request; nan when none was served."""
        served = self.shared_bytes[np.isfinite(self.shared_bytes)]
        return float(served.mean()) if len(served) else float("nan")


def evaluate(
    policy: Any,
    instances: InstanceSet,
    *,
    check: bool = True,
    keep_solutions: bool = False,
    batch_size: int = BATCH,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Play every request of every instance with ``policy``.

    ``check``: replay every placement through ``optimal.check``'s physics, count violations, and fail (``RuntimeError``)
    if a latency differs by more than 1e-9, or is below a proven bound of ``instances``. ``progress`` is called with the
    number of instances done. ``batch_size``: instances that a learned policy answers at a time.
    """
    play = _play_planner if hasattr(policy, "place_request") else partial(_play_learned, size=batch_size)
    options = getattr(policy, "options", None)
    simulator = instances.simulator(_for_evaluation(options))
    record = _Record(simulator, instances, policy.name, policy.respects_privacy, check or keep_solutions)
    with announce_compilation():
        first = InstanceSet(instances.generator, instances.heads[:1].copy())
        first.heads[:, s.N_REQUESTS] = 1  # the first request is enough
        play(policy, simulator, first, _Record(simulator, first, policy.name, True, False), None)
    started = time.perf_counter()
    play(policy, simulator, instances, record, progress)
    outcome = record.outcome(time.perf_counter() - started)
    if check:
        _check(outcome, instances, simulator)
        if instances.bounds is not None:
            outcome.gap = gaps(outcome, instances.bounds)
            outcome.solved = is_solved(outcome, instances.bounds)
    if not keep_solutions:
        outcome.solutions = []
    return outcome


def _for_evaluation(options: Options | None) -> Options:
    """The options of training, with whole requests as episodes: a policy is scored on requests whatever it learned on."""
    if options is None:
        return Options()
    return Options(
        observation=options.observation,
        granularity=options.granularity,
        inherit=options.inherit,
        traffic_price=options.traffic_price,
    )


class _Record:
    """Collects finished requests into an ``Outcome``."""

    def __init__(self, simulator: Simulator, instances: InstanceSet, name: str, respects: bool, keep: bool) -> None:
        n, r = len(instances), simulator.max_requests
        self.simulator, self.keep, self.name, self.respects = simulator, keep, name, respects
        self.latency, self.shared = np.full((n, r), np.nan), np.full((n, r), np.nan)
        self.requests = instances.heads[:, s.N_REQUESTS].astype(np.int64)
        self.solutions: list[list[RequestSolution]] = [
            [RequestSolution(True, None) for _ in range(count)] for count in (self.requests if keep else [])
        ]

    def request(self, index: int, row: NDArray[np.float64], place: NDArray[np.int16]) -> None:
        """Book the request that ``row`` has just finished."""
        request = int(row[s.REQUEST])
        if row[s.STATUS] == s.SERVED:
            self.latency[index, request] = row[s.LAST_LATENCY]
            self.shared[index, request] = row[s.LAST_BYTES]
            if self.keep:
                self.solutions[index][request] = placement_of(self.simulator, row, place)

    def outcome(self, seconds: float) -> Outcome:
        """Everything booked so far."""
        solutions = [
            Solution(tuple(entries), float(np.nansum(latency)), sum(entry.rejected for entry in entries))
            for entries, latency in zip(self.solutions, self.latency, strict=self.keep)
        ]
        per_request = seconds / max(1, int(self.requests.sum()))
        none = np.zeros(len(self.latency), np.int64)
        arrays = (self.latency, self.requests, self.shared, none)
        return Outcome(self.name, self.respects, *arrays, per_request, solutions=solutions)


def _next(
    simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16], record: _Record, index: int
) -> bool:
    """Go to the next decision of the period, booking requests without one on the way; False at the end."""
    from envs.distprivacy.episode import begin_request

    tables = simulator.tables
    for request in range(int(row[s.REQUEST]) + 1, int(row[s.N_REQUESTS])):
        begin_request(row, place, simulator.dims, tables.layers, tables.networks, request)
        if row[s.STATUS] == s.DECIDE:
            return True
        record.request(index, row, place)
    return False


def _play_planner(
    policy: Any, simulator: Simulator, instances: InstanceSet, record: _Record, progress: Callable[[int], None] | None
) -> None:
    rows, places = simulator.new_state(1)
    row, place = rows[0], places[0]
    policy.restart()
    for index, head in enumerate(instances.heads):
        simulator.begin(row, head)
        while _next(simulator, row, place, record, index):
            policy.place_request(simulator, row, place)
            record.request(index, row, place)
        if progress is not None:
            progress(index + 1)


def _play_learned(
    policy: Learned,
    simulator: Simulator,
    instances: InstanceSet,
    record: _Record,
    progress: Callable[[int], None] | None,
    size: int,
) -> None:
    tables = (simulator.dims, simulator.tables.layers, simulator.tables.networks)
    for first in range(0, len(instances), size):
        heads = instances.heads[first : first + size]
        rows, places = simulator.new_state(len(heads))
        observations = np.zeros((len(heads), simulator.observation_length), np.float32)
        masks = np.zeros((len(heads), simulator.max_devices), np.int8)
        live = []
        for i, head in enumerate(heads):
            simulator.begin(rows[i], head)
            if _next(simulator, rows[i], places[i], record, first + i):
                batch.look(rows[i], places[i], *tables, observations[i], masks[i])
                live.append(i)
        while live:
            actions = np.asarray(policy.act(observations[live]))
            still = []
            for i, action in zip(live, actions, strict=True):
                row, place = rows[i], places[i]
                _, done, _, _ = batch.scalar_step(row, place, *tables, int(action), observations[i], masks[i])
                if done:
                    record.request(first + i, row, place)
                    if not _next(simulator, row, place, record, first + i):
                        continue
                    batch.look(row, place, *tables, observations[i], masks[i])
                still.append(i)
            live = still
        if progress is not None:
            progress(first + len(heads))


def _check(outcome: Outcome, instances: InstanceSet, simulator: Simulator) -> None:
    """Replay all placements: fill in the violations, compare the latencies."""
    for index, solution in enumerate(outcome.solutions):
        report = replay(instances.generator.decode(instances.heads[index], simulator), solution)
        outcome.violations[index] = len(report.violations)
        for request, latency in enumerate(report.latencies_s):
            played = outcome.latency_s[index, request]
            if latency is not None and abs(latency - played) > 1e-9 * latency:
                raise RuntimeError(
                    f"policy {outcome.policy}, instance {index}, request {request}: played {played} s, replayed {latency} s"
                )
