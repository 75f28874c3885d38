"""Trace files: times read exactly, round trips, and one sentence for every wrong file."""

from __future__ import annotations

import dataclasses
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.token_bucket.generator import TraceList
from envs.token_bucket.trace_file import load_trace, parse_trace, render_trace, save_trace
from envs.token_bucket.trace_times import MOST_TICKS_PER_UNIT
from envs.token_bucket.types import SendLevel, Trace

PAGE = Path(__file__).resolve().parent.parent / "docs" / "token_bucket_trace.md"


def parse(text: str) -> Trace:
    return parse_trace(text.encode(), "my.csv")


def equal(first: Any, second: Any) -> bool:
    """Equality of traces, levels and arrays, bit for bit."""
    if dataclasses.is_dataclass(first):
        return all(equal(getattr(first, f.name), getattr(second, f.name)) for f in dataclasses.fields(first))
    if isinstance(first, tuple):
        return len(first) == len(second) and all(equal(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.tobytes() == second.tobytes()
    return bool(first == second)


floats = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    n, ticks, count = draw(st.integers(2, 7)), draw(st.integers(1, 2000)), draw(st.integers(0, 3))

    def column(kind: st.SearchStrategy[Any], dtype: Any = np.float64) -> Any:
        return np.array(draw(st.lists(kind, min_size=n, max_size=n)), dtype)

    def perhaps(kind: st.SearchStrategy[Any], dtype: Any = np.float64) -> Any:
        return column(kind, dtype) if draw(st.booleans()) else None

    gap = np.array(draw(st.lists(st.integers(1, 10**6), min_size=n - 1, max_size=n - 1)), np.int64)
    gap[0] = ticks * draw(st.integers(0, 9)) + 1  # coprime to the clock: it is the coarsest one
    cost, levels = None, []
    if count:
        cost = column(st.floats(1e-9, 1.0))
        levels = [SendLevel(cost * (k + 2), column(floats), perhaps(floats)) for k in range(count - 1)]
    return Trace(
        column(floats), gap, perhaps(floats), perhaps(st.integers(0, 255), np.int64), perhaps(st.floats(0, 1)), cost,
        tuple(levels), ticks,
    )  # fmt: skip


@given(traces())
def test_traces_come_back_exactly(trace: Trace) -> None:
    assert equal(parse(render_trace(trace)), trace)


def test_files_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trace.csv"
    trace = Trace(np.array([0.25, 0.5]), np.array([3]), ticks_per_unit=4)
    save_trace(trace, path)
    assert path.read_text() == "time,metric\n0,0.25\n0.75,0.5\n"
    assert equal(load_trace(path), trace) and os.listdir(path.parent) == ["trace.csv"]
    finer = Trace(np.array([0.25, 0.5]), np.array([300]), ticks_per_unit=400)
    save_trace(finer, path)
    assert equal(load_trace(path), trace), "a finer clock than needed comes back as the coarsest"


@pytest.mark.parametrize(
    ("times", "gap", "ticks"),
    [
        ("0 1 3", [1, 2], 1),
        ("0 2 4", [2, 2], 1),  # never coarser than a time unit
        ("0.1 0.2 0.3", [1, 1], 10),
        ("1.000 2.50 4", [3, 3], 2),
        ("0.3 1.3 5.3", [1, 4], 1),  # relative to the first
        (".5 1. 001.5", [1, 1], 2),
        ("-3 -1.25 +4", [7, 21], 4),
        ("1e-1 2E0 30e+0", [19, 280], 10),
        ("0 1/3 7/9", [3, 4], 9),
        ("1700000000.000001 1700000000.000003 1700000001", [2, 999_997], 1_000_000),
        ("100000000000000000000 100000000000000000001 100000000000000000004", [1, 3], 1),
        ("0.29 0.58 0.87", [29, 29], 100),
    ],
)
def test_times_are_read_exactly(times: str, gap: list[int], ticks: int) -> None:
    trace = parse("time,metric\n" + "".join(f"{time},0\n" for time in times.split()))
    assert trace.gap.tolist() == gap and trace.ticks_per_unit == ticks
    first, last = (Fraction(times.split()[k]) for k in (0, -1))
    assert Fraction(int(trace.gap.sum()), ticks) == last - first


def test_what_a_file_may_look_like() -> None:
    plain = parse("time,metric,reward,regime\n0,.5,1,0\n1,-.5,-1,2\n")
    for other in (
        "# from a camera\n# of ours\ntime,metric,reward,regime\n0,.5,1,0\n1,-.5,-1,2",
        "\ufefftime,metric,reward,regime\r\n0,.5,1,0\r\n1,-.5,-1,2\r\n\r\n",
        "regime, time ,metric,reward\n0.0, 0 , 5e-1,+1\n2, 1,-0.5,-1.0\n",
    ):
        assert equal(parse(other), plain)
    levels = parse("time,cost_1,metric_1,cost_2,metric_2,reward_2,location\n0,.5,.1,1,.2,0,.5\n1,.5,.1,2,.3,1,1\n")
    assert levels.cost is not None and levels.cost.tolist() == [0.5, 0.5] and levels.reward is None
    assert levels.levels[0].cost.tolist() == [1.0, 2.0] and levels.levels[0].metric.tolist() == [0.2, 0.3]
    with pytest.raises(ValueError, match="a trace has 2 send levels, expected one: the environment serves one"):
        TraceList([levels])
    dear = parse("time,cost_1,metric_1\n0,2,.1\n1,1,.1\n")
    with pytest.raises(ValueError, match="a trace has costs other than 1, expected one token a send"):
        TraceList([dear])
    TraceList([parse("time,cost_1,metric_1\n0,1,.1\n1,1.0,.1\n")])


FORMS = "expected time,metric[,reward][,regime][,location] or time,cost_1,metric_1[,reward_1],cost_2,metric_2,..."
TWO = "time,metric,regime,location\n"
LEVELS = "time,cost_1,metric_1,cost_2,metric_2\n"
REFUSED = [
    ("", f"my.csv: line 1 holds no header, {FORMS}"),
    ("# only\n", f"my.csv: line 2 holds no header, {FORMS}"),
    ("\n0,1\n", f"my.csv: line 1 holds no header, {FORMS}"),
    ("0,0.5\n1,0.5\n", f'my.csv, line 1: "0" is an unknown column, {FORMS}'),
    ("time,metrics\n0,1\n1,1\n", f'my.csv, line 1: "metrics" is an unknown column, {FORMS}'),
    ("time,metric,\n0,1,\n1,1,\n", f'my.csv, line 1: "" is an unknown column, {FORMS}'),
    ("time,metric_0\n0,1\n1,1\n", f'my.csv, line 1: "metric_0" is an unknown column, {FORMS}'),
    ("time,reward\n0,1\n1,1\n", f"my.csv, line 1: column 'metric' is missing, {FORMS}"),
    ("metric\n0\n1\n", f"my.csv, line 1: column 'time' is missing, {FORMS}"),
    ("# x\ntime,metric,time\n0,1,2\n1,1,3\n", "my.csv, line 2: column 'time' is there 2 times, expected once"),
    ("time,cost_1,metric\n", "my.csv, line 1: column 'metric' has no level, expected metric_1 beside columns with levels"),
    ("time,cost_1\n0,1\n1,1\n", f"my.csv, line 1: column 'metric_1' is missing, {FORMS}"),
    ("time,metric_1\n0,1\n1,1\n", f"my.csv, line 1: column 'cost_1' is missing, {FORMS}"),
    ("time,cost_2,metric_2\n", "my.csv, line 1: there are columns of level 2 but none of level 1, expected 1, 2, ..."),
    ("time,cost_1,metric_1,cost_3,metric_3\n", "my.csv, line 1: there are columns of level 3 but none of level 2, "
     "expected 1, 2, ..."),
    ("time,metric\n", "my.csv: holds no frames, expected at least two"),
    ("time,metric\n0,1\n", "my.csv: holds 1 frame, expected at least two"),
    ("time,metric\n0,1\n1\n", "my.csv, line 3: the number of fields is 1, expected 2"),
    ("time,metric\n0,1\n1,2,3\n", "my.csv, line 3: the number of fields is 3, expected 2"),
    ("time,metric\n0,1\n\n1,2\n", "my.csv, line 3: the number of fields is 0, expected 2"),
    ("time,metric\n0,a b\n1,2\n", "my.csv, line 2: field 'metric' is \"a b\", expected a finite number"),
    ("time,metric\n0,1\n1,\n", "my.csv, line 3: field 'metric' is \"\", expected a finite number"),
    ("time,metric\n0,nan\n1,2\n", "my.csv, line 2: field 'metric' is \"nan\", expected a finite number"),
    ("time,metric\n0,1\n1,-inf\n", "my.csv, line 3: field 'metric' is \"-inf\", expected a finite number"),
    ("time,metric\n0,1\n1,1e999\n", "my.csv, line 3: field 'metric' is 1e999, expected a finite number"),
    ("time,metric\n0,1_0\n1,2\n", "my.csv, line 2: field 'metric' is \"1_0\", expected a finite number"),
    ("time,metric\n0,1 2\n1,2\n", "my.csv, line 2: field 'metric' is \"1 2\", expected a finite number"),
    ("time,metric\n0,٣\n1,2\n", "my.csv, line 2: field 'metric' is \"٣\", expected a finite number"),
    ("time,metric\nnow,1\n1,2\n", "my.csv, line 2: field 'time' is \"now\", expected a time such as 12, 0.25 or 7/3"),
    ("time,metric\n0,1\nnan,2\n", "my.csv, line 3: field 'time' is \"nan\", expected a time such as 12, 0.25 or 7/3"),
    ("time,metric\n0,1\n1/0,2\n", "my.csv, line 3: field 'time' is 1/0, expected a time such as 12, 0.25 or 7/3"),
    ("time,metric\n0,1\n1e999,2\n", "my.csv, line 3: field 'time' is 1e999, expected a time such as 12, 0.25 or 7/3"),
    ("time,metric\n0,1\n2,1\n1.5,1\n", "my.csv, line 4: field 'time' is 1.5, expected later than the frame before, 2"),
    ("time,metric\n0,1\n0.0,1\n", "my.csv, line 3: field 'time' is 0.0, expected later than the frame before, 0"),
    ("time,metric\n0,1\n1,1\n1.0000001,1\n", "my.csv, line 4: field 'time' is 1.0000001, expected times since the first "
     "frame that are whole multiples of 1/n time units, n <= 1,000,000"),
    ("time,metric\n0,1\n1/9973,1\n1/9967,1\n", "my.csv, line 4: field 'time' is 1/9967, expected times since the"),
    ("time,metric\n0,1\n9007199254740993,1\n", "my.csv, line 3: field 'time' is 9007199254740993, expected at most "
     "9,007,199,254,740,992 ticks of 1/1 time units after the first frame"),
    (TWO + "0,1,-1,0\n1,1,0,0\n", "my.csv, line 2: field 'regime' is -1, expected a whole number in 0..255"),
    (TWO + "0,1,0,0\n1,1,.5,0\n", "my.csv, line 3: field 'regime' is .5, expected a whole number in 0..255"),
    (TWO + "0,1,0,0\n1,1,256,0\n", "my.csv, line 3: field 'regime' is 256, expected a whole number in 0..255"),
    (TWO + "0,1,0,0\n1,1,0,1.01\n", "my.csv, line 3: field 'location' is 1.01, expected a finite number in 0..1"),
    (TWO + "0,1,0,-0.1\n1,1,0,1\n", "my.csv, line 2: field 'location' is -0.1, expected a finite number in 0..1"),
    (LEVELS + "0,0,1,1,1\n1,1,1,2,1\n", "my.csv, line 2: field 'cost_1' is 0, expected a finite number of tokens > 0"),
    (LEVELS + "0,1,1,2,1\n1,-1,1,2,1\n", "my.csv, line 3: field 'cost_1' is -1, expected a finite number of tokens > 0"),
    (LEVELS + "0,1,1,2,1\n1,2,1,2,1\n", "my.csv, line 3: field 'cost_2' is 2, expected more than the cost of the level "
     "before, 2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_wrong_files_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


HEADS = ("time,metric", "time,metric,reward,regime,location", "# x\ntime,cost_1,metric_1,cost_2,metric_2", "time", "")
SOUP = st.text('0123456789.-+eE/,\n #"a\r\u0663', max_size=60)


@settings(deadline=None)
@given(st.sampled_from(HEADS), SOUP, st.lists(st.lists(st.integers(-2, 9), max_size=6), max_size=4))
def test_any_text_loads_or_is_refused_in_one_sentence(head: str, soup: str, rows: list[list[int]]) -> None:
    for body in (soup, "\n".join(",".join(map(str, row)) for row in rows) + soup[:3]):
        try:
            trace = parse(f"{head}\n{body}")
        except ValueError as error:
            assert re.match(r"my\.csv[:,] ", str(error)) and "\n" not in str(error), str(error)
        else:
            assert equal(parse(render_trace(trace)), trace) and len(trace) >= 2


def test_wrong_paths_are_one_sentence(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none.csv", "there is no such file"), (tmp_path, "is a folder")):
        with pytest.raises(ValueError) as caught:
            load_trace(path)
        assert str(caught.value) == f"{path}: {problem}, expected a readable trace file (.csv)"
    (tmp_path / "latin.csv").write_bytes(b"time,metric\n0,1\n1,\xe4\n")
    with pytest.raises(ValueError, match=r"latin\.csv: line 3 holds the byte 0xe4, expected UTF-8 text"):
        load_trace(tmp_path / "latin.csv")
    with pytest.raises(ValueError, match="is a folder, expected a path for a file"):
        save_trace(Trace(np.ones(2), np.ones(1, np.int64)), tmp_path)


@pytest.mark.parametrize(
    ("trace", "sentence"),
    [
        (Trace(np.ones(1), np.ones(0, np.int64)), "holds 1 frame"),
        (Trace(np.ones(2), np.ones(1, np.int64), cost=np.array([1.0, 0.0])), "field 'cost_1' is 0.0"),
        (Trace(np.ones(2), np.ones(1, np.int64), cost=np.array([1.0, np.nan])), "field 'cost_1' is \"nan\""),
        (Trace(np.ones(2), np.ones(1, np.int64), ticks_per_unit=1_000_003), "field 'time' is 1/1000003"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(trace: Trace, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        save_trace(trace, tmp_path / "trace.csv")
    assert not list(tmp_path.iterdir())


def test_the_page_shows_files_that_load() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^```csv\n(.*?)^```$", text, re.M | re.S)
    assert len(found) == 2
    for body in found:
        parse(body)
    assert f"{MOST_TICKS_PER_UNIT:,}" in text
    for sentence in re.findall(r"^trace\.csv.*$", text, re.M):
        assert any(sentence.replace("trace.csv", "my.csv") == known for _, known in REFUSED), sentence
