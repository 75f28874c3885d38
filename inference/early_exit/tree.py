"""A decision tree on the raw features: the plain classifier that a network with exits is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.early_exit.types import DECIMALS, N_CLASSES, ExitTable
from inference.early_exit.rows import Rows

DEPTH, LEAF = 8, 10
"""Most questions that a row is asked, and least rows of a leaf."""


@dataclass(frozen=True, eq=False)
class DecisionTree:
    """A fitted tree. It answers with the class that most rows of the leaf had, normal where both had as many."""

    names: tuple[str, ...]  # (F,) of the features, in the order in which the tree was fitted
    model: Any  # of scikit-learn

    @classmethod
    def fit(cls, months: Sequence[Rows], seed: int = 0) -> DecisionTree:
        """Fit one to the labelled rows of months. ``seed``: of the order in which equally good splits are tried.

        Raises ``ValueError`` for unlabelled rows, for other features, and for rows of one class alone.
        """
        from sklearn.tree import DecisionTreeClassifier

        rows = Rows.joined(months)
        if len(np.unique(rows.labels)) < N_CLASSES:
            raise ValueError(f"{rows.source}: has rows of one class alone, expected both to fit a tree to")
        model = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=seed)
        return cls(rows.names, model.fit(rows.features, rows.labels))

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return int(self.model.get_n_leaves())

    def table(self, rows: Rows) -> ExitTable:
        """What it says of labelled rows, as a table of one exit; the certainty is the share that its class has in the leaf.

        Raises ``ValueError`` for unlabelled rows and for other features.
        """
        share = self.model.predict_proba(rows.in_order(self.names))
        predicted, certainty = share.argmax(axis=1).astype(np.int8), np.round(share.max(axis=1), DECIMALS)
        return ExitTable(rows.labels, predicted[None], certainty[None])
