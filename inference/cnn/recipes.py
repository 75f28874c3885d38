"""How a network is trained unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Settings that a network learns well with on one core."""

    epochs: int
    batch: int  # pictures of an update
    optimizer: str  # adam or sgd
    learning_rate: float  # the highest one
    weight_decay: float


_VGG = Recipe(30, 64, "sgd", 0.05, 5e-4)
RECIPES = {
    "lenet": Recipe(15, 32, "adam", 3e-3, 0.0),
    "cifar_cnn": Recipe(12, 128, "sgd", 0.1, 5e-4),
    "vgg16": _VGG,
    "vgg19": _VGG,
}
"""Name of a shipped network -> its recipe."""
OWN = Recipe(20, 64, "adam", 1e-3, 0.0)
"""Of a module of the user's."""
EDGE = 12
"""Pictures are moved by up to a twelfth of their side."""
