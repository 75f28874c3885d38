"""Pictures of another size, by Pillow's bilinear filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def resized(images: NDArray[np.uint8], side: int | None) -> NDArray[np.uint8]:
    """Pictures (N, C, H, W) as (N, C, side, side), channel by channel; as they are for None."""
    if side is None or images.shape[2:] == (side, side):
        return images
    result = np.empty((*images.shape[:2], side, side), np.uint8)
    for index in np.ndindex(*images.shape[:2]):
        result[index] = Image.fromarray(images[index]).resize((side, side), Image.Resampling.BILINEAR)
    return result
