"""From features to what a network takes: one object, kept in the checkpoint, so that training and serving cannot differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Of the arithmetic below; a checkpoint that was made with another one is refused."""
CLIP = 5.0
"""Standardised features are cut here: the columns are so skewed that a few rows lie hundreds of deviations away."""
LAYOUTS = ("flat", "square")
"""``flat``: (F,); ``square``: (1, S, S), row by row, zeros at the end, S the smallest side that holds F."""


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Standardises by the training rows, cuts at ±5, and lays out. Raises ``ValueError`` where the arrays do not fit."""

    names: tuple[str, ...]  # (F,) of the features, in the order in which rows bring them
    mean: NDArray[np.float64]  # (F,) of the training rows
    scale: NDArray[np.float64]  # (F,) their standard deviation; 0: constant there, so that nothing was learned: gives 0
    layout: str = "flat"  # one of LAYOUTS

    def __post_init__(self) -> None:
        count = (len(self.names),)
        if self.mean.shape != count or self.scale.shape != count or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"the preprocessor has {len(self.names)} names, {self.mean.size} means and {self.scale.size} scales"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale >= 0).all()):
            raise ValueError("the preprocessor has a mean or scale that is not finite, or a scale below 0")
        if self.layout not in LAYOUTS:
            raise ValueError(f"the layout of the preprocessor is {self.layout!r}, expected one of {', '.join(LAYOUTS)}")

    @classmethod
    def fit(cls, names: Sequence[str], features: NDArray[np.float64], layout: str = "flat") -> Preprocessor:
        """Mean and standard deviation of the training rows ``(N, F)``; columns with one value are switched off."""
        constant = features.min(axis=0) == features.max(axis=0)  # the deviation of equal numbers need not be 0 exactly
        return cls(tuple(names), features.mean(axis=0), np.where(constant, 0.0, features.std(axis=0)), layout)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one prepared row."""
        side = int(np.ceil(np.sqrt(len(self.names))))
        return (len(self.names),) if self.layout == "flat" else (1, side, side)

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float32]:
        """Rows ``(N, F)`` as inputs ``(N, *shape)``; each row by itself, so that equal rows stay equal."""
        if features.ndim != 2 or features.shape[1] != len(self.names):
            raise ValueError(f"features has the shape {features.shape}, expected (rows, {len(self.names)})")
        alive = self.scale > 0
        scaled = np.zeros(features.shape, np.float32)
        scaled[:, alive] = np.clip((features[:, alive] - self.mean[alive]) / self.scale[alive], -CLIP, CLIP)
        if self.layout == "flat":
            return scaled
        out = np.zeros((len(features), int(np.prod(self.shape))), np.float32)
        out[:, : len(self.names)] = scaled
        return out.reshape(-1, *self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; floats by their shortest repr, which loads as the same number."""
        return {
            "version": VERSION,
            "layout": self.layout,
            "names": list(self.names),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessor:
        """The reverse of ``to_dict``. Raises ``ValueError`` for another version or what cannot be, ``KeyError``."""
        if data["version"] != VERSION:
            raise ValueError(f"the preprocessor has version {data['version']}, expected {VERSION}")
        mean, scale = np.array(data["mean"], np.float64), np.array(data["scale"], np.float64)
        return cls(tuple(map(str, data["names"])), mean, scale, str(data["layout"]))


def distinct(inputs: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each distinct row of ``inputs`` (N, ...) stands first ``(D,)``, and which of them each row is ``(N,)``."""
    flat = np.ascontiguousarray(inputs.reshape(len(inputs), -1)) + np.float32(0)  # -0 becomes 0
    seen: dict[bytes, int] = {}
    inverse = np.fromiter((seen.setdefault(row.tobytes(), len(seen)) for row in flat), np.int64, len(flat))
    first = np.zeros(len(seen), np.int64)
    first[inverse[::-1]] = np.arange(len(flat))[::-1]  # the last write is the first row
    return first, inverse
