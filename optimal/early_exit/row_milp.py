"""The choice of thresholds once more, row by row: each is answered by exit 1 or exit 2 or rejected, and thresholds couple them.

Of two rows that an exit gives the same class, the surer is accepted if the other is, and equally sure ones are alike. Knows
neither levels nor pair tables: an independent proof for a few rows.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pulp
from numpy.typing import NDArray

from envs.early_exit.types import ATTACK, NORMAL, ExitTable
from optimal.early_exit.levels import EXITS, check_two_exits
from optimal.early_exit.threshold_milp import Prices, Totals, minimised

MOST_ROWS = 30


@dataclass(frozen=True, eq=False)
class BestRoutes:
    """The best routes. ``objective``: error, or priced rows."""

    objective: float
    totals: Totals
    exit: NDArray[np.int64]  # (N,) the exit that answers, from 0; EXITS where rejected


def best_routes(
    table: ExitTable, tau: float, budget: float = 1.0, prices: Prices | None = None, solver: str = "highs"
) -> BestRoutes:
    """Routes of at most ``MOST_ROWS`` rows with the least error (or priced outcomes) that thresholds can bring about.

    Arguments as for ``threshold_milp.best_levels``. Raises ``ValueError`` as that, and for more rows.
    """
    check_two_exits(table)
    rows = len(table)
    if rows > MOST_ROWS:
        raise ValueError(f"the table has {rows} rows, expected at most {MOST_ROWS}")
    problem = pulp.LpProblem("routes", pulp.LpMinimize)
    accepts = [[pulp.LpVariable(f"a{k}_{i:02d}", cat=pulp.LpBinary) for i in range(rows)] for k in range(EXITS)]
    for k in range(EXITS):
        _couple(problem, table, k, accepts[k])
    second = [pulp.LpVariable(f"s_{i:02d}", cat=pulp.LpBinary) for i in range(rows)]
    for i in range(rows):
        problem += second[i] <= accepts[1][i]
        problem += second[i] <= 1 - accepts[0][i]
        problem += second[i] >= accepts[1][i] - accepts[0][i]
    answered = list(zip(range(rows), accepts[0], second, strict=True))

    def wrong(said: int) -> Any:
        true = 1 - said
        return pulp.lpSum(
            variable
            for i, *ways in answered
            for k, variable in enumerate(ways)
            if table.predicted[k, i] == said and table.label[i] == true
        )

    totals = Totals(pulp.lpSum([*accepts[0], *second]), wrong(ATTACK), wrong(NORMAL), rows - pulp.lpSum(accepts[0]))
    objective, found, _ = minimised(problem, totals, rows, tau, budget, prices, solver)
    first, other = (np.array([variable.varValue for variable in part]) > 0.5 for part in (accepts[0], second))
    return BestRoutes(objective, found, np.where(first, 0, np.where(other, 1, EXITS)))


def _couple(problem: pulp.LpProblem, table: ExitTable, stage: int, accepts: list[Any]) -> None:
    for label in (NORMAL, ATTACK):
        own = np.flatnonzero(table.predicted[stage] == label)
        own = own[np.argsort(table.certainty[stage, own], kind="stable")]
        for low, high in itertools.pairwise(own):
            problem += accepts[low] <= accepts[high]
            if table.certainty[stage, low] == table.certainty[stage, high]:
                problem += accepts[low] >= accepts[high]
