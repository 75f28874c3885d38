"""A trained image classifier with all that turns pictures into logits, and its file (``inference.checkpoint_file``)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from envs.distprivacy.types import Network
from envs.strict_json import FilePath
from inference.checkpoint_file import CheckpointKind
from inference.cnn.build import build_network, is_own, short_name
from inference.cnn.networks import Shape
from inference.cnn.probe import agree, fingerprint
from inference.images.image_set import ImageSet
from inference.trace import trace_network

KIND = CheckpointKind("offramp/cnn", 1, "inference.train_cnn")
BATCH = 256
"""Pictures that are computed at once."""


@dataclass(frozen=True, eq=False)
class TrainedCnn:
    """A network that maps standardised pictures to one logit a class. Raises ``ValueError`` where the parts do not fit.

    The module is put in eval mode and single precision; it stays on its device.
    """

    spec: str  # one of inference.cnn.networks.CNNS, or FILE.py:NAME
    module: nn.Module  # (N, C, H, W) -> (N, classes)
    shape: Shape  # of a picture: C, H, W
    classes: tuple[str, ...]  # their names
    mean: tuple[float, ...]  # (C,) of the training pixels, as shares of 255
    std: tuple[float, ...]  # (C,) their standard deviation, > 0
    notes: dict[str, Any] = field(default_factory=dict)  # plain data: seed, accuracy, data set, ...
    fingerprint: tuple[float, ...] = ()  # of inference.cnn.probe, as it was saved; empty: taken when it is saved

    def __post_init__(self) -> None:
        self.module.eval().float()
        channels = self.shape[0]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels or not all(map(math.isfinite, values)) or (name == "std" and min(values) <= 0):
                wanted = f"{channels} finite numbers{' > 0' * (name == 'std')}, one a channel"
                raise ValueError(f"{name} is {list(values)}, expected {wanted}")
        if len(self.classes) < 2:
            raise ValueError(f"classes is {list(self.classes)}, expected at least 2")
        if min(self.shape) < 1:
            raise ValueError(f"shape is {self.shape}, expected channels, height and width >= 1")

    @cached_property
    def network(self) -> Network:
        """Its layers as env=distprivacy knows them, called by its name.

        Raises ``ValueError`` for a module that cannot be cut into segments, or that does not end with one logit a class.
        """
        network = trace_network(self.module, torch.zeros(1, *self.shape, device=self.device), short_name(self.spec))
        last = network.layers[-1]
        if last.kind != "fc" or last.outputs != len(self.classes):
            raise ValueError(
                f"network {network.name!r}: ends with {last.name!r} of kind {last.kind} and {last.outputs} outputs, expected "
                f"an fc of {len(self.classes)}, one a class"
            )
        return network

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))

    @property
    def identity(self) -> str:
        """SHA-256 over weights and metadata: networks with equal ones give equal answers."""
        return KIND.identity(self._metadata(), self._weights())

    def standardise(self, pixels: Tensor) -> Tensor:
        """Network inputs (N, C, H, W) for pixels in 0..1 of that shape; gradients flow through."""
        mean, std = (pixels.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std

    def prepare(self, images: NDArray[np.uint8]) -> Tensor:
        """Network inputs (N, C, H, W), float32, for pictures (N, C, H, W). Raises ``ValueError`` for another shape."""
        if images.dtype != np.uint8 or images.shape[1:] != self.shape:
            is_now = f"{images.dtype} of {images.shape}"
            raise ValueError(f"images are {is_now}, expected uint8 of {('N', *self.shape)} for {self.spec}")
        return self.standardise(torch.from_numpy(np.array(images)).to(self.device).float() / 255)

    @torch.no_grad()
    def logits(self, images: NDArray[np.uint8], tick: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Logits (N, classes) of pictures (N, C, H, W), in batches; ``tick`` is told how many are done."""
        result = np.empty((len(images), len(self.classes)), np.float32)
        for start in range(0, len(images), BATCH):
            stop = min(start + BATCH, len(images))
            result[start:stop] = self.module(self.prepare(images[start:stop])).cpu().numpy()
            if tick is not None:
                tick(stop)
        return result

    def accuracy(self, images: ImageSet, tick: Callable[[int], None] | None = None) -> float:
        """Share of the images whose largest logit is that of their label."""
        return float((self.logits(images.images, tick).argmax(1) == images.labels).mean())

    def save(self, path: FilePath) -> None:
        """Write the file atomically; the same network always makes the same bytes. Raises ``OSError``."""
        KIND.write(path, self._metadata(), self._weights())

    def _metadata(self) -> dict[str, Any]:
        now = fingerprint(self.module, self.shape, self.device)
        return {
            "network": self.spec,
            "shape": list(self.shape),
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
            "fingerprint": list(self.fingerprint if agree(self.fingerprint, now) else now),
            "notes": self.notes,
        }

    def _weights(self) -> dict[str, Tensor]:
        # a clone has plain strides, also where a training has laid the channels out last
        layout = torch.contiguous_format
        return {name: w.detach().cpu().clone(memory_format=layout) for name, w in self.module.state_dict().items()}


def load_cnn(path: FilePath) -> TrainedCnn:
    """Read a file of ``TrainedCnn.save``; no code in it is run, but the file of a module of the user's is imported again.

    Raises ``ValueError``, one sentence, where it is missing, damaged or of another version, where the user's own file is
    missing or makes a network of other weights, or where the network answers otherwise than when it was saved.
    """
    metadata, weights = KIND.read(path, lambda metadata, weights: (_checked(metadata), weights))
    spec, shape = metadata["spec"], metadata["shape"]
    try:
        with torch.random.fork_rng(devices=[]):
            module = build_network(spec, shape, len(metadata["classes"]))
    except ValueError as error:
        raise ValueError(f"checkpoint {path} cannot be rebuilt: {error}") from error
    differing = _differing(module.state_dict(), weights)
    if differing:
        makes = spec.rpartition(":")[0] if is_own(spec) else spec
        raise ValueError(f"checkpoint {path} has other weights than {makes} makes now ({differing}), expected the same")
    module.load_state_dict(weights)
    trained = TrainedCnn(module=module, **metadata)
    if not agree(trained.fingerprint, fingerprint(module, trained.shape, trained.device)):
        changed = f"{spec.rpartition(':')[0]} has changed" if is_own(spec) else "it was saved by another version"
        raise ValueError(f"checkpoint {path} answers otherwise than when it was saved: {changed}")
    return trained


def _checked(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata with tuples for lists; what does not have the form raises one of ``UNREADABLE``."""
    channels, height, width = map(int, metadata["shape"])
    return {
        "spec": str(metadata["network"]),
        "shape": (channels, height, width),
        "classes": tuple(map(str, metadata["classes"])),
        "mean": tuple(map(float, metadata["mean"])),
        "std": tuple(map(float, metadata["std"])),
        "fingerprint": tuple(map(float, metadata["fingerprint"])),
        "notes": dict(metadata["notes"]),
    }


def _differing(made: dict[str, Tensor], stored: dict[str, Tensor]) -> str:
    """The first weight that two networks do not share, in words; empty where there is none."""
    for name in [*stored, *made]:
        shapes = [tuple(weights[name].shape) if name in weights else None for weights in (stored, made)]
        if shapes[0] != shapes[1]:
            here, there = ("no such weight" if shape is None else f"the shape {shape}" for shape in shapes)
            return f"{name}: {here} in the checkpoint, {there} there"
    return ""
