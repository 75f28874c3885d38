"""optimal.token_bucket.table and .curves: what they write, and the data that they compare with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from agents.cli import main
from conf.token_bucket_schema import TokenBucketCurvesConfig, TokenBucketTableConfig
from optimal.token_bucket import curves, points, table

KNOWN = table.load()


def test_the_table_is_written_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("iid r.1 b4", "S2 gaps 1, 6")
    monkeypatch.setattr(table, "load", lambda: KNOWN | {"cases": [c for c in KNOWN["cases"] if c["name"] in names]})
    result = table.run(TokenBucketTableConfig(streams=4, length=20_000, out=str(tmp_path)))
    printed = capsys.readouterr().out
    assert "clairvoyant m" in printed and "exact gains agree" in printed
    assert all(check["within"] for check in result["checks"])
    compared = [cell for cell in result["cells"] if cell["before"] is not None]
    assert len(compared) == 2 * len(KNOWN["columns"])
    assert all(cell["within"] for cell in compared if cell["column"] != "clairvoyant R")
    assert json.loads((tmp_path / "table.json").read_text())["cells"] == result["cells"]
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == [cell["case"] for cell in result["cells"]]


def test_every_case_is_one_of_a_scenario() -> None:
    cases = [table.case_of(entry) for entry in KNOWN["cases"]]
    assert len(cases) == 14 == len({case.name for case in cases})
    assert all(len(entry["levels"]) == len(KNOWN["columns"]) for entry in KNOWN["cases"])


def test_the_published_points_are_all_there() -> None:
    found = list(points.points())
    assert [sum(point.scenario == number for point in found) for number in (1, 2, 3)] == [28, 27, 12]
    for point in found:
        losses = point.published
        if point.scenario < 3:
            assert losses["bound"] < losses["dqn"] < losses["baseline"], point
            assert losses["dqn"] <= losses["mdp"] < losses["baseline"], point
    (shared,) = {p.published["dqn"] for p in found if p.panel.startswith("figure 8: gaps 1 and 3") and p.x == -3}
    (same,) = {p.published["dqn"] for p in found if p.panel.startswith("figure 9: r 0.1") and p.x == 4}
    assert abs(shared - same) < 1e-4


def test_the_curves_are_written_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [p for p in points.points() if p.x == 4 or p.panel.startswith("figure 8: gaps 1 and 3")]
    monkeypatch.setattr(curves, "points", lambda: some)
    result = curves.run(TokenBucketCurvesConfig(streams=2, length=3_000, out=str(tmp_path)))
    assert len(result["rows"]) == len(some)
    for path in (result["csv"], *result["plots"]):
        assert Path(path).stat().st_size > 0
    for row in result["rows"]:
        assert row["bound"] < row["belief"] < row["threshold"]


def test_wrong_input_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("token_bucket_table", TokenBucketTableConfig, table.run, ("out",), argv=["streams=1"]) == 2
    assert capsys.readouterr().err.strip() == "streams is 1, expected a whole number >= 2"
