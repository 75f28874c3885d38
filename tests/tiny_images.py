"""Small image data sets in the public formats, for tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.images.image_set import ImageSet


def pictures(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise of ``shape``."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def stripes(count: int, side: int = 28, seed: int = 0, channels: int = 1) -> ImageSet:
    """Two classes that are told apart at once: stripes that lie and stripes that stand, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    waves = np.where(np.arange(side) // 2 % 2, 200, 40)
    clean = np.where(labels[:, None, None] == 1, waves[None, None, :], waves[None, :, None])
    noisy = clean[:, None] + rng.normal(0, 30, (count, channels, side, side))
    return ImageSet(noisy.clip(0, 255).astype(np.uint8), labels.astype(np.int64), ("lying", "standing"))


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    """An idx file of unsigned bytes."""
    return struct.pack(f">{values.ndim + 1}I", 0x800 + values.ndim, *values.shape) + values.tobytes()


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """Write an idx file, packed where its name ends in .gz."""
    raw = idx_bytes(values)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_tree(folder: Path, images: ImageSet, suffix: str = ".png") -> None:
    """Write ``CLASS/NUMBER.png`` for every image."""
    for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        path = folder / images.classes[label] / f"{number:04d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(path)
