"""Compilation of the physics kernels: one decorator, one cache per version of the kernel sources.

numba invalidates a cached function when its *own* file changes, not when a function that it calls changes.
The cache folder is therefore named after a hash of every kernel source, so a stale kernel can never be loaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config

_CONSTANTS = ("state.py", "tables.py", "features.py", "types.py")
"""Modules without kernels whose constants are compiled into those of others."""
_KERNELS = re.compile(rb"_jit import (\([^)]*|[^\n]*)kernel")
"""What a module with kernels imports; others take ``announce_compilation`` alone."""


def kernel_sources(root: Path) -> list[Path]:
    """Files under ``root`` whose text ends up in compiled kernels."""
    found = (source for package in ("envs", "agents", "optimal") for source in sorted((root / package).rglob("*.py")))
    return [source for source in found if source.name in _CONSTANTS or _KERNELS.search(source.read_bytes())]


def cache_folder(root: Path = Path(__file__).parent.parent) -> Path:
    """Folder of the kernels compiled from the packages in ``root``.

    It lies in ``$NUMBA_CACHE_DIR``, else in ``$XDG_CACHE_HOME/offramp``, else in ``~/.cache/offramp``.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for source in kernel_sources(root):
        digest.update(source.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "offramp"
    return base / f"kernels-{digest.hexdigest()[:16]}"


_FOLDER = str(cache_folder())


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = _FOLDER
    try:
        # error_model: a zero division gives inf as in C, instead of a branch and an exception per division
        return numba.njit(cache=True, error_model="numpy", **options)(function)
    finally:
        numba_config.CACHE_DIR = before


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function``, which allocates no array, with numba on first use and keep the machine code on disk.

    Without numba's runtime: else every call would count references of its array arguments, atomically, which took most of
    a step's time. The caller holds the arrays meanwhile.
    """
    return _compile(function, _nrt=False)


def inlined_kernel(function: Callable[..., Any]) -> Any:
    """``kernel`` for small functions of the hot loops: always inlined into the caller."""
    return _compile(function, _nrt=False, forceinline=True)


def allocating_kernel(function: Callable[..., Any]) -> Any:
    """``kernel`` for functions that allocate arrays, draw from a generator or return arrays."""
    return _compile(function, _nrt=True)  # said, or a caller without the runtime would hand that down


class announce_compilation:
    """Context manager around first calls of kernels: says on standard error that they compile, if that takes over 2 s."""

    def __init__(self) -> None:
        self._timer = threading.Timer(2.0, self._say)
        self._timer.daemon = True

    @staticmethod
    def _say() -> None:
        print("offramp: compiling the physics (once per version, about a minute) ...", file=sys.stderr, flush=True)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
