"""Ways to find a front, by name, timed; and the baselines that use one exit alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from envs.early_exit.types import ExitTable
from optimal.early_exit.exact_front import Front, Progress, exact_front, exit_two_only
from optimal.early_exit.levels import Levels, all_distinct, mass_aware, uniform
from optimal.early_exit.nsga2 import Comparison, compared, nsga2
from optimal.early_exit.row_costs import RowCost, offload_cost

METHODS = ("exact", "mass-aware", "grid", "nsga2", "reject-at-exit-1")
"""All thresholds; few well-chosen ones; an even grid; the published search; all, and exit 1 may reject, too, below few ones."""
BASELINES = ("exit 1 only", "exit 2 only")
DEFAULT_LEVELS = {"mass-aware": 31, "grid": 21, "reject-at-exit-1": 31}
MOST_LEVELS = {"mass-aware": 400, "grid": 400, "reject-at-exit-1": 60}
QUIET = 2.0
"""Seconds that may pass before anything is said."""

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Found:
    """A front, how it was found, how long that took, and how it compares with the exact one where that is known."""

    method: str
    front: Front
    seconds: float
    against: Comparison | None = None


def find(
    method: str,
    table: ExitTable,
    cost: RowCost,
    tau: float,
    *,
    levels: int | None = None,
    generations: int = 1_000,
    seed: int = 1,
    say: Say = lambda text: None,
) -> Found:
    """The front by one of ``METHODS`` or ``BASELINES``, compilation not timed.

    ``levels``: of each threshold, of reject-at-exit-1 those of rejects, None: ``DEFAULT_LEVELS``; the others have none. Raises
    ``ValueError`` for an unknown method, levels out of range, and as ``exact_front`` and ``nsga2``.
    """
    if method not in METHODS + BASELINES:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS + BASELINES)}")
    _warm_up()
    started = time.perf_counter()
    if method == "nsga2":
        found = nsga2(table, cost, tau, generations=generations, seed=seed, progress=_told(say, "nsga2: generation"))
        return Found(method, found.front, time.perf_counter() - started)
    action = {"reject-at-exit-1": "both", "exit 1 only": "reject"}.get(method, "pass")
    chosen, rejects = _levels(method, table, levels), None
    if method == "reject-at-exit-1":
        chosen, rejects = all_distinct(table), (chosen.n1, chosen.a1)
    told = _told(say, f"{method}: pair")
    front = exact_front(table, chosen, cost, tau, action=action, rejects=rejects, progress=told)
    return Found(method, front, time.perf_counter() - started)


def all_found(
    table: ExitTable,
    cost: RowCost,
    tau: float,
    *,
    generations: int = 1_000,
    seed: int = 1,
    say: Say = lambda text: None,
) -> list[Found]:
    """All methods and baselines on one table, compared with the exact one, which is the first."""
    every = [
        find(method, table, cost, tau, generations=generations, seed=seed, say=say) for method in METHODS + BASELINES
    ]
    best = every[0].front
    return [Found(one.method, one.front, one.seconds, compared(one.front, best)) for one in every]


def _levels(method: str, table: ExitTable, count: int | None) -> Levels:
    if method not in DEFAULT_LEVELS:
        every = all_distinct(table)
        return exit_two_only(table, every) if method == "exit 2 only" else every
    number = DEFAULT_LEVELS[method] if count is None else count
    if not 2 <= number <= MOST_LEVELS[method]:
        raise ValueError(f"levels is {number}, expected 2..{MOST_LEVELS[method]} for {method}")
    return uniform(number) if method == "grid" else mass_aware(table, number)


def _told(say: Say, what: str) -> Progress:
    """``say`` how far it is, from ``QUIET`` seconds on."""
    started = time.monotonic()

    def tell(done: int, total: int) -> None:
        if time.monotonic() > started + QUIET:
            say(f"{what} {done:,} of {total:,}")

    return tell


def _warm_up() -> None:
    """Compile (or load) the kernels, so that no time of a method holds that."""
    table = ExitTable(np.zeros(1, np.int8), np.zeros((2, 1), np.int8), np.ones((2, 1)))
    exact_front(table, all_distinct(table), offload_cost(table), 0.0)
