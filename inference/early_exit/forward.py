"""What the exits of a network say about rows: the one function that evaluation, inference and a server share.

Rows that are equal to the network are forwarded once. A trained network computes in double precision and in batches of one
fixed size: a product of matrices is summed in another order at another place of a batch, in single precision the sixth decimal
of one certainty in 200 would depend on that, and with it, at a threshold, the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from envs.early_exit.types import DECIMALS, N_CLASSES, ExitTable
from inference.early_exit.checkpoint import TrainedNetwork
from inference.early_exit.network import ExitNetwork
from inference.early_exit.preprocessing import distinct

BATCH = 64
"""Rows of a forward pass; the last one is filled up with zeros."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What E exits say about N rows."""

    predicted: NDArray[np.int8]  # (E, N) class, 0 (normal) or 1 (attack)
    certainty: NDArray[np.float64]  # (E, N) probability of that class in [.5, 1], rounded to ``DECIMALS``

    def table(self, label: NDArray[np.int8]) -> ExitTable:
        """The evaluation table of rows with these labels ``(N,)``, without times."""
        return ExitTable(label, self.predicted, self.certainty)


def score(model: TrainedNetwork, features: NDArray[np.float64], *, tick: Callable[[int], None] | None = None) -> Scores:
    """Predicted class and calibrated certainty of every exit for rows ``(N, F)`` as they stand in a file.

    ``tick`` is told how many distinct rows are done. Raises ``ValueError`` where the rows have another number of features.
    """
    logits = forward(model.network, model.preprocessor(features), tick=tick)
    return scores_of(logits, model.temperatures)


def forward(
    network: ExitNetwork,
    inputs: NDArray[np.float32],
    *,
    batch: int = BATCH,
    tick: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Logits ``(E, N, 2)`` of prepared rows ``(N, *shape)``, in eval mode and without gradients; the mode is kept.

    In the precision of the network's own weights.
    """
    first, inverse = distinct(inputs)
    dtype = next(network.parameters()).dtype
    padded = torch.zeros((batch, *inputs.shape[1:]), dtype=dtype)
    out = torch.empty((len(network.exits), len(first), N_CLASSES), dtype=dtype)
    ready = torch.from_numpy(inputs[first])
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(first), batch):
                count = min(batch, len(first) - start)
                padded[:count] = ready[start : start + count]
                padded[count:] = 0
                out[:, start : start + count] = network(padded)[:, :count]
                if tick is not None:
                    tick(start + count)
    finally:
        network.train(was_training)
    return out.numpy().astype(np.float64)[:, inverse]


def scores_of(logits: NDArray[np.float64], temperatures: Sequence[float]) -> Scores:
    """Classes and certainties of logits ``(E, N, 2)``; of two equal ones the class is 0, normal."""
    margin = logits[..., 1] - logits[..., 0]
    scaled = np.abs(margin) / np.array(temperatures, np.float64)[:, None]
    certainty = 1.0 / (1.0 + np.exp(-scaled))  # the larger of two softmax probabilities
    return Scores((margin > 0).astype(np.int8), np.round(certainty, DECIMALS))
