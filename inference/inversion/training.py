"""Training of one inverse network: Adam on the squared error of the clipped picture (paper Eq 1)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.inversion.networks import InverseNetwork
from inference.inversion.scoring import ssim

LEAK = 0.01
"""Slope of the clipping outside 0..1: a pixel that is wrongly clipped must find its way back."""
WARM_UP = 30
"""Steps in which the step size rises."""
LAST = 0.02
"""Share of the highest step size that is left at the end."""
LOOKS = 8
"""Times at which the network is scored on validation pictures; the best of them is kept."""


@dataclass(frozen=True, slots=True)
class TuningSettings:
    """How inverse networks are trained."""

    batch: int = 64  # pictures of a step
    learning_rate: float = 4e-3  # the highest one
    bfloat16: bool = False  # forward and backward in half precision


@dataclass(frozen=True, eq=False)
class Pairs:
    """What an attacker has: maps, the linear guess at their pictures, and the pictures."""

    maps: Tensor  # (N, k, h, w), of mean 0 and variance 1 over the training pictures
    guess: Tensor  # (N, C, H, W)
    pictures: Tensor  # (N, C, H, W) in 0..1


def clipped(pictures: Tensor) -> Tensor:
    """``pictures`` within 0..1, with a small slope outside.

    What is scored is the clipped picture. A network that need not hit 0 and 1 exactly, only not fall between them, has its
    strength free for the rest.
    """
    inside = pictures.clamp(0, 1)
    return inside + LEAK * (pictures - inside)


def loss_of(rebuilt: Tensor, pictures: Tensor) -> Tensor:
    """Mean squared error of clipped pictures (N, C, H, W)."""
    return F.mse_loss(clipped(rebuilt), pictures)


@torch.no_grad()
def rebuilt(network: InverseNetwork, maps: Tensor, guess: Tensor, batch: int = 500) -> Tensor:
    """Pictures (N, C, H, W) in 0..1 that a network makes of maps."""
    parts = [network(maps[i : i + batch], guess[i : i + batch]).clamp(0, 1) for i in range(0, len(maps), batch)]
    return torch.cat(parts)


def tune(
    network: InverseNetwork,
    train: Pairs,
    validation: Pairs,
    steps: int,
    settings: TuningSettings,
    generator: torch.Generator,
    on_step: Callable[[], None] = lambda: None,
) -> float:
    """Train ``network`` in place; it ends as it was at the best of some looks at validation pictures, the start included.

    Args:
        network: begins as the guess.
        train: what it learns from.
        validation: what says when it was best.
        steps: of Adam; 0 leaves it as it is.
        settings: how.
        generator: draws the batches.
        on_step: called after every step.

    Returns:
        The mean SSIM of that best look.
    """
    best = float(ssim(rebuilt(network, validation.maps, validation.guess), validation.pictures).mean())
    kept = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate, fused=True)
    looks = {round(steps * (look + 1) / LOOKS) for look in range(LOOKS)}
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate(step - 1, steps)
        rows = torch.randint(len(train.maps), (settings.batch,), generator=generator)
        descend(network, optimizer, train, rows, settings)
        if step in looks:
            now = float(ssim(rebuilt(network, validation.maps, validation.guess), validation.pictures).mean())
            if now > best:
                best, kept = now, copy.deepcopy(network.state_dict())
        on_step()
    network.load_state_dict(kept)
    return best


def descend(
    network: InverseNetwork, optimizer: torch.optim.Optimizer, train: Pairs, rows: Tensor, settings: TuningSettings
) -> None:
    """One step on the pictures ``rows``."""
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
        made = network(train.maps[rows], train.guess[rows])
    loss = loss_of(made.float(), train.pictures[rows])
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def rate(step: int, steps: int) -> float:
    """Share of the highest step size at ``step`` of ``steps``: it rises for a while, then falls on half a cosine."""
    fallen = 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))
    return min(1.0, (step + 1) / WARM_UP) * (LAST + (1 - LAST) * fallen)
