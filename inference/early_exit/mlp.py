"""Small multi-exit networks of linear layers, which suit 58 numbers better than pictures of them do."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from inference.early_exit.network import ExitNetwork

DROPOUT = 0.4
"""Share of the units that a deeper block leaves out while training; without it their certainties are far too high."""


def mlp(features: int, widths: Sequence[int]) -> ExitNetwork:
    """One exit a width: the first block is one layer, so that exit 1 is cheap; each further block has two.

    Args:
        features: numbers of a prepared row.
        widths: of each block's layers; the first also sets the bytes of features that would cross to a server.
    """
    blocks, exits, before = list[nn.Module](), list[nn.Module](), features
    for number, width in enumerate(widths):
        layers: list[nn.Module] = [nn.Linear(before, width), nn.ReLU()]
        if number:
            layers += [nn.Dropout(DROPOUT), nn.Linear(width, width), nn.ReLU(), nn.Dropout(DROPOUT)]
        blocks.append(nn.Sequential(*layers))
        exits.append(nn.Linear(width, 2))
        before = width
    return ExitNetwork(blocks, exits)
