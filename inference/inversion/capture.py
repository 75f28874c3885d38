"""What the named layers of a trained network put out for pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from inference.cnn.trained import TrainedCnn
from inference.trace import TracedChain, trace_chain

BATCH = 128
"""Pictures that are computed at once."""
_MAKES = ("conv", "act", "pool", "fc", "norm")
"""Kinds of nodes that change values: dropout, flattening and a last softmax leave a layer's output as it is."""


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The output of a layer."""

    maps: int  # units of an fc
    height: int  # 1 for an fc
    width: int
    stride: int  # pixels of the picture from one place of a map to the next, as far as the sizes of the layers tell

    @property
    def values(self) -> int:
        """Numbers in the output for one picture."""
        return self.maps * self.height * self.width


class Capture:
    """Runs a network as far as a layer, and gives what that layer puts out: batch normalization is folded into its conv.

    Raises ``ValueError`` for a network that cannot be cut into layers.
    """

    def __init__(self, model: TrainedCnn) -> None:
        self.model = model
        example = torch.zeros(1, *model.shape, device=model.device)
        self.chain: TracedChain = trace_chain(model.module, example, model.network.name)
        self.nodes: dict[str, fx.Node] = {}
        for step in self.chain.steps:
            if step.layer >= 0 and step.kind in _MAKES:
                self.nodes[self.chain.network.layers[step.layer].name] = step.node
        self.shapes = self._shapes(example)

    def _shapes(self, example: Tensor) -> dict[str, LayerShape]:
        shapes: dict[str, LayerShape] = {}
        height, width, stride = *self.model.shape[1:], 1
        found = _Recorder(self.chain.graph, {node: name for name, node in self.nodes.items()}).outputs(example)
        for layer in self.chain.network.layers:
            made = found[layer.name].shape
            if layer.kind == "fc":
                shapes[layer.name] = LayerShape(layer.outputs, 1, 1, max(self.model.shape[1:]))
                continue
            if len(made) == 4:  # else an activation of maps that are flattened already
                stride *= max(1, min(height // made[2], width // made[3]))
                height, width = made[2:]
            shapes[layer.name] = LayerShape(layer.outputs, height, width, stride)
        return shapes

    def shape(self, layer: str) -> LayerShape:
        """Of one layer. Raises ``ValueError``, one sentence, where the network has none of that name."""
        if layer not in self.shapes:
            network = self.chain.network.name
            raise ValueError(f"layers has the entry {layer}, expected layers of {network}: {', '.join(self.shapes)}")
        return self.shapes[layer]

    @torch.no_grad()
    def maps(self, layer: str, images: NDArray[np.uint8], tick: Callable[[int], None] | None = None) -> Tensor:
        """Output of ``layer`` (N, maps, height, width), float32, on the CPU.

        Args:
            layer: its name in the layer list.
            images: pictures (N, C, H, W).
            tick: is told how many pictures are done.

        Raises:
            ValueError: the network has no such layer, or takes pictures of another shape.
        """
        shape = self.shape(layer)
        result = torch.empty(len(images), shape.maps, shape.height, shape.width)
        recorder = _Recorder(self.chain.graph, {self.nodes[layer]: layer})
        for start in range(0, len(images), BATCH):
            inputs = self.model.prepare(images[start : start + BATCH])
            result[start : start + BATCH] = recorder.outputs(inputs)[layer].view(-1, *result.shape[1:]).cpu()
            if tick is not None:
                tick(start + len(inputs))
        return result


class _Reached(Exception):
    """The last layer that is wanted has been computed."""


class _Recorder(fx.Interpreter):
    """Runs a traced module and keeps copies of some nodes' outputs: a layer behind them may write in place."""

    def __init__(self, graph: fx.GraphModule, wanted: dict[fx.Node, str]) -> None:
        super().__init__(graph)
        self.wanted, self.found = wanted, dict[str, Tensor]()

    def outputs(self, inputs: Tensor) -> dict[str, Tensor]:
        """Name -> output, for these inputs; what comes behind the last of them is not computed."""
        self.found = {}
        try:
            self.run(inputs)
        except _Reached:
            pass
        return self.found

    def run_node(self, n: fx.Node) -> object:
        """The interpreter's own, with a look at the result."""
        result = super().run_node(n)
        if n in self.wanted:
            assert isinstance(result, Tensor)
            self.found[self.wanted[n]] = result.detach().clone()
            if len(self.found) == len(self.wanted):
                raise _Reached
        return result
