"""References with proof: the best possible decision of an instance, its bound, and a checker for any solution."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """``optimal.solve``, imported when it is first asked for. Raises AttributeError for other names."""
    if name != "solve":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("optimal.solve")
