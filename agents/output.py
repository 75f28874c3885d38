"""``format=json``: exactly one JSON object on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any


@contextlib.contextmanager
def only_result(active: bool = True) -> Iterator[None]:
    """While it lasts, what this process and its children print goes to standard error, also from compiled solvers."""
    if not active:
        yield
        return
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        # What C code printed may still stand in libc's own buffer.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).fflush(None)
        os.dup2(saved, 1)
        os.close(saved)


def write_result(result: Mapping[str, Any]) -> None:
    """Print ``result`` as one JSON object. Numbers that JSON does not know (NaN, infinity) become null."""
    print(json.dumps(plain(result), indent=2, allow_nan=False), flush=True)


def plain(value: Any) -> Any:
    """``value`` in types that JSON holds: numpy numbers and arrays, tuples and paths converted, NaN as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy, without importing it
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return os.fspath(value) if isinstance(value, os.PathLike) else value
