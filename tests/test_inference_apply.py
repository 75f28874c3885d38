"""``python -m inference.apply``: counts by hand, and wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.cli import main
from conf.apply_schema import ApplyConfig
from envs.early_exit.table_file import save_table
from envs.early_exit.thresholds_file import save_thresholds
from envs.early_exit.types import ExitTable, Thresholds
from inference.apply import line_of, run

LABEL = np.array([0, 1, 0, 1, 1], np.int8)
PREDICTED = np.array([[0, 1, 1, 0, 1], [0, 1, 0, 0, 0]], np.int8)
CERTAINTY = np.array([[0.9, 0.9, 0.6, 0.6, 0.6], [0.9, 0.9, 0.9, 0.8, 0.5]])
TABLE = ExitTable(LABEL, PREDICTED, CERTAINTY)


def thresholds(first: float, last: float, reject: float = 0.0) -> Thresholds:
    accept = np.array([[[first, first], [last, last]]])
    return Thresholds(accept, np.array([[[reject, reject], [0.0, 0.0]]]))


def test_rows_are_counted_where_they_go() -> None:
    line = line_of(TABLE, thresholds(0.8, 0.7))
    # rows 0 and 1 stop at exit 1, 2 and 3 at exit 2 (3 is wrong), 4 is rejected
    assert line["accuracy"] == 3 / 4 and line["rejected"] == 1 / 5 and line["sent"] == 3 / 5
    assert line["false_negatives"] == 1 / 5 and line["false_positives"] == 0 and line["answered_at_1"] == 2 / 5
    assert line["exit_1"] == 3 / 5 and line["exit_2"] == 3 / 5


def test_rejected_at_exit_1_is_not_sent() -> None:
    line = line_of(TABLE, thresholds(0.8, 0.7, reject=0.8))
    assert line["sent"] == 0 and line["rejected"] == 3 / 5 and line["accuracy"] == 1


def test_nothing_answered_has_no_accuracy() -> None:
    assert np.isnan(line_of(TABLE, thresholds(2.0, 2.0))["accuracy"])


def test_the_command_writes_a_line_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_table(TABLE, tmp_path / "month.csv")
    save_thresholds(thresholds(0.8, 0.7), tmp_path / "point.csv")
    files = [f"table=[{tmp_path}/month.csv,{tmp_path}/month.csv]", f"actions={tmp_path}/point.csv"]
    arguments = [*files, f"out={tmp_path}/lines.csv", "format=json"]
    assert main("apply", ApplyConfig, run, ("table", "actions", "out"), argv=arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line["accuracy"] for line in told["tables"]] == [0.75, 0.75]
    text = (tmp_path / "lines.csv").read_text()
    assert text.startswith("table,accuracy,rejected,sent,") and text.count("\n") == 3
    assert main("apply", ApplyConfig, run, ("table", "actions", "out"), argv=[*files, "action=1"]) == 2
    assert "action is 1, but" in capsys.readouterr().err
