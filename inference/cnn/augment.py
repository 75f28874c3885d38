"""Pictures that are changed a little at each epoch, so that a network learns what does not matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def augmented(images: NDArray[np.uint8], shift: int, flip: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each picture of (N, C, H, W) moved by up to ``shift`` pixels both ways, half of them mirrored where ``flip``.

    What moves in is the pixel of the edge, which is the background where that is plain.
    """
    if flip:
        mirrored = rng.random(len(images)) < 0.5
        images = np.where(mirrored[:, None, None, None], images[..., ::-1], images)
    if not shift:
        return images
    padded = np.pad(images, ((0, 0), (0, 0), (shift, shift), (shift, shift)), mode="edge")
    # (N, C, 2 shift + 1, 2 shift + 1, H, W): every window of the size of the picture, not yet copied
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    down, right = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return np.ascontiguousarray(windows[np.arange(len(images)), :, down, right])
