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


@dataclass(frozen=True, eq=False)
class Months:
    """M tables of one network, and actions. Raises ``ValueError`` for no table or other numbers of exits."""

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
    def _passing(self) -> NDArray[np.float32]:
        _, first = np.unique(self.demands, return_index=True)
        return np.ascontiguousarray((self.fates[first] >= FATES).T.astype(np.float32))

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
    def _shape_of_rows(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
        whole = ExitTable.joined(list(self.tables))
        certainty, answer = whole.certainty[0], whole.predicted[0]
        bins = np.clip(((certainty - 0.5) * (2 * BINS)).astype(np.int64), 0, BINS - 1)
        values, point = np.unique(np.stack([answer, certainty]), axis=1, return_inverse=True)
        return (answer * BINS + bins).astype(np.uint8), point.reshape(-1), values.shape[1]

    @cached_property
    def _wrong(self) -> NDArray[np.uint8]:
        return np.concatenate([(table.predicted != table.label).T for table in self.tables]).astype(np.uint8)

    def look(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """What windows of ``rows`` ``(T, W)`` look like.

        Their shapes ``(T, N_SHAPE)``; the share of the rows that goes past exit 1 ``(T, D)``, by ``demands``; and the share
        that each exit gets wrong ``(T, E)``.
        """
        bins, point, points = self._shape_of_rows
        sizes = (N_SHAPE, self._passing.shape[1], self.exits)
        shape, demand, wrong = (np.zeros((len(rows), size), np.float32) for size in sizes)
        _look(bins, point, self._passing, self._wrong, rows, np.zeros(points, np.int64), shape, demand, wrong)
        return shape, demand, wrong


@kernel
def _look(bins, point, passing, wrong_rows, rows, seen, shape, demand, wrong):  # type: ignore[no-untyped-def]
    for t in range(len(rows)):
        window, total = rows[t], demand[t]
        most = 0
        for i in range(len(window)):
            row = window[i]
            shape[t, bins[row]] += 1.0
            line = passing[row]
            for d in range(len(total)):
                total[d] += line[d]
            for k in range(wrong.shape[1]):
                wrong[t, k] += wrong_rows[row, k]
            seen[point[row]] += 1
            most = max(most, seen[point[row]])
        for i in range(len(window)):
            seen[point[window[i]]] = 0
        shape[t, shape.shape[1] - 1] = most
        for part in (shape[t], demand[t], wrong[t]):
            for c in range(len(part)):
                part[c] /= len(window)
