"""The choice of thresholds as an integer program: independent of the walk, and open to further linear constraints.

Binary u[q, k]: threshold q is its level k. Continuous w[c1, c2][k, l] in 0..1 with the sums u over either index: products of
the binaries, exact since these are whole. All counts are linear in u and w by the pair tables. The error is a ratio, which
Dinkelbach's method turns into a few linear objectives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pulp
from numpy.typing import NDArray

from envs.early_exit.types import N_CLASSES
from optimal import backends
from optimal.early_exit.exact_front import least_accepted
from optimal.early_exit.levels import NAMES, Floats
from optimal.early_exit.pair_tables import Ints, PairTables

ZERO = 1e-5
"""Objectives nearer to 0 end Dinkelbach's method: those that are not 0 are at least 1 / rows."""
MOST_STEPS = 50


@dataclass(frozen=True)
class Prices:
    """What outcomes cost, for a linear objective. Raises ``ValueError`` for one that is no finite number."""

    false_positive: float = 1.0
    false_negative: float = 1.0
    rejection: float = 0.3
    offload: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not np.isfinite(value):
                raise ValueError(f"price of {name} is {value}, expected a finite number")


@dataclass(frozen=True, eq=False)
class Totals:
    """Rows by outcome: numbers, or expressions of a program."""

    accepted: Any
    false_positives: Any
    false_negatives: Any
    offloaded: Any

    def priced(self, prices: Prices, rows: int) -> Any:
        """The linear objective."""
        return (
            prices.false_positive * self.false_positives
            + prices.false_negative * self.false_negatives
            + prices.rejection * (rows - self.accepted)
            + prices.offload * self.offloaded
        )

    @property
    def wrong(self) -> Any:
        """Rows that got a wrong answer."""
        return self.false_positives + self.false_negatives

    def solved(self) -> Totals:
        """The numbers that the expressions have after a solve, whole."""
        return Totals(*(round(pulp.value(part) or 0.0) for part in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Best:
    """The best choice. ``objective``: error, or priced rows."""

    objective: float
    totals: Totals  # whole numbers
    index: NDArray[np.int64]  # (4,) levels in the order of NAMES
    values: Floats  # (4,) thresholds
    solves: int
    variables: int
    constraints: int


def best_levels(
    tables: PairTables, tau: float, budget: float = 1.0, prices: Prices | None = None, solver: str = "highs"
) -> Best:
    """The choice of levels with the least error (or the least priced outcomes) within limits, by an integer program.

    Args:
        tables: of the rows, for some tens of levels.
        tau: share of the rows that must be accepted.
        budget: share of the rows that may go past exit 1.
        prices: of a linear objective; None: the error of accepted rows.
        solver: highs or cbc.

    Raises:
        ValueError: tau or budget outside 0..1, an unknown solver, or limits that no choice keeps.
    """
    problem = pulp.LpProblem("thresholds", pulp.LpMinimize)
    shape = tables.levels.shape
    chosen = [
        [pulp.LpVariable(f"{name}_{k:03d}", cat=pulp.LpBinary) for k in range(shape[q])] for q, name in enumerate(NAMES)
    ]
    for variables in chosen:
        problem += pulp.lpSum(variables) == 1
    products = {
        (c1, c2): _products(problem, chosen[c1], chosen[N_CLASSES + c2], f"w{c1}{c2}")
        for c1 in range(N_CLASSES)
        for c2 in range(N_CLASSES)
    }

    def answers(first: tuple[Ints, Ints], passed: tuple[tuple[Ints, Ints], tuple[Ints, Ints]], label: int) -> Any:
        terms = list(zip(chosen[label], map(float, first[label]), strict=True))
        for c1 in range(N_CLASSES):
            terms += zip(products[c1, label], map(float, passed[c1][label].ravel()), strict=True)
        return _sum(terms)

    false_negatives, false_positives = (answers(tables.first_wrong, tables.passed_wrong, c) for c in range(N_CLASSES))
    totals = Totals(
        answers(tables.first, tables.passed, 0) + answers(tables.first, tables.passed, 1),
        false_positives,
        false_negatives,
        _sum([(u, float(n)) for c in range(N_CLASSES) for u, n in zip(chosen[c], tables.offloaded[c], strict=True)]),
    )
    objective, found, solves = minimised(problem, totals, tables.rows, tau, budget, prices, solver)
    index = np.array([int(np.argmax([u.varValue for u in variables])) for variables in chosen])
    values = tables.levels.at(index[None])[0]
    return Best(objective, found, index, values, solves, problem.numVariables(), problem.numConstraints())


def minimised(
    problem: pulp.LpProblem, totals: Totals, rows: int, tau: float, budget: float, prices: Prices | None, solver: str
) -> tuple[float, Totals, int]:
    """Add the limits to ``problem`` and minimise; returns objective, numbers of rows and solves. Raises as ``best_levels``."""
    need = least_accepted(rows, tau)
    if not 0 <= budget <= 1:
        raise ValueError(f"budget is {budget}, expected a share of the rows in 0..1")
    problem += totals.accepted >= need
    problem += totals.offloaded <= int(budget * rows + 1e-9)

    def solve(objective: Any) -> Totals:
        problem.setObjective(objective)
        outcome = backends.minimise(problem, solver, None, lambda text: None)
        if outcome.status == "infeasible":
            raise ValueError(
                f"no choice of levels accepts {need} of {rows} rows with at most a share of {budget:g} offloaded: "
                "lower tau, or raise the budget"
            )
        if outcome.status != "optimal":
            raise RuntimeError(f"{solver} has not solved the program {problem.name}: {outcome.status}")
        return totals.solved()

    if prices is not None:
        found = solve(totals.priced(prices, rows))
        return float(found.priced(prices, rows)), found, 1
    return smallest_error(totals, solve)


def smallest_error(totals: Totals, solve: Callable[[Any], Totals]) -> tuple[float, Totals, int]:
    """Dinkelbach's method: the least wrong / accepted, by minimising wrong - error * accepted; error, rows and solves."""
    error = 1.0
    for step in range(1, MOST_STEPS + 1):
        found = solve(totals.wrong - error * totals.accepted)
        value = found.wrong - error * found.accepted
        error = found.wrong / found.accepted
        if abs(value) < ZERO:  # not value < ZERO: from an error too high it is negative
            return error, found, step
    raise RuntimeError(f"Dinkelbach's method has not ended after {MOST_STEPS} steps")


def _products(problem: pulp.LpProblem, rows: list[Any], columns: list[Any], name: str) -> list[Any]:
    """Variables that are the products of two choices, row by row."""
    made = [[pulp.LpVariable(f"{name}_{k:03d}_{m:03d}", 0, 1) for m in range(len(columns))] for k in range(len(rows))]
    for row, u in zip(made, rows, strict=True):
        problem += pulp.lpSum(row) == u
    for column, u in zip(zip(*made, strict=True), columns, strict=True):
        problem += pulp.lpSum(column) == u
    return [variable for row in made for variable in row]


def _sum(terms: list[tuple[Any, float]]) -> Any:
    return pulp.LpAffineExpression([(variable, factor) for variable, factor in terms if factor])
