"""The maps of a layer, or of two, and the pictures that they came from: what an attack on that layer works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inference.images.image_set import ImageSet, Splits
from inference.inversion.capture import Capture
from inference.inversion.frame import Frame

MOST_BYTES = 2**30
"""Memory for the training maps of a layer; an attack on a wide layer learns from fewer pictures."""
MOST_VALIDATION = 500
"""Pictures that choose the linear inverse and the best look, at most."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Subject:
    """Maps have a mean of 0 and a variance of 1 over the training pictures, each for itself."""

    frame: Frame
    maps: dict[str, Tensor]  # of PARTS: (N, P, h, w); of two layers (N, P + Q, h, w), the first one's in front
    pictures: dict[str, Tensor]  # of PARTS: (N, C, H, W) in 0..1


def make_subject(
    capture: Capture,
    layer: str,
    also: str | None,
    splits: Splits,
    most: dict[str, int],
    tick: Callable[[int], None] = lambda done: None,
) -> Subject:
    """Compute the maps of ``layer``, and of the layer ``also`` where there is one.

    The maps of the smaller of two layers are repeated to the size of the larger one, which neither adds nor loses anything.

    Args:
        capture: the network.
        layer: name of the layer.
        also: of a second one that the attacker sees at the same time.
        splits: the attacker learns from ``train``, chooses by ``validation``, and is scored on ``test``.
        most: of PARTS, how many pictures at most; fewer of training where memory does not suffice.
        tick: is told how many pictures of all parts are done.

    Raises:
        ValueError: the network has no such layer, or takes other pictures.
    """
    names = [layer] if also is None else [layer, also]
    shapes = [capture.shape(name) for name in names]
    height, width = max(shape.height for shape in shapes), max(shape.width for shape in shapes)
    bytes_each = 4 * sum(shape.maps for shape in shapes) * height * width
    limits = {**most, "train": max(1, min(most["train"], MOST_BYTES // bytes_each))}
    maps: dict[str, Tensor] = {}
    pictures: dict[str, Tensor] = {}
    done = 0
    for part in PARTS:
        images: ImageSet = getattr(splits, part)
        chosen = images.images[_rows(part, len(images), limits[part])]
        found = [_resized(capture.maps(name, chosen, _after(done, tick)), height, width) for name in names]
        maps[part] = found[0] if len(found) == 1 else torch.cat(found, 1)
        pictures[part] = torch.from_numpy(np.array(chosen)).float() / 255
        done += len(chosen)
    mean = maps["train"].mean((0, 2, 3), keepdim=True)
    # at once for each map: the deviation of a whole tensor of this size would take as much memory again
    deviation = torch.stack([one.std() for one in maps["train"].unbind(1)]).view(1, -1, 1, 1)
    deviation[deviation < 1e-6] = 1.0  # a map that is always the same tells nothing
    for part in PARTS:
        maps[part].sub_(mean).div_(deviation)
    stride = min(shape.stride for shape in shapes)
    return Subject(Frame(splits.shape, (height, width), stride), maps, pictures)


def _rows(part: str, count: int, most: int) -> slice | NDArray[np.int64]:
    """Of at most ``most`` pictures: the first of the mixed parts; of test ones, which may stand class by class, drawn ones."""
    return np.random.default_rng(0).permutation(count)[:most] if part == "test" and most < count else slice(most)


def _after(done: int, tick: Callable[[int], None]) -> Callable[[int], None]:
    return lambda more: tick(done + more)


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    if maps.shape[2:] == (height, width):
        return maps
    return F.interpolate(maps, size=(height, width), mode="nearest")
