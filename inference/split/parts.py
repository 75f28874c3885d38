"""What a device computes of one layer: its own segments of the weights, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.split.operation import Step


class Part(Protocol):
    """The share of one layer that one device computes."""

    @property
    def weight_bytes(self) -> int:
        """Of kernels and matrices; biases, slopes and settings count for nothing, as in the physics."""

    def __call__(self, values: Tensor) -> Tensor:
        """Outputs for the input maps that the device holds: (N, held, height, width) to (N, maps, height, width)."""

    def mults(self, values: Tensor) -> int:
        """Multiplications that made the outputs ``values`` (N, ...) of one input out of N, padding counted as values."""


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """How a kernel moves over a map, as torch.nn.Conv2d has it."""

    stride: tuple[int, int]
    padding: tuple[int, int] | str  # zeros are added; "valid", "same"
    dilation: tuple[int, int]
    edges: tuple[int, int, int, int] | None = None  # left, right, top, bottom, where other values than 0 are added
    mode: str = "zeros"  # what they are: "reflect", "replicate", "circular"


@dataclass(frozen=True, eq=False)
class ConvPart:
    """The contribution of some input maps to all output maps, without bias: a partial sum of each."""

    weight: Tensor  # (output maps, held, kernel height, kernel width)
    geometry: ConvGeometry

    @property
    def weight_bytes(self) -> int:
        """Of the kernels that it holds."""
        return self.weight.numel() * self.weight.element_size()

    def __call__(self, values: Tensor) -> Tensor:
        """Partial sums (N, output maps, height, width)."""
        how = self.geometry
        if how.edges is None:
            return F.conv2d(values, self.weight, None, how.stride, how.padding, how.dilation)
        padded = F.pad(values, how.edges, mode=how.mode)
        return F.conv2d(padded, self.weight, None, how.stride, 0, how.dilation)

    def mults(self, values: Tensor) -> int:
        """Of one input."""
        return self.weight.numel() * values.shape[2] * values.shape[3]


@dataclass(frozen=True, eq=False)
class MapPart:
    """Pooling or an activation, map by map."""

    step: Step
    weight_bytes: int = 0

    def __call__(self, values: Tensor) -> Tensor:
        """The same maps after it."""
        return self.step(values)

    def mults(self, values: Tensor) -> int:
        """None, as the physics counts."""
        return 0


@dataclass(frozen=True, eq=False)
class FcPart:
    """A whole fully connected layer with its bias, and the activations that are folded into it."""

    weight: Tensor  # (output units, input units)
    bias: Tensor | None  # (output units,)
    tail: tuple[Step, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """Of the matrix."""
        return self.weight.numel() * self.weight.element_size()

    def __call__(self, values: Tensor) -> Tensor:
        """All units as one map (N, 1, 1, output units)."""
        units = F.linear(values.flatten(1), self.weight, self.bias)
        if self.tail:
            # one input at a time, as the network was traced: a softmax may run over any dimension
            units = torch.cat([self._finished(row) for row in torch.split(units, 1)])
        return units[:, None, None, :]

    def _finished(self, units: Tensor) -> Tensor:
        for step in self.tail:
            units = step(units)
        return units

    def mults(self, values: Tensor) -> int:
        """Of one input."""
        return self.weight.numel()
