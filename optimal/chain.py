"""The least latency of one request, proven, as a shortest path over the states between its blocks (``blocks``).

An edge is a block between two states. Its cost is bounded from below by the layers' independent minima; only edges on
the currently shortest path are solved exactly (``block_optimum``). What one edge costs bounds every edge whose states
are no cheaper. When the shortest path consists of exact edges, it is the optimum. Budgets are left out: the caller
replays the placement and sees whether they bind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from envs._jit import announce_compilation
from envs.distprivacy.generator import toy_instance
from envs.distprivacy.replay import replay
from envs.distprivacy.types import Instance, RequestSolution, Solution
from optimal.block_optimum import RESOLUTION, Plan, block_optimum, own_caps
from optimal.blocks import Chain, Stage, cut
from optimal.peaks import least_peaks
from optimal.unroll import unroll

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RequestOptimum:
    """The least latency of one request on an empty fleet without budgets, or what is known about it.

    ``status``: "optimal" (proven, to 1e-9 relative), "feasible" (a placement and a lower bound), "bound" (a lower bound
    alone) or "infeasible" (privacy leaves no placement at all).
    """

    latency_s: float | None  # of ``layers``, as replayed
    bound_s: float  # inf where infeasible
    layers: Mapping[str, tuple[int, ...]] | None  # distributed layer -> device index per segment, -1 for the source
    status: str
    seconds: float


class _Edges:
    """The edges of one stage: ``bound`` (S, T) seconds, ``solved`` (S, T), and the plans found."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.block = stage, stage.block
        self.bound = stage.cost.copy()
        self.solved = np.full(stage.cost.shape, self.block is None)
        self.plans: dict[tuple[int, int], Plan] = {}
        if self.block is not None:
            block = self.block
            entry = block.entry_bytes * stage.before.price
            first = least_peaks(entry, own_caps(block, 0), block.maps, block.limits[0], block.colluders)
            last = least_peaks(block.exit, own_caps(block, -1), block.maps, block.limits[-1], block.colluders)
            self.bound += np.maximum.outer(first, last) if block.joint else np.add.outer(first, last)

    def solve(self, at: tuple[int, int], cutoff: float, deadline: float) -> None:
        """Find an edge's optimum, or raise its bound to ``cutoff`` seconds; the bounds of all dearer edges follow."""
        if self.block is None or self.solved[at]:
            return
        block, stage = self.block, self.stage
        price, leaving = stage.before.price[at[0]], block.exit[at[1]]
        edge = block_optimum(block, price, leaving, float(cutoff - stage.cost[at]), deadline)
        if edge.plan is not None:
            self.plans[at] = edge.plan
        self.solved[at] = edge.plan is not None or edge.bound < cutoff - stage.cost[at]
        dearer = np.ix_((stage.before.price >= price).all(axis=1), (block.exit >= leaving).all(axis=1))
        self.bound[dearer] = np.maximum(self.bound[dearer], stage.cost[dearer] + edge.bound)

    def cost(self, at: tuple[int, int]) -> float:
        """Seconds of the best plan of an edge; inf where none is known."""
        if self.block is None:
            return float(self.bound[at])
        return float(self.stage.cost[at] + self.plans[at].cost) if at in self.plans else math.inf


@dataclass
class _Path:
    """A path through all stages: its states, and what it costs."""

    states: list[int]
    edges: list[_Edges]

    def steps(self) -> list[tuple[_Edges, tuple[int, int]]]:
        """Each stage with its edge."""
        return list(zip(self.edges, zip(self.states, self.states[1:], strict=False), strict=True))

    def bound(self) -> float:
        """Seconds, proven for this path alone."""
        return sum(float(edges.bound[at]) for edges, at in self.steps())

    def cost(self) -> float:
        """Seconds of its plans; inf where one is missing."""
        return sum(edges.cost(at) for edges, at in self.steps())


def _shortest(edges: list[_Edges]) -> _Path:
    """The path with the least sum of bounds, from the first to the last state of the chain."""
    rest = [np.zeros(edges[-1].bound.shape[1])]
    for stage in reversed(edges):
        rest.append((stage.bound + rest[-1]).min(axis=1))
    states = [0]
    for stage, after in zip(edges, rest[-2::-1], strict=True):
        states.append(int(np.argmin(stage.bound[states[-1]] + after)))
    return _Path(states, edges)


def solve_request(instance: Instance, request: int, *, time_limit: float | None = None) -> RequestOptimum:
    """The least latency of the request of this index, with proof, budgets left out.

    ``time_limit``: seconds after which it stops with the best placement and the bound that it has, once the feasibility
    test in progress ends (seconds, on large maps); None: no limit.
    """
    _warm_up()
    return _solve(instance, request, time_limit)


@lru_cache(maxsize=1)
def _warm_up() -> None:
    """Load the kernels from the disk cache, or compile them, before any time limit counts."""
    with announce_compilation():
        toy = toy_instance()
        # one device so fast, and a limit so loose, that it is worth asking whether maps should move
        devices = (replace(toy.devices[0], mults_per_s=1e7), *toy.devices[1:])
        _solve(replace(toy, task=replace(toy.task, ssim=0.95), devices=devices), 0, None)


def _solve(instance: Instance, request: int, time_limit: float | None) -> RequestOptimum:
    start = time.perf_counter()
    deadline = math.inf if time_limit is None else start + time_limit
    chain = cut(instance, request)
    edges = [_Edges(stage) for stage in chain.stages]
    best, cost = None, math.inf
    while True:
        path = _shortest(edges)
        bound = path.bound()
        late = best is not None and time.perf_counter() > deadline
        if late or math.isinf(bound) or bound >= cost * (1.0 - RESOLUTION):
            break
        pending = [(stage, at) for stage, at in path.steps() if not stage.solved[at]]
        for stage, at in pending:
            stage.solve(at, cost - (path.bound() - float(stage.bound[at])), deadline)
            if path.bound() >= cost * (1.0 - RESOLUTION):
                break
        if path.cost() < cost:
            best, cost = path, path.cost()
        if not pending:
            break  # the bound of this path is all that could be proven
    bound = min(bound, cost) + chain.constant
    return _report(instance, request, chain, best, bound, time.perf_counter() - start)


def _report(
    instance: Instance, request: int, chain: Chain, path: _Path | None, bound: float, seconds: float
) -> RequestOptimum:
    if path is None:
        return RequestOptimum(None, bound, None, "infeasible" if math.isinf(bound) else "bound", seconds)
    plans = [stage.plans.get(at) for stage, at in path.steps()]
    layers = unroll(instance, request, chain, plans, path.states[1:])
    alone = replace(instance, requests=(instance.requests[request],))
    report = replay(alone, Solution((RequestSolution(False, None, layers),), 0.0))
    latency = report.latencies_s[0]
    assert latency is not None  # the one request is not rejected
    if any(violation.kind == "privacy" for violation in report.violations):
        # a group that spans a layer on the source: its blocks were solved as if their limits were apart
        return RequestOptimum(None, bound, None, "bound", seconds)
    status = "optimal" if latency - bound <= 1e-9 * latency else "feasible"
    return RequestOptimum(latency, min(bound, latency), layers, status, seconds)
