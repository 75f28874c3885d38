"""Choices of levels for any number of exits, and the best of them for a need, by descent over pairs of exits.

With two exits or fewer a descent tries every choice there is. With more it ends where no two exits can be bettered jointly,
which is a local optimum: exact in any two exits, not in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs._jit import announce_compilation
from envs.early_exit.types import N_CLASSES, ExitTable, Thresholds
from optimal.early_exit.levels import Floats
from optimal.early_exit.pair_descent import descend

Ints = NDArray[np.int64]
STARTS = 3
"""Pairs of exits from whose optimum a search descends: those whose optima are best. Of three exits these are all."""


class Cells(NamedTuple):
    """Rows that no level parts, M of them."""

    predicted: NDArray[np.int8]  # (E, M)
    ranks: Floats  # (E, M) levels that they reach
    label: NDArray[np.int8]  # (M,)
    rows: Floats  # (M,) how many there are


class Aim(NamedTuple):
    """What a choice is to make small, of all rows together, and the limits that it must keep."""

    false_positive: float
    false_negative: float
    rejection: float
    use: float  # price of what all rows use, that of a row which goes all the way is 1
    most_used: float
    least_accepted: float


@dataclass(frozen=True, eq=False)
class Choices:
    """Options of every exit and class: a level from which rows are answered, and one below which they are rejected."""

    levels: tuple[Floats, ...]  # (2E) ascending, in the order n1, a1, n2, a2, n3, ...
    accept: Ints  # (E, 2, O) level of accepting, and
    reject: Ints  # (E, 2, O) of rejecting; the last exit has the first one alone, which rejects nothing
    count: Ints  # (E, 2) options that there are; what follows them has no meaning

    @classmethod
    def of(cls, levels: tuple[Floats, ...], rejects: int) -> Choices:
        """With at most ``rejects`` levels of rejecting, the first of which rejects nothing, and all that is not answered.

        Raises ``ValueError`` for less than one.
        """
        if rejects < 1:
            raise ValueError(f"number of levels to reject at is {rejects}, expected at least 1")
        made = []
        for at, values in enumerate(levels):
            whole, last = range(len(values)), at >= len(levels) - N_CLASSES
            spread = np.round(np.linspace(0, len(values) - 1, min(rejects, len(values)))).astype(int).tolist()
            made.append([(i, j) for i in whole for j in ([0] if last else sorted({*spread, i})) if j <= i])
        count, exits = [len(one) for one in made], len(levels) // N_CLASSES
        padded = np.array([one + [(0, 0)] * (max(count) - len(one)) for one in made], np.int64)
        accept, reject = (padded[:, :, q].reshape(exits, N_CLASSES, -1).copy() for q in (0, 1))
        return cls(levels, accept, reject, np.array(count, np.int64).reshape(exits, N_CLASSES))

    @property
    def exits(self) -> int:
        """Number of exits E."""
        return len(self.accept)

    def thresholds(self, index: Ints) -> Thresholds:
        """The thresholds of choices by the options ``(M, E, 2)`` that they take."""
        accept, reject = np.empty(index.shape), np.empty(index.shape)
        for at, values in enumerate(self.levels):
            k, c = divmod(at, N_CLASSES)
            accept[:, k, c] = values[self.accept[k, c, index[:, k, c]]]
            reject[:, k, c] = values[self.reject[k, c, index[:, k, c]]]
        return Thresholds(accept, reject)

    def every(self) -> Ints:
        """All choices ``(M, E, 2)``, for few levels."""
        ways = product(*(range(number) for number in self.count.ravel().tolist()))
        return np.array(list(ways), np.int64).reshape(-1, self.exits, N_CLASSES)

    def opening(self) -> Ints:
        """The choice ``(E, 2)`` by which all rows go on to the last exit, which answers them."""
        index = np.zeros((self.exits, N_CLASSES), np.int64)
        for k, c in product(range(self.exits - 1), range(N_CLASSES)):
            options = slice(0, int(self.count[k, c]))
            nothing = (self.accept[k, c, options] == len(self.levels[N_CLASSES * k + c]) - 1) & (
                self.reject[k, c, options] == 0
            )
            index[k, c] = int(np.flatnonzero(nothing)[0])
        return index

    def cells(self, table: ExitTable) -> Cells:
        """The rows of a table, those alike together."""
        ranks = np.empty(table.predicted.shape, np.int64)
        for at, values in enumerate(self.levels):
            k, c = divmod(at, N_CLASSES)
            own = table.predicted[k] == c
            ranks[k, own] = np.searchsorted(values, table.certainty[k, own], side="right")
        looks = np.concatenate([table.label[None], table.predicted, ranks])
        kinds, rows = np.unique(looks, axis=1, return_counts=True)
        predicted, found = kinds[1 : 1 + table.exits], kinds[1 + table.exits :]
        return Cells(
            np.ascontiguousarray(predicted, np.int8),
            np.ascontiguousarray(found, np.float64),
            np.ascontiguousarray(kinds[0], np.int8),
            rows.astype(np.float64),
        )


@dataclass(frozen=True, eq=False)
class Search:
    """Searches among choices for two exits or more, on one table."""

    choices: Choices
    cells: Cells
    use: Floats  # (E,) what a row uses that ends at each exit: 0 at the first one, 1 at the last one

    @classmethod
    def of(cls, table: ExitTable, choices: Choices, use: Floats) -> Search:
        """The search on a table."""
        return cls(choices, choices.cells(table), use)

    def best(self, aim: Aim, starts: Sequence[Ints] = ()) -> tuple[float, Ints]:
        """What the best choice that is found costs, inf where none keeps to the limits, and its options ``(E, 2)``.

        ``starts``: choices to descend from; none: the optima of the pairs of exits while all rows pass the others.
        """
        pairs = np.array(list(combinations(range(self.choices.exits), 2)), np.int64)
        if not len(starts):
            alone = [self.descended(aim, self.choices.opening(), pair[None]) for pair in pairs]
            alone = sorted((one for one in alone if np.isfinite(one[0])), key=lambda one: one[0])
            starts = [index for _, index in alone[:STARTS]]
        found = [self.descended(aim, start, pairs) for start in starts]
        return min(found, key=lambda one: one[0], default=(np.inf, self.choices.opening()))

    def descended(self, aim: Aim, start: Ints, pairs: Ints) -> tuple[float, Ints]:
        """Where a descent over ``pairs`` ``(P, 2)`` of exits from ``start`` ends, and what that costs."""
        index = start.copy()
        options = (self.choices.accept + 1, self.choices.reject + 1, self.choices.count)
        with announce_compilation():
            cost = descend(tuple(self.cells), options, np.array(aim), self.use, pairs, index)
        return float(cost), index
