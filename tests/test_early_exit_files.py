"""Evaluation tables, actions and work as files: round trips, and one sentence for every wrong file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_exits import exit_table

from envs.early_exit.build import SHIPPED
from envs.early_exit.costs import NetworkWork
from envs.early_exit.routing import routes
from envs.early_exit.table_file import load_table, parse_table, render_table, save_table
from envs.early_exit.thresholds_file import load_thresholds, parse_thresholds, render_thresholds, save_thresholds
from envs.early_exit.types import ExitTable, Thresholds
from envs.early_exit.work_file import load_work, parse_work, render_work, save_work

TABLE = "y,y_exit_1,cnf_exit_1,y_exit_2,cnf_exit_2\n0,0,0.9,0,0.95\n1,0,0.55,1,0.8\n"
ACTIONS = (
    "name,accept_1_normal,accept_1_attack,accept_2_normal,accept_2_attack\nedge,0,0,0,0\nunsure go,0.8,0.75,0.6,0.6\n"
)
WORK = (
    "format: offramp/network-work\nversion: 1\nblock_macs: [1856, 73728]\nexit_macs: [64, 512]\nfeature_bytes: [128, 0]\n"
    "input_bytes: 232\n"
)
PARSE: dict[str, Callable[[bytes], object]] = {
    "table": lambda raw: parse_table(raw, "my.csv"),
    "actions": lambda raw: parse_thresholds(raw, "my.csv"),
    "work": lambda raw: parse_work(raw, "my.yaml"),
}
GOOD = {"table": TABLE, "actions": ACTIONS, "work": WORK}


def equal(first: Any, second: Any) -> bool:
    """Equality of tables or thresholds, bit for bit."""
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, np.ndarray):
            if value.dtype != other.dtype or value.tobytes() != other.tobytes():
                return False
        elif value != other:
            return False
    return True


# --- round trips -----------------------------------------------------------------------------------------------------
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.booleans())
def test_a_table_loads_as_it_was_saved(seed: int, rows: int, timed: bool) -> None:
    table = exit_table(seed, rows, 5)
    if not timed:
        table = ExitTable(table.label, table.predicted, table.certainty)
    text = render_table(table)
    assert equal(parse_table(text.encode(), "my.csv"), table)
    other = text.replace("\n", "\r\n").replace(",", " , ") + "\r\n\r\n"
    assert equal(parse_table(b"\xef\xbb\xbf# a comment\r\n" + other.encode(), "my.csv"), table)


def test_tables_of_other_numbers_of_exits_and_orders_of_columns() -> None:
    table = parse_table(b"cnf_exit_1,y,y_exit_1\n0.5,1,0\n", "my.csv")
    assert (table.exits, len(table), table.block_time) == (1, 1, None)
    assert (table.label.tolist(), table.predicted.tolist(), table.certainty.tolist()) == ([1], [[0]], [[0.5]])
    three = exit_table(0, 4, 3)
    wide = ExitTable(three.label, np.tile(three.predicted, (6, 1)), np.tile(three.certainty, (6, 1)))
    assert equal(parse_table(render_table(wide).encode(), "my.csv"), wide)
    rounded = parse_table(b"y,y_exit_1,cnf_exit_1\n0,0,0.12345678\n", "my.csv")
    assert rounded.certainty.tolist() == [[0.123457]], "six decimals, as a network's are"


def test_packed_tables(tmp_path: Path) -> None:
    table = exit_table(3, 20, 4)
    save_table(table, tmp_path / "month.csv")
    packed = tmp_path / "month.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "month.csv").read_bytes()))
    assert equal(load_table(packed), table) and equal(load_table(str(tmp_path / "month.csv")), table)
    save_table(table, packed)
    raw = packed.read_bytes()
    assert gzip.decompress(raw) == (tmp_path / "month.csv").read_bytes() and raw[:8] == b"\x1f\x8b\x08" + bytes(5)
    save_table(table, tmp_path / "other.csv.gz")
    assert (tmp_path / "other.csv.gz").read_bytes() == raw, "neither name nor time is in the file"
    with pytest.raises(ValueError, match=r"folder\.gz: is a folder, expected a path for a file"):
        (tmp_path / "folder.gz").mkdir()
        save_table(table, tmp_path / "folder.gz")


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
numbers = st.sampled_from((0.0, 0.5, 0.612345, 1.0, 2.0)) | st.floats(0, 2)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_actions_load_as_they_were_saved(data: Any, count: int, exits: int, named: bool) -> None:
    def draw() -> np.ndarray:
        return np.array(data.draw(st.lists(numbers, min_size=count * exits * 2, max_size=count * exits * 2))).reshape(
            count, exits, 2
        )

    words = tuple(data.draw(st.lists(names, min_size=count, max_size=count))) if named else ()
    actions = Thresholds(draw(), draw(), words)
    loaded = parse_thresholds(render_thresholds(actions).encode(), "my.csv")
    clean = tuple(" ".join(name.replace(",", ";").split()) for name in words)
    assert equal(loaded, Thresholds(np.abs(actions.accept), np.abs(actions.reject), clean))


def test_actions_without_rejects_and_names_and_beyond_the_range(tmp_path: Path) -> None:
    plain = parse_thresholds(ACTIONS.encode(), "my.csv")
    assert plain.names == ("edge", "unsure go") and not plain.reject.any()
    assert plain.accept[1].tolist() == [[0.8, 0.75], [0.6, 0.6]]
    assert parse_thresholds(b"accept_1_normal,accept_1_attack\n0.5,1e-1\n", "my.csv").names == ()
    wild = Thresholds(np.array([[[-3.0, 0.7], [9.0, 0.5]]]), np.array([[[0.6, 7.0], [0.0, 0.0]]]))
    save_thresholds(wild, tmp_path / "actions.csv")
    tame, table = load_thresholds(tmp_path / "actions.csv"), exit_table(0, 300, 6)
    assert tame.accept.tolist() == [[[0.0, 0.7], [2.0, 0.5]]]
    assert (routes(table, tame) == routes(table, wild)).all()


def test_work_loads_as_it_was_saved(tmp_path: Path) -> None:
    work = NetworkWork((2**40, 0, 5), (1, 2, 3), (7, 8, 0), 232)
    save_work(work, tmp_path / "work.yaml")
    assert (
        load_work(tmp_path / "work.yaml") == work == parse_work(b"\xef\xbb\xbf" + render_work(work).encode(), "my.yaml")
    )
    assert parse_work(WORK.replace("232", "232.0").encode(), "my.yaml").input_bytes == 232


def test_the_shipped_files_fit_together() -> None:
    months = [load_table(path) for path in sorted(SHIPPED.glob("month_*.csv.gz"))]
    actions, work = load_thresholds(SHIPPED / "actions.csv"), load_work(SHIPPED / "work.yaml")
    assert len(months) == 8 and all(len(one) == 5000 and one.exits == 2 for one in months)
    assert len(actions) == 52 == len(set(actions.names)) and actions.exits == work.exits == 2
    where = np.concatenate([routes(one, actions) for one in months], axis=1)
    ends = [set(np.unique(row).tolist()) for row in where]
    assert {0} in ends and {1} in ends, "exit 1 alone and the last exit alone are on the menu"
    for month in months:
        right = [(predicted == month.label).mean() for predicted in month.predicted]
        assert 0.8 < right[0] < right[1] < 0.95
        assert month.certainty.min() >= 0.5 and (np.round(month.certainty, 6) == month.certainty).all()


# --- wrong files -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "old", "new", "sentence"),
    [
        (
            "table",
            "cnf_exit_2\n",
            "sure_exit_2\n",
            'my.csv, line 1: "sure_exit_2" is an unknown column, expected y,y_exit_1',
        ),
        ("table", ",cnf_exit_2", "", "my.csv, line 2: the number of fields is 5, expected 4"),
        (
            "table",
            "y,y_exit_1",
            "x,y_exit_1",
            'my.csv, line 1: "x" is an unknown column, expected y,y_exit_1,cnf_exit_1',
        ),
        ("table", "y,y_exit_1", "y,y", "my.csv, line 1: column 'y' is there 2 times, expected once"),
        (
            "table",
            "y_exit_2,cnf_exit_2",
            "y_exit_3,cnf_exit_3",
            "my.csv, line 1: column 'y_exit_2' is missing, expected y",
        ),
        (
            "table",
            "y_exit_2,cnf_exit_2",
            "y_exit_2,bb_time_exit_2",
            "my.csv, line 1: column 'bb_time_exit_1' is missing",
        ),
        ("table", "0.9,", "high,", "my.csv, line 2: field 'cnf_exit_1' is \"high\", expected a certainty in 0..1"),
        ("table", "0.9,", ",", "my.csv, line 2: field 'cnf_exit_1' is \"\", expected a certainty in 0..1"),
        ("table", "0.9,", "nan,", "my.csv, line 2: field 'cnf_exit_1' is \"nan\", expected a certainty in 0..1"),
        ("table", "0.8\n", "inf\n", "my.csv, line 3: field 'cnf_exit_2' is \"inf\", expected a certainty in 0..1"),
        ("table", "0.8\n", "1.01\n", "my.csv, line 3: field 'cnf_exit_2' is 1.01, expected a certainty in 0..1"),
        ("table", "0.8\n", "-0.1\n", "my.csv, line 3: field 'cnf_exit_2' is -0.1, expected a certainty in 0..1"),
        ("table", "0.8\n", "0,8\n", "my.csv, line 3: the number of fields is 6, expected 5"),
        ("table", "\n1,", "\n2,", "my.csv, line 3: field 'y' is 2, expected 0 (normal) or 1 (attack)"),
        ("table", "\n1,", "\nattack,", "my.csv, line 3: field 'y' is \"attack\", expected 0 (normal) or 1 (attack)"),
        ("table", "0.55,1", "0.55,0.5", "my.csv, line 3: field 'y_exit_2' is 0.5, expected 0 (normal) or 1 (attack)"),
        ("table", "\n1,", "\n\n1,", "my.csv, line 3: the number of fields is 0, expected 5"),
        ("table", TABLE, "", "my.csv: line 1 holds no header, expected y,y_exit_1,cnf_exit_1"),
        ("table", TABLE, "# only\n# comments\n", "my.csv: line 3 holds no header, expected y,y_exit_1"),
        ("table", TABLE, "y\n1\n", "my.csv, line 1: column 'y_exit_1' is missing, expected y,y_exit_1,cnf_exit_1"),
        ("table", TABLE, TABLE.split("\n")[0], "my.csv: holds no rows, expected at least one"),
        ("table", "0.55", "\xe4", "my.csv: line 3 holds the byte 0xe4, expected UTF-8 text"),
        (
            "actions",
            "accept_2_attack",
            "accept_2_atack",
            'my.csv, line 1: "accept_2_atack" is an unknown column, expected',
        ),
        (
            "actions",
            "accept_1_attack",
            "reject_1_attack",
            "my.csv, line 1: column 'accept_1_attack' is missing, expected",
        ),
        (
            "actions",
            "0.75",
            "2.5",
            "my.csv, line 3: field 'accept_1_attack' is 2.5, expected a threshold in 0..2: 0 for",
        ),
        ("actions", "0.75", "-1", "my.csv, line 3: field 'accept_1_attack' is -1, expected a threshold in 0..2"),
        (
            "actions",
            "0.75",
            "none",
            "my.csv, line 3: field 'accept_1_attack' is \"none\", expected a threshold in 0..2",
        ),
        ("actions", "0.75", "nan", "my.csv, line 3: field 'accept_1_attack' is \"nan\", expected a threshold in 0..2"),
        ("actions", "unsure go", "unsure, go", "my.csv, line 3: the number of fields is 6, expected 5"),
        ("actions", ACTIONS, "", "my.csv: line 1 holds no header, expected name,accept_1_normal,accept_1_attack"),
        ("actions", ACTIONS, "name\nedge\n", "my.csv, line 1: column 'accept_1_normal' is missing, expected name"),
        ("actions", ACTIONS, ACTIONS.split("\n")[0], "my.csv: holds no actions, expected at least one"),
        ("actions", "edge", "\xff", "my.csv: line 2 holds the byte 0xff, expected UTF-8 text"),
        ("work", "version: 1", "version: 2", "my.yaml: field 'version' is 2, expected 1"),
        ("work", "format: offramp/network-work\n", "", "my.yaml: field 'format' is missing, expected"),
        (
            "work",
            "exit_macs",
            "exits_macs",
            "my.yaml: field 'exits_macs' is an unknown key, expected 'exit_macs', the near",
        ),
        ("work", "input_bytes: 232", "", "my.yaml: field 'input_bytes' is missing, expected the keys format, version"),
        ("work", "1856", "-1", "my.yaml: field 'block_macs[0]' is -1, expected a whole number >= 0"),
        ("work", "73728", "many", "my.yaml: field 'block_macs[1]' is \"many\", expected a whole number >= 0"),
        ("work", "73728", ".nan", "my.yaml: field 'block_macs[1]' is NaN, expected a whole number >= 0"),
        ("work", "[64, 512]", "64", "my.yaml: field 'exit_macs' is 64, expected a list of whole numbers >= 0"),
        (
            "work",
            "[64, 512]",
            "[64]",
            "my.yaml: the top level is refused: block_macs, exit_macs and feature_bytes have",
        ),
        ("work", "232", "2001-99-99", "my.yaml: cannot be read as YAML (month must be in 1..12), expected a work file"),
        ("work", "[64, 512]", "[64, 512", "my.yaml: cannot be read as YAML (while parsing a flow sequence"),
        ("work", WORK, "[" * 5000, "my.yaml: cannot be read as YAML (maximum recursion depth exceeded"),
        ("work", WORK, "", "my.yaml: the top level is null, expected an object"),
        ("work", "232", "\xff", "my.yaml: cannot be read as YAML ("),
    ],
)
def test_wrong_files_are_one_sentence(kind: str, old: str, new: str, sentence: str) -> None:
    assert old in GOOD[kind]
    raw = GOOD[kind].replace(old, new, 1).encode("latin-1")
    PARSE[kind](GOOD[kind].encode())
    with pytest.raises(ValueError) as caught:
        PARSE[kind](raw)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("load", "suffix", "what"),
    [
        (load_table, ".csv", "evaluation table (.csv, .csv.gz)"),
        (load_thresholds, ".csv", "file of thresholds (.csv)"),
        (load_work, ".yaml", "work file (.yaml)"),
    ],
)
def test_files_that_cannot_be_read_are_one_sentence(load: Any, suffix: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / f"none{suffix}"
    with pytest.raises(ValueError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: there is no such file, expected a readable {what}"
    with pytest.raises(ValueError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder, expected a readable {what}"


@pytest.mark.parametrize("harm", ["cut", "changed", "text"])
def test_a_damaged_packed_file_is_one_sentence(harm: str, tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(TABLE.encode()))
    if harm == "cut":
        raw = raw[:-9]
    elif harm == "changed":
        raw[len(raw) // 2] ^= 0xFF
    path = tmp_path / "month.csv.gz"
    path.write_bytes(TABLE.encode() if harm == "text" else bytes(raw))
    with pytest.raises(ValueError) as caught:
        load_table(path)
    assert str(caught.value).startswith(f"{path}: is no whole gzip file (") and "\n" not in str(caught.value)
    assert str(caught.value).endswith("), expected a readable evaluation table (.csv, .csv.gz)")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_no_changed_file_ends_in_anything_but_a_sentence(kind: str, data: Any) -> None:
    raw = bytearray(GOOD[kind].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not raw:
            break
    try:
        PARSE[kind](bytes(raw))
    except ValueError as error:
        assert "\n" not in str(error) and str(error).startswith("my.")
