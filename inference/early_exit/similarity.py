"""What rows of network traffic are like: how often they repeat, and how far their labels can be known at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.early_exit.rows import Rows


@dataclass(frozen=True)
class Description:
    """Figures of labelled rows; shares of the rows."""

    rows: int
    attacks: float  # share
    distinct: int  # different rows
    most_frequent: float  # share of the one that is there most often
    contradictory: float  # share of those that are there with both labels
    best_accuracy: (
        float  # of a classifier that answers the more frequent label of each: nothing does better on these rows
    )
    zeros: float  # share of all numbers


def describe(rows: Rows) -> Description:
    """Describe labelled rows. Raises ``ValueError`` for unlabelled ones."""
    _, inverse, count = np.unique(rows.features, axis=0, return_inverse=True, return_counts=True)
    attacks = np.bincount(inverse.ravel(), rows.labels, len(count))
    both = (attacks > 0) & (attacks < count)
    return Description(
        len(rows),
        float(rows.labels.mean()),
        len(count),
        float(count.max() / len(rows)),
        float(count[both].sum() / len(rows)),
        float(np.maximum(attacks, count - attacks).sum() / len(rows)),
        float((rows.features == 0).mean()),
    )
