"""MobileNetV2 with two exits, as the public early-exit intrusion detection system has it: no normalisation, only ReLU6."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from inference.early_exit.network import ExitNetwork

SIDE = 48
"""The input is blown up to so many pixels a side: every number becomes 6 x 6 equal ones."""
LAST = 1280
"""Channels that an exit pools over."""


def _convolution(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.ReLU6()]


class InvertedResidual(nn.Module):
    """Widen ``expansion`` times, filter each channel, narrow again; the input is added where the shapes agree."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        widen = _convolution(before, wide, 1) if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen, *_convolution(wide, wide, 3, stride, groups=wide), *_convolution(wide, after, 1)
        )
        self.adds = stride == 1 and before == after

    def forward(self, inputs: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H / stride, W / stride)``."""
        made = cast(Tensor, self.layers(inputs))
        return inputs + made if self.adds else made


def _blocks(before: int, settings: tuple[tuple[int, int, int, int], ...]) -> list[nn.Module]:
    """Inverted residuals by (expansion, channels, repeats, stride of the first), as in the paper's table 2."""
    made = list[nn.Module]()
    for expansion, after, repeats, stride in settings:
        for repeat in range(repeats):
            made.append(InvertedResidual(before, after, stride if repeat == 0 else 1, expansion))
            before = after
    return made


def _exit(channels: int) -> nn.Module:
    return nn.Sequential(
        *_convolution(channels, LAST, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(LAST, 2)
    )


def mobilenet() -> ExitNetwork:
    """2 225 028 parameters; takes ``(N, 1, 8, 8)`` (Sandler et al. 2018 without BatchNorm). Exit 1 after 3 of 17 blocks."""
    first = nn.Sequential(
        nn.AdaptiveAvgPool2d((SIDE, SIDE)),
        *_convolution(1, 32, 3, stride=2),
        *_blocks(32, ((1, 16, 1, 1), (6, 24, 2, 2))),
    )
    second = nn.Sequential(*_blocks(24, ((6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))))
    return ExitNetwork([first, second], [_exit(24), _exit(320)])
