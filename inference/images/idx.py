"""The idx files of MNIST (Y. LeCun, C. Cortes) and of its family: Fashion-MNIST, KMNIST, EMNIST.

A file is ``0, 0, type, dimensions`` (a byte each), as many big-endian sizes of 4 bytes, then the numbers row by row.
Type 8 is unsigned bytes, the only one that is read.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.csv_table import read_file
from envs.strict_json import FilePath
from inference.images.image_set import ImageSet, Splits
from inference.images.resize import resized
from inference.images.split import with_test, without_test

_BYTES = 8  # the type of unsigned bytes
_WHAT = {1: "labels", 3: "images"}


def read_idx(path: FilePath, dimensions: int) -> NDArray[np.uint8]:
    """The array of an idx file of unsigned bytes, plain or packed (``.gz``).

    Args:
        path: of the file.
        dimensions: 3 for images (N, height, width), 1 for labels (N,).

    Raises:
        ValueError: one sentence; the file cannot be read, is of another kind, or its length is not that of its header.
    """
    what = f"idx file of {_WHAT.get(dimensions, 'numbers')}"
    raw = read_file(path, what)
    magic = (_BYTES << 8) + dimensions
    start = 4 + 4 * dimensions
    if len(raw) < start:
        raise ValueError(f"{path}: has {len(raw)} bytes, expected an {what}, which has a header of {start}")
    found, *sizes = struct.unpack(f">{dimensions + 1}I", raw[:start])
    if found != magic:
        raise ValueError(f"{path}: begins with {found:#010x}, expected {magic:#010x}, an {what}")
    wanted = math.prod(sizes)
    if len(raw) - start != wanted:
        shape = " x ".join(map(str, sizes))
        raise ValueError(f"{path}: has {len(raw) - start} bytes after its header, expected {wanted} for {shape}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(sizes)


def load_idx(folder: FilePath, *, name: str = "mnist", side: int | None = None, seed: int = 0) -> Splits:
    """A data set of the files ``{train,t10k}-{images-idx3,labels-idx1}-ubyte``, with ``.gz`` or without.

    ``images.idx3-ubyte`` is understood as well. Where only one of the pairs has images, these are split 80/10/10.

    Args:
        folder: of the files.
        name: of the data set.
        side: height and width that all pictures are brought to; None: as they are.
        seed: of the split.

    Raises:
        ValueError: one sentence on what is missing or wrong, with the file.
    """
    pairs = {part: _pair(Path(folder), part, side) for part in ("train", "t10k")}
    given = {part: pair for part, pair in pairs.items() if pair is not None}
    if not given:
        problem = "holds no images" if Path(folder).is_dir() else "is no folder"
        raise ValueError(f"{folder}: {problem}, expected train-images-idx3-ubyte or t10k-images-idx3-ubyte, .gz or not")
    classes = tuple(map(str, range(1 + max(int(labels.max(initial=0)) for _, labels in given.values()))))
    if len(classes) < 2:
        raise ValueError(f"{folder}: all labels are 0, expected at least 2 classes")
    try:
        sets = {part: ImageSet(images, labels, classes) for part, (images, labels) in given.items()}
        if len(sets) == 2:
            return with_test(name, sets["train"], sets["t10k"], seed)
        (part,) = sets
        missing = "t10k" if part == "train" else "train"
        return without_test(name, sets[part], seed, f"{missing}-images-idx3-ubyte is missing")
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _pair(folder: Path, part: str, side: int | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Images (N, 1, H, W) and labels (N,) of one part; None where its images are missing."""
    images_file = _find(folder, f"{part}-images", "idx3-ubyte")
    if images_file is None:
        return None
    labels_file = _find(folder, f"{part}-labels", "idx1-ubyte")
    if labels_file is None:
        raise ValueError(f"{folder / f'{part}-labels-idx1-ubyte'}: is missing, expected the labels of {images_file}")
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_file}: has {len(labels)} labels, expected {len(images)} as {images_file} has images")
    if 0 in images.shape:
        raise ValueError(f"{images_file}: has images of the shape {images.shape}, expected at least one of one pixel")
    return resized(images[:, None], side), labels.astype(np.int64)


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    names = (f"{stem}{mark}{kind}{packed}" for mark in "-." for packed in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)
