"""Labelled images as arrays, split into those that teach, those that choose and those that judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N labelled images of one shape. Raises ``ValueError`` where the arrays do not fit together or hold what cannot be."""

    images: NDArray[np.uint8]  # (N, C, H, W), C is 1 (grey) or 3 (red, green, blue)
    labels: NDArray[np.int64]  # (N,) numbers into ``classes``
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or 0 in self.images.shape:
            raise ValueError(
                f"images are {self.images.dtype} of shape {self.images.shape}, expected uint8 of (N, C, H, W), none of them 0"
            )
        if self.images.shape[1] not in (1, 3):
            raise ValueError(f"images have {self.images.shape[1]} channels, expected 1 (grey) or 3 (red, green, blue)")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels have the shape {self.labels.shape}, expected {self.images.shape[:1]}")
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise ValueError(
                f"labels go from {self.labels.min()} to {self.labels.max()}, expected numbers of {len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image: C, H, W."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def pixel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel (C,), of pixels as shares of 255; 1 where all pixels are the same."""
        # of how often each value comes: no copy of all pixels as floats
        values = np.arange(256) / 255
        shares = [
            np.bincount(self.images[:, c].ravel(), minlength=256) / self.images[:, c].size for c in range(self.shape[0])
        ]
        means = [float(share @ values) for share in shares]
        deviations = [float(share @ (values - mean) ** 2) ** 0.5 for share, mean in zip(shares, means, strict=True)]
        return tuple(means), tuple(deviation or 1.0 for deviation in deviations)

    def take(self, index: NDArray[np.int64] | slice) -> ImageSet:
        """The images ``index``, in its order."""
        return ImageSet(self.images[index], self.labels[index], self.classes)


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set in three parts that share no image. Raises ``ValueError`` where their shapes or classes differ."""

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    notice: str = ""  # what a user should know of how it was cut; one sentence or nothing

    def __post_init__(self) -> None:
        for part, images in (("validation", self.validation), ("test", self.test)):
            if images.shape != self.train.shape or images.classes != self.train.classes:
                raise ValueError(
                    f"{self.name}: {part} has images of {images.shape} in {len(images.classes)} classes, expected "
                    f"{self.train.shape} in {len(self.train.classes)} as those of train"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image: C, H, W."""
        return self.train.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.train.classes
