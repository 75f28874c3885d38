"""Fronts of two objectives that are both to be small: what is not dominated, the area that it dominates, who beats whom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimal.early_exit.levels import Floats

REFERENCE = (0.20, 1.0)
"""Error and normalised cost (F2) from which the hypervolume is measured."""


def non_dominated(points: Floats) -> NDArray[np.int64]:
    """Indices of the points ``(M, 2)`` that no other one dominates, by rising second objective; of equal ones the first.

    Points with nan are left out.
    """
    order: NDArray[np.int64] = np.lexsort((np.arange(len(points)), points[:, 0], points[:, 1]))
    order = order[~np.isnan(points[order]).any(axis=1)]
    if not len(order):
        return order
    least = np.minimum.accumulate(points[order, 0])
    better = np.append(True, points[order[1:], 0] < least[:-1])
    kept: NDArray[np.int64] = order[better]
    return kept


def hypervolume(points: Floats, reference: tuple[float, float] = REFERENCE) -> float:
    """Area between the points ``(M, 2)`` and ``reference`` that some point dominates; exact."""
    front = points[non_dominated(points)]
    front = front[(front < reference).all(axis=1)]
    right = np.append(front[1:, 1], reference[1])
    return float(((reference[0] - front[:, 0]) * (right - front[:, 1])).sum())


def dominated(points: Floats, front: Floats) -> NDArray[np.bool_]:
    """Which of the points ``(M, 2)`` some point of ``front`` ``(K, 2)`` beats in one objective without loss in the other."""
    errors, costs = (np.subtract.outer(points[:, axis], front[:, axis]) for axis in (0, 1))
    beats: NDArray[np.bool_] = (errors >= 0) & (costs >= 0) & (errors + costs > 0)
    return np.asarray(beats.any(axis=1), np.bool_)
