"""One weightless step of a network, pooling or an elementwise function, as a value that can be sent to another process."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

HOMES: dict[str, Any] = {"torch": torch, "torch.nn.functional": F}
"""Where functions are looked up: many of torch's cannot be pickled themselves."""


@dataclass(frozen=True, slots=True)
class _Here:
    """Stands for the input among the arguments of an operation."""


HERE = _Here()


@dataclass(frozen=True, eq=False)
class Operation:
    """Maps in, maps out, each map by itself: a module without weights, a function of torch, or a method of a tensor."""

    home: str  # a key of HOMES, "method" or "module"
    name: str  # of the function or method; kind of the module
    module: nn.Module | None = None
    args: tuple[Any, ...] = (HERE,)
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, values: Tensor) -> Tensor:
        """Values (N, maps, height, width) or (N, features) after the operation; the input may be overwritten."""
        args = [values if arg == HERE else arg for arg in self.args]
        kwargs = {key: values if arg == HERE else arg for key, arg in self.kwargs.items()}
        if self.module is not None:
            return self.module(*args, **kwargs)  # type: ignore[no-any-return]
        if self.home == "method":
            return getattr(args[0], self.name)(*args[1:], **kwargs)  # type: ignore[no-any-return]
        return getattr(HOMES[self.home], self.name)(*args, **kwargs)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Slopes:
    """PReLU of some maps or features, with only their slopes."""

    slope: Tensor  # (maps or 1, height or 1, width or 1), or (features or 1,)

    def __call__(self, values: Tensor) -> Tensor:
        """Values (N, maps, height, width) or (N, features), the negative ones times their slopes."""
        return torch.where(values >= 0, values, values * self.slope)


Step = Operation | Slopes


def operation_of(node: fx.Node, before: fx.Node, graph: fx.GraphModule, known: Mapping[fx.Node, Any]) -> Operation:
    """The operation of a node whose input on the chain is ``before``.

    Args:
        node: pooling or an elementwise function; PReLU is not one of them.
        before: the node before it.
        graph: the traced module, in eval mode.
        known: values of nodes that only read a shape, as ``x.size(2)`` does.

    Raises:
        ValueError: it has weights, or an argument is a tensor.
    """
    args = tuple(_argument(arg, node, before, known) for arg in node.args)
    kwargs = {key: _argument(arg, node, before, known) for key, arg in node.kwargs.items()}
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        if any(True for _ in (*module.parameters(), *module.buffers())):
            raise ValueError(f"module {str(node.target)!r} of kind {type(module).__name__} has weights, expected none")
        return Operation("module", type(module).__name__, copy.deepcopy(module).eval(), args, kwargs)
    if node.op == "call_method":
        return Operation("method", str(node.target), None, args, kwargs)
    home, name = next(
        (home, name) for home, place in HOMES.items() for name in dir(place) if getattr(place, name) is node.target
    )
    return Operation(home, name, None, args, kwargs)


def _argument(arg: Any, node: fx.Node, before: fx.Node, known: Mapping[fx.Node, Any]) -> Any:
    if arg is before:
        return HERE
    value = fx.node.map_arg(arg, lambda other: known[other])
    if isinstance(value, Tensor):
        raise ValueError(f"node {node.name!r} takes a tensor beside its input, expected only numbers")
    return value
