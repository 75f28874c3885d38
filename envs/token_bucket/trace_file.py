"""Trace files of token-bucket offloading (docs/token_bucket_trace.md): CSV in, times read exactly, CSV out.

One send level: ``time,metric[,reward][,regime][,location]``. Several: ``time,cost_1,metric_1[,reward_1],cost_2,...``. Every
wrong input is answered in one sentence: file, line, field, value, expectation.
"""

from __future__ import annotations

import os
import re

import numpy as np
from numpy.typing import NDArray

from envs.csv_table import CsvTable, read_file, shown_name, split_csv
from envs.strict_json import FilePath, write_text
from envs.token_bucket.trace_times import exact_times, time_texts
from envs.token_bucket.types import MOST_REGIME, SendLevel, Trace

_LEVEL = re.compile(r"(cost|metric|reward)_([1-9][0-9]{0,5})")
_FORMS = "time,metric[,reward][,regime][,location] or time,cost_1,metric_1[,reward_1],cost_2,metric_2,..."


def load_trace(path: FilePath) -> Trace:
    """Read a trace file. ``ticks_per_unit`` is the least that makes every time since the first frame a whole number.

    Raises:
        ValueError: one sentence, where the file is missing, unreadable or wrong.
    """
    return parse_trace(read_file(path, "trace file (.csv)"), os.fspath(path))


def save_trace(trace: Trace, path: FilePath) -> None:
    """Write a trace file atomically; it loads as the same frames at the same times, the first one at 0.

    A clock that is finer than the times need comes back as the coarsest one. Raises ``ValueError`` for a trace that could not
    be loaded again, and where ``path`` cannot be written.
    """
    text = render_trace(trace)
    parse_trace(text.encode(), os.fspath(path))
    write_text(path, text)


def parse_trace(raw: bytes, file: str) -> Trace:
    """The trace in the bytes of a file; ``file``: its name in errors. Raises ``ValueError`` as ``load_trace``."""
    table, levels = _read_table(raw, file)
    metric_of = ["metric"] if not levels else [f"metric_{level}" for level in levels]
    gap, ticks = exact_times(table.columns["time"], lambda row, expected: table.refuse(row, "time", expected))
    metrics = [table.numbers(name) for name in metric_of]
    rewards = [table.numbers(name) if name in table.columns else None for name in _of(metric_of, "reward")]
    costs: list[NDArray[np.float64]] = []
    for name in _of(metric_of, "cost") if levels else ():
        cost = table.checked(name, lambda values: values > 0, "a finite number of tokens > 0")
        if costs and (cost <= costs[-1]).any():
            row = int(np.argmax(cost <= costs[-1]))
            raise table.refuse(row, name, f"more than the cost of the level before, {costs[-1][row]:g}")
        costs.append(cost)
    regime = location = None
    if "regime" in table.columns:
        expected = f"a whole number in 0..{MOST_REGIME}"
        regime = table.checked("regime", lambda v: (v >= 0) & (v <= MOST_REGIME) & (v == np.floor(v)), expected).astype(
            np.int64
        )
    if "location" in table.columns:
        location = table.checked("location", lambda v: (v >= 0) & (v <= 1), "a finite number in 0..1")
    further = tuple(SendLevel(costs[k], metrics[k], rewards[k]) for k in range(1, len(costs)))
    return Trace(metrics[0], gap, rewards[0], regime, location, costs[0] if costs else None, further, ticks)


def _of(metric_of: list[str], kind: str) -> list[str]:
    return [name.replace("metric", kind) for name in metric_of]


def _read_table(raw: bytes, file: str) -> tuple[CsvTable, list[int]]:
    """The fields of a file, and the numbers of its levels; none where the columns have no numbers."""
    table = split_csv(raw, file, _FORMS)
    levels = _check_header(list(table.columns), f"{file}, line {table.first_line - 1}")
    if len(table) < 2:
        count = len(table)
        raise ValueError(f"{file}: holds {count or 'no'} frame{'s' * (not count)}, expected at least two")
    return table, levels


def _check_header(names: list[str], where: str) -> list[int]:
    """The numbers of the levels in a header, 1..K, or none. Raises ``ValueError`` for a header of another form."""
    found: dict[int, set[str]] = {}
    plain = {"time", "metric", "reward", "regime", "location"}
    for name in names:
        match = _LEVEL.fullmatch(name)
        if match:
            found.setdefault(int(match[2]), set()).add(match[1])
        elif name not in plain:
            raise ValueError(f"{where}: {shown_name(name)} is an unknown column, expected {_FORMS}")
    if found and {"metric", "reward"} & set(names):
        name = next(name for name in names if name in ("metric", "reward"))
        raise ValueError(f"{where}: column '{name}' has no level, expected {name}_1 beside columns with levels")
    levels = sorted(found)
    needed = ["time"] + ([] if found else ["metric"])
    for level, known in zip(levels, range(1, len(levels) + 1), strict=True):
        if level != known:
            raise ValueError(
                f"{where}: there are columns of level {level} but none of level {known}, expected 1, 2, ..."
            )
        needed += [f"cost_{level}", f"metric_{level}"]
    for name in needed:
        if name not in names:
            raise ValueError(f"{where}: column '{name}' is missing, expected {_FORMS}")
    return levels


def render_trace(trace: Trace) -> str:
    """The text of a trace's file: times from 0 on, other numbers by their shortest repr."""
    columns: dict[str, list[str]] = {"time": time_texts(trace.gap, trace.ticks_per_unit)}

    def put(name: str, values: NDArray[np.float64] | NDArray[np.int64] | None) -> None:
        if values is not None:
            columns[name] = list(map(repr, values.tolist()))

    if trace.cost is None and not trace.levels:
        put("metric", trace.metric)
        put("reward", trace.reward)
    else:
        cost = np.ones(len(trace)) if trace.cost is None else trace.cost
        for number, level in enumerate((SendLevel(cost, trace.metric, trace.reward), *trace.levels), start=1):
            put(f"cost_{number}", level.cost)
            put(f"metric_{number}", level.metric)
            put(f"reward_{number}", level.reward)
    put("regime", trace.regime)
    put("location", trace.location)
    rows = map(",".join, zip(*columns.values(), strict=True))
    return ",".join(columns) + "\n" + "\n".join(rows) + "\n"
