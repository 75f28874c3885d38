"""What thresholds make of a window, counted: the fate of each row is looked up, where ``routing.route`` put it once for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.early_exit.routing import REJECTED, route
from envs.early_exit.types import ATTACK, ExitTable, Thresholds

TP, TN, FP, FN, DIFFER, SURENESS, N_FIXED = range(7)
"""Counts of a window: accepted rows by answer and truth (an attack is positive); of the rows that went past exit 1, those whose
last answer differs from the first, and the sum of their last certainties. Then E - 1 numbers ``reach`` (rows that went on to
exit 2, 3, ...) and E numbers ``answers`` (rows that exit 1, 2, ... answered)."""

FATES = 16
"""Fates of a row at each exit, as bits: 1 it is an attack, 2 it is answered as one, 4 its answer is not that of exit 1, 8 it is
rejected. The fate of a row is that number plus ``FATES`` times the exit, from 0."""


def n_counts(exits: int) -> int:
    """Counts of a window of a network with E exits: 6 + 2 E - 1."""
    return N_FIXED + 2 * exits - 1


@kernel
def _fates(predicted, certainty, label, accept, reject, out):  # type: ignore[no-untyped-def]
    for a in range(len(accept)):
        for row in range(len(label)):
            where = route(predicted, certainty, row, accept[a], reject[a])
            rejected = where >= REJECTED
            at = where - REJECTED if rejected else where
            answer = predicted[at, row]
            fate = FATES * at + (8 if rejected else 0)
            fate += (1 if label[row] == ATTACK else 0) + (2 if answer == ATTACK else 0)
            out[a, row] = fate + (4 if answer != predicted[0, row] else 0)


def fates(table: ExitTable, thresholds: Thresholds) -> NDArray[np.uint8]:
    """The fate of every row with each action, ``(A, N)``.

    Raises ``ValueError`` where table and thresholds have different numbers of exits, or more than 16.
    """
    if table.exits != thresholds.exits:
        raise ValueError(f"the thresholds are for {thresholds.exits} exits, but the table has {table.exits}")
    if table.exits > 256 // FATES:
        raise ValueError(f"the table has {table.exits} exits, expected at most {256 // FATES}")
    out = np.empty((len(thresholds), len(table)), np.uint8)
    _fates(table.predicted, table.certainty, table.label, thresholds.accept, thresholds.reject, out)
    return out


@kernel
def count_window(fate_of, certainty, rows, scratch, counts):  # type: ignore[no-untyped-def]
    """Count ``rows`` ``(W,)`` of one action.

    ``fate_of``: its ``(N,)`` of ``fates``. ``certainty``: ``(E, N)``. ``scratch``: ``(FATES * E,)``, overwritten. ``counts``:
    ``(n_counts,)``, written.
    """
    exits = len(certainty)
    scratch[:] = 0
    counts[:] = 0.0
    sureness = 0.0
    for i in range(len(rows)):
        row = int(rows[i])
        fate = fate_of[row]
        scratch[fate] += 1
        if fate >= FATES:
            sureness += certainty[fate // FATES, row]
    counts[SURENESS] = sureness
    for fate in range(len(scratch)):
        number = scratch[fate]
        if number == 0:
            continue
        at = fate // FATES
        for k in range(at):
            counts[N_FIXED + k] += number
        if at > 0 and fate & 4:
            counts[DIFFER] += number
        if not fate & 8:
            counts[N_FIXED + exits - 1 + at] += number
            if fate & 2:
                counts[TP if fate & 1 else FP] += number
            else:
                counts[FN if fate & 1 else TN] += number
