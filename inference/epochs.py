"""A training that goes epoch by epoch, can be stopped after any of them, and gone on with to the same end."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

MAX_NORM = 5.0
"""Gradients are scaled down to this norm: one bad batch must not kill the units of a network without normalisation."""


@dataclass
class TrainingState:
    """All that changes from epoch to epoch, as data that ``torch.save`` writes and ``torch.load`` reads safely."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    data: str  # digest of what is trained on
    epoch: int = 0  # epochs done
    best_loss: float = math.inf  # the least so far, of what chooses the best epoch
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)  # one entry an epoch, the columns of metrics.csv


class EpochTraining(ABC):
    """What all trainings do alike. A subclass says what an epoch is; all that is random in it must follow from the seed
    and its number, so that a resumed run needs no random state.

    Args:
        network: as it begins; changed in place.
        optimizer: of its parameters.
        epochs: how many there are, at most.
        learning_rate: named where the loss is no number any more.
        data: arrays that are trained on, which a resumed run must have again.
        what: one of the things in ``data``, for messages: "rows".
        state: of a run with the same arguments, to go on with.

    Raises:
        ValueError: a state of other data or of another network.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: optim.Optimizer,
        epochs: int,
        learning_rate: float,
        data: tuple[NDArray[Any], ...],
        what: str,
        state: TrainingState | None,
    ) -> None:
        self._network, self._optimizer, self._epochs, self._learning_rate = network, optimizer, epochs, learning_rate
        self.steps = 1  # of an epoch, as on_step counts them
        self.on_step: Callable[[int], None] = lambda done: None  # is told the steps of all epochs that are done
        digest = _digest(data)
        if state is None:
            state = TrainingState(network.state_dict(), optimizer.state_dict(), digest)
        elif state.data != digest:
            raise ValueError(f"the {what} are not those that the run was started with, expected the same files")
        else:
            try:
                network.load_state_dict(state.weights)
            except RuntimeError as error:
                raise ValueError("the state is of another network than the one that is trained") from error
            optimizer.load_state_dict(state.optimizer)
        self.state = state

    @property
    def done(self) -> bool:
        """Whether the last epoch is over."""
        return self.state.epoch >= self._epochs

    @property
    def all_steps(self) -> int:
        """Steps of all epochs, as ``on_step`` counts them."""
        return self._epochs * self.steps

    def run(self, on_epoch: Callable[[TrainingState], None] | None = None) -> None:
        """Train until ``done``, then take the weights of the best epoch; ``on_epoch`` is called after each."""
        while not self.done:
            self._epoch()
            self.on_step(self.state.epoch * self.steps)
            if on_epoch is not None:
                on_epoch(self.state)
        self._network.load_state_dict(self.state.best_weights)

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    @contextmanager
    def _noise(self, seed: int) -> Iterator[None]:
        """What dropout draws in this epoch follows from ``seed`` and its number; torch's global generator is kept."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * 1_000_003 + self.state.epoch)
            yield

    def _descend(self, loss: Tensor) -> None:
        """One step down the gradient of ``loss``."""
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), MAX_NORM)
        self._optimizer.step()

    @abstractmethod
    def _epoch(self) -> None:
        """Train for one epoch and end with ``_close``."""

    def _close(self, entry: dict[str, float], loss: float, *, best: bool) -> None:
        """End an epoch: keep ``entry``, and the weights where it is the ``best`` one so far, with this ``loss``.

        Raises ``ValueError`` where the loss is no number.
        """
        state = self.state
        state.history.append(entry)
        state.epoch += 1
        state.weights, state.optimizer = self._network.state_dict(), self._optimizer.state_dict()
        if not math.isfinite(loss):
            raise ValueError(f"learning_rate is {self._learning_rate}, with which the loss is no number any more")
        if best:
            state.best_loss, state.best_epoch = loss, state.epoch
            state.best_weights = {name: value.clone() for name, value in state.weights.items()}


def _digest(data: tuple[NDArray[Any], ...]) -> str:
    digest = hashlib.sha256()
    for values in data:
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
