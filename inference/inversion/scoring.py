"""How like two pictures are: the structural similarity index, as torchmetrics computes it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.image import StructuralSimilarityIndexMeasure

WINDOW, SIGMA = 11, 1.5
"""Side of the Gaussian window in pixels and its deviation (Z. Wang et al., 2004), for pictures that hold it."""
BATCH = 250


def window_of(height: int, width: int) -> int:
    """Side of the window for pictures of this size: the usual 11, or the largest odd number that fits, at least 3.

    Raises ``ValueError`` for pictures of less than 3 pixels a side.
    """
    side = min(height, width)
    if side < 3:
        raise ValueError(f"pictures are {height} x {width}, expected at least 3 x 3 for a window of SSIM")
    return min(WINDOW, side - 1 + side % 2)


@torch.no_grad()
def ssim(rebuilt: Tensor, pictures: Tensor) -> NDArray[np.float64]:
    """SSIM of each picture (N,), in -1..1; 1: the same picture.

    Mean over all windows and channels, with a Gaussian window of 11 pixels (smaller where the picture is, with a deviation
    in the same proportion), pictures reflected at the border, and a data range of 1.

    Args:
        rebuilt: (N, C, H, W); clipped to 0..1 first.
        pictures: the originals (N, C, H, W), in 0..1.

    Raises:
        ValueError: pictures of less than 3 pixels a side.
    """
    # torchmetrics makes the window 2 * int(3.5 * sigma + 0.5) + 1 wide, which is 11 for 1.5, and 9, 7, 5, 3 in proportion
    sigma = SIGMA * window_of(*pictures.shape[2:]) / WINDOW
    metric = StructuralSimilarityIndexMeasure(sigma=sigma, data_range=1.0, reduction="none")
    parts = []
    for start in range(0, len(pictures), BATCH):
        mine, given = rebuilt[start : start + BATCH].float().clamp(0, 1), pictures[start : start + BATCH]
        parts.append(metric(mine, given.float()).reshape(-1).double().numpy())
        metric.reset()
    return np.concatenate(parts)


def floor(train: Tensor, test: Tensor) -> NDArray[np.float64]:
    """SSIM of each test picture (N,) with the mean training picture: what an attacker reaches who holds no map at all."""
    return ssim(train.mean(0, keepdim=True).expand_as(test), test)
