"""A ``torch.nn.Module`` as the layer list that segment allocation distributes (docs/distprivacy.md, section 2).

The module is traced with ``torch.fx`` and must be one chain from its input to its output: what has a second path
(a residual, a concatenation) or keeps a state (LSTM, attention) can't be cut into the segments of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from envs.distprivacy.types import Layer, Network

_EXPECTED = "expected Conv2d, Linear, max or average pooling, elementwise activations, BatchNorm, Dropout or Flatten"

_ACT_MODULES = (
    "CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU RReLU SELU SiLU "
    "Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink Threshold"
)
_ACT_FUNCTIONS = (
    "celu celu_ elu elu_ gelu hardshrink hardsigmoid hardswish hardtanh hardtanh_ leaky_relu leaky_relu_ logsigmoid "
    "mish relu relu6 relu_ rrelu rrelu_ selu selu_ sigmoid sigmoid_ silu softplus softshrink softsign tanh tanh_ "
    "tanhshrink threshold threshold_"
)

_MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "conv": (nn.Conv2d,),
    "fc": (nn.Linear,),
    "pool": (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d),
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
    "act": tuple(getattr(nn, name) for name in _ACT_MODULES.split()),
    "softmax": (nn.Softmax, nn.LogSoftmax),
    "flatten": (nn.Flatten,),
    "nothing": (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity),
}
"""What a module is to the layer list; kind "nothing" vanishes."""

_FUNCTION_NAMES = {
    "pool": "max_pool2d avg_pool2d adaptive_max_pool2d adaptive_avg_pool2d",
    "act": _ACT_FUNCTIONS,
    "softmax": "softmax log_softmax",
    "flatten": "flatten reshape",
    "nothing": "dropout dropout1d dropout2d alpha_dropout feature_alpha_dropout",
}

# torch.relu and torch.nn.functional.relu are two functions: both are looked up, where both exist.
_FUNCTIONS: dict[Callable[..., Any], str] = {
    getattr(home, name): kind
    for kind, names in _FUNCTION_NAMES.items()
    for name in names.split()
    for home in (F, torch)
    if hasattr(home, name)
}

_METHODS: dict[str, str] = {
    **dict.fromkeys(("relu", "relu_", "sigmoid", "sigmoid_", "tanh", "tanh_", "hardshrink"), "act"),
    **dict.fromkeys(("softmax", "log_softmax"), "softmax"),
    **dict.fromkeys(("flatten", "reshape", "view"), "flatten"),
    "contiguous": "nothing",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a traced module and the layer that it belongs to."""

    node: fx.Node
    kind: str  # a key of _MODULES
    layer: int  # index of the layer that it makes or is folded into; -1: before the first one


@dataclass(frozen=True, slots=True)
class TracedChain:
    """A module as its layers, and the nodes that each of them is made of."""

    network: Network
    graph: fx.GraphModule  # shares its submodules with the traced module
    steps: tuple[Step, ...]  # from input to output


def trace_network(module: nn.Module, example: torch.Tensor, name: str) -> Network:
    """Layer list of ``module``, which must be one chain of layers that can be split.

    Convolutions become ``conv``, linear layers ``fc``, pooling ``pool``. An elementwise activation becomes ``act``
    after a conv or pool and is folded into an fc, as is a softmax after the last fc. BatchNorm is folded into its conv
    or fc; Dropout, Identity and Flatten vanish. A layer is named by the dotted path of its module, or by its fx node
    where it has no module or the same module is called again.

    Args:
        module: the network; run in eval mode without gradients and left as it was, training flags included.
        example: one input, shape (1, channels, height, width) or (1, features), of the dtype and device of ``module``
            (the device "meta" gives the layers of a large network without computing or storing anything).
        name: name of the network.

    Raises:
        ValueError: the example does not fit, torch.fx can't trace the module, or a node is of a kind that can't be
            split (residual, concatenation, grouped convolution, LSTM, attention ...), which the message names.
    """
    return trace_chain(module, example, name).network


def trace_chain(module: nn.Module, example: torch.Tensor, name: str) -> TracedChain:
    """``trace_network`` with the nodes of every layer, for those who run it; arguments and errors are the same."""
    owner = f"network {name!r}"
    if not isinstance(module, nn.Module):
        raise ValueError(f"{owner}: field 'module' is a {type(module).__name__}, expected a torch.nn.Module")
    if not isinstance(example, torch.Tensor) or example.dim() not in (2, 4) or example.shape[0] != 1:
        given = tuple(example.shape) if isinstance(example, torch.Tensor) else type(example).__name__
        wanted = "expected a tensor of shape (1, channels, height, width) or (1, features)"
        raise ValueError(f"{owner}: field 'example' is {given}, {wanted}")
    with evaluating(module):
        graph = _traced(module, example, owner)
        chain = _Chain(owner, graph)
        return TracedChain(Network(name, chain.layers()), graph, tuple(chain.steps))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards the training flag of every submodule is as before."""
    flags = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        # F.dropout(x) drops even in eval mode, so running the module may draw random numbers.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for part, flag in flags:
            part.training = flag


def _traced(module: nn.Module, example: torch.Tensor, owner: str) -> fx.GraphModule:
    """The traced module; each node that holds a tensor has ``meta["tensor_meta"]``, others (a size) have not."""
    # Both calls run code of the user, which may raise anything. ShapeProp prints a traceback where a node
    # fails, so an example that does not fit must be found before it. Clones, because layers may write in place.
    try:
        module(example.clone())
    except Exception as error:
        shape = tuple(example.shape)
        raise ValueError(f"{owner}: does not run on an example of shape {shape}: {_first_line(error)}") from error
    try:
        graph = fx.symbolic_trace(module)
    except Exception as error:
        wanted = "expected a forward without control flow that depends on its input"
        kind = type(module).__name__
        raise ValueError(f"{owner}: torch.fx can't trace {kind}, {wanted}: {_first_line(error)}") from error
    inputs = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise ValueError(f"{owner}: forward takes {len(inputs)} inputs ({', '.join(inputs)}), expected 1")
    ShapeProp(graph).propagate(example.clone())
    return graph


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _Chain:
    """Walks a traced module from its input to its output and collects the layers."""

    def __init__(self, owner: str, graph: fx.GraphModule) -> None:
        self.owner, self.graph = owner, graph
        self.found: list[Layer] = []
        self.steps: list[Step] = []
        self.can_fold_norm = False  # since the last conv or fc came nothing but norms and what vanishes
        self.softmax: fx.Node | None = None  # folded into an fc that must turn out to be the last layer

    def layers(self) -> tuple[Layer, ...]:
        """The layers in order; raises ValueError at the first node that does not fit."""
        before = next(node for node in self.graph.graph.nodes if node.op == "placeholder")
        node = self._only_user(before)
        while node.op != "output":
            self._add(node, before)
            before, node = node, self._only_user(node)
        if node.args[0] is not before:
            raise ValueError(f"{self.owner}: puts out a {type(node.args[0]).__name__}, expected one tensor")
        return tuple(self.found)

    def _only_user(self, node: fx.Node) -> fx.Node:
        # A user without a tensor only reads a shape, as x.size(0) does: that is no branch.
        users = [user for user in node.users if user.op == "output" or "tensor_meta" in user.meta]
        if len(users) != 1:
            used = " and ".join(self._describe(user) for user in users) or "nothing"
            wanted = "expected one user: branches (residual, concatenation) can't be split"
            raise ValueError(f"{self.owner}: the output of {self._describe(node)} is used by {used}, {wanted}")
        return users[0]

    def _add(self, node: fx.Node, before: fx.Node) -> None:
        """Take one node, whose input on the chain is ``before``."""
        kind = self._kind(node)
        if kind is None:
            raise self._refusal(node, f"can't be split, {_EXPECTED}")
        if self.softmax is not None and kind in ("conv", "fc", "pool", "norm"):
            raise self._refusal(self.softmax, "is not after the last fc, expected a softmax only there")
        if kind in ("conv", "pool"):
            self._add_maps(node, before, kind)
        elif kind == "fc":
            self._add_fc(node, before)
        elif kind == "act":
            self._add_act(node)
        elif kind == "norm":
            self._fold_norm(node)
        elif kind == "softmax":
            if not self.found or self.found[-1].kind != "fc":
                raise self._refusal(node, "is not after the last fc, expected a softmax only there")
            self.softmax = node
        elif kind == "flatten":
            self._flatten(node, before)
        self.steps.append(Step(node, kind, len(self.found) - 1))

    def _add_maps(self, node: fx.Node, before: fx.Node, kind: str) -> None:
        given, made = self._shape(before), self._shape(node)
        if len(given) != 4 or len(made) != 4:
            raise self._refusal(node, f"turns shape {given} into {made}, expected (1, maps, height, width)")
        if kind == "pool" and not self.found:
            raise self._refusal(node, "comes first, expected a conv or fc as the first layer")
        area = 0
        if kind == "conv":
            conv = self.graph.get_submodule(str(node.target))
            assert isinstance(conv, nn.Conv2d)
            if conv.groups != 1:
                # A segment is taken to feed every output map, which a group of maps does not.
                raise self._refusal(node, f"has groups = {conv.groups}, expected 1 (grouped convs can't be split)")
            area = conv.kernel_size[0] * conv.kernel_size[1]
        self._append(node, Layer(self._name(node), kind, given[1], made[1], made[2] * made[3], area))

    def _add_fc(self, node: fx.Node, before: fx.Node) -> None:
        given, made = self._shape(before), self._shape(node)
        if len(given) != 2:
            raise self._refusal(node, f"reads shape {given}, expected (1, features): flatten the maps before it")
        self._append(node, Layer(self._name(node), "fc", given[1], made[1]))

    def _add_act(self, node: fx.Node) -> None:
        if not self.found:
            raise self._refusal(node, "comes first, expected a conv or fc as the first layer")
        self.can_fold_norm = False
        last = self.found[-1]
        if last.kind != "fc":
            # Sizes of the layer before, not of the node: an activation of the flattened maps is one of the maps.
            self._append(node, Layer(self._name(node), "act", last.outputs, last.outputs, last.out_pixels))

    def _fold_norm(self, node: fx.Node) -> None:
        if not self.can_fold_norm:
            raise self._refusal(node, "can't be folded, expected it directly after a conv or fc")
        if self.graph.get_submodule(str(node.target)).running_mean is None:
            raise self._refusal(node, "can't be folded, expected running statistics (track_running_stats=True)")

    def _flatten(self, node: fx.Node, before: fx.Node) -> None:
        given, made = self._shape(before), self._shape(node)
        if given == made:
            return
        if len(made) != 2 or made[0] != 1:
            raise self._refusal(node, f"turns shape {given} into {made}, expected (1, all features)")
        # A norm of the flattened features has a scale for each pixel; a conv has one for each map.
        self.can_fold_norm = False

    def _append(self, node: fx.Node, layer: Layer) -> None:
        if self.found and self.found[-1].kind == "fc" and layer.kind != "fc":
            raise self._refusal(node, f"follows the fc {self.found[-1].name!r}, expected only fc layers after an fc")
        self.can_fold_norm = layer.kind in ("conv", "fc")
        self.found.append(layer)

    def _name(self, node: fx.Node) -> str:
        taken = {layer.name for layer in self.found}
        name = str(node.target) if node.op == "call_module" and node.target not in taken else node.name
        while name in taken:
            name += "_"
        return name

    def _shape(self, node: fx.Node) -> tuple[int, ...]:
        meta = node.meta["tensor_meta"]
        if not hasattr(meta, "shape"):
            raise self._refusal(node, "puts out several tensors, expected one")
        return tuple(meta.shape)

    def _kind(self, node: fx.Node) -> str | None:
        """A key of _MODULES; None where the node can't be split."""
        if node.op == "call_function" and callable(node.target):
            return _FUNCTIONS.get(node.target)
        if node.op == "call_method":
            return _METHODS.get(str(node.target))
        if node.op != "call_module":
            return None
        module = self.graph.get_submodule(str(node.target))
        # Modules prepared for quantization derive from Conv2d or Linear and hide an activation or a norm.
        if type(module).__module__.startswith("torch.ao."):
            return None
        return next((kind for kind, types in _MODULES.items() if isinstance(module, types)), None)

    def _describe(self, node: fx.Node) -> str:
        if node.op in ("placeholder", "output"):
            return f"the {'input' if node.op == 'placeholder' else 'output'} {node.name!r}"
        if node.op == "call_module":
            kind = type(self.graph.get_submodule(str(node.target))).__name__
            return f"module {str(node.target)!r} of kind {kind}"
        kind = getattr(node.target, "__name__", str(node.target))
        return f"node {node.name!r} of kind {kind}"

    def _refusal(self, node: fx.Node, why: str) -> ValueError:
        return ValueError(f"{self.owner}: {self._describe(node)} {why}")
