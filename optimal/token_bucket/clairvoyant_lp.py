"""The clairvoyant optimum once more, as programs through PuLP: an independent proof of the dynamic program.

``cumulative_lp``: S_t counts the sends before frame t. A bucket allows exactly the plans in which every window of frames
i..j has at most floor((capacity + refill * time) / cost) sends, so all rows are differences S_b - S_a <= whole number. Such
a matrix is that of a network: the linear program has a whole solution, without a single binary. Of the windows from one
frame that have the same limit, the longest implies the others.

``inventory_ilp``: tokens as a variable, the obvious model. Exact with binaries, but loose without: half a token can be sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pulp
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from optimal import backends
from optimal.token_bucket.policy import Sent

WHOLE = 1e-6
"""How far from a whole number a count may be to count as one."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A solution. ``fraction``: distance of the sends from whole numbers, at most."""

    value: float
    sends: NDArray[np.float64]  # (T,) in 0..1
    rows: int
    fraction: float

    @property
    def sent(self) -> Sent:
        """Frames ``(T,)`` to send. Raises ``ValueError`` where the solution is not whole."""
        if self.fraction > WHOLE:
            raise ValueError(f"the sends are off whole numbers by {self.fraction:.3g}, expected a whole solution")
        return self.sends > 0.5


def windows(gap: NDArray[np.int64], bucket: Bucket) -> list[tuple[int, int, int]]:
    """Windows (i, j, limit): at most ``limit`` sends among the frames i..j. Only those that no other one implies."""
    times = np.append(0, np.cumsum(gap[:-1]))
    count, rows = len(gap), []
    for i in range(count):
        limits = (bucket.capacity + bucket.refill * (times[i:] - times[i])) // bucket.cost
        ends = np.flatnonzero(np.append(np.diff(limits) > 0, True))  # the longest window of each limit
        rows += [(i, i + int(j), int(limits[j])) for j in ends if limits[j] <= j]
    longest: dict[tuple[int, int], int] = {}
    for i, j, limit in rows:  # of those that end alike with the same limit, too
        longest.setdefault((j, limit), i)
    return [(i, j, limit) for i, j, limit in rows if longest[j, limit] == i]


def cumulative_lp(value: NDArray[np.float64], gap: NDArray[np.int64], bucket: Bucket, solver: str = "highs") -> Plan:
    """The best sends of a trace with a full bucket at first, by differences of counts. A linear program.

    ``value``, ``gap`` ``(T,)`` as for ``clairvoyant.best_sends``. ``solver``: highs or cbc.
    """
    count = _length(value, gap)
    problem = pulp.LpProblem("cumulative", pulp.LpMinimize)
    sent = [pulp.LpVariable(f"s{t:06d}", 0, t) for t in range(count + 1)]
    problem += pulp.lpSum(-float(value[t]) * (sent[t + 1] - sent[t]) for t in range(count))
    for t in range(count):
        problem += sent[t + 1] - sent[t] >= 0
        problem += sent[t + 1] - sent[t] <= 1
    rows = windows(gap, bucket)
    for i, j, limit in rows:
        problem += sent[j + 1] - sent[i] <= limit
    objective = _solve(problem, solver)
    counts = np.array([one.varValue or 0.0 for one in sent])
    return _plan(-objective, np.diff(counts), len(rows))


def inventory_ilp(
    value: NDArray[np.float64],
    gap: NDArray[np.int64],
    bucket: Bucket,
    solver: str = "highs",
    *,
    relaxed: bool = False,
) -> Plan:
    """The best sends with micro-tokens as variables. ``relaxed``: without whole numbers, an upper bound that is loose."""
    count = _length(value, gap)
    problem = pulp.LpProblem("inventory", pulp.LpMinimize)
    kind = pulp.LpContinuous if relaxed else pulp.LpBinary
    send = [pulp.LpVariable(f"x{t:06d}", 0, 1, kind) for t in range(count)]
    tokens = [pulp.LpVariable(f"n{t:06d}", 0, bucket.capacity) for t in range(count)]
    problem += pulp.lpSum(-float(value[t]) * send[t] for t in range(count))
    for t in range(count):
        problem += bucket.cost * send[t] <= tokens[t]
        if t + 1 < count:
            problem += tokens[t + 1] <= tokens[t] - bucket.cost * send[t] + bucket.refill * int(gap[t])
    objective = _solve(problem, solver)
    return _plan(-objective, np.array([one.varValue or 0.0 for one in send]), 2 * count - 1)


def greedy_by_value(value: NDArray[np.float64], gap: NDArray[np.int64], bucket: Bucket) -> Sent:
    """Frames ``(T,)`` by falling value, each sent where the bucket can still pay: looks optimal, and is not."""
    limits = windows(gap, bucket)
    sent = np.zeros(_length(value, gap), np.bool_)
    for t in np.argsort(-value, kind="stable"):
        if value[t] <= 0:
            break
        sent[t] = True
        if any(i <= t <= j and sent[i : j + 1].sum() > limit for i, j, limit in limits):
            sent[t] = False
    return sent


def _length(value: NDArray[np.float64], gap: NDArray[np.int64]) -> int:
    if len(value) < 1 or len(value) != len(gap):
        raise ValueError(f"value has {len(value)} entries and gap {len(gap)}, expected as many, at least one")
    return len(value)


def _solve(problem: pulp.LpProblem, solver: str) -> float:
    outcome = backends.minimise(problem, solver, None, lambda text: None)
    if outcome.objective is None or outcome.status != "optimal":
        raise RuntimeError(f"{solver} has not solved the program {problem.name}: {outcome.status}")
    return outcome.objective


def _plan(value: float, sends: NDArray[np.float64], rows: int) -> Plan:
    return Plan(value, sends, rows, float(np.abs(sends - np.round(sends)).max()))
