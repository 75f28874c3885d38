"""A traced module as whole layers that can be cut: weights with normalization folded in, and what any segments need of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, fx, nn

from envs.distprivacy.types import Network
from inference.split.operation import Slopes, Step, operation_of
from inference.split.parts import ConvGeometry, ConvPart, FcPart, MapPart, Part
from inference.trace import TracedChain, evaluating, trace_chain


class WholeLayer(Protocol):
    """One layer with all its weights; it stays with whoever cuts the network."""

    @property
    def bias(self) -> Tensor | None:
        """(output maps,) to be added once to the sums of partial sums; None: nothing is to be added after this layer."""

    def part(self, maps: Sequence[int]) -> Part:
        """What a device that holds the input maps ``maps`` needs: copies, no views."""


@dataclass(frozen=True, eq=False)
class WholeConv:
    """A convolution."""

    weight: Tensor  # (output maps, input maps, kernel height, kernel width)
    bias: Tensor | None
    geometry: ConvGeometry

    def part(self, maps: Sequence[int]) -> ConvPart:
        """Kernels of the input maps ``maps``."""
        return ConvPart(self.weight[:, list(maps)].clone(), self.geometry)


@dataclass(frozen=True, eq=False)
class WholeMaps:
    """Pooling or an activation."""

    step: Step
    maps: int
    bias: None = None

    def part(self, maps: Sequence[int]) -> MapPart:
        """The operation, with the slopes of the maps ``maps`` only."""
        if isinstance(self.step, Slopes) and self.step.slope.shape[0] == self.maps > 1:
            return MapPart(Slopes(self.step.slope[list(maps)].clone()))
        return MapPart(self.step)


@dataclass(frozen=True, eq=False)
class WholeFc:
    """A fully connected layer, which is never cut."""

    fc: FcPart
    bias: None = None

    def part(self, maps: Sequence[int]) -> FcPart:
        """All of it."""
        copied = None if self.fc.bias is None else self.fc.bias.clone()
        return FcPart(self.fc.weight.clone(), copied, self.fc.tail)


@dataclass(frozen=True, eq=False)
class SplitNetwork:
    """A network that can be cut: its layers as the environment knows them, and as computations.

    Attributes:
        network: the layer list.
        layers: one computation for each of its layers.
        module: the whole network, in eval mode, which the cut one must equal.
        shape: of one input, without the batch.
    """

    network: Network
    layers: tuple[WholeLayer, ...]
    module: nn.Module
    shape: tuple[int, ...]

    @classmethod
    def of(cls, module: nn.Module, shape: Sequence[int], name: str = "network") -> SplitNetwork:
        """Cut up a module, which is put in eval mode.

        Args:
            module: one chain of layers that ``inference.trace.trace_network`` accepts, in single precision on the CPU.
            shape: of one input: (channels, height, width) or (features,).
            name: what errors call it.

        Raises:
            ValueError: one sentence on what cannot be cut.
        """
        module.eval()
        for key, value in module.state_dict().items():
            if value.is_floating_point() and (value.dtype != torch.float32 or value.device.type != "cpu"):
                kind = f"{str(value.dtype).removeprefix('torch.')} on {value.device}"
                raise ValueError(f"network {name!r}: {key} is {kind}, expected float32 on cpu")
        example = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0))
        chain = trace_chain(module, example, name)
        _refuse_random(module, example, name)
        try:
            with evaluating(module):
                layers = _Cutter(chain, example).layers()
        except ValueError as error:
            raise ValueError(f"network {name!r}: {error}") from error
        return cls(chain.network, layers, module, tuple(shape))

    @torch.no_grad()
    def whole(self, inputs: Tensor) -> Tensor:
        """Outputs (N, ...) of the uncut network for inputs (N, ``*shape``), one at a time, as it was traced."""
        return torch.cat([self.module(one.clone()) for one in torch.split(inputs, 1)])


def _refuse_random(module: nn.Module, example: Tensor, name: str) -> None:
    outputs = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            outputs.append(module(example.clone()))
    if not torch.equal(outputs[0], outputs[1]):
        wanted = "expected none in eval mode: F.dropout(x) drops even then, without training=self.training"
        raise ValueError(f"network {name!r}: its output is random, {wanted}")


class _Cutter:
    """Goes through the nodes of a chain and makes one computation for each layer."""

    def __init__(self, chain: TracedChain, example: Tensor) -> None:
        self.chain, self.graph = chain, chain.graph
        self.known: dict[fx.Node, Any] = {}
        if any(len(step.node.all_input_nodes) > 1 for step in chain.steps):
            # sizes of tensors are arguments somewhere
            interpreter = fx.Interpreter(chain.graph, garbage_collect_values=False)
            interpreter.run(example.clone())
            self.known = interpreter.env

    def layers(self) -> tuple[WholeLayer, ...]:
        """In order."""
        groups: list[list[int]] = [[] for _ in self.chain.network.layers]
        for index, step in enumerate(self.chain.steps):
            if step.layer >= 0:
                groups[step.layer].append(index)
        return tuple(self._layer(index, group) for index, group in enumerate(groups))

    def _layer(self, index: int, group: Sequence[int]) -> WholeLayer:
        kind = self.chain.network.layers[index].kind
        steps = [self.chain.steps[number] for number in group]
        norms = [self._module(step.node) for step in steps if step.kind == "norm"]
        if kind == "conv":
            conv = cast(nn.Conv2d, self._module(steps[0].node))
            weight, bias = _folded(conv.weight, conv.bias, norms)
            return WholeConv(weight, bias, _geometry(conv))
        if kind == "fc":
            linear = cast(nn.Linear, self._module(steps[0].node))
            weight, bias = _folded(linear.weight, linear.bias, norms)
            tail = [self._step(number) for number in group if self.chain.steps[number].kind in ("act", "softmax")]
            return WholeFc(FcPart(weight, bias, tuple(tail)))
        step = self._step(group[0])
        maps = self.chain.network.layers[index].outputs
        if isinstance(step, Slopes):
            # one slope, one a map, or one a pixel of the flattened maps
            height, width = self._size(group[0])
            count = step.slope.numel()
            shape = (count, 1, 1) if count in (1, maps) else (maps, height, width)
            step = Slopes(step.slope.reshape(shape))
        return WholeMaps(step, maps)

    def _step(self, number: int) -> Step:
        node = self.chain.steps[number].node
        module = self._module(node) if node.op == "call_module" else None
        if isinstance(module, nn.PReLU):
            return Slopes(module.weight.detach().clone())
        return operation_of(node, self._before(number), self.graph, self.known)

    def _before(self, number: int) -> fx.Node:
        if number:
            return self.chain.steps[number - 1].node
        given: fx.Node = next(node for node in self.graph.graph.nodes if node.op == "placeholder")
        return given

    def _size(self, number: int) -> tuple[int, int]:
        """Height and width of the maps that a step reads: those before any flattening."""
        for earlier in range(number - 1, -1, -1):
            shape = tuple(self.chain.steps[earlier].node.meta["tensor_meta"].shape)
            if len(shape) == 4:
                return shape[2], shape[3]
        raise AssertionError("an activation of maps follows a layer of maps")

    def _module(self, node: fx.Node) -> nn.Module:
        return self.graph.get_submodule(str(node.target))


def _folded(weight: Tensor, bias: Tensor | None, norms: Iterable[nn.Module]) -> tuple[Tensor, Tensor | None]:
    """Weight and bias with normalization in them: scale g / sqrt(v + eps) and shift b - m * scale of every output.

    Computed in double precision and rounded once.
    """
    folded = weight.detach().double()
    shift = None if bias is None else bias.detach().double()
    for norm in norms:
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight.detach().double()
        shift = ((0.0 if shift is None else shift) - norm.running_mean.double()) * scale
        if norm.bias is not None:
            shift = shift + norm.bias.detach().double()
        folded = folded * scale.reshape(-1, *(1,) * (folded.dim() - 1))
    return folded.float(), None if shift is None else shift.float()


def _geometry(conv: nn.Conv2d) -> ConvGeometry:
    padding = conv.padding if isinstance(conv.padding, str) else _pair(conv.padding)
    if conv.padding_mode == "zeros":
        return ConvGeometry(_pair(conv.stride), padding, _pair(conv.dilation))
    sides: list[tuple[int, int]] = []  # before and after, of height and width
    for axis in range(2):
        if isinstance(padding, str):
            total = conv.dilation[axis] * (conv.kernel_size[axis] - 1) if padding == "same" else 0
            sides.append((total // 2, total - total // 2))
        else:
            sides.append((padding[axis], padding[axis]))
    edges = (*sides[1], *sides[0])
    return ConvGeometry(_pair(conv.stride), (0, 0), _pair(conv.dilation), edges, conv.padding_mode)


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])
