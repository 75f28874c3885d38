"""One point of a front by a rule that can be stated, instead of an index that somebody typed."""

from __future__ import annotations

import math
from collections.abc import Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from optimal.early_exit.levels import Floats

RULES = ("budget", "weight")


class Points(Sized, Protocol):
    """A front, by rising cost and falling error."""

    @property
    def error(self) -> Floats:
        """Share of wrong answers ``(F,)``."""

    @property
    def cost(self) -> Floats:
        """Mean cost of a row ``(F,)``, in the unit of the cost."""


@dataclass(frozen=True)
class Rule:
    """``budget``: the least error that costs at most ``amount``; ``weight``: the least error + ``amount`` * cost.

    Costs in the unit of the front. Raises ``ValueError`` for another kind, or an amount that is no number >= 0.
    """

    kind: str
    amount: float

    def __post_init__(self) -> None:
        if self.kind not in RULES:
            raise ValueError(f"rule is {self.kind!r}, expected one of {', '.join(RULES)}")
        if not (math.isfinite(self.amount) and self.amount >= 0):
            raise ValueError(f"{self.kind} is {self.amount}, expected a number >= 0")


def with_margin(tau: float, margin: float) -> float:
    """The acceptance to ask of the rows at hand, so that other rows keep ``tau``: thresholds are fitted, and months drift.

    Raises ``ValueError`` where the sum exceeds 1 or one is negative.
    """
    if tau < 0 or margin < 0 or tau + margin > 1:
        raise ValueError(f"tau is {tau} and margin is {margin}, expected numbers >= 0 that add up to at most 1")
    return tau + margin


def choose(front: Points, rule: Rule) -> int:
    """Index of the point that ``rule`` wants; of equal ones the cheapest.

    Raises ``ValueError`` where the front is empty or all of it costs more than the budget.
    """
    if not len(front):
        raise ValueError("the front has no point, expected thresholds that accept enough rows: lower tau")
    if rule.kind == "weight":
        return int(np.argmin(front.error + rule.amount * front.cost))
    count = int((front.cost <= rule.amount * (1 + 1e-12)).sum())
    if not count:
        raise ValueError(f"budget is {rule.amount:g}, expected at least {front.cost[0]:g}, the least cost of the front")
    return count - 1
