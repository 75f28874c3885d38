"""The networks by name, and their work on one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from envs.early_exit.costs import NetworkWork
from inference.early_exit.alexnet import alexnet
from inference.early_exit.mlp import mlp
from inference.early_exit.mobilenet import mobilenet
from inference.early_exit.network import ExitNetwork

FLOAT_BYTES = 4
"""Bytes of a number that crosses the network."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained unless told otherwise: within two minutes of one core."""

    epochs: int
    batch: int  # rows of an update
    learning_rate: float


@dataclass(frozen=True)
class Family:
    """A kind of network."""

    layout: str  # of its inputs, one of ``preprocessing.LAYOUTS``
    widths: tuple[int, ...]  # its own; empty: they cannot be chosen
    recipe: Recipe
    build: Callable[[int, Sequence[int]], ExitNetwork]


_QUICK, _SLOW = Recipe(80, 200, 2e-3), Recipe(7, 200, 1e-3)
FAMILIES: dict[str, Family] = {
    "mlp": Family("flat", (32, 256), _QUICK, mlp),
    "mlp3": Family("flat", (16, 64, 256), _QUICK, mlp),
    "mobilenet": Family("square", (), _SLOW, lambda features, widths: mobilenet()),
    "alexnet": Family("square", (), _SLOW, lambda features, widths: alexnet()),
}
"""Name -> kind."""
SQUARE = 64
"""Most features of a network that takes them as a square of 8 x 8."""


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built from. Raises ``ValueError`` for what cannot be built."""

    name: str  # one of FAMILIES
    features: int  # of a row
    widths: tuple[int, ...] = ()  # of each block; empty: the family's own

    def __post_init__(self) -> None:
        if self.name not in FAMILIES:
            raise ValueError(f"network is {self.name!r}, expected one of {', '.join(FAMILIES)}")
        own = FAMILIES[self.name].widths
        if self.widths and len(self.widths) != len(own):
            expected = f"one for each of {len(own)} exits" if own else "none"
            raise ValueError(f"widths has {len(self.widths)} entries, expected {expected} for {self.name}")
        if min(self.widths, default=1) < 1 or self.features < 1:
            raise ValueError(f"widths is {list(self.widths)} with {self.features} features, expected numbers >= 1")
        if self.layout == "square" and not 49 < self.features <= SQUARE:
            raise ValueError(f"{self.name} takes 50 to {SQUARE} features, there are {self.features}")

    @property
    def layout(self) -> str:
        """How its inputs are laid out, one of ``preprocessing.LAYOUTS``."""
        return FAMILIES[self.name].layout

    def build(self) -> ExitNetwork:
        """The network, weights not yet initialised to anything that matters; torch's global random state is kept."""
        family = FAMILIES[self.name]
        with torch.random.fork_rng(devices=[]):
            return family.build(self.features, self.widths or family.widths)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "features": self.features, "widths": list(self.widths)}


def count_work(network: ExitNetwork, shape: Sequence[int], features: int) -> NetworkWork:
    """Multiply-accumulates of convolutions and linear layers, and bytes of features, counted on one row.

    Args:
        network: any; left as it is.
        shape: of a prepared row.
        features: numbers of a row as it comes, 4 bytes each.
    """
    macs = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        # each output number of a convolution is a sum over the kernel and the input channels of its group
        each = module.weight[0].numel() if isinstance(module, nn.Conv2d | nn.Linear) else 0
        macs += output.numel() * each

    hooks = [part.register_forward_hook(count) for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    was_training = network.training
    block_macs, exit_macs, feature_bytes = list[int](), list[int](), list[int]()
    try:
        network.eval()
        with torch.no_grad():
            values = torch.zeros(1, *shape, dtype=next(network.parameters()).dtype)
            for block, leave in zip(network.blocks, network.exits, strict=True):
                macs = 0
                values = block(values)
                block_macs.append(macs)
                macs = 0
                leave(values)
                exit_macs.append(macs)
                feature_bytes.append(FLOAT_BYTES * values.numel())
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    feature_bytes[-1] = 0  # nothing comes after the last block
    return NetworkWork(tuple(block_macs), tuple(exit_macs), tuple(feature_bytes), FLOAT_BYTES * features)
