"""Any threshold vectors on one table of two exits, by look-ups: some microseconds each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import ATTACK, NORMAL, ExitTable
from optimal.early_exit.levels import Floats, at_certainties
from optimal.early_exit.pair_tables import Counts, PairTables, pair_tables
from optimal.early_exit.row_costs import RowCost


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Counts and costs of thresholds on a table."""

    tables: PairTables
    spent: tuple[NDArray[np.int64], NDArray[np.int64]]  # by exit-1 class (K1,): sum of ``extra`` of the rows that go on

    @classmethod
    def of(cls, table: ExitTable, cost: RowCost) -> Evaluator:
        """The evaluator of a table. Raises ``ValueError`` for other than two exits, or tables of over 2 GB."""
        tables = pair_tables(table, at_certainties(table))
        return cls(tables, (spent_by_level(table, tables, cost, NORMAL), spent_by_level(table, tables, cost, ATTACK)))

    def __call__(self, values: Floats) -> tuple[Counts, NDArray[np.int64]]:
        """Counts ``(M,)`` and sums of ``extra`` ``(M,)`` of thresholds ``(M, 4)``: n1, a1, n2, a2, any numbers."""
        index = self.tables.index(values)
        return self.tables.counts(index), self.spent[0][index[:, 0]] + self.spent[1][index[:, 1]]


def spent_by_level(table: ExitTable, tables: PairTables, cost: RowCost, label: int) -> NDArray[np.int64]:
    """Sum of ``extra`` ``(K1,)`` of the rows that exit 1 calls ``label`` and each of its levels does not accept."""
    ranks, own = tables.levels.ranks(table, 0), table.predicted[0] == label
    below = np.zeros(len(tables.levels.of(0, label)) + 1, np.int64)
    np.add.at(below, ranks[own], cost.extra[own])  # int64: bincount would weigh in floats
    return below.cumsum()[:-1]
