"""CIFAR-10 and CIFAR-100 (A. Krizhevsky, 2009) as they are given out: in binary, or as pickles of Python.

A binary record is the label (CIFAR-100: coarse, then fine), then 1,024 bytes each of red, green and blue, row by row.
A pickle is a dict of ``data`` (N, 3072), in the same order, and ``labels`` or ``fine_labels``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.csv_table import read_file
from envs.strict_json import FilePath
from inference.images.image_set import ImageSet, Splits
from inference.images.resize import resized
from inference.images.safe_pickle import load_plain
from inference.images.split import with_test

SIDE, PIXELS = 32, 3 * 32 * 32
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]  # rows (N, 3072), labels (N,)
_DAMAGED = (ValueError, KeyError, TypeError, EOFError, AttributeError, IndexError, pickle.UnpicklingError)


@dataclass(frozen=True)
class _Layout:
    """One of the four ways in which the data sets are given out."""

    subfolder: str  # that its archive makes
    train: tuple[str, ...]
    test: str
    classes: int
    read: Callable[[Path, int], Batch]


def load_cifar(folder: FilePath, *, side: int | None = None, seed: int = 0) -> Splits:
    """CIFAR-10 or CIFAR-100, whichever ``folder`` or the folder in it that an archive makes holds.

    Args:
        folder: of the batches.
        side: height and width that all pictures are brought to; None: 32.
        seed: of the part of the training images that is for validation.

    Raises:
        ValueError: one sentence on what is missing or wrong, with the file.
    """
    for layout in _LAYOUTS:
        for place in (Path(folder), Path(folder) / layout.subfolder):
            if (place / layout.train[0]).is_file():
                return _load(place, layout, side, seed)
    names = " or ".join(layout.train[0] for layout in _LAYOUTS)
    problem = "holds no batch" if Path(folder).is_dir() else "is no folder"
    raise ValueError(f"{folder}: {problem} of CIFAR, expected {names} (pictures as files: dataset=folder)")


def _load(place: Path, layout: _Layout, side: int | None, seed: int) -> Splits:
    rows, labels = zip(*(layout.read(place / name, layout.classes) for name in layout.train), strict=True)
    classes = CIFAR10 if layout.classes == len(CIFAR10) else tuple(map(str, range(layout.classes)))
    train = _images(np.concatenate(rows), np.concatenate(labels), classes, side)
    test = _images(*layout.read(place / layout.test, layout.classes), classes, side)
    return with_test(f"cifar{layout.classes}", train, test, seed)


def _images(rows: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str], side: int | None) -> ImageSet:
    return ImageSet(resized(rows.reshape(-1, 3, SIDE, SIDE), side), labels, tuple(classes))


def _read_binary(path: Path, classes: int) -> Batch:
    raw = read_file(path, "batch of CIFAR")
    head = 1 if classes == len(CIFAR10) else 2
    if not raw or len(raw) % (head + PIXELS):
        raise ValueError(f"{path}: has {len(raw)} bytes, expected a whole number of records of {head + PIXELS}")
    records = np.frombuffer(raw, np.uint8).reshape(-1, head + PIXELS)
    return records[:, head:], _checked(path, records[:, head - 1].astype(np.int64), classes)


def _read_pickle(path: Path, classes: int) -> Batch:
    raw = read_file(path, "batch of CIFAR")
    try:
        content = {_text(name): value for name, value in load_plain(raw).items()}
        rows: Any = content["data"]
        labels = np.array(content["labels" if classes == len(CIFAR10) else "fine_labels"])
        if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != PIXELS:
            raise ValueError(f"its data have the shape {np.shape(rows)}, expected (N, {PIXELS}) of bytes")
        if not len(rows) or labels.shape != rows.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(f"it has {labels.size} labels for {len(rows)} images, expected as many, at least one")
    except _DAMAGED as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: is no batch of CIFAR ({first}), expected a pickle of data and labels") from error
    return rows, _checked(path, labels.astype(np.int64), classes)


def _text(name: Any) -> str:
    """A key; a pickle of Python 2 that Python 3 has written again has bytes for texts."""
    return name.decode("latin1") if isinstance(name, bytes) else str(name)


def _checked(path: Path, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise ValueError(f"{path}: image {wrong[0]} has the label {labels[wrong[0]]}, expected 0..{classes - 1}")
    return labels


_LAYOUTS = (
    _Layout(
        "cifar-10-batches-bin", tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin", 10, _read_binary
    ),
    _Layout("cifar-10-batches-py", tuple(f"data_batch_{k}" for k in range(1, 6)), "test_batch", 10, _read_pickle),
    _Layout("cifar-100-binary", ("train.bin",), "test.bin", 100, _read_binary),
    _Layout("cifar-100-python", ("train",), "test", 100, _read_pickle),
)
