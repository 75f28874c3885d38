"""How the places of a map lie on the pixels of the picture that it came from."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps are laid on the middle of a grid; each place of it stands for ``stride`` x ``stride`` pixels.

    An attacker knows the size of what it receives and of the pictures, and so this, without the network.
    """

    picture: tuple[int, int, int]  # C, H, W
    maps: tuple[int, int]  # h, w
    stride: int  # pixels

    @property
    def grid(self) -> tuple[int, int]:
        """Places over the height and the width of the picture, rounded up."""
        return -(-self.picture[1] // self.stride), -(-self.picture[2] // self.stride)

    def placed(self, maps: Tensor, multiple: int = 1) -> Tensor:
        """Maps (N, k, h, w) on the grid, zero around them (or cut where they are larger), to a multiple of places."""
        return _fitted(maps, *(-(-side // multiple) * multiple for side in self.grid))

    def patches(self, pictures: Tensor, side: int) -> Tensor:
        """Pictures (N, C, H, W) as (N, C*side*side, rows, columns): the pixels of one square in one place."""
        height, width = (-(-length // side) * side for length in self.picture[1:])
        return F.pixel_unshuffle(_fitted(pictures, height, width), side)

    def assembled(self, patches: Tensor, side: int) -> Tensor:
        """The pictures (N, C, H, W) of ``patches``."""
        return _fitted(F.pixel_shuffle(patches, side), *self.picture[1:])


def _fitted(images: Tensor, height: int, width: int) -> Tensor:
    """Images (N, C, h, w) as (N, C, height, width): zeros around them or borders cut off, alike on both sides."""
    more = (width - images.shape[3], height - images.shape[2])
    if more == (0, 0):
        return images
    # the smaller half, towards 0, comes first: cutting then undoes padding
    return F.pad(images, [part for extra in more for part in (int(extra / 2), extra - int(extra / 2))])
