"""The answers that are given with thresholds, and what they are worth; where a row goes is ``envs.early_exit.routing``'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.thresholds_file import load_thresholds
from envs.early_exit.types import N_CLASSES, Thresholds
from envs.strict_json import FilePath
from inference.early_exit.forward import Scores


@dataclass(frozen=True, eq=False)
class Decisions:
    """What becomes of N rows."""

    exit: NDArray[np.int64]  # (N,) the last exit that is asked, from 1
    rejected: NDArray[np.bool_]  # (N,) whether it rejects the row rather than answers
    predicted: NDArray[np.int8]  # (N,) the answer; of no meaning where the row is rejected
    certainty: NDArray[np.float64]  # (N,) of the answer, likewise


def decide(scores: Scores, thresholds: Thresholds) -> Decisions:
    """Which exit answers each row, or rejects it. Raises ``ValueError`` where the thresholds are for other exits or many."""
    if len(thresholds) != 1:
        raise ValueError(f"there are {len(thresholds)} sets of thresholds, expected one")
    rows = scores.predicted.shape[1]
    # labels take no part in the decision, and rows may have none
    where = routes(scores.table(np.zeros(rows, np.int8)), thresholds)[0].astype(np.int64)
    rejected = where >= REJECTED
    last = np.where(rejected, where - REJECTED, where)
    index = np.arange(rows)
    return Decisions(last + 1, rejected, scores.predicted[last, index], scores.certainty[last, index])


def thresholds_of(accept: Sequence[float], reject: Sequence[float], exits: int) -> Thresholds:
    """Thresholds from lists: normal and attack of exit 1, then of exit 2, ...; no ``reject``: only the last exit rejects.

    Raises ``ValueError`` for another number of them.
    """
    if len(accept) != N_CLASSES * exits:
        raise ValueError(
            f"accept has {len(accept)} entries, expected {N_CLASSES * exits}: normal and attack of {exits} exits"
        )
    shape = (1, exits, N_CLASSES)
    chosen = np.array(accept, np.float64).reshape(shape)
    return Thresholds(chosen, np.array(reject, np.float64).reshape(shape) if reject else np.zeros(shape))


def thresholds_from(path: FilePath, action: str | None, exits: int) -> Thresholds:
    """One line of a file of thresholds, by its name or its number from 0; None: the first.

    Raises ``ValueError`` where the file is wrong, for another number of exits, or has no such line.
    """
    many = load_thresholds(path)
    if many.exits != exits:
        raise ValueError(f"{path}: the thresholds are for {many.exits} exits, but the network has {exits}")
    index = 0
    if action is not None:
        if action in many.names:
            index = many.names.index(action)
        elif action.isdecimal() and int(action) < len(many):
            index = int(action)
        else:
            raise ValueError(f"action is {action}, expected a name in {path} or a number below {len(many)}")
    name = many.names[index : index + 1]
    return Thresholds(many.accept[index : index + 1], many.reject[index : index + 1], name)


def summary(decisions: Decisions, label: NDArray[np.int8] | None, exits: int) -> dict[str, float | None]:
    """Shares of all rows: ``rejected``, ``offloaded`` (past exit 1), ``answered_by_exit_k``; ``accuracy`` of what is answered.

    The accuracy is None where nothing is answered or ``label`` is.
    """
    answered = ~decisions.rejected
    right = None if label is None or not answered.any() else decisions.predicted[answered] == label[answered]
    by_exit = {f"answered_by_exit_{k}": float((answered & (decisions.exit == k)).mean()) for k in range(1, exits + 1)}
    return {
        "rejected": float(decisions.rejected.mean()),
        "accuracy": None if right is None else float(right.mean()),
        "offloaded": float((decisions.exit > 1).mean()),
        **by_exit,
    }
