"""Joint training of all exits: the loss is the weighted sum of their cross-entropies.

A batch is drawn from the rows, but equal rows of it are forwarded once, with their counts as weights: the gradient is the
same (up to dropout, whose noise they then share) at a third of the work, since most rows of network traffic are repeats.
All that is random in an epoch follows from the seed and the number of the epoch, so a resumed run needs no random state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from envs.early_exit.types import N_CLASSES
from inference.early_exit.forward import forward
from inference.early_exit.network import ExitNetwork, initialise
from inference.early_exit.preprocessing import distinct
from inference.epochs import EpochTraining, TrainingState


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. Raises ``ValueError`` for numbers out of range."""

    epochs: int  # at most
    batch: int  # rows of an update
    learning_rate: float  # of Adam at the start; falls to 0 on half a cosine
    exit_weights: tuple[float, ...]  # (E,) of the exits' cross-entropies
    validation: float = 0.1  # share of the rows that are kept apart
    patience: int = (
        0  # epochs without a lower validation loss after which training ends; 0: never, the last epoch counts
    )
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or self.patience < 0 or not self.learning_rate > 0:
            raise ValueError("epochs, batch, patience or learning_rate is out of range, expected numbers above 0")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is {self.validation}, expected a share in 0..1, below 1")
        if not self.exit_weights or min(self.exit_weights) < 0 or not sum(self.exit_weights) > 0:
            raise ValueError(f"exit_weights is {list(self.exit_weights)}, expected numbers >= 0, one of them above")


class Training(EpochTraining):
    """A training of all exits.

    Args:
        network: is initialised from the seed and changed in place.
        inputs: prepared rows ``(N, *shape)``.
        labels: their classes ``(N,)``.
        settings: as many weights as the network has exits.
        state: of a run with the same arguments, to go on with.

    Raises:
        ValueError: too few rows, another number of weights, or a state of other rows or of another network.
    """

    def __init__(
        self,
        network: ExitNetwork,
        inputs: NDArray[np.float32],
        labels: NDArray[np.int8],
        settings: TrainingSettings,
        state: TrainingState | None = None,
    ) -> None:
        if len(settings.exit_weights) != len(network.exits):
            raise ValueError(f"exit_weights has {len(settings.exit_weights)} entries, expected {len(network.exits)}")
        order = np.random.default_rng(settings.seed).permutation(len(inputs))
        held = round(settings.validation * len(inputs))
        if len(inputs) - held < 1:
            raise ValueError(f"there are {len(inputs)} rows, expected at least one besides those of validation")
        self.network, self.settings = network, settings
        self.held, self.kept = order[:held], order[held:]
        self.inputs, self.labels = inputs, labels
        first, self.inverse = distinct(inputs)
        self.distinct = torch.from_numpy(inputs[first])
        initialise(network, settings.seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        data = (inputs, labels)
        super().__init__(network, optimizer, settings.epochs, settings.learning_rate, data, "rows", state)

    @property
    def done(self) -> bool:
        """Whether the last epoch is over, or the loss has not fallen for as many epochs as patience lasts."""
        state, settings = self.state, self.settings
        out_of_patience = 0 < settings.patience <= state.epoch - state.best_epoch
        return super().done or out_of_patience

    def _epoch(self) -> None:
        state, settings = self.state, self.settings
        shuffled = np.random.default_rng([settings.seed, state.epoch]).permutation(self.kept)
        rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * state.epoch / settings.epochs))
        self._set_rate(rate)
        total = np.zeros((2, len(self.network.exits)))  # loss and hits of each exit
        self.network.train()
        with self._noise(settings.seed):
            for start in range(0, len(shuffled), settings.batch):
                total += self._update(shuffled[start : start + settings.batch])
        losses, hits = total / len(shuffled)
        entry = {"epoch": float(state.epoch + 1), "learning_rate": rate}
        entry |= _columns("loss", losses) | _columns("accuracy", hits)
        if len(self.held):
            losses, hits = self._validate()
            entry |= _columns("validation_loss", losses) | _columns("validation_accuracy", hits)
        loss = float(losses @ np.array(settings.exit_weights))
        # with little validation data its loss picks an early epoch by chance; a cosine that ends at 0 needs no choice
        self._close(entry, loss, best=not settings.patience or loss < state.best_loss)

    def _update(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """One step on ``rows``; sums of loss and hits over them ``(2, E)``."""
        vectors, where = np.unique(self.inverse[rows], return_inverse=True)
        counts = np.zeros((len(vectors), N_CLASSES), np.float32)
        np.add.at(counts, (where, self.labels[rows]), 1)
        weights = torch.from_numpy(counts)
        logits = self.network(self.distinct[torch.from_numpy(vectors)])
        losses = -(weights * logits.log_softmax(-1)).sum((1, 2))
        loss = (losses * torch.tensor(self.settings.exit_weights)).sum() / len(rows)
        self._descend(loss)
        hits = weights[torch.arange(len(vectors)), logits.detach().argmax(-1)].sum(1)
        return np.stack([losses.detach().numpy(), hits.numpy()]).astype(np.float64)

    def _validate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        logits = forward(self.network, self.inputs[self.held])
        labels = self.labels[self.held]
        return cross_entropy(logits, labels), (logits.argmax(-1) == labels).mean(1)


def cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Mean negative log-likelihood in nats of each exit ``(E,)``, for logits ``(E, N, 2)`` and classes ``(N,)``."""
    # of two classes only the margin in favour of the true one matters
    with np.errstate(invalid="ignore"):  # a training that has come apart is told by its caller
        margin = (logits[..., 1] - logits[..., 0]) * (2.0 * labels - 1.0)
        return np.asarray(np.logaddexp(0.0, -margin).mean(-1))


def _columns(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    return {f"{name}_exit_{k}": float(value) for k, value in enumerate(values, start=1)}
