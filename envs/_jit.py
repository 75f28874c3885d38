"""Compilation of the physics kernels: one decorator, one cache per version of the kernel sources.

numba invalidates a cached function when its *own* file changes, not when a function that it calls changes.
The cache folder is therefore named after a hash of every kernel source, so a stale kernel can never be loaded.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config


def cache_folder() -> Path:
    """Folder of the compiled kernels: ``$NUMBA_CACHE_DIR``, else ``$XDG_CACHE_HOME/offramp``, else ``~/.cache/offramp``."""
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        text = source.read_bytes()
        if b"_jit import" in text:
            digest.update(text)
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "offramp"
    return base / f"kernels-{digest.hexdigest()[:16]}"


_FOLDER = str(cache_folder())


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` with numba on first use and keep the machine code on disk."""
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = _FOLDER
    try:
        # error_model: a zero division gives inf as in C, instead of a branch and an exception per division
        return numba.njit(cache=True, error_model="numpy")(function)
    finally:
        numba_config.CACHE_DIR = before


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
