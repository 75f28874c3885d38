"""What is given to one device before an inference: its share of the weights, and its share of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from inference.split.parts import Part


@dataclass(frozen=True, eq=False)
class Stage:
    """The share of one device in one layer, or in the output."""

    name: str  # of the layer, for errors
    segments: int
    inputs: tuple[int, ...]  # maps that it must have
    senders: tuple[int, ...]  # slots that they come from, itself included where it has some; none: from the camera
    sums: bool  # they come as partial sums, one of each map from every sender
    bias: Tensor | None  # (inputs,) added once to the sums
    part: Part | None  # None: the output, nothing to compute
    outputs: tuple[int, ...]  # maps of the result
    sends: Mapping[int, tuple[int, ...]]  # receiver -> maps of the result; itself: what it keeps


@dataclass(frozen=True, eq=False)
class Shard:
    """All that a device knows beforehand; it can be pickled."""

    slot: int
    name: str  # of the device, for errors
    stages: Mapping[int, Stage]  # by stage, only those in which it has a share
