"""A fingerprint of what a network computes: weights still fit one whose code has changed, its answers do not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from inference.cnn.networks import Shape

TOLERANCE = 1e-3
"""How far two fingerprints of one network may be apart, over the largest number: machines add in different orders."""


@torch.no_grad()
def fingerprint(module: nn.Module, shape: Shape, device: torch.device) -> tuple[float, ...]:
    """Logits of one fixed pattern of ``shape`` (C, H, W), in 6 digits; the module must be in eval mode."""
    values = torch.sin(torch.arange(math.prod(shape), dtype=torch.float32) * 0.7).view(1, *shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return tuple(float(f"{value:.6g}") for value in module(values.to(device)).flatten().tolist())


def agree(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two fingerprints can be those of one network."""
    first, second = np.array(one), np.array(other)
    return first.shape == second.shape and bool(np.abs(first - second).max() <= TOLERANCE * (1 + np.abs(first).max()))
