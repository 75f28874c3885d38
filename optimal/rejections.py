"""A lower bound on the rejections of a period from sums alone, for periods that are too large for one program."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pulp

from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import BUDGET_TOLERANCE
from envs.distprivacy.types import Instance
from optimal.backends import minimise
from optimal.progress import Say
from optimal.request_data import Floats, RequestData


def least_bytes(data: RequestData) -> float:
    """Bytes that all devices together send for one request, at least: limits spread a layer, and spread layers send."""
    total = 0.0
    for k in range(2, len(data.rows)):
        if data.on_source(k - 1):
            continue
        unit, mode = float(data.rows[k, t.IN_UNIT]), data.mode(k)
        held, most = data.segments(k - 1), int(data.room[k - 1].max(initial=0))
        holders = math.ceil(held / most) if most else 1
        at_source = data.on_source(k)
        if mode == t.PARTIAL:
            total += unit * data.segments(k) * (holders if at_source else holders - 1)
        elif mode == t.GATHER_ALL:
            total += unit * (holders if at_source else holders - 1)
        elif at_source:
            total += unit * held
        elif mode == t.GATHER:
            total += unit * max(0, held - most)
    return total


def least_rejections(instance: Instance, requests: Sequence[RequestData], solver: str, say: Say) -> int:
    """Requests that must be rejected, at least: what all need together is compared with what all devices have together."""
    problem = pulp.LpProblem("rejections", pulp.LpMinimize)
    served = [pulp.LpVariable(f"s{data.index}", 0, 1, pulp.LpInteger) for data in requests]
    problem += len(requests) - pulp.lpSum(served)
    period = instance.period_s
    needs = []
    for data in requests:
        split = [k for k in range(len(data.rows)) if not data.on_source(k)]
        split_sums = [
            float((data.rows[split, t.SEGMENTS] * data.rows[split, column]).sum()) for column in (t.WEIGHT, t.MULTS)
        ]
        needs.append((*split_sums, least_bytes(data)))
    owners = [(d.memory_bytes, d.compute(period), d.bandwidth(period)) for d in instance.devices]
    _add(problem, np.array(needs), served, np.array(owners).sum(axis=0))
    for index, source in enumerate(instance.sources):
        own = [n for n, data in enumerate(requests) if instance.requests[data.index].source == index]
        if own:
            amounts = np.array([(requests[n].memory, requests[n].compute, requests[n].sent) for n in own])
            budgets = np.array([source.memory_bytes, source.compute(period), source.bandwidth(period)])
            _add(problem, amounts, [served[n] for n in own], budgets)
    outcome = minimise(problem, solver, 10.0, say)
    return max(0, math.ceil(outcome.bound - 1e-6)) if math.isfinite(outcome.bound) else 0


def _add(problem: pulp.LpProblem, needs: Floats, served: Sequence[pulp.LpVariable], budgets: Floats) -> None:
    """Add rows: what the served need of each of three budgets is there."""
    for column, budget in enumerate(budgets):
        amounts = needs[:, column]
        if amounts.sum() > budget * (1.0 + BUDGET_TOLERANCE):
            largest = float(amounts.max())
            row = pulp.lpSum(float(amount) / largest * s for amount, s in zip(amounts, served, strict=True))
            problem += row <= float(budget) * (1.0 + 1e-8) / largest
