"""Memory, compute and bandwidth of a period as rows of an integer program, where they can bind at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pulp

from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import BUDGET_TOLERANCE
from envs.distprivacy.types import Instance
from optimal.request_model import RequestModel, Row, Term, total

Terms = list[tuple[float, Term, float]]
"""Amount of a budget that one of something uses, a count, and the largest value of that count."""


def add_budgets(problem: pulp.LpProblem, instance: Instance, models: Sequence[RequestModel]) -> None:
    """Add the rows of all devices and sources over all requests."""
    for j, device in enumerate(instance.devices):
        _add(problem, device.memory_bytes, [term for model in models for term in _used(model, j, t.WEIGHT)])
        compute = device.compute(instance.period_s)
        _add(problem, compute, [term for model in models for term in _used(model, j, t.MULTS)])
        _add_bandwidth(problem, device.bandwidth(instance.period_s), models, j)
    for index, source in enumerate(instance.sources):
        own = [model for model in models if instance.requests[model.data.index].source == index]
        _add(problem, source.memory_bytes, [(model.data.memory, model.served, 1.0) for model in own])
        _add(problem, source.compute(instance.period_s), [(model.data.compute, model.served, 1.0) for model in own])
        _add(problem, source.bandwidth(instance.period_s), [(model.data.sent, model.served, 1.0) for model in own])


def _add(problem: pulp.LpProblem, budget: float, terms: Terms) -> None:
    """Add a budget's row, in its largest unit: all amounts are whole, so half of what they share is room for rounding."""
    terms = [term for term in terms if term[0] > 0.0 and not (isinstance(term[1], int) and term[1] == 0)]
    available = budget * (1.0 + BUDGET_TOLERANCE)
    if sum(amount * most for amount, _, most in terms) <= available:
        return
    step = math.gcd(*(int(amount) for amount, _, _ in terms))
    largest = max(amount for amount, _, _ in terms)
    room = (math.floor(available / step) + 0.5) * step
    problem += total((amount / largest) * count for amount, count, _ in terms) <= room / largest


def _used(model: RequestModel, j: int, column: int) -> Terms:
    """What the layers of one request use of device ``j``'s memory or compute."""
    return [
        (float(model.data.rows[k, column]), model.counts[k][j], float(model.data.room[k, j]))
        for k in range(1, len(model.data.rows))
        if not model.data.on_source(k)
    ]


def _add_bandwidth(problem: pulp.LpProblem, budget: float, models: Sequence[RequestModel], j: int) -> None:
    """Add the row of what device ``j`` sends, if it can send more than its budget at all."""
    most = sum(amount * count for model in models for amount, _, count in _sent(model, j, bound_only=True))
    if most > budget * (1.0 + BUDGET_TOLERANCE):
        _add(problem, budget, [term for model in models for term in _sent(model, j, bound_only=False)])


def _sent(model: RequestModel, j: int, *, bound_only: bool) -> Terms:
    """Bytes that device ``j`` sends for each layer: unit, number of units, most of them. ``bound_only``: no new variables."""
    data, result = model.data, []
    for k in range(2, len(data.rows)):
        if data.on_source(k - 1):
            continue
        unit, mode = float(data.rows[k, t.IN_UNIT]), data.mode(k)
        wide = mode in (t.PARTIAL, t.GATHER_ALL)
        held: Row = model.holds[k - 1] if wide else model.counts[k - 1]
        each = data.segments(k) if mode == t.PARTIAL else 1
        most = float(each * (min(1, data.room[k - 1, j]) if wide else data.room[k - 1, j]))
        units: Term = each * held[j]
        if not bound_only and not data.on_source(k):
            if mode == t.MAPS:
                units = total(flow for (a, b), flow in model.flows[k - 1, k].items() if a == j and b != j)
            else:  # what device j needs of its own it does not send
                units = units - _kept(model, k, j, held[j])
        result.append((unit, units, most))
    return result


def _kept(model: RequestModel, k: int, j: int, held: Term) -> Term:
    """Units that device ``j`` need not send for layer ``k``: it holds them and needs them itself."""
    data, here = model.data, model.counts[k][j]
    if isinstance(held, int) or isinstance(here, int):
        return 0
    kept = model.variable(f"kept{k}_{j}")
    if data.mode(k) == t.PARTIAL:
        model.problem += kept <= here
        model.problem += kept <= int(data.room[k, j]) * held
    else:
        most = 1 if data.mode(k) == t.GATHER_ALL else int(data.room[k - 1, j])
        model.problem += kept <= held
        model.problem += kept <= most * here
    return kept
