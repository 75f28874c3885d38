"""A network from its name, or from a class or function in a Python file of the user's."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from inference.cnn.networks import CNNS, Shape, make_cnn


def is_own(spec: str) -> bool:
    """Whether ``spec`` names a module of the user's (``FILE.py:NAME``) and not a shipped network."""
    return ".py:" in spec


def short_name(spec: str) -> str:
    """What the network is called: ``spec`` itself, or NAME of ``FILE.py:NAME``."""
    return spec.rpartition(":")[2] if is_own(spec) else spec


def build_network(spec: str, shape: Shape, classes: int) -> nn.Module:
    """A network with fresh weights, of torch's seed, for pictures of ``shape`` (C, H, W).

    Args:
        spec: one of ``CNNS``, or ``FILE.py:NAME``: that file is imported, and NAME, a class or function, is called with
            ``(shape, classes)``.
        shape: of a picture.
        classes: number of logits.

    Raises:
        ValueError: an unknown name, pictures that are too small, or a file or NAME that is missing, fails or makes no
            ``torch.nn.Module``.
    """
    if is_own(spec):
        return _own(spec, shape, classes)
    if spec not in CNNS:
        raise ValueError(f"network is {spec}, expected one of {', '.join(CNNS)}, or FILE.py:NAME")
    return make_cnn(spec, shape, classes)


def _own(spec: str, shape: Shape, classes: int) -> nn.Module:
    file, _, name = spec.rpartition(":")
    make: Callable[..., Any] | None = getattr(_imported(spec, Path(file)), name, None)
    if not callable(make):
        raise ValueError(f"network is {spec}, but {file} has no class or function {name}")
    try:
        made = make(shape, classes)
    except (Exception, SystemExit) as error:  # code of the user's may raise anything
        called = f"{name}({shape}, {classes})"
        raise ValueError(f"network is {spec}, but {called} fails: {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"network is {spec}, which makes a {type(made).__name__}, expected a torch.nn.Module")
    if any(map(is_lazy, made.parameters())):
        _settle(made, spec, shape)
    return made


@torch.no_grad()
def _settle(module: nn.Module, spec: str, shape: Shape) -> None:
    """Give lazy layers their sizes, which they take from the first picture that they see."""
    try:
        module.eval()(torch.zeros(1, *shape))
    except (Exception, SystemExit) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ValueError(f"network is {spec}, which does not run on a picture of {shape}: {problem}") from error


def _imported(spec: str, file: Path) -> ModuleType:
    """The module of a file, executed anew; its folder is searched for what it imports, but only meanwhile."""
    if not file.is_file():
        raise ValueError(f"network is {spec}, but the file {file} is missing")
    name = f"offramp_own_{file.stem}"
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None and found.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(found)
    before = list(sys.path)
    sys.modules[name] = module  # dataclasses and torch.fx look a class's module up by name
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script that ends with sys.exit() is no file of networks
        sys.modules.pop(name, None)
        raise ValueError(f"network is {spec}, but {file} fails: {type(error).__name__}: {error}") from error
    finally:
        sys.path[:] = before
    return module
