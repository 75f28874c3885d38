"""Trace files of token-bucket offloading (docs/token_bucket_trace.md): CSV in, times read exactly, CSV out.

One send level: ``time,metric[,reward][,regime][,location]``. Several: ``time,cost_1,metric_1[,reward_1],cost_2,...``. Every
wrong input is answered in one sentence: file, line, field, value, expectation.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.strict_json import FilePath, write_text
from envs.token_bucket.trace_times import exact_times, time_texts
from envs.token_bucket.types import MOST_REGIME, SendLevel, Trace

_NUMBERS = b"0123456789.eE+- "
_LEVEL = re.compile(r"(cost|metric|reward)_([1-9][0-9]{0,5})")
_FORMS = "time,metric[,reward][,regime][,location] or time,cost_1,metric_1[,reward_1],cost_2,metric_2,..."


@dataclass(frozen=True, eq=False)
class _Table:
    """The fields of a file as texts, and where each stands."""

    file: str
    first_line: int  # line of the first row of numbers
    columns: dict[str, Sequence[str]]

    def refuse(self, row: int, column: str, expected: str) -> ValueError:
        """The error that one field is what it is, and not what was ``expected``."""
        text = self.columns[column][row].strip()
        shown = text if re.fullmatch(r"[-+]?[.0-9][-+./0-9eE]*", text) else json.dumps(text, ensure_ascii=False)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return ValueError(
            f"{self.file}, line {self.first_line + row}: field '{column}' is {shown}, expected {expected}"
        )

    def numbers(self, column: str, expected: str = "a finite number") -> NDArray[np.float64]:
        """A column of finite numbers."""
        texts = self.columns[column]
        if _is_numeric("".join(texts)):
            try:
                values = np.fromiter(map(float, texts), np.float64, len(texts))
            except ValueError:
                pass
            else:
                if np.isfinite(values).all():
                    return values
        raise self.refuse(next(row for row, text in enumerate(texts) if not _is_finite(text)), column, expected)

    def checked(
        self, column: str, good: Callable[[NDArray[np.float64]], NDArray[np.bool_]], expected: str
    ) -> NDArray[np.float64]:
        """A column of numbers that are all ``good``."""
        values = self.numbers(column, expected)
        bad = np.flatnonzero(~good(values))
        if len(bad):
            raise self.refuse(int(bad[0]), column, expected)
        return values


def _is_numeric(text: str) -> bool:
    """Whether a text has no other characters than numbers have: no ``nan``, no ``1_000``, no digits of other scripts."""
    return not text.encode().translate(None, _NUMBERS)


def _is_finite(text: str) -> bool:
    try:
        return _is_numeric(text) and math.isfinite(float(text))
    except ValueError:
        return False


def load_trace(path: FilePath) -> Trace:
    """Read a trace file. ``ticks_per_unit`` is the least that makes every time since the first frame a whole number.

    Raises:
        ValueError: one sentence, where the file is missing, unreadable or wrong.
    """
    file = os.fspath(path)
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        problem = "there is no such file"
    except OSError as error:
        problem = "is a folder" if Path(path).is_dir() else f"cannot be read ({error.strerror})"
    else:
        return parse_trace(raw, file)
    raise ValueError(f"{file}: {problem}, expected a readable trace file (.csv)")


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


def _read_table(raw: bytes, file: str) -> tuple[_Table, list[int]]:
    """The fields of a file, and the numbers of its levels; none where the columns have no numbers."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise ValueError(f"{file}: line {line} holds the byte 0x{byte:02x}, expected UTF-8 text") from None
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    if head == len(lines) or not lines[head].strip():
        raise ValueError(f"{file}: line {min(head, len(lines)) + 1} holds no header, expected {_FORMS}")
    names = [name.strip() for name in lines[head].split(",")]
    levels = _check_header(names, f"{file}, line {head + 1}")
    rows = lines[head + 1 :]
    if len(rows) < 2:
        raise ValueError(f"{file}: holds {len(rows) or 'no'} frame{'s' * (not rows)}, expected at least two")
    commas = [row.count(",") for row in rows]
    if min(commas) < len(names) - 1 or max(commas) > len(names) - 1 or "" in rows:
        bad = next(k for k, row in enumerate(rows) if not row or commas[k] != len(names) - 1)
        count = commas[bad] + 1 if rows[bad] else 0
        raise ValueError(f"{file}, line {head + 2 + bad}: the number of fields is {count}, expected {len(names)}")
    fields = ",".join(rows).split(",")
    return _Table(file, head + 2, {name: fields[k :: len(names)] for k, name in enumerate(names)}), levels


def _check_header(names: list[str], where: str) -> list[int]:
    """The numbers of the levels in a header, 1..K, or none. Raises ``ValueError`` for a header of another form."""
    found: dict[int, set[str]] = {}
    plain = {"time", "metric", "reward", "regime", "location"}
    for name in names:
        match = _LEVEL.fullmatch(name)
        if match:
            found.setdefault(int(match[2]), set()).add(match[1])
        elif name not in plain:
            shown = json.dumps(name if len(name) <= 40 else name[:37] + "...", ensure_ascii=False)
            raise ValueError(f"{where}: {shown} is an unknown column, expected {_FORMS}")
        if names.count(name) > 1:
            raise ValueError(f"{where}: column '{name}' is there {names.count(name)} times, expected once")
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
