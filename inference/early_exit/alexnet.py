"""AlexNet with two exits, as the public early-exit intrusion detection system has it."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from inference.early_exit.network import ExitNetwork

SIDE = 48
"""The input is blown up to so many pixels a side: every number becomes 6 x 6 equal ones."""


def alexnet() -> ExitNetwork:
    """36 874 052 parameters; takes ``(N, 1, 8, 8)``. Exit 1 branches after the first convolution."""
    first = nn.Sequential(
        nn.AdaptiveAvgPool2d((SIDE, SIDE)),
        nn.Conv2d(1, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )
    channels = (64, 192, 384, 256, 256)
    convolutions = list[nn.Module]()
    for before, after in pairwise(channels):
        convolutions += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    second = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(256 * 5 * 5, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 2048),
        nn.ReLU(),
        nn.Linear(2048, 2),
    )
    return ExitNetwork(
        [first, nn.Sequential(*convolutions)], [nn.Sequential(nn.Flatten(), nn.Linear(64 * 5 * 5, 2)), second]
    )
