"""What it costs that rows go past exit 1, as whole numbers, so that sums and ties are exact in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import ExitTable
from optimal.early_exit.levels import EXITS, Floats, check_two_exits

PICO = 1e-12
"""Measured times are rounded to picoseconds."""


@dataclass(frozen=True, eq=False)
class RowCost:
    """Mean cost of a row: ``base + span * share``, where the share is the sum of ``extra`` over the rows that go past exit 1.

    It is divided by that over all rows: the paper's F2, 0 where all leave at exit 1 and 1 where all go on.
    """

    name: str  # what is counted
    unit: str  # of a mean cost; empty: a share
    extra: NDArray[np.int64]  # (N,) what a row adds that goes on
    base: float  # where no row goes on
    span: float  # what is added where all go on

    def value(self, total: NDArray[np.int64]) -> Floats:
        """Mean cost of a row, where the rows that go on add up to ``total``."""
        return self.base + self.span * self.share(total)

    def share(self, total: NDArray[np.int64]) -> Floats:
        """The same, normalised (F2)."""
        return np.asarray(total / int(self.extra.sum()), np.float64)


def offload_cost(table: ExitTable) -> RowCost:
    """Share of the rows that go past exit 1."""
    check_two_exits(table)
    return RowCost("share offloaded", "", np.ones(len(table), np.int64), 0.0, 1.0)


def stage_cost(table: ExitTable, stages: Floats, name: str, unit: str) -> RowCost:
    """Costs ``(2,)`` of reaching each exit, of ``StageCosts``; rows that go on pay for both.

    Raises ``ValueError`` where there are not two, or one is no number >= 0.
    """
    check_two_exits(table)
    if stages.shape != (EXITS,) or not (np.isfinite(stages).all() and (stages >= 0).all()):
        raise ValueError(f"costs of the stages are {stages.tolist()}, expected {EXITS} numbers >= 0")
    return RowCost(name, unit, np.ones(len(table), np.int64), float(stages[0]), float(stages[1]))


def measured_cost(table: ExitTable) -> RowCost:
    """The paper's F2 of the table's measured seconds: exit 1 takes bb1 + e1, all else bb1 + bb2 + e2, without e1.

    Raises ``ValueError`` where the table has no times, or exit 2 takes no longer than exit 1 on the whole: F2 has no meaning
    then.
    """
    check_two_exits(table)
    if table.block_time is None or table.exit_time is None:
        raise ValueError("the table has no measured times, expected the columns bb_time_exit_k and exit_time_exit_k")
    more = table.block_time[1] + table.exit_time[1] - table.exit_time[0]
    extra = np.round(more / PICO).astype(np.int64)
    total = int(extra.sum())
    if total <= 0:
        raise ValueError(
            f"the measured times of exit 2 exceed those of exit 1 by {total * PICO:.6g} s over all rows, "
            "expected more than 0: take cost=offload"
        )
    return RowCost("measured time (F2)", "", extra, 0.0, 1.0)
