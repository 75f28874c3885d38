"""One request alone, on a fleet with all its budgets: the chain method, then an integer program where that cannot decide."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from envs.distprivacy.types import Instance
from optimal.assign import Placement
from optimal.backends import version
from optimal.chain import solve_request
from optimal.incumbent import greedy, greedy_on_subsets, replayed
from optimal.layer_bounds import LayerBounds, layer_bounds
from optimal.method import Method
from optimal.milp import Program, solve_program
from optimal.request_data import request_data

MOST_FLOWS = 60_000
"""Pairs of devices over all layers between which maps may move; larger integer programs are not tried."""
MOST_STEPS = 5_000
"""Segments times devices up to which greedy is tried on subsets of the devices."""
_CLOSE = 1e-9
"""Relative difference below which a bound and a latency are the same."""


@dataclass(frozen=True)
class Alone:
    """What is known about a request that has the fleet to itself."""

    placement: Placement | None  # meets every constraint
    latency_s: float  # of it; inf where there is none
    bound_s: float  # proven; inf: it cannot be served

    @property
    def is_impossible(self) -> bool:
        """Whether it is proven that the request cannot be served."""
        return math.isinf(self.bound_s)


def flow_count(bounds: LayerBounds) -> int:
    """Pairs of devices between which maps may move, over all layers."""
    room = bounds.data.room > 0
    return sum(int(room[k - 1].sum() * room[k].sum()) for k in range(2, len(room)))


def solve_alone(instance: Instance, index: int, method: Method, share: float = 1.0) -> Alone:
    """The best placement of the request of this index alone, within ``share`` of the time that is left."""
    alone = replace(instance, requests=(instance.requests[index],))
    found = _quick(alone, on_subsets=not method.chain)
    deadline = None if method.time_limit is None else method.seconds() + (method.left(share) or 0.0)
    if method.chain:
        method.note("chain")
        answer = solve_request(alone, 0, time_limit=None if deadline is None else max(0.0, deadline - method.seconds()))
        if math.isinf(answer.bound_s):
            return Alone(None, math.inf, math.inf)
        found = replace(found, bound_s=max(found.bound_s, answer.bound_s))
        if answer.layers is not None:
            found = _with(alone, found, dict(answer.layers))
    return _by_program(alone, found, method, deadline)


def _quick(alone: Instance, *, on_subsets: bool) -> Alone:
    """Greedy and the layers' bounds."""
    steps = alone.task.networks[alone.requests[0].network].segments * len(alone.devices)
    solution = greedy_on_subsets(alone) if on_subsets and steps <= MOST_STEPS else greedy(alone)
    found = Alone(None, math.inf, layer_bounds(request_data(alone, 0)).total)
    return found if solution.rejections else _with(alone, found, dict(solution.requests[0].layers))


def _with(alone: Instance, found: Alone, placement: Placement) -> Alone:
    """What is known with one more placement, if it meets every constraint and is better."""
    solution, report = replayed(alone, [placement])
    if report.violations or solution.objective_s >= found.latency_s:
        return found
    return replace(found, placement=placement, latency_s=solution.objective_s)


def _by_program(alone: Instance, found: Alone, method: Method, deadline: float | None) -> Alone:
    """What an integer program adds, if there is anything left to prove and time for it."""
    if math.isinf(found.bound_s) or found.bound_s >= found.latency_s * (1.0 - _CLOSE):
        return found
    bounds = layer_bounds(request_data(alone, 0), found.latency_s)
    if math.isinf(bounds.total):  # nothing below the latency that is known, or nothing at all
        return replace(found, bound_s=found.latency_s)
    found = replace(found, bound_s=max(found.bound_s, min(bounds.total, found.latency_s)))
    left = None if deadline is None else deadline - method.seconds()
    if flow_count(bounds) > MOST_FLOWS or (left is not None and left <= 0.0):
        return found
    method.note(version(method.solver))
    answer = solve_program(Program(alone, (bounds,), (found.bound_s,), 1), method.solver, left, method.say)
    if answer.status == "infeasible":
        return replace(found, bound_s=found.latency_s)
    if answer.placements is not None and answer.placements[0] is not None:
        found = _with(alone, found, answer.placements[0])
    return replace(found, bound_s=min(found.latency_s, max(found.bound_s, answer.bound)))
