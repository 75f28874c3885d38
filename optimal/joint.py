"""Requests whose budgets bind: first the fewest rejections, then the least summed latency, as one integer program each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from envs.distprivacy.types import Instance, Solution
from optimal.alone import MOST_FLOWS, Alone, flow_count, solve_alone
from optimal.assign import Placement
from optimal.backends import version
from optimal.incumbent import better, greedy, in_turn, replayed, reseated, thrifty
from optimal.layer_bounds import LayerBounds, layer_bounds
from optimal.method import Method
from optimal.milp import Program, solve_program
from optimal.rejections import least_rejections
from optimal.request_data import request_data

_CLOSE = 1e-9
"""Relative difference below which a bound and a latency are the same."""


@dataclass(frozen=True)
class Joint:
    """What is known about all requests together."""

    solution: Solution
    rejections: int  # proven least number
    bound_s: float  # of the summed latency with so many rejections


def solve_joint(instance: Instance, single: Sequence[Alone], method: Method) -> Joint:
    """The requests of an instance together; ``single``: what is known about each alone."""
    able = [index for index, one in enumerate(single) if not one.is_impossible]
    data = [request_data(instance, index) for index in able]
    method.note(version(method.solver))
    rejected = len(single) - len(able) + least_rejections(instance, data, method.solver, method.say)
    solution = _incumbent(instance, single, method)
    rejected, solution = _fewest(instance, single, able, rejected, solution, method)
    bound = _least_sum(single, able, len(single) - rejected)
    known = Joint(solution, rejected, bound)
    if solution.rejections > rejected or bound >= solution.objective_s * (1.0 - _CLOSE):
        return replace(known, bound_s=min(bound, solution.objective_s) if solution.rejections == rejected else bound)
    return _fastest(instance, single, able, known, method)


def _least_sum(single: Sequence[Alone], able: Sequence[int], served: int) -> float:
    """The least sum of as many single bounds as are served, seconds."""
    return math.fsum(sorted(single[index].bound_s for index in able)[:served])


def _incumbent(instance: Instance, single: Sequence[Alone], method: Method) -> Solution:
    """A good valid solution: greedy, or each request as well as those before it allow."""
    method.say("requests in turn")
    quick = Method(method.solver, method.chain, None, method.say)

    def place(left: Instance, index: int) -> Placement | None:
        wish = single[index].placement
        if wish is not None:
            alone = replace(left, requests=(left.requests[index],))
            if not replayed(alone, [wish])[1].violations:
                return wish
        limit = method.left(0.5 / len(single))
        quick.time_limit = 10.0 if limit is None else min(limit, 10.0)
        quick.start = quick.clock()
        return solve_alone(left, index, quick).placement

    found = better(in_turn(instance, place), greedy(instance))
    if found is not None and found.rejections:
        method.say("requests with little data")
        found = better(found, reseated(instance, thrifty(instance), place))
    assert found is not None
    for name in quick.used:
        method.note(name)
    return found


def _program(
    instance: Instance, single: Sequence[Alone], able: Sequence[int], served: int | None, most_s: float
) -> Program | None:
    """The program of all requests that can be served; None where it is too large. ``most_s``: latency to be beaten."""
    requests: list[LayerBounds] = []
    for index in able:
        others = [n for n in able if n != index]
        room = most_s if served is None else most_s - _least_sum(single, others, served - 1)
        bounds = layer_bounds(request_data(instance, index), room)
        if math.isinf(bounds.total):  # not in any solution as good as the one that is known: left as wide as can be
            bounds = layer_bounds(request_data(instance, index))
        requests.append(bounds)
    if sum(map(flow_count, requests)) > MOST_FLOWS:
        return None
    floors = tuple(max(single[index].bound_s, bounds.total) for index, bounds in zip(able, requests, strict=True))
    return Program(instance, tuple(requests), floors, served)


def _fewest(
    instance: Instance, single: Sequence[Alone], able: Sequence[int], proven: int, solution: Solution, method: Method
) -> tuple[int, Solution]:
    """The proven number of rejections, and the best solution known after looking for fewer."""
    if solution.rejections == proven or method.is_over():
        return proven, solution
    program = _program(instance, single, able, None, math.inf)
    if program is None:
        return proven, solution
    answer = solve_program(program, method.solver, method.left(0.5), method.say)
    hopeless = len(single) - len(able)
    if math.isfinite(answer.bound):
        proven = max(proven, hopeless + math.ceil(answer.bound - 1e-6))
    found = _spread(instance, able, answer.placements)
    chosen = better(solution, found)
    assert chosen is not None
    return min(proven, chosen.rejections), chosen


def _spread(
    instance: Instance, able: Sequence[int], placements: tuple[Placement | None, ...] | None
) -> Solution | None:
    """Placements of the requests in ``able`` as a solution of the whole instance."""
    if placements is None:
        return None
    every: list[Placement | None] = [None] * len(instance.requests)
    for index, layers in zip(able, placements, strict=True):
        every[index] = layers
    return replayed(instance, every)[0]


def _fastest(instance: Instance, single: Sequence[Alone], able: Sequence[int], known: Joint, method: Method) -> Joint:
    """The least summed latency with the proven number of rejections."""
    served = len(single) - known.rejections
    program = None if method.is_over() else _program(instance, single, able, served, known.solution.objective_s)
    if program is None:
        return known
    answer = solve_program(program, method.solver, method.left(), method.say)
    if answer.status == "infeasible":  # nothing is as good as what is known
        return replace(known, bound_s=known.solution.objective_s)
    solution = better(known.solution, _spread(instance, able, answer.placements))
    assert solution is not None
    return Joint(solution, known.rejections, min(solution.objective_s, max(known.bound_s, answer.bound)))
