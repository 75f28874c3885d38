"""The options of ``reset``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.types import Trace


def read_options(options: dict[str, Any], ticks_per_unit: int) -> tuple[Trace | None, Bucket | None]:
    """The trace and the bucket of ``{"trace": ..., "bucket": (rate, depth)}``; None for what is not given.

    Raises ``ValueError`` for other options, and for a trace with another clock than the environment's.
    """
    unknown = set(options) - {"trace", "bucket"}
    if unknown:
        raise ValueError(f"reset option is {sorted(unknown)[0]!r}, expected trace or bucket")
    trace = options.get("trace")
    if isinstance(trace, str | Path):
        from envs.token_bucket.trace_file import load_trace

        trace = load_trace(trace)
    if trace is not None and not isinstance(trace, Trace):
        raise ValueError(
            f"reset option trace is a {type(trace).__name__}, expected a Trace or the path of a trace file"
        )
    if trace is not None and trace.ticks_per_unit != ticks_per_unit:
        raise ValueError(
            f"the trace has {trace.ticks_per_unit} ticks a time unit, expected the environment's {ticks_per_unit}"
        )
    given = options.get("bucket")
    if given is None:
        return trace, None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(f"reset option bucket is {given!r}, expected a pair of rate and depth")
    return trace, Bucket.of(given[0], given[1], ticks_per_unit)
