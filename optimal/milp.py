"""Requests of one period as one integer program (docs/optimal.md): fewest rejections, then the least summed latency.

What comes out is replayed in the environment's physics before it is believed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pulp

from envs.distprivacy.replay import replay
from envs.distprivacy.types import Device, Instance, RequestSolution, Solution
from optimal.assign import Placement, assign
from optimal.backends import GAP, minimise, settle
from optimal.budget_model import add_budgets
from optimal.layer_bounds import LayerBounds
from optimal.privacy_model import add_privacy, is_exact
from optimal.progress import Say
from optimal.request_model import RequestModel, Term, total, value, values

AGREEMENT = 1e-9
"""Largest relative difference between the latency of an integer program and that of the replay."""


@dataclass(frozen=True)
class Program:
    """An integer program to be solved: requests of an instance, with what is known about each."""

    instance: Instance
    requests: tuple[LayerBounds, ...]
    floors: tuple[float, ...]  # seconds that each takes at least, if served
    least_served: int | None = None  # None: as many as can be is the objective


@dataclass(frozen=True)
class Found:
    """The answer: ``placements`` in the order of the program's requests, None where rejected."""

    status: str  # optimal, feasible, infeasible, unknown
    placements: tuple[Placement | None, ...] | None
    bound: float  # of the objective: seconds, or rejections


def solve_program(program: Program, solver: str, time_limit: float | None, say: Say) -> Found:
    """Solve one integer program and replay what it finds.

    Raises:
        RuntimeError: the physics does not confirm latency or constraints of the solution.
    """
    problem, models, paths = _build(program)
    shown = 1e3 * models[0].unit_s if program.least_served is not None else 1.0
    outcome = minimise(problem, solver, time_limit, say, shown)
    scale = models[0].unit_s if program.least_served is not None else 1.0
    if outcome.objective is None:
        return Found(outcome.status, None, outcome.bound * scale)
    placements = _placements(models, paths)
    exact = all(map(is_exact, models))
    sound = _confirm(program, problem, models, placements, strict=exact, proven=outcome.status == "optimal")
    status = outcome.status if sound else "unknown"
    return Found(status, placements if sound else None, outcome.bound * scale)


_Paths = list[list[tuple[list[int], dict[tuple[int, ...], Term]]]]


def _build(program: Program) -> tuple[pulp.LpProblem, list[RequestModel], _Paths]:
    single = len(program.requests) == 1 and program.least_served == 1
    goal = "rejections" if program.least_served is None else "ms"
    problem = pulp.LpProblem(f"{goal}_of_{len(program.requests)}_requests", pulp.LpMinimize)
    unit_s = sum(program.floors) / 1000.0 or 1e-6
    models, paths = [], []
    for bounds, floor in zip(program.requests, program.floors, strict=True):
        name = f"r{bounds.data.index}"
        served: Term = 1 if single else pulp.LpVariable(f"s_{name}", 0, 1, pulp.LpInteger)
        model = RequestModel(problem, bounds, unit_s, served, name).build()
        problem += model.latency >= floor / unit_s * served
        paths.append(add_privacy(model))
        models.append(model)
    add_budgets(problem, program.instance, models)
    _break_symmetry(problem, program.instance, models)
    latency, number = total(model.latency for model in models), total(model.served for model in models)
    if program.least_served is None:
        problem.setObjective(len(models) - number)
    else:
        problem.setObjective(latency)
        if not single:
            problem += number >= program.least_served
    return problem, models, paths


def kind_of(instance: Instance, index: int) -> tuple[str, Device]:
    """What makes requests alike: network, and numbers of the source."""
    request = instance.requests[index]
    return request.network, replace(instance.sources[request.source], name="")


def _break_symmetry(problem: pulp.LpProblem, instance: Instance, models: Sequence[RequestModel]) -> None:
    """Of like devices the first hold most of the first layer; of like requests the first are served, and take longest."""
    alike = [replace(device, name="") for device in instance.devices]
    for j, after in _next_alike(alike):
        terms: tuple[list[Term], list[Term]] = ([], [])
        for model in models:
            for k in range(1, len(model.data.rows)):
                if not model.data.on_source(k):
                    terms[0].append(model.counts[k][j])
                    terms[1].append(model.counts[k][after])
                    break
        problem += total(terms[0]) >= total(terms[1])
    kinds = [(*kind_of(instance, model.data.index), instance.requests[model.data.index].source) for model in models]
    for first, second in _next_alike(kinds):
        problem += models[first].served >= models[second].served
        problem += models[first].latency >= models[second].latency


def _next_alike(things: Sequence[object]) -> list[tuple[int, int]]:
    """Pairs of neighbours among equal things, by index."""
    return [
        pair
        for n, thing in enumerate(things)
        if thing not in things[:n]
        for pair in itertools.pairwise(m for m, other in enumerate(things) if other == thing)
    ]


def _placements(models: Sequence[RequestModel], paths: _Paths) -> tuple[Placement | None, ...]:
    result: list[Placement | None] = []
    for model, groups in zip(models, paths, strict=True):
        if round(value(model.served)) == 0:
            result.append(None)
            continue
        devices = len(model.data.speed)
        counts = np.array([[round(value(n)) for n in row] for row in model.counts], np.int64)
        flows = {pair: values(row, devices) for pair, row in model.flows.items()}
        for (before, _), flow in flows.items():
            np.fill_diagonal(flow, 0)
            np.fill_diagonal(flow, counts[before] - flow.sum(axis=1))
        ways = [(group, {path: round(value(x)) for path, x in row.items()}) for group, row in groups]
        result.append(assign(model.data, counts, flows, ways))
    return tuple(result)


def _confirm(
    program: Program,
    problem: pulp.LpProblem,
    models: Sequence[RequestModel],
    placements: Sequence[Placement | None],
    *,
    strict: bool,
    proven: bool,
) -> bool:
    """Whether the physics confirms a solution; where it must (``strict``), RuntimeError if it does not.

    A solution not proven optimal may claim more time than it takes: the binaries of a holder or a state may be 1 without
    need, and a request may wait for a like one. It may never claim less.
    """
    requests = tuple(program.instance.requests[bounds.data.index] for bounds in program.requests)
    entries = tuple(
        RequestSolution(True, None) if placed is None else RequestSolution(False, None, placed) for placed in placements
    )
    report = replay(replace(program.instance, requests=requests), Solution(entries, 0.0))
    if report.violations:
        if strict:
            raise RuntimeError(f"the solution of an integer program breaks a constraint: {report.violations[0]}")
        return False
    if program.least_served is not None:
        claimed = settle(problem) * models[0].unit_s
        slack = (GAP + AGREEMENT if proven else math.inf) * claimed
        if not -AGREEMENT * report.objective_s <= claimed - report.objective_s <= slack:
            raise RuntimeError(f"an integer program says {claimed!r} s, the physics {report.objective_s!r} s")
    return True
