"""Pickles that hold nothing but plain data and numpy arrays; any other name in them is refused before it is called."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
from numpy._core import multiarray

_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2


def load_plain(raw: bytes) -> Any:
    """The content of a pickle: lists, dicts, texts, numbers and arrays of numbers; texts of Python 2 are read as Latin-1.

    Raises ``pickle.UnpicklingError`` for any other content, and what a damaged pickle raises.
    """
    return _PlainUnpickler(io.BytesIO(raw), encoding="latin1").load()


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in _ARRAY_MODULES and name == "_reconstruct":
            return _reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return np.ndarray if name == "ndarray" else _dtype
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"it holds {module}.{name}, expected nothing but plain data and numpy arrays")


def _reconstruct(kind: Any, shape: Any, code: Any) -> Any:
    """An empty array, which the pickle fills."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("an array in it is of no plain kind")
    return multiarray._reconstruct(np.ndarray, (0,), b"b")


def _dtype(code: Any, *_: Any) -> np.dtype[Any]:
    """A type of numbers; arrays of objects could hold anything."""
    if not isinstance(code, str) or np.dtype(code).kind not in "buif":
        raise pickle.UnpicklingError(f"an array in it is of type {code!r}, expected numbers")
    return np.dtype(code)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes into a pickle that Python 2 can read."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in it are written as {encoding!r}, expected latin1")
    return text.encode("latin1")
