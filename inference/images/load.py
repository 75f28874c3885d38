"""Data sets by name."""

from __future__ import annotations

from inference.images.cifar import load_cifar
from inference.images.digits import SIDE, digits
from inference.images.folder import load_folder
from inference.images.idx import load_idx
from inference.images.image_set import Splits
from inference.images.split import without_test

DATASETS = ("digits", "mnist", "cifar10", "folder")
"""Names that ``load_images`` knows."""


def load_images(
    dataset: str, folder: str | None, *, side: int | None = None, seed: int = 0, progress: bool = False
) -> Splits:
    """A data set in three parts; the same arguments always give the same ones.

    Args:
        dataset: one of ``DATASETS``.
        folder: where its files are, for ``folder`` also a ``.tar``; None for digits, which comes with scikit-learn.
        side: height and width that all pictures are brought to; None: as they are (digits: 28).
        seed: of the split.
        progress: show a bar where pictures are decoded one by one.

    Raises:
        ValueError: one sentence on what is missing or wrong, with the file.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset is {dataset}, expected one of {', '.join(DATASETS)}")
    if side is not None and side < 1:
        raise ValueError(f"side is {side}, expected a whole number >= 1")
    if dataset == "digits":
        if folder is not None:
            raise ValueError(f"data is {folder}, but dataset=digits comes with scikit-learn, expected null")
        return without_test("digits", digits(side or SIDE), seed)
    if folder is None:
        raise ValueError(f"dataset is {dataset}, but there is no data=..., expected where its files are")
    if dataset == "folder":
        return load_folder(folder, side=side, seed=seed, progress=progress)
    return (load_idx if dataset == "mnist" else load_cifar)(folder, side=side, seed=seed)
