"""Training of an image classifier: cross-entropy, Adam or SGD, a step size that rises and falls once (L. Smith, 2018)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from inference.cnn.augment import augmented
from inference.cnn.build import is_own
from inference.cnn.trained import TrainedCnn
from inference.epochs import EpochTraining, TrainingState
from inference.images.image_set import ImageSet

RISE, START = 0.25, 0.04
"""The step size rises for this share of the training, from this share of its highest value; then half a cosine to 0."""


@dataclass(frozen=True)
class CnnTrainingSettings:
    """How to train. Raises ``ValueError`` for numbers out of range."""

    epochs: int
    batch: int  # pictures of an update, at most
    optimizer: str  # adam (with decay apart from the gradient, AdamW) or sgd (Nesterov, momentum 0.9)
    learning_rate: float  # the highest one
    weight_decay: float = 0.0
    shift: int = 0  # pixels by which pictures are moved, at most
    flip: bool = False  # half of the pictures are mirrored
    bfloat16: bool = False  # forward and backward in half precision; weights and validation stay in single precision
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not self.learning_rate > 0:
            raise ValueError("epochs, batch or learning_rate is out of range, expected numbers above 0")
        if self.shift < 0 or not self.weight_decay >= 0:
            raise ValueError("shift or weight_decay is out of range, expected numbers >= 0")
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer is {self.optimizer}, expected one of adam, sgd")


def rate(progress: float) -> float:
    """Share of the highest step size at ``progress``, 0 first to 1 last."""
    if progress < RISE:
        return START + (1 - START) * progress / RISE
    return 0.5 * (1 + math.cos(math.pi * (progress - RISE) / (1 - RISE)))


class CnnTraining(EpochTraining):
    """A training of an image classifier; its best epoch is the one with the fewest errors of validation, the later of two.

    Args:
        network: as it begins; its module is changed in place.
        train: what it learns from.
        validation: what chooses the epoch.
        settings: how.
        state: of a run with the same arguments, to go on with.

    Raises:
        ValueError: images of another shape than the network's, or a state of other images or of another network.
    """

    def __init__(
        self,
        network: TrainedCnn,
        train: ImageSet,
        validation: ImageSet,
        settings: CnnTrainingSettings,
        state: TrainingState | None = None,
    ) -> None:
        self.network, self.train, self.validation, self.settings = network, train, validation, settings
        self.layout = layout(network)
        network.module.to(memory_format=self.layout)  # type: ignore[call-overload]
        optimizer = _optimizer(network.module, settings)
        data = (train.images, train.labels, validation.images, validation.labels)
        super().__init__(network.module, optimizer, settings.epochs, settings.learning_rate, data, "images", state)
        self.steps = -(-len(train) // settings.batch)

    def _epoch(self) -> None:
        state, settings, module = self.state, self.settings, self.network.module
        rng = np.random.default_rng([settings.seed, state.epoch])
        batches = np.array_split(rng.permutation(len(self.train)), self.steps)  # none of them much smaller
        total = np.zeros(2)  # loss and hits
        module.train()
        with self._noise(settings.seed):
            for step, rows in enumerate(batches, start=state.epoch * self.steps):
                self._set_rate(settings.learning_rate * rate(step / self.all_steps))
                total += self._update(rows, rng)
                self.on_step(step + 1)
        module.eval()
        loss, accuracy = total / len(self.train)
        entry = {
            "epoch": state.epoch + 1.0,
            "learning_rate": settings.learning_rate * rate(state.epoch / settings.epochs),
        }
        entry |= {"loss": float(loss), "accuracy": float(accuracy)}
        logits, labels = torch.from_numpy(self.network.logits(self.validation.images)), self.validation.labels
        errors = int((logits.argmax(1).numpy() != labels).sum())
        held = float(F.cross_entropy(logits, torch.from_numpy(labels)))
        entry |= {"validation_loss": held, "validation_accuracy": 1 - errors / len(labels)}
        self._close(entry, errors if math.isfinite(held + loss) else math.nan, best=errors <= state.best_loss)

    def _update(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        """One step on ``rows``; sums of loss and hits over them ``(2,)``."""
        images = augmented(self.train.images[rows], self.settings.shift, self.settings.flip, rng)
        labels = torch.from_numpy(self.train.labels[rows])
        inputs = self.network.prepare(images).contiguous(memory_format=self.layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.bfloat16):
            logits = self.network.module(inputs)
        loss = F.cross_entropy(logits.float(), labels)
        self._descend(loss)
        hits = int((logits.detach().argmax(1) == labels).sum())
        return np.array([float(loss.detach()) * len(rows), hits])


def layout(network: TrainedCnn) -> torch.memory_format:
    """How pictures lie in memory while ``network`` is trained.

    Channels last makes convolutions a quarter faster (a small one gains nothing and loses nothing), but ``x.view`` in a
    module of the user's may not run so: one is tried on two pictures, both ways.

    Raises:
        ValueError: it runs in neither way, its output is not one row of logits a picture, or nothing in it can be trained.
    """
    if not is_own(network.spec):
        return torch.channels_last
    problem = ""
    for tried in (torch.channels_last, torch.contiguous_format):
        try:
            trial = copy.deepcopy(network.module).train().to(memory_format=tried)  # type: ignore[call-overload]
            inputs = network.prepare(np.zeros((2, *network.shape), np.uint8)).contiguous(memory_format=tried)
            with torch.random.fork_rng(devices=[]):
                logits = trial(inputs)
        except (Exception, SystemExit) as error:  # code of the user's may raise anything
            problem = f"does not run in training mode on 2 pictures: {type(error).__name__}: {error}"
            continue
        if tuple(logits.shape) != (2, len(network.classes)):
            wanted = f"expected {(2, len(network.classes))}"
            raise ValueError(f"network is {network.spec}, which makes {tuple(logits.shape)} of 2 pictures, {wanted}")
        if not logits.requires_grad:
            raise ValueError(f"network is {network.spec}, in which no weight can be trained, expected requires_grad")
        return tried
    raise ValueError(f"network is {network.spec}, which {problem}")


def _optimizer(module: nn.Module, settings: CnnTrainingSettings) -> torch.optim.Optimizer:
    rate, decay, parameters = settings.learning_rate, settings.weight_decay, module.parameters()
    if settings.optimizer == "adam":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=True)
