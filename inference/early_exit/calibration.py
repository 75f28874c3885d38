"""Temperature scaling (Guo et al. 2017): one number an exit that logits are divided by, so that certainties mean something.

The temperature minimises the negative log-likelihood, and is positive because its logarithm is what is optimised. A class
does not change by it, only how certain it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inference.early_exit.forward import Scores, scores_of
from inference.early_exit.training import cross_entropy

BINS = 10
"""Of certainty, equally wide on [.5, 1]; of two classes none is less certain."""
LIMITS = (1e-2, 1e2)
"""Temperatures stay inside, also where all rows are right and the best one would be 0."""


def fit_temperatures(logits: NDArray[np.float64], labels: NDArray[np.int8]) -> tuple[float, ...]:
    """Temperature of each exit with the least negative log-likelihood, by L-BFGS.

    ``logits``: uncalibrated ``(E, N, 2)``; ``labels``: true classes ``(N,)``. Raises ``ValueError`` for no rows.
    """
    if not len(labels):
        raise ValueError("there are no rows to calibrate on, expected at least one")
    return tuple(_fit(exit_logits, labels) for exit_logits in logits)


def _fit(logits: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    margin = torch.from_numpy((logits[:, 1] - logits[:, 0]) * (2.0 * labels - 1.0))
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.softplus(-margin * torch.exp(-log_temperature)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    temperature = float(torch.exp(log_temperature.detach()))
    return float(np.clip(temperature if np.isfinite(temperature) else 1.0, *LIMITS))


@dataclass(frozen=True, eq=False)
class Quality:
    """How good the certainties of E exits are."""

    nll: NDArray[np.float64]  # (E,) mean negative log-likelihood, nats
    ece: NDArray[np.float64]  # (E,) expected calibration error: mean |accuracy - certainty| over bins, by their rows
    accuracy: NDArray[np.float64]  # (E,)
    certainty: NDArray[np.float64]  # (E,) mean


def quality(logits: NDArray[np.float64], labels: NDArray[np.int8], temperatures: tuple[float, ...]) -> Quality:
    """Quality of the certainties of logits ``(E, N, 2)`` at these temperatures ``(E,)``."""
    scaled = logits / np.array(temperatures)[:, None, None]
    scores = scores_of(logits, temperatures)
    curves = [reliability(scores, labels, k) for k in range(len(logits))]
    return Quality(
        cross_entropy(scaled, labels),
        np.array([curve.ece for curve in curves]),
        (scores.predicted == labels).mean(axis=1),
        scores.certainty.mean(axis=1),
    )


@dataclass(frozen=True, eq=False)
class Reliability:
    """Accuracy by certainty of one exit; bins without rows hold NaN."""

    edges: NDArray[np.float64]  # (BINS + 1,) of the bins of certainty
    count: NDArray[np.int64]  # (BINS,) rows
    certainty: NDArray[np.float64]  # (BINS,) mean
    accuracy: NDArray[np.float64]  # (BINS,)

    @property
    def ece(self) -> float:
        """Expected calibration error."""
        gaps = np.abs(self.accuracy - self.certainty)
        return float(np.nansum(gaps * self.count) / self.count.sum())


def reliability(scores: Scores, labels: NDArray[np.int8], exit_index: int) -> Reliability:
    """The reliability diagram of an exit (from 0)."""
    certainty = scores.certainty[exit_index]
    right = scores.predicted[exit_index] == labels
    edges = np.linspace(0.5, 1.0, BINS + 1)
    bins = np.clip(np.searchsorted(edges, certainty, side="right") - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return Reliability(
            edges,
            count,
            np.bincount(bins, certainty, BINS) / count,
            np.bincount(bins, right.astype(np.float64), BINS) / count,
        )


def halves(rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two disjoint halves of ``rows`` indices, drawn from ``seed``: one to fit on, one held out."""
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[: rows // 2]), np.sort(order[rows // 2 :])
