"""Handwritten digits that come with scikit-learn, so are always there (E. Alpaydin, C. Kaynak, UCI, 1998)."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from inference.images.image_set import ImageSet
from inference.images.resize import resized

SIDE = 28
"""Of a picture unless told otherwise: that of MNIST, which LeNet takes."""


def digits(side: int = SIDE) -> ImageSet:
    """1,797 pictures (1, side, side) of 10 digits: 8 x 8 of 0..16, scaled to 0..255 and enlarged."""
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return ImageSet(resized(images, side), data.target.astype(np.int64), tuple(map(str, range(10))))
