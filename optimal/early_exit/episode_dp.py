"""The knapsack of an episode by dynamic programming over the budget that is left, and by trying everything: cross-checks.

Rows of a budget are whole, so the table over what is used is exact. The acceptance of the episode enters with a price instead
of a constraint: for each price the minimum bounds the optimum from below (Lagrange), and where acceptance costs nothing, it is
the optimum.
"""

from __future__ import annotations

import itertools

import numpy as np

from optimal.early_exit.episodes import Floats
from optimal.early_exit.knapsack import Knapsack
from optimal.early_exit.playing import Ints

MOST_BUDGET = 1_000_000
"""Rows that a budget may have."""
MOST_PLANS = 2_000_000
"""Plans that may be tried one by one."""


def budget_dp(knapsack: Knapsack, value: float = 0.0) -> tuple[float, Ints]:
    """Least ``sum of cost - value * accepted`` within the budget, and columns ``(T,)`` that reach it.

    Raises ``ValueError`` for uses that are not whole numbers or a budget that is too large for a table.
    """
    if not knapsack.whole:
        raise ValueError("uses of the budget are not whole numbers, expected a budget of rows")
    most = float(knapsack.use.max(axis=1).sum())
    budget = int(min(np.floor(knapsack.budget), most))
    if budget > MOST_BUDGET:
        raise ValueError(f"budget is {budget} rows, expected at most {MOST_BUDGET}")
    windows, columns = knapsack.cost.shape
    price = knapsack.cost - value * knapsack.accepted
    best = np.zeros(budget + 1)  # of the windows so far, using at most that much
    choice = np.zeros((windows, budget + 1), np.int32)
    for t in range(windows):
        following = np.full(budget + 1, np.inf)
        for a in range(columns):
            use = int(knapsack.use[t, a])
            if use > budget:
                continue
            through = best[: budget + 1 - use] + price[t, a]
            better = through < following[use:]
            following[use:][better] = through[better]
            choice[t, use:][better] = a
        best = following
    left, found = budget, np.empty(windows, np.int64)
    for t in range(windows - 1, -1, -1):
        found[t] = choice[t, left]
        left -= int(knapsack.use[t, found[t]])
    return float(best[budget]), found


def lagrange_bound(knapsack: Knapsack, steps: int = 30) -> float:
    """The best bound over prices of acceptance in 0..``price``, by golden sections: it is concave in the price."""

    def bound(value: float) -> float:
        return budget_dp(knapsack, value)[0] + value * knapsack.needed

    low, high, ratio = 0.0, knapsack.price, (5**0.5 - 1) / 2
    best = max(bound(low), bound(high))
    first, second = high - ratio * (high - low), low + ratio * (high - low)
    at_first, at_second = bound(first), bound(second)
    for _ in range(steps):
        best = max(best, at_first, at_second)
        if at_first >= at_second:
            high, second, at_second = second, first, at_first
            first = high - ratio * (high - low)
            at_first = bound(first)
        else:
            low, first, at_first = first, second, at_second
            second = low + ratio * (high - low)
            at_second = bound(second)
    return best


def enumerated(knapsack: Knapsack) -> tuple[float, Ints]:
    """The least cost of all plans of actions as the physics plays them, and a plan ``(T,)`` that has it.

    Raises ``ValueError`` where there are too many.
    """
    windows = len(knapsack.cost)
    if knapsack.actions**windows > MOST_PLANS:
        raise ValueError(f"there are {knapsack.actions}^{windows} plans, expected at most {MOST_PLANS}")
    best, found = np.inf, np.zeros(windows, np.int64)
    for plan in itertools.product(range(knapsack.actions), repeat=windows):
        cost = cost_of(knapsack, plan)
        if cost < best:
            best, found = cost, np.array(plan, np.int64)
    return float(best), found


def cost_of(knapsack: Knapsack, plan: tuple[int, ...] | Ints) -> float:
    """Cost of a plan of actions ``(T,)``, with fallbacks where they do not fit."""
    left, columns = knapsack.budget, []
    for t, action in enumerate(plan):
        column = int(action) if knapsack.use[t, action] <= left else int(knapsack.fallback[action])
        left -= knapsack.use[t, column]
        columns.append(column)
    return knapsack.objective(np.array(columns, np.int64))


def totals(knapsack: Knapsack, columns: Ints) -> Floats:
    """Cost without the charge, use and accepted rows of columns ``(T,)``, as ``(3,)``."""
    at = (np.arange(len(columns)), columns)
    return np.array([knapsack.cost[at].sum(), knapsack.use[at].sum(), knapsack.accepted[at].sum()])
