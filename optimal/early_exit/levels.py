"""Levels: the thresholds among which to choose, for each exit and each class that an exit may answer.

A threshold between two neighbouring certainties decides like the upper of them, whatever a sum is rounded to: what is
made from a table lies midway. The first level accepts all rows and the last none, so every rule is among them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import ATTACK, DECIMALS, N_CLASSES, NORMAL, ExitTable, Thresholds

EXITS = 2
"""Exits of ``Levels``, and of all that is exact; ``by_exit`` makes levels of any number of exits."""
ALL, NONE = 0.0, 2.0
"""Thresholds that every certainty reaches, and none."""
NAMES = ("n1", "a1", "n2", "a2")
"""Thresholds as the paper names them: class that is answered (normal, attack) and exit."""

Floats = NDArray[np.float64]
_Cuts = Callable[[Floats, NDArray[np.int64]], NDArray[np.int64]]
"""From distinct values and their counts to the cuts, each before the value of that index."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Ascending thresholds of each kind. Raises ``ValueError`` where one is empty, not finite or does not ascend."""

    n1: Floats  # (K_n1,) for rows that exit 1 calls normal
    a1: Floats  # (K_a1,) attack at exit 1
    n2: Floats  # (K_n2,) normal at exit 2
    a2: Floats  # (K_a2,) attack at exit 2

    def __post_init__(self) -> None:
        for name in NAMES:
            values = getattr(self, name)
            if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
                raise ValueError(f"levels of {name} are {values!r}, expected finite numbers in ascending order")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Numbers of levels, in the order of ``NAMES``."""
        n1, a1, n2, a2 = (len(getattr(self, field.name)) for field in fields(self))
        return n1, a1, n2, a2

    def of(self, stage: int, label: int) -> Floats:
        """The levels at exit ``stage`` (from 0) for answers ``label``."""
        values: Floats = getattr(self, NAMES[N_CLASSES * stage + label])
        return values

    def ranks(self, table: ExitTable, stage: int) -> NDArray[np.int64]:
        """How many levels each row reaches at exit ``stage`` ``(N,)``: level k accepts it where its rank is above k."""
        found = np.empty(len(table), np.int64)
        for label in (NORMAL, ATTACK):
            own = table.predicted[stage] == label
            found[own] = np.searchsorted(self.of(stage, label), table.certainty[stage, own], side="right")
        return found

    def at(self, index: NDArray[np.int64]) -> Floats:
        """Thresholds ``(M, 4)`` at indices ``(M, 4)``, in the order of ``NAMES``."""
        return np.stack([getattr(self, name)[index[:, q]] for q, name in enumerate(NAMES)], axis=1)


def uniform(count: int) -> Levels:
    """``count`` even steps over [.5, 1], the range in which the paper searches. Raises ``ValueError`` below 2."""
    _check_count(count)
    steps = np.linspace(0.5, 1.0, count)
    return Levels(steps, steps, steps, steps)


def all_distinct(table: ExitTable) -> Levels:
    """One level for every way in which a threshold can part the rows of ``table``: nothing is lost."""
    check_two_exits(table)
    return Levels(*_made(table, lambda values, counts: np.arange(1, len(values))))


def at_certainties(table: ExitTable) -> Levels:
    """The same ways to part the rows as ``all_distinct``, each by the least certainty that it accepts.

    Any threshold t decides like the first of these that is >= t (``PairTables.index``).
    """
    check_two_exits(table)
    return Levels(*(np.append(np.unique(own), NONE) for own in _certainties(table)))


def mass_aware(table: ExitTable, count: int) -> Levels:
    """At most ``count`` levels that part the rows as evenly as can be; needs no true classes.

    The heaviest part that can be divided is divided nearest to its middle, until there are enough: a certainty that many
    rows share ends up with a level on either side of it. Unsure rows weigh more, by the root of 1 - certainty: that brings
    fronts nearer to the exact one than equal weights. Raises ``ValueError`` below 2 levels.
    """
    _check_count(count)
    check_two_exits(table)
    return Levels(*by_exit(table, count))


def by_exit(table: ExitTable, count: int) -> tuple[Floats, ...]:
    """``mass_aware`` for any number E of exits: 2E arrays of levels, in the order n1, a1, n2, a2, n3, ..."""
    _check_count(count)
    return _made(table, lambda values, counts: _even_parts(_weights(values, counts), count - 2))


def thresholds(values: Floats, rejects: Floats | None = None) -> Thresholds:
    """Rows ``(M, 4)`` of thresholds as ``Thresholds``; ``rejects``: ``(M, 2)`` those of exit 1 by class, None: no reject."""
    accept = np.ascontiguousarray(values.reshape(-1, EXITS, N_CLASSES))
    reject = np.zeros_like(accept)
    if rejects is not None:
        reject[:, 0] = rejects
    return Thresholds(accept, reject)


def check_two_exits(table: ExitTable) -> None:
    """Raise ``ValueError`` where a table has another number of exits."""
    if table.exits != EXITS:
        raise ValueError(f"the table has {table.exits} exits, expected {EXITS}")


def _check_count(count: int) -> None:
    if count < 2:
        raise ValueError(f"number of levels is {count}, expected at least 2")


def _made(table: ExitTable, cuts: _Cuts) -> tuple[Floats, ...]:
    made = []
    for own in _certainties(table):
        values, counts = np.unique(own, return_counts=True)
        made.append(np.concatenate([[ALL], _between(values)[cuts(values, counts) - 1], [NONE]]))
    return tuple(made)


def _certainties(table: ExitTable) -> list[Floats]:
    """Certainties by exit and class, in the order of ``NAMES``."""
    pairs = [(stage, label) for stage in range(table.exits) for label in (NORMAL, ATTACK)]
    return [table.certainty[stage, table.predicted[stage] == label] for stage, label in pairs]


def _between(values: Floats) -> Floats:
    """A threshold before each value but the first: midway, or the value itself where floats have nothing between."""
    middle = np.round((values[:-1] + values[1:]) / 2, DECIMALS + 1)
    return np.where((values[:-1] < middle) & (middle <= values[1:]), middle, values[1:])


def _weights(values: Floats, counts: NDArray[np.int64]) -> Floats:
    return np.asarray(counts * np.sqrt(np.maximum(1 - values, 1e-3)), np.float64)


def _even_parts(weights: Floats, count: int) -> NDArray[np.int64]:
    """Up to ``count`` cuts between ``weights``, ascending; see ``mass_aware``."""
    before = np.append(0.0, np.cumsum(weights))
    parts = [(-float(before[-1]), 0, len(weights))] if len(weights) > 1 else []
    cuts: list[int] = []
    while parts and len(cuts) < count:
        _, start, stop = heapq.heappop(parts)
        inner = before[start + 1 : stop]
        cut = start + 1 + int(np.argmin(np.abs(2 * inner - before[start] - before[stop])))
        cuts.append(cut)
        for low, high in ((start, cut), (cut, stop)):
            if high - low > 1:
                heapq.heappush(parts, (-float(before[high] - before[low]), low, high))
    return np.array(sorted(cuts), np.int64)
