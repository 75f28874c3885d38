"""The inverse network: what turns the maps that are held into a picture, beyond what a linear inverse does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.inversion.frame import Frame

WIDTH, BLOCKS = 64, 2
"""Channels, and residual blocks of two convolutions each."""
COARSEST = 8
"""Squares over the height of a picture, at most, in which the network thinks."""


class InverseNetwork(nn.Module):
    """Maps (N, k, h, w) and a guess (N, C, H, W) to a picture (N, C, H, W), not clipped.

    Maps and guess are cut into squares (pixel unshuffle), at most 8 x 8 of them, convolved, and put together again (pixel
    shuffle): what lies within a square is a matter of channels, and no convolution runs at the full size of the picture,
    which is what costs time. The network adds to the guess, and begins as it: its last layer starts at zero.

    Args:
        frame: how maps lie on pictures.
        maps: number of maps, k.
    """

    def __init__(self, frame: Frame, maps: int) -> None:
        super().__init__()
        self.frame = frame
        self.places = -(-max(frame.grid) // COARSEST)  # of a map, over the side of a square
        self.pixels = self.places * frame.stride
        values = frame.picture[0] * self.pixels**2
        self.first = nn.Conv2d(maps * self.places**2 + values, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(_Block() for _ in range(BLOCKS))
        self.last = nn.Conv2d(WIDTH, values, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, maps: Tensor, guess: Tensor) -> Tensor:
        """See the class."""
        held = F.pixel_unshuffle(self.frame.placed(maps, self.places), self.places)
        here = self.frame.patches(guess, self.pixels)
        state = self.first(torch.cat((held, here), 1).contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            state = block(state)
        made: Tensor = self.last(F.relu(state))
        return guess + self.frame.assembled(made.contiguous(), self.pixels)


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        result: Tensor = state + self.second(F.relu(self.first(F.relu(state))))
        return result


def make_inverse(frame: Frame, maps: int, seed: int) -> InverseNetwork:
    """A network with weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = InverseNetwork(frame, maps)
    # convolutions are faster so, in half precision three times as fast
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
