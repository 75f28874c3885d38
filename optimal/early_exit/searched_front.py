"""A front of error and cost for any number of exits from two on, by search among mass-aware levels.

The exact front (``exact_front``) is for two exits. Here the least error is searched for at falling limits of the cost, each a
fractional program that Dinkelbach's method turns into searches with a price of an answer; it need not be all of the front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from envs.early_exit.costs import Deployment, NetworkWork, stage_costs
from envs.early_exit.types import ExitTable, Thresholds
from optimal.early_exit.actions import ended, shares
from optimal.early_exit.exact_front import least_accepted
from optimal.early_exit.exit_choices import Aim, Choices, Ints, Search
from optimal.early_exit.levels import Floats, by_exit
from optimal.early_exit.pareto import non_dominated

COSTS = ("offload", "energy", "latency")
"""Share of the rows that are sent; joules of the edge; seconds, as without others on link and cloud."""
SLACK = 1e-9
"""Rows by which a limit may be missed, for rounded sums; a smaller fall of the error is none."""


@dataclass(frozen=True, eq=False)
class ExitCost:
    """Mean cost of a row: ``base + span * share``, where the share is the mean of ``use`` at the exits where rows end."""

    name: str  # what is counted
    unit: str  # of a mean cost; empty: a share
    use: Floats  # (E,) 0 at the first exit, 1 at the last one
    base: float  # where no row goes on
    span: float  # what is added where all go to the last exit

    @classmethod
    def of(
        cls, kind: str, exits: int, *, remote_from: int = 2, work: NetworkWork | None = None, sends: str = "input"
    ) -> ExitCost:
        """One of ``COSTS`` for a network with so many exits, on the default devices.

        Raises ``ValueError`` for another one, for less than two exits, and where going on costs nothing.
        """
        if kind not in COSTS:
            raise ValueError(f"cost is {kind!r}, expected one of {', '.join(COSTS)}")
        if exits < 2:
            raise ValueError(f"the table has {exits} exit, expected at least 2: with one there is nothing to trade")
        if work is None and kind != "offload":
            raise ValueError(f"work is None, expected the work of the network, because cost is {kind}")
        if work is not None and work.exits != exits:
            raise ValueError(f"work has {work.exits} exits, expected {exits} as the table")
        deployment = Deployment(remote_from=remote_from, sends=sends)
        costs = stage_costs(work or NetworkWork((0,) * exits, (0,) * exits, (0,) * exits, 1), deployment)
        name, unit, each = {
            "offload": ("share sent", "", np.where(np.arange(exits) > 0, costs.crosses, 0.0)),
            "energy": ("energy of the edge", "J", costs.joules),
            "latency": ("latency", "s", costs.seconds(deployment)),
        }[kind]
        span = float(each[1:].sum())
        if span <= 0:
            raise ValueError(f"remote_from is {remote_from} and cost is {kind}: going past exit 1 costs nothing then")
        return cls(name, unit, np.append(0.0, np.cumsum(each[1:]) / span), float(each[0]), span)


@dataclass(frozen=True, eq=False)
class SearchedFront:
    """Points by rising cost and falling error."""

    thresholds: Thresholds  # (F, E, 2)
    error: Floats  # (F,) share of wrong answers
    cost: Floats  # (F,) mean cost of a row, in the unit of the cost
    share: Floats  # (F,) the same, normalised
    acceptance: Floats  # (F,) share of the rows that get an answer
    ended: Floats  # (F, E) share of the rows that end at each exit

    def __len__(self) -> int:
        return len(self.error)


def searched_front(
    table: ExitTable,
    cost: ExitCost,
    tau: float,
    *,
    levels: int = 15,
    rejects: int = 4,
    step: float = 0.01,
    say: Callable[[str], None] = lambda text: None,
) -> SearchedFront:
    """What is not dominated among the least errors found at limits of the normalised cost that fall by ``step`` at least.

    Args:
        table: rows of two exits or more.
        cost: what rows cost by the exit at which they end.
        tau: share of the rows that must be accepted, 0..1; with 0 at least one row.
        levels: thresholds of each exit and class to choose from.
        rejects: levels below which exits before the last may reject, as of ``Choices.of``.
        step: between two limits.
        say: told how far it is.

    Raises:
        ValueError: numbers out of range, or another number of exits than those of the cost.
    """
    if table.exits != len(cost.use):
        raise ValueError(f"the cost is of {len(cost.use)} exits, but the table has {table.exits}")
    if not 0 < step <= 1:
        raise ValueError(f"step is {step}, expected a number in 0..1, above 0")
    need = least_accepted(len(table), tau)
    choices = Choices.of(by_exit(table, levels), rejects)
    search = Search.of(table, choices, cost.use)
    found: list[Ints] = []
    limit, error = 1.0, 0.0
    used = 1.0
    while used > 0:
        say(f"limit {limit:.2f}, {len(found)} points")
        index, error, used = _least_error(table, search, need, limit, error)
        found.append(index)
        limit = max(min(limit, used) - step, 0.0)
    ways = choices.thresholds(np.stack(found))
    fp, fn, accepted, share = shares(table, ways, cost.use).T
    every = (fp + fn) / accepted
    kept = non_dominated(np.stack([every, share], axis=1))
    ways = Thresholds(ways.accept[kept], ways.reject[kept])
    spent = cost.base + cost.span * share[kept]
    return SearchedFront(ways, every[kept], spent, share[kept], accepted[kept], ended(table, ways))


def _least_error(table: ExitTable, search: Search, need: int, limit: float, price: float) -> tuple[Ints, float, float]:
    """The choice of least error that is found within a limit, its error and its normalised cost; ``price``: one not above.

    There is one: exit 1 may answer all rows.
    """
    rows, starts = len(table), list[Ints]()
    best, error, used = search.choices.opening(), np.inf, 0.0
    while True:
        aim = Aim(1.0, 1.0, price, 0.0, limit * rows + SLACK, need - SLACK)
        _, index = search.best(aim, starts)
        fp, fn, accepted, share = shares(table, search.choices.thresholds(index[None]), search.use)[0].tolist()
        if (fp + fn) / accepted >= error - SLACK / rows:
            return best, error, used
        best, error, used = index, (fp + fn) / accepted, share
        price, starts = error, [index]
