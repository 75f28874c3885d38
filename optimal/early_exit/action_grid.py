"""Every choice of levels for two exits, counted on a table: accept and reject thresholds of exit 1, accept ones of exit 2.

Counts are sums over what each class does at exit 1 (an *option*: a level from which on it is answered, and one below which
it is rejected) and over the levels of exit 2: a grid of millions of choices is a few small tables, broadcast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import ATTACK, N_CLASSES, NORMAL, ExitTable, Thresholds
from optimal.early_exit.levels import Floats, Levels

Ints = NDArray[np.int64]
CELLS = 4_000_000
"""Choices that are counted at once."""


@dataclass(frozen=True, eq=False)
class Part:
    """Choices of an option of normal rows ``first`` (from, to) with all others, as shares of the rows of the table.

    Arrays broadcast to (options of normal, options of attack, levels of n2, levels of a2).
    """

    first: int  # option of normal rows that the part begins with
    false_positives: Floats
    false_negatives: Floats
    accepted: Floats
    sent: Floats


@dataclass(frozen=True, eq=False)
class Grid:
    """All choices from levels; ``options`` ``(O, 2)``: levels of accepting and of rejecting at exit 1, for each class."""

    levels: Levels
    options: tuple[Ints, Ints]

    @classmethod
    def of(cls, levels: Levels, rejects: int) -> Grid:
        """With at most ``rejects`` levels of rejecting at exit 1, the first of which rejects nothing.

        Raises ``ValueError`` for less than one.
        """
        if rejects < 1:
            raise ValueError(f"number of levels to reject at is {rejects}, expected at least 1")
        options = []
        for count in levels.shape[:N_CLASSES]:
            reject = np.unique(np.round(np.linspace(0, count - 1, min(rejects, count))).astype(np.int64))
            options.append(np.array([(i, j) for i in range(count) for j in reject if j <= i], np.int64))
        return cls(levels, (options[0], options[1]))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Options of normal and of attack, levels of exit 2 for normal and attack."""
        _, _, n2, a2 = self.levels.shape
        return len(self.options[0]), len(self.options[1]), n2, a2

    def thresholds(self, index: Ints) -> Thresholds:
        """The thresholds of choices by their flat index ``(M,)``."""
        n1, a1, n2, a2 = np.unravel_index(index, self.shape)
        accept, reject = np.zeros((len(index), 2, N_CLASSES)), np.zeros((len(index), 2, N_CLASSES))
        for label, option in ((NORMAL, n1), (ATTACK, a1)):
            own = self.levels.of(0, label)
            accept[:, 0, label] = own[self.options[label][option, 0]]
            reject[:, 0, label] = own[self.options[label][option, 1]]
        accept[:, 1, NORMAL], accept[:, 1, ATTACK] = self.levels.n2[n2], self.levels.a2[a2]
        return Thresholds(accept, reject)

    def parts(self, table: ExitTable) -> Iterator[Part]:
        """Counts of all choices on a table, in parts of about ``CELLS``."""
        first = [self.levels.ranks(table, 0), self.levels.ranks(table, 1)]
        own = [self._own(table, first, label) for label in (NORMAL, ATTACK)]
        normal, attack = own
        step = max(1, CELLS // max(1, int(np.prod(self.shape[1:]))))
        for start in range(0, self.shape[0], step):
            stop = min(start + step, self.shape[0])
            part = slice(start, stop)

            def joined(one: Floats, other: Floats, label: int, rows: slice = part) -> Floats:
                both = one[rows, None, :] + other[None, :, :]
                return both[:, :, :, None] if label == NORMAL else both[:, :, None, :]

            fn = joined(normal.passed_wrong[NORMAL], attack.passed_wrong[NORMAL], NORMAL)
            fp = joined(normal.passed_wrong[ATTACK], attack.passed_wrong[ATTACK], ATTACK)
            accepted = (
                joined(normal.passed[NORMAL], attack.passed[NORMAL], NORMAL)
                + joined(normal.passed[ATTACK], attack.passed[ATTACK], ATTACK)
                + (normal.answered[part, None] + attack.answered[None, :])[:, :, None, None]
            )
            yield Part(
                start,
                (fp + attack.wrong[None, :, None, None]) / len(table),
                (fn + normal.wrong[part, None, None, None]) / len(table),
                accepted / len(table),
                (normal.sent[part, None] + attack.sent[None, :])[:, :, None, None] / len(table),
            )

    def _own(self, table: ExitTable, ranks: list[Ints], label: int) -> _Own:
        """Counts of rows that exit 1 calls ``label``."""
        mine = table.predicted[0] == label
        options = self.options[label]
        count = self.levels.shape[label]
        wrong = table.predicted != table.label
        answered = np.bincount(ranks[0][mine], minlength=count + 1)
        failed = np.bincount(ranks[0][mine & wrong[0]], minlength=count + 1)
        below, below_wrong = np.cumsum(answered), np.cumsum(failed)  # of rank k or less
        accept, reject = options[:, 0], options[:, 1]
        passed: list[Floats] = []
        passed_wrong: list[Floats] = []
        for second in (NORMAL, ATTACK):
            levels = len(self.levels.of(1, second))
            for rows, into in ((mine, passed), (mine & wrong[1], passed_wrong)):
                chosen = rows & (table.predicted[1] == second)
                cells = np.zeros((count + 1, levels + 1))
                np.add.at(cells, (ranks[0][chosen], ranks[1][chosen]), 1.0)
                reached = np.cumsum(cells[:, ::-1], axis=1)[:, ::-1][:, 1:]  # of rank above l at exit 2
                total = np.cumsum(reached, axis=0)
                into.append(total[accept] - total[reject])
        return _Own(
            (below[-1] - below[accept]).astype(np.float64),
            (below_wrong[-1] - below_wrong[accept]).astype(np.float64),
            (below[accept] - below[reject]).astype(np.float64),
            (passed[0], passed[1]),
            (passed_wrong[0], passed_wrong[1]),
        )


@dataclass(frozen=True, eq=False)
class _Own:
    answered: Floats  # (O,) at exit 1
    wrong: Floats  # (O,) of those
    sent: Floats  # (O,) on to exit 2
    passed: tuple[Floats, Floats]  # [class at exit 2] (O, K) of those, answered there
    passed_wrong: tuple[Floats, Floats]
