"""How many: units that fit a budget, and counts that stay within a limit when devices collude."""

from __future__ import annotations

import numpy as np

from envs._jit import allocating_kernel, inlined_kernel
from envs.distprivacy.dynamics import BUDGET_TOLERANCE
from envs.distprivacy.state import Row

MANY = 1e9
"""Where a unit costs nothing."""


@inlined_kernel
def fits(budget: float, used: float, unit: float) -> float:
    """Units that still fit a budget: floor((budget (1 + 1e-9) - used) / unit); a large number where a unit costs nothing."""
    if unit <= 0.0:
        return MANY
    return max(0.0, np.floor((budget * (1.0 + BUDGET_TOLERANCE) - used) / unit))  # type: ignore[no-any-return]


@allocating_kernel
def largest(values: Row, start: int, n: int, c: int, at: int, value: float) -> float:
    """Sum of the c largest of ``values[start:start + n]``, with entry ``at`` (if >= 0) taken to be ``value``."""
    best = np.zeros(c)
    for j in range(n):
        x = value if j == at else values[start + j]
        for r in range(c):
            if x > best[r]:
                x, best[r] = best[r], x
    return best.sum()  # type: ignore[no-any-return]


@allocating_kernel
def most_total(low: Row, high: Row, limit: float, c: int) -> float:
    """Largest sum of counts x with low <= x <= high of which the c largest together stay within ``limit``; -1 if none.

    Raising the smallest counts first costs the c largest least, so the best x is a water level.
    """
    n = low.shape[0]
    x = low.copy()
    if largest(x, 0, n, c, -1, 0.0) > limit:
        return -1.0
    while True:
        # raise every count at or below the current lowest raisable level by one, one at a time
        pick = -1
        for j in range(n):
            if x[j] < high[j] and (pick < 0 or x[j] < x[pick]):
                pick = j
        if pick < 0 or largest(x, 0, n, c, pick, x[pick] + 1.0) > limit:
            return x.sum()  # type: ignore[no-any-return]
        x[pick] += 1.0
