"""The best linear inverse, in closed form: Eq 1 has one minimum where the inverse network is linear.

It is where every inverse network starts from. What is left for gradient descent is the part that is not linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.inversion.frame import Frame

PENALTIES = (1e-4, 3e-3, 1e-1)
"""Squared weights cost this much for each training row; inputs have a variance of 1."""
MOST_WHOLE, MOST_LOCAL = 2_560, 1_600
"""Inputs of a regression, at most: on all places of the maps (of the first maps, where all are too many), and on a patch around
each place."""
WIDEST = 11
"""Side of the patch, at most."""
ROWS = 16_000
"""Places that the regression on patches sees, at most."""
BATCH = 512


@dataclass(frozen=True, eq=False)
class LinearInverse:
    """A linear map from maps to pictures."""

    frame: Frame
    weight: Tensor  # whole: (C*H*W, m*h*w), of the first m maps; local: (C*s*s, k, p, p), stride s, patches of p x p
    bias: Tensor  # whole: (C*H*W,); local: (C*s*s,)
    penalty: float

    @property
    def kind(self) -> str:
        """``whole`` (every pixel from all places of the maps) or ``local`` (from a patch, alike everywhere)."""
        return "whole" if self.weight.dim() == 2 else "local"

    @torch.no_grad()
    def __call__(self, maps: Tensor) -> Tensor:
        """Pictures (N, C, H, W), not clipped, from maps (N, k, h, w)."""
        parts = []
        for start in range(0, len(maps), BATCH):
            batch = maps[start : start + BATCH]
            if self.kind == "whole":
                made = torch.addmm(self.bias, batch.flatten(1)[:, : self.weight.shape[1]], self.weight.T)
                parts.append(made.view(-1, *self.frame.picture))
            else:
                padding = self.weight.shape[-1] // 2
                made = F.conv2d(self.frame.placed(batch), self.weight, self.bias, padding=padding)
                parts.append(self.frame.assembled(made, self.frame.stride))
        return torch.cat(parts)


def linear_inverses(
    frame: Frame, maps: Tensor, pictures: Tensor, generator: torch.Generator
) -> Iterator[LinearInverse]:
    """The least-squares inverses: one a penalty on all places of as many maps as it can take, and on patches of all maps.

    Args:
        frame: how maps lie on pictures.
        maps: of training (N, k, h, w), each with mean 0 and variance 1.
        pictures: that they are of (N, C, H, W).
        generator: draws the places that the regression on patches sees.
    """
    first = MOST_WHOLE // maps[0, 0].numel()
    if first:
        for penalty, weight, bias in _solved(maps[:, :first].flatten(1), pictures.flatten(1)):
            yield LinearInverse(frame, weight, bias, penalty)
    if frame.grid == (1, 1):
        return  # one place is all there is
    side = _patch(maps.shape[1], frame)
    for penalty, weight, bias in _solved(*_patches(frame, maps, pictures, side, generator)):
        yield LinearInverse(frame, weight.view(len(weight), maps.shape[1], side, side), bias, penalty)


def _patch(maps: int, frame: Frame) -> int:
    """Side of the patch: odd, so wide that the inputs stay few, no wider than the maps reach."""
    side = 1
    while side + 2 <= min(WIDEST, 2 * max(frame.grid) - 1) and maps * (side + 2) ** 2 <= MOST_LOCAL:
        side += 2
    return side


def _patches(
    frame: Frame, maps: Tensor, pictures: Tensor, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Patches (R, k*p*p) of drawn places, and the pixels (R, C*s*s) that belong to each."""
    height, width = frame.grid
    each = max(1, -(-ROWS // len(maps)))  # places of one picture
    rows, targets = [], []
    for start in range(0, len(maps), BATCH):
        placed = F.pad(frame.placed(maps[start : start + BATCH]), (side // 2,) * 4)
        pixels = frame.patches(pictures[start : start + BATCH], frame.stride)
        y = torch.randint(height, (len(placed), each), generator=generator)
        x = torch.randint(width, (len(placed), each), generator=generator)
        of = torch.arange(len(placed))[:, None]
        around = torch.arange(side)
        # (n, each, k, p, p): the indices are broadcast against each other and come first
        found = placed.permute(0, 2, 3, 1)[
            of[..., None, None], (y[..., None, None] + around[:, None]), (x[..., None, None] + around)
        ]
        rows.append(found.permute(0, 1, 4, 2, 3).reshape(len(placed) * each, -1))
        targets.append(pixels.permute(0, 2, 3, 1)[of, y, x].reshape(len(placed) * each, -1))
    return torch.cat(rows), torch.cat(targets)


def _solved(inputs: Tensor, targets: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Each penalty, its weights (outputs, inputs) and its bias (outputs,)."""
    mean, middle = inputs.mean(0), targets.mean(0)
    centred = inputs - mean
    gram = (centred.T @ centred).double()
    cross = (centred.T @ (targets - middle)).double()
    for penalty in PENALTIES:
        system = gram.clone()
        system.diagonal().add_(penalty * len(inputs))
        weight = torch.cholesky_solve(cross, torch.linalg.cholesky(system)).T.float().contiguous()
        yield penalty, weight, middle - weight @ mean
