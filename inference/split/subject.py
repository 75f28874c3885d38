"""What is cut: a shipped network or one of the user's with fresh weights, or a trained one, and inputs for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from envs.distprivacy.types import Network
from inference.cnn.build import build_network, is_own, short_name
from inference.cnn.networks import Shape
from inference.cnn.trained import load_cnn
from inference.split.layers import SplitNetwork

SHAPES: dict[str, Shape] = {
    "lenet": (1, 28, 28),
    "cifar_cnn": (3, 32, 32),
    "vgg16": (3, 128, 128),
    "vgg19": (3, 128, 128),
}
"""Pictures of the paper: channels, height, width."""


def fresh(spec: str, shape: Sequence[int], network: Network, inputs: int, seed: int) -> tuple[SplitNetwork, Tensor]:
    """A network with weights of ``seed`` and normal inputs (N, ``*shape``).

    All of a shipped network is drawn such that its outputs depend on every map. A module of the user's stays as it is made.

    Args:
        spec: a shipped network or ``FILE.py:NAME``.
        shape: of a picture; empty: that of the paper, for a shipped network.
        network: layers that it is to have; as many classes.
        inputs: number of inputs.
        seed: of everything.

    Raises:
        ValueError: the network cannot be made or cut, or has no shape.
    """
    if spec not in SHAPES and not is_own(spec):
        wanted = "checkpoint=..., or network=FILE.py:NAME with its shape"
        raise ValueError(f"the request is for network {spec}, which is none of {', '.join(SHAPES)}, expected {wanted}")
    if not shape and spec not in SHAPES:
        raise ValueError(f"shape is [], expected channels, height and width of the pictures of network {spec}")
    channels, height, width = shape or SHAPES[spec]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_network(spec, (channels, height, width), network.layers[-1].outputs)
        if spec in SHAPES:
            _draw(module)
        values = torch.randn(inputs, channels, height, width)
        return SplitNetwork.of(module, (channels, height, width), short_name(spec)), values


def trained(checkpoint: str, inputs: int, seed: int) -> tuple[SplitNetwork, Tensor]:
    """A trained network, and random pictures (N, C, H, W) as it takes them. Raises ``ValueError`` for a wrong file."""
    model = load_cnn(checkpoint)
    pictures = np.random.default_rng(seed).integers(0, 256, (inputs, *model.shape), dtype=np.uint8)
    return SplitNetwork.of(model.module.cpu(), model.shape, short_name(model.spec)), model.prepare(pictures).cpu()


@torch.no_grad()
def _draw(module: nn.Module) -> None:
    """Weights that keep the size of what goes through (He et al. 2015), biases, and normalization as after a training.

    With those that torch makes, inputs fade from layer to layer and normalization does nothing: a mistake would not show.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                part.bias.normal_(0.0, 0.1)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0.0, 0.1)
            part.running_var.uniform_(0.5, 2.0)
            part.weight.uniform_(0.5, 1.5)
            part.bias.normal_(0.0, 0.1)
