"""Small networks, instances and placements for the tests of split execution."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from envs.distprivacy.scenarios import cameras, fleet
from envs.distprivacy.types import Instance, Network, Request, RequestSolution, Task
from inference.split.execution import Execution, execute
from inference.split.layers import SplitNetwork


class Forward(nn.Module):
    """A module whose forward is a plain function of itself and its input; submodules are given by name."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.body = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def cut(module: nn.Module, shape: Sequence[int] = (2, 9, 8)) -> SplitNetwork:
    """A module with normalization that does something, cut up."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                assert part.running_mean is not None and part.running_var is not None
                part.running_mean.normal_()
                part.running_var.uniform_(0.2, 3.0)
                if part.affine:
                    part.weight.normal_()
                    part.bias.normal_()
    return SplitNetwork.of(module, shape, "tiny")


def small_net() -> nn.Sequential:
    """Every kind of layer once, with normalization."""
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(6 * 2 * 2, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 4), nn.Linear(4, 3)),
    )


def instance_of(network: Network, devices: int = 4) -> Instance:
    """One request for a network, without limits, on a fleet that can take anything."""
    task = Task({network.name: network}, {network.name: {}})
    return Instance(task, fleet(rpi3=devices), cameras(1), (Request(0, network.name),))


def any_placement(network: Network, devices: int, rng: np.random.Generator) -> RequestSolution:
    """A placement on devices and the source, at random, whether it is allowed or not."""
    rows = {}
    for layer in network.distributed:
        some = rng.choice(np.arange(-1, devices), rng.integers(1, devices + 2))  # some layers on few
        rows[layer.name] = tuple(int(device) for device in rng.choice(some, layer.segments))
    return RequestSolution(False, None, rows)


def run_anyhow(split: SplitNetwork, seed: int = 0, devices: int = 4, **options: Any) -> Execution:
    """One random placement of a network, run on two inputs."""
    inputs = torch.randn(2, *split.shape, generator=torch.Generator().manual_seed(seed))
    placement = any_placement(split.network, devices, np.random.default_rng(seed))
    return execute(split, instance_of(split.network, devices), placement, inputs, **options)


@dataclass(frozen=True, eq=False)
class Trouble:
    """A step that goes wrong in the process of a device; it can be pickled."""

    kind: str  # "exit", "raise", "sleep"

    def __call__(self, values: Tensor) -> Tensor:
        if self.kind == "exit":
            os._exit(7)
        if self.kind == "sleep":
            time.sleep(3600)
        raise ArithmeticError("no such number")
