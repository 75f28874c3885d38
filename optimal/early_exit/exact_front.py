"""The exact front of error and cost over all thresholds of two exits (docs/early_exit_front.md has the proof).

A choice at exit 1 fixes the cost and what it accepts; the best thresholds of exit 2 for it are a fractional program that is
separable by the class that exit 2 answers. So no more than the pairs of exit-1 choices are walked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs._jit import announce_compilation
from envs.early_exit.types import ATTACK, N_CLASSES, NORMAL, ExitTable, Thresholds
from optimal.early_exit import walk
from optimal.early_exit.evaluator import spent_by_level
from optimal.early_exit.levels import NAMES, NONE, Floats, Levels, thresholds
from optimal.early_exit.pair_tables import Ints, PairTables, pair_tables
from optimal.early_exit.row_costs import RowCost

CHUNK = 1 << 16
"""Pairs between two reports of progress."""
PRICES = np.arange(4, walk.SCALE, 4)
"""Prices of an answer for which bounds are made."""
ACTIONS = ("pass", "reject", "both")
"""What becomes of rows that exit 1 does not accept: all go on, all are rejected there, or a second threshold decides."""

MOST_PAIRS = 100_000_000
"""Pairs of exit-1 choices that may be walked."""

Rejects = tuple[Floats, Floats]
Progress = Callable[[int, int], None]
"""Gets the pairs that are done, and all there are."""


@dataclass(frozen=True, eq=False)
class Front:
    """Points by rising cost and falling error: nothing is better in both, and every better trade is on it."""

    values: Floats  # (F, 4) thresholds n1, a1, n2, a2
    rejects: Floats  # (F, 2) reject thresholds of exit 1 by class; 0: no reject
    accepted: NDArray[np.int64]  # (F,) rows that get an answer
    wrong: NDArray[np.int64]  # (F,) rows that get a wrong one
    offloaded: NDArray[np.int64]  # (F,) rows that go past exit 1
    cost: Floats  # (F,) mean cost of a row, in the unit of the cost
    share: Floats  # (F,) the same, normalised (F2)
    rows: int
    pairs: int  # pairs of exit-1 choices that there are
    searched: int  # those that no bound ruled out

    def __len__(self) -> int:
        return len(self.values)

    @property
    def error(self) -> Floats:
        """Share of wrong answers ``(F,)``."""
        return self.wrong / np.maximum(self.accepted, 1)

    @property
    def acceptance(self) -> Floats:
        """Share of rows that get an answer ``(F,)``."""
        return self.accepted / self.rows

    @property
    def points(self) -> Floats:
        """Error and normalised cost ``(F, 2)``."""
        return np.stack([self.error, self.share], axis=1)

    @property
    def thresholds(self) -> Thresholds:
        """The points as ``Thresholds``."""
        return thresholds(self.values, self.rejects)


@dataclass(frozen=True, eq=False)
class _Choices:
    """Choices of exit 1 for one class: I of them."""

    accept: NDArray[np.int64]  # (I,) level from which rows are accepted
    reject: NDArray[np.int64]  # (I,) level below which they are rejected
    accepted: Ints  # (I,)
    wrong: Ints  # (I,)
    passed: tuple[Ints, Ints]  # [c2] (I, K2) accepted at exit 2
    passed_wrong: tuple[Ints, Ints]
    offloaded: NDArray[np.int64]  # (I,)
    cost: NDArray[np.int64]  # (I,) sum of ``extra``


def least_accepted(rows: int, tau: float) -> int:
    """Rows that must be accepted for an acceptance of ``tau``, at least 1. Raises ``ValueError`` outside 0..1."""
    if not 0.0 <= tau <= 1.0:
        raise ValueError(f"tau is {tau}, expected a share of the rows in 0..1")
    return max(1, int(np.ceil(tau * rows - 1e-9)))


def exact_front(
    table: ExitTable,
    levels: Levels,
    cost: RowCost,
    tau: float,
    *,
    action: str = "pass",
    rejects: Rejects | None = None,
    progress: Progress | None = None,
) -> Front:
    """The front of error and cost over all choices of ``levels`` that accept at least a share ``tau`` of the rows.

    With ``all_distinct(table)`` that is over all thresholds there are. Of choices with equal error and cost one is kept.

    Args:
        table: N rows of two exits.
        levels: what to choose from.
        cost: what going past exit 1 costs.
        tau: share of the rows that must be accepted, 0..1; with 0 at least one row.
        action: one of ``ACTIONS``.
        rejects: thresholds of rejects at exit 1 for action ``both``, by class; None: those of ``levels``. Some tens at most.
        progress: told of every ``CHUNK`` pairs.

    Raises:
        ValueError: other than two exits, tau out of range, an unknown action, tables of over 2 GB, over 10^8 pairs.
    """
    need = least_accepted(len(table), tau)
    if action not in ACTIONS:
        raise ValueError(f"action is {action!r}, expected one of {', '.join(ACTIONS)}")
    useful = useful_levels(table, levels, cost)
    if rejects is None:
        rejects = (levels.n1, levels.a1)
    # thresholds of both kinds are levels of the tables, so that either is an index
    union = useful if action != "both" else _joined(useful, rejects)
    tables = pair_tables(table, union)
    normal, attack = (
        _choices(table, tables, cost, label, action, useful.of(0, label), rejects[label]) for label in (NORMAL, ATTACK)
    )
    pairs = len(normal.accept) * len(attack.accept)
    if pairs > MOST_PAIRS:
        raise ValueError(f"exit 1 has {pairs:,} pairs of choices, expected at most {MOST_PAIRS:,}: take fewer levels")
    return _walked(table, union, cost, need, (normal, attack), progress)


def useful_levels(table: ExitTable, levels: Levels, cost: RowCost) -> Levels:
    """``levels`` without those that the one below is never worse than: what lies between them is all answered rightly.

    To accept such rows, too, adds right answers and takes no others, and at exit 1 saves what they cost further on.
    """
    kept = []
    for at in range(len(NAMES)):
        stage, label = divmod(at, N_CLASSES)
        values = levels.of(stage, label)
        rows = table.predicted[stage] == label
        ranks = levels.ranks(table, stage)[rows]
        harmful = table.label[rows] != label
        if stage == 0:
            harmful |= cost.extra[rows] < 0
        keep = np.zeros(len(values) + 1, np.bool_)
        keep[ranks[harmful]] = True  # rank k: between levels k - 1 and k
        keep[0] = True
        kept.append(values[keep[:-1]])
    return Levels(*kept)


def exit_two_only(table: ExitTable, levels: Levels) -> Levels:
    """``levels`` without those of exit 1: all rows go on."""
    none = np.array([NONE])
    return Levels(none, none, levels.n2, levels.a2)


def _joined(levels: Levels, rejects: Rejects) -> Levels:
    """``levels`` with those of ``rejects`` at exit 1."""
    first = [np.union1d(levels.of(0, label), rejects[label]) for label in (NORMAL, ATTACK)]
    return Levels(first[0], first[1], levels.n2, levels.a2)


def _choices(
    table: ExitTable, tables: PairTables, cost: RowCost, label: int, action: str, accepts: Floats, rejects: Floats
) -> _Choices:
    """All choices for the rows that exit 1 calls ``label``: thresholds ``accepts``, and of ``rejects`` those below each."""
    spent = spent_by_level(table, tables, cost, label)
    levels = tables.levels.of(0, label)
    accept = np.searchsorted(levels, accepts)
    nothing = np.full(len(accept), -1)
    if action == "pass":
        reject = nothing
    elif action == "reject":
        reject = accept
    else:
        below = np.searchsorted(levels, rejects)
        first, second = np.nonzero(below < accept[:, None])
        accept, reject = (
            np.concatenate([accept, accept, accept[first]]),
            np.concatenate([nothing, accept, below[second]]),
        )

    def between(sums: NDArray[np.int32]) -> Ints:
        """Sums of the rows below ``accept`` without those below ``reject``."""
        whole = np.concatenate([np.zeros((1, *sums.shape[1:]), sums.dtype), sums])
        return np.ascontiguousarray(sums[accept] - whole[reject + 1])

    passed, wrong = tables.passed[label], tables.passed_wrong[label]
    return _Choices(
        accept,
        reject,
        tables.first[label][accept],
        tables.first_wrong[label][accept],
        (between(passed[0]), between(passed[1])),
        (between(wrong[0]), between(wrong[1])),
        between(tables.offloaded[label]).astype(np.int64),
        spent[accept] - np.append(0, spent)[reject + 1],
    )


def _walked(
    table: ExitTable,
    levels: Levels,
    cost: RowCost,
    need: int,
    choices: tuple[_Choices, _Choices],
    progress: Progress | None,
) -> Front:
    one, other = choices
    total = one.cost[:, None] + other.cost
    order = np.argsort(total, axis=None, kind="stable")
    found = np.empty((len(order), 6), np.int64)
    scratch = np.empty((3, len(levels.a2)), np.int64)
    state = np.array([2, 1, 0, 0, 0], np.int64)  # an error of 2: anything beats it
    bounds = (_bounds(one), _bounds(other))
    fixed = (
        (one.cost, other.cost),
        (one.accepted, other.accepted),
        (one.wrong, other.wrong),
        bounds,
        (one.passed[0], other.passed[0], one.passed_wrong[0], other.passed_wrong[0]),
        (one.passed[1], other.passed[1], one.passed_wrong[1], other.passed_wrong[1]),
    )
    with announce_compilation():
        walk.walk(order, 0, 0, need, PRICES, *fixed, scratch, state, found)
    for start in range(0, len(order), CHUNK):
        stop = min(start + CHUNK, len(order))
        walk.walk(order, start, stop, need, PRICES, *fixed, scratch, state, found)
        if progress is not None:
            progress(stop, len(order))
    found = found[: state[2]].copy()
    i, j = found[:, 0], found[:, 1]
    index = np.stack([one.accept[i], other.accept[j], found[:, 2], found[:, 3]], axis=1)
    rejects = np.stack([_reject_values(levels.n1, one.reject[i]), _reject_values(levels.a1, other.reject[j])], axis=1)
    spent = one.cost[i] + other.cost[j]
    return Front(
        levels.at(index),
        rejects,
        found[:, 5],
        found[:, 4],
        one.offloaded[i] + other.offloaded[j],
        cost.value(spent),
        cost.share(spent),
        len(table),
        len(order),
        int(state[4]),
    )


def _bounds(choices: _Choices) -> NDArray[np.int64]:
    out = np.empty((len(choices.accept), len(PRICES)), np.int64)
    walk.bound_parts(
        PRICES,
        choices.accepted,
        choices.wrong,
        choices.passed[0],
        choices.passed_wrong[0],
        choices.passed[1],
        choices.passed_wrong[1],
        out,
    )
    return out


def _reject_values(levels: Floats, index: NDArray[np.int64]) -> Floats:
    return np.where(index < 0, 0.0, levels[np.maximum(index, 0)])
