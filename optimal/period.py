"""All requests of a period: each alone, then together (docs/optimal.md).

Requests meet only in the budgets. The sum of the single optima is therefore a bound, and where the single placements
together meet every budget they are the optimum, with no joint solve.
"""

from __future__ import annotations

import math
from dataclasses import replace

from envs.distprivacy.types import Device, Instance
from optimal.alone import Alone, solve_alone
from optimal.incumbent import replayed
from optimal.joint import Joint, solve_joint
from optimal.method import Method
from optimal.milp import kind_of
from optimal.reference import Reference

PROVEN = 1e-6
"""Largest relative gap of what counts as optimal."""


def solve_period(instance: Instance, method: Method) -> Reference:
    """The reference of an instance."""
    single = _each_alone(instance, method)
    known = _apart(instance, single)
    if known is None:
        known = solve_joint(instance, single, method)
    return _reference(known, method)


def _each_alone(instance: Instance, method: Method) -> list[Alone]:
    """What is known about each request alone; like requests of like sources are solved once."""
    kinds = [kind_of(instance, index) for index in range(len(instance.requests))]
    known: dict[tuple[str, Device], Alone] = {}
    for index, kind in enumerate(kinds):
        if kind not in known:
            method.say(f"request {index} alone")
            known[kind] = solve_alone(instance, index, method, 1.0 / len(set(kinds[index:])))
    return [known[kind] for kind in kinds]


def _apart(instance: Instance, single: list[Alone]) -> Joint | None:
    """The single placements together; None where one is missing or they break a budget."""
    if any(one.placement is None and not one.is_impossible for one in single):
        return None
    solution, report = replayed(instance, [one.placement for one in single])
    if report.violations:
        return None
    bound = math.fsum(one.bound_s for one in single if not one.is_impossible)
    return Joint(solution, solution.rejections, min(bound, solution.objective_s))


def _reference(known: Joint, method: Method) -> Reference:
    """What is known, as a reference and in the claims of its solution."""
    solution, gap = known.solution, None
    if solution.rejections == known.rejections:
        gap = (solution.objective_s - known.bound_s) / solution.objective_s if solution.objective_s else 0.0
    status = "optimal" if gap is not None and gap <= PROVEN else "feasible"
    seconds, solver = method.seconds(), " + ".join(method.used) or "bounds"
    return Reference.of(
        replace(
            solution,
            status=status,
            bound_s=known.bound_s,
            gap=gap,
            rejections_bound=known.rejections,
            seconds=seconds,
            solver=solver,
        )
    )
