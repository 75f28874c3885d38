"""Cutting labelled images into parts that have every class in equal shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.images.image_set import ImageSet, Splits

SHARES = (0.8, 0.1, 0.1)
"""Of training, validation and test, where a data set comes in one part; where it has a test part, 9 of 10 others train."""


def split(images: ImageSet, shares: Sequence[float], seed: int) -> list[ImageSet]:
    """Parts of ``shares`` (they sum to 1) of the images, in an order drawn from ``seed``.

    Classes have nearly equal shares in all parts, and every class is in the first one. Raises ``ValueError`` where a part
    would be empty.
    """
    count = len(images)
    order = np.random.default_rng(seed).permutation(count)
    place = np.zeros(count)  # of an image among those of its class, 0..1
    for label in range(len(images.classes)):
        (own,) = np.nonzero(images.labels[order] == label)
        place[own] = (np.arange(len(own)) + 0.5) / max(len(own), 1)
    order = order[np.argsort(place, kind="stable")]
    ends = [round(sum(shares[: part + 1]) * count) for part in range(len(shares))]
    starts = [0, *ends[:-1]]
    if any(start >= end for start, end in zip(starts, ends, strict=True)):
        raise ValueError(f"there are {count} images, too few to be split {'/'.join(f'{s:.0%}' for s in shares)}")
    return [images.take(order[start:end]) for start, end in zip(starts, ends, strict=True)]


def with_test(name: str, train: ImageSet, test: ImageSet, seed: int) -> Splits:
    """A data set that comes with test images: a tenth of the others, drawn from ``seed``, is for validation."""
    kept, held = split(train, (0.9, 0.1), seed)
    return Splits(name, kept, held, test)


def without_test(name: str, images: ImageSet, seed: int, why: str = "") -> Splits:
    """A data set that comes in one part, split 80/10/10 by ``seed``; ``why`` goes into the notice."""
    train, validation, test = split(images, SHARES, seed)
    cut = f"{len(train):,} / {len(validation):,} / {len(test):,} by seed {seed}"
    return Splits(name, train, validation, test, notice=f"{why or 'the images come in one part'}: split {cut}")
