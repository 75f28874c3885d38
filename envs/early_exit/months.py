"""Months (or other regimes) of evaluation tables, ready for windows: the fate of each row, what shows without labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.early_exit.outcomes import FATES, fates
from envs.early_exit.types import ATTACK, N_CLASSES, NORMAL, ExitTable, Thresholds

BINS = 8
"""Bins of certainty from one half to 1 in the histograms of exit 1, for each class that it answers."""
N_SHAPE = BINS * N_CLASSES + 1
"""Numbers that show the shape of a window: shares of its rows by bin, and the share of the most frequent certainty."""
MOST_ROWS = 2**24
"""Rows of all months: frames name them by numbers in single precision."""


@dataclass(frozen=True, eq=False)
class Months:
    """M tables of one network, and actions. Raises ``ValueError`` for no table, too many rows or other numbers of exits."""

    names: tuple[str, ...]  # (M,)
    tables: tuple[ExitTable, ...]  # (M,)
    thresholds: Thresholds  # A' actions

    def __post_init__(self) -> None:
        if not self.tables or len(self.names) != len(self.tables):
            raise ValueError(
                f"there are {len(self.tables)} tables and {len(self.names)} names, expected as many, 1 or more"
            )
        for name, table in zip(self.names, self.tables, strict=True):
            if table.exits != self.thresholds.exits:
                raise ValueError(f"{name}: has {table.exits} exits, expected {self.thresholds.exits} as the thresholds")
        rows = sum(map(len, self.tables))
        if rows > MOST_ROWS:
            raise ValueError(f"the tables have {rows:,} rows in all, expected at most {MOST_ROWS:,}")

    @property
    def exits(self) -> int:
        """Number of exits E."""
        return self.thresholds.exits

    @cached_property
    def fates(self) -> NDArray[np.uint8]:
        """Fates of all rows of all months, one month after the other, with each action ``(A', rows)``."""
        return np.concatenate([fates(table, self.thresholds) for table in self.tables], axis=1)

    @cached_property
    def demands(self) -> NDArray[np.int64]:
        """For each action, a number that it shares with those that let the same rows past exit 1, from 0 ``(A',)``."""
        first = np.concatenate([self.thresholds.accept[:, 0], self.thresholds.reject[:, 0]], axis=1)
        return np.unique(first, axis=0, return_inverse=True)[1].reshape(-1)

    @cached_property
    def certainty(self) -> NDArray[np.float64]:
        """Certainties of all rows ``(E, rows)``."""
        return np.ascontiguousarray(np.concatenate([table.certainty for table in self.tables], axis=1))

    @cached_property
    def by_class(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of all months, as columns of ``fates``, in each month the normal ones first ``(rows,)``; and where the normal
        rows and the attacks of each month begin, and where the attacks end ``(M, 3)``."""
        members, starts, at = [], [], 0
        for table in self.tables:
            normal, attack = np.flatnonzero(table.label == NORMAL), np.flatnonzero(table.label == ATTACK)
            members += [at + normal, at + attack]
            starts.append((at, at + len(normal), at + len(table)))
            at += len(table)
        return np.concatenate(members), np.array(starts, np.int64)

    @cached_property
    def attack_shares(self) -> NDArray[np.float64]:
        """Share of attacks in each month, ``(M,)``."""
        return np.array([table.label.mean() for table in self.tables])

    @cached_property
    def _looks(self) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]]:
        """What exit 1 shows of rows. A point is a pair of class and certainty, and all else follows from it.

        The point of each row ``(rows,)``; the bin of each point; its pattern; and which demands let rows of that pattern past
        exit 1, ``(patterns, D)``.
        """
        whole = ExitTable.joined(list(self.tables))
        values, first, point = np.unique(
            np.stack([whole.predicted[0], whole.certainty[0]]), axis=1, return_index=True, return_inverse=True
        )
        bins = np.clip(((values[1] - 0.5) * (2 * BINS)).astype(np.int64), 0, BINS - 1)
        _, ways = np.unique(self.demands, return_index=True)
        passing, pattern = np.unique(self.fates[ways][:, first] >= FATES, axis=1, return_inverse=True)
        return (
            point.reshape(-1).astype(np.int32),
            (values[0] * BINS + bins).astype(np.uint8),
            pattern.reshape(-1).astype(np.int32),
            np.ascontiguousarray(passing.T.astype(np.float32)),
        )

    @cached_property
    def _wrong(self) -> NDArray[np.uint8]:
        return np.concatenate([(table.predicted != table.label).T for table in self.tables]).astype(np.uint8)

    def look(
        self, rows: NDArray[np.int64], *, labels: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """What windows of ``rows`` ``(T, W)`` look like.

        Their shapes ``(T, N_SHAPE)``; the share of the rows that goes past exit 1 ``(T, D)``, by ``demands``; and the share
        that each exit gets wrong ``(T, E)``, 0 without ``labels``.
        """
        point, bins, pattern, passing = self._looks
        sizes = (N_SHAPE, passing.shape[1], self.exits)
        shape, demand, wrong = (np.zeros((len(rows), size), np.float32) for size in sizes)
        seen, met = np.zeros(len(bins), np.int64), np.zeros(len(passing), np.int64)
        _look(point, bins, pattern, passing, rows, seen, met, shape, demand)
        if labels:
            _count_wrong(self._wrong, rows, wrong)
        return shape, demand, wrong


@kernel
def _look(point, bins, pattern, passing, rows, seen, met, shape, demand):  # type: ignore[no-untyped-def]
    for t in range(len(rows)):
        window, total = rows[t], demand[t]
        for i in range(len(window)):
            seen[point[window[i]]] += 1
        most = 0
        for i in range(len(window)):
            # the first row of a point counts for all: few points have most of the rows
            at = point[window[i]]
            number = seen[at]
            if number > 0:
                seen[at] = 0
                most = max(most, number)
                shape[t, bins[at]] += number
                met[pattern[at]] += number
        shape[t, shape.shape[1] - 1] = most
        for p in range(len(met)):
            if met[p] > 0:
                number, line = np.float32(met[p]), passing[p]
                met[p] = 0
                for d in range(len(total)):
                    total[d] += number * line[d]
        for part in (shape[t], total):
            for c in range(len(part)):
                part[c] /= len(window)


@kernel
def _count_wrong(wrong_rows, rows, out):  # type: ignore[no-untyped-def]
    for t in range(len(rows)):
        for i in range(rows.shape[1]):
            for k in range(out.shape[1]):
                out[t, k] += wrong_rows[rows[t, i], k]
        for k in range(out.shape[1]):
            out[t, k] /= rows.shape[1]
