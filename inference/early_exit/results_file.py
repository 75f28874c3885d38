"""The answers of all exits as CSV, in the public format: ``exit_1_certainty,exit_1_prediction,exit_2_certainty,...,class``.

With a decision come ``final_exit`` (the last one asked), ``final_certainty`` and ``final_prediction`` before ``class``; of a
rejected row both of these are ``rejected``. ``class`` is there for labelled rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import DECIMALS
from inference.early_exit.decisions import Decisions
from inference.early_exit.forward import Scores

REJECTED = "rejected"
"""Stands for the answer and its certainty where there is none."""


def render_results(scores: Scores, label: NDArray[np.int8] | None, decisions: Decisions | None = None) -> str:
    """The text of a file of results; classes are 0 (normal) and 1 (attack), certainties have six decimals."""
    columns: dict[str, list[str]] = {}
    for k in range(len(scores.predicted)):
        columns[f"exit_{k + 1}_certainty"] = _certainties(scores.certainty[k])
        columns[f"exit_{k + 1}_prediction"] = list(map(str, scores.predicted[k].tolist()))
    if decisions is not None:
        answers = {
            "final_certainty": _certainties(decisions.certainty),
            "final_prediction": list(map(str, decisions.predicted.tolist())),
        }
        columns["final_exit"] = list(map(str, decisions.exit.tolist()))
        for name, texts in answers.items():
            columns[name] = np.where(decisions.rejected, REJECTED, np.array(texts, dtype=object)).tolist()
    if label is not None:
        columns["class"] = list(map(str, label.tolist()))
    rows = map(",".join, zip(*columns.values(), strict=True))
    return ",".join(columns) + "\n" + "\n".join(rows) + "\n"


def _certainties(values: NDArray[np.float64]) -> list[str]:
    return [f"{value:.{DECIMALS}f}" for value in values.tolist()]
