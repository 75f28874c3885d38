"""What each action makes of a window: a usual number, and by how much the window at hand differs."""

from __future__ import annotations

import torch as th
from torch import nn

_EMBEDDING = 16
_MOMENTUM = 0.02


class Head(nn.Module):
    """``values`` numbers of a window: those of any, plus a linear map of a normalised embedding of what is seen.

    Each head embeds for itself: what one of them finds in a window is no concern of the others.

    ``seen``: length of what is seen of a window. ``first``: the usual numbers before training. ``step``: the unit in which they
    are learned: Adam moves every parameter by about its step size, and noise would tell numbers apart that differ by less.
    """

    running_mean: th.Tensor
    running_square: th.Tensor

    def __init__(self, seen: int, values: int, hidden: int, first: float, step: float = 1.0) -> None:
        super().__init__()
        self.step = step
        self.embed = nn.Sequential(nn.Linear(seen, hidden), nn.SiLU(), nn.Linear(hidden, _EMBEDDING), nn.SiLU())
        self.register_buffer("running_mean", th.zeros(_EMBEDDING))
        self.register_buffer("running_square", th.ones(_EMBEDDING))
        self.usual = nn.Parameter(th.full((values,), first / step))
        self.apart = nn.Linear(_EMBEDDING, values, bias=False)
        with th.no_grad():
            self.apart.weight.mul_(0.05)

    def forward(self, seen: th.Tensor, remember: bool = False) -> tuple[th.Tensor, th.Tensor]:
        """The numbers ``(G, V)`` of windows ``(G, S)``, and the part of them that sets these windows apart.

        ``remember``: move the running means towards these windows.
        """
        x = self.embed(seen)
        if remember:
            with th.no_grad():
                self.running_mean.lerp_(x.mean(dim=0), _MOMENTUM)
                self.running_square.lerp_(x.square().mean(dim=0), _MOMENTUM)
        spread = (self.running_square - self.running_mean.square()).clamp(min=1e-4).sqrt()
        apart = self.apart((x - self.running_mean) / spread)
        return self.step * self.usual + apart, apart
