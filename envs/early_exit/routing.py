"""Where a row goes: the one rule by which exits answer, pass on and reject, compiled; all else counts its outcomes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import inlined_kernel, kernel
from envs.early_exit.types import ExitTable, Thresholds

__all__ = ["REJECTED", "routes"]

REJECTED = 128
"""Added to the exit at which a row was rejected."""


@inlined_kernel
def route(predicted, certainty, row, accept, reject):  # type: ignore[no-untyped-def]
    """The exit (from 0) that answers ``row``, or the one that rejects it plus ``REJECTED``.

    ``predicted``, ``certainty``: ``(E, N)`` of an ``ExitTable``; ``accept``, ``reject``: ``(E, 2)`` of one of ``Thresholds``.
    """
    last = len(accept) - 1
    for k in range(last + 1):
        c = predicted[k, row]
        if certainty[k, row] >= accept[k, c]:
            return k
        if k == last or certainty[k, row] < reject[k, c]:
            return k + REJECTED
    return last + REJECTED


@kernel
def _routes(predicted, certainty, accept, reject, out):  # type: ignore[no-untyped-def]
    for a in range(len(accept)):
        for row in range(predicted.shape[1]):
            out[a, row] = route(predicted, certainty, row, accept[a], reject[a])


def routes(table: ExitTable, thresholds: Thresholds) -> NDArray[np.uint8]:
    """Where every row goes with each of the thresholds: ``(A, N)``, the exit that answers, or that rejects + ``REJECTED``.

    Raises ``ValueError`` where table and thresholds have different numbers of exits.
    """
    if table.exits != thresholds.exits:
        raise ValueError(f"the thresholds are for {thresholds.exits} exits, but the table has {table.exits}")
    out = np.empty((len(thresholds), len(table)), np.uint8)
    _routes(table.predicted, table.certainty, thresholds.accept, thresholds.reject, out)
    return out
