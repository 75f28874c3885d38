"""What every choice of thresholds does to a table of two exits, as sums of small tables.

A row leaves by the levels of its class at exit 1 and of its class at exit 2 alone, so every count of a choice (n1, a1, n2,
a2) is a sum over the four pairs of classes: ``first[c1] + sum over c1, c2 of passed[c1][c2]``. Tables over all distinct
levels therefore hold the counts of every threshold vector there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import ATTACK, N_CLASSES, NORMAL, ExitTable
from optimal.early_exit.levels import EXITS, NAMES, Floats, Levels, check_two_exits

Ints = NDArray[np.int32]
MOST_CELLS = 250_000_000
"""Cells that the tables may have: 2 GB of counts."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Rows that are accepted and wrongly so, and that went on to exit 2; arrays of any one shape (or that broadcast)."""

    accepted: Ints
    false_positives: Ints  # answered attack, are normal
    false_negatives: Ints  # answered normal, are attacks
    offloaded: Ints

    @property
    def wrong(self) -> Ints:
        """Rows that got a wrong answer."""
        return self.false_positives + self.false_negatives

    @property
    def correct(self) -> Ints:
        """Rows that got the right answer."""
        return self.accepted - self.wrong

    @property
    def error(self) -> Floats:
        """Share of wrong answers among the answers; nan where nothing is accepted."""
        answered = np.where(self.accepted > 0, self.accepted, 1)
        return np.where(self.accepted > 0, self.wrong / answered, np.nan)


@dataclass(frozen=True, eq=False)
class PairTables:
    """Counts for levels of two exits; indices c1, c2: the class that exit 1 and exit 2 answer."""

    levels: Levels
    rows: int
    first: tuple[Ints, Ints]  # [c1] (K1,) accepted at exit 1
    first_wrong: tuple[Ints, Ints]  # [c1] (K1,)
    passed: tuple[tuple[Ints, Ints], tuple[Ints, Ints]]  # [c1][c2] (K1, K2) went on and are accepted at exit 2
    passed_wrong: tuple[tuple[Ints, Ints], tuple[Ints, Ints]]
    offloaded: tuple[Ints, Ints]  # [c1] (K1,) went on

    def counts(self, index: NDArray[np.int64]) -> Counts:
        """Counts ``(M,)`` of choices by their indices ``(M, 4)`` of levels, in the order n1, a1, n2, a2."""
        first, second = (index[:, 0], index[:, 1]), (index[:, 2], index[:, 3])
        answers = [self._answers(first, c2, second[c2]) for c2 in range(N_CLASSES)]
        accepted, wrong = zip(*answers, strict=True)
        offloaded = self.offloaded[0][first[0]] + self.offloaded[1][first[1]]
        return Counts(accepted[0] + accepted[1], wrong[ATTACK], wrong[NORMAL], offloaded)

    def grid(self) -> Counts:
        """Counts of all choices; arrays that broadcast to (K_n1, K_a1, K_n2, K_a2), ``accepted`` is whole."""
        n1, a1, n2, a2 = (np.arange(k) for k in self.levels.shape)
        first = (n1[:, None, None], a1[None, :, None])
        normal, false_negatives = self._answers(first, NORMAL, n2[None, None, :])
        attack, false_positives = self._answers(first, ATTACK, a2[None, None, :])
        offloaded = (self.offloaded[0][:, None] + self.offloaded[1])[:, :, None, None]
        accepted = normal[:, :, :, None] + attack[:, :, None, :]
        return Counts(accepted, false_positives[:, :, None, :], false_negatives[:, :, :, None], offloaded)

    def index(self, values: Floats) -> NDArray[np.int64]:
        """Indices ``(M, 4)`` of the first levels that are no lower than ``values`` ``(M, 4)``, else of the last ones.

        With ``at_certainties`` of the same table these decide like ``values``, whatever they are.
        """
        columns = [np.searchsorted(getattr(self.levels, name), values[:, q]) for q, name in enumerate(NAMES)]
        index: NDArray[np.int64] = np.minimum(np.stack(columns, axis=1), np.array(self.levels.shape) - 1)
        return index

    def _answers(
        self, first: tuple[NDArray[np.int64], NDArray[np.int64]], label: int, second: NDArray[np.int64]
    ) -> tuple[Ints, Ints]:
        """Rows that some exit answers with ``label``: all, and those wrongly."""
        accepted: Ints = self.first[label][first[label]]
        wrong: Ints = self.first_wrong[label][first[label]]
        for c1 in range(N_CLASSES):
            accepted = accepted + self.passed[c1][label][first[c1], second]
            wrong = wrong + self.passed_wrong[c1][label][first[c1], second]
        return accepted, wrong


def pair_tables(table: ExitTable, levels: Levels) -> PairTables:
    """The tables of ``table`` for ``levels``. Raises ``ValueError`` for other than two exits, or tables of over 2 GB."""
    check_two_exits(table)
    n1, a1, n2, a2 = levels.shape
    cells = 2 * (n1 + a1 + 2) * (n2 + a2 + 2)
    if cells > MOST_CELLS:
        raise ValueError(
            f"the tables of {n1} x {a1} x {n2} x {a2} levels have {cells:,} cells, expected at most {MOST_CELLS:,}: "
            "take fewer rows, or fewer levels (mass-aware)"
        )
    ranks = [levels.ranks(table, stage) for stage in range(EXITS)]
    wrong = table.predicted != table.label
    everything = np.ones(len(table), np.bool_)

    def first(label: int, own: NDArray[np.bool_]) -> Ints:
        rows = own & (table.predicted[0] == label)
        reached = np.bincount(ranks[0][rows], minlength=len(levels.of(0, label)) + 1)
        return np.ascontiguousarray(reached[::-1].cumsum()[::-1][1:]).astype(np.int32)

    def passed(c1: int, c2: int, own: NDArray[np.bool_]) -> Ints:
        rows = own & (table.predicted[0] == c1) & (table.predicted[1] == c2)
        k1, k2 = len(levels.of(0, c1)) + 1, len(levels.of(1, c2)) + 1
        cells = np.bincount(ranks[0][rows] * k2 + ranks[1][rows], minlength=k1 * k2).astype(np.int32)
        below = cells.reshape(k1, k2).cumsum(axis=0, dtype=np.int32)[:-1]
        return np.ascontiguousarray(below[:, ::-1].cumsum(axis=1, dtype=np.int32)[:, ::-1][:, 1:])

    def pairs(own: NDArray[np.bool_]) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
        return (passed(0, 0, own), passed(0, 1, own)), (passed(1, 0, own), passed(1, 1, own))

    accepted = first(NORMAL, everything), first(ATTACK, everything)
    sizes = [np.int32((table.predicted[0] == label).sum()) for label in (NORMAL, ATTACK)]
    return PairTables(
        levels,
        len(table),
        accepted,
        (first(NORMAL, wrong[0]), first(ATTACK, wrong[0])),
        pairs(everything),
        pairs(wrong[1]),
        (sizes[0] - accepted[0], sizes[1] - accepted[1]),
    )
