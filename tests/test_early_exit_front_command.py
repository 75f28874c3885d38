"""``python -m inference.front``: what it returns and writes, wrong input in one sentence, and the commands of its page."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_exits import exit_table, month

from agents.cli import main
from conf.front_schema import METHODS, FrontConfig
from envs.early_exit.costs import NetworkWork
from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.table_file import load_table, save_table
from envs.early_exit.thresholds_file import load_thresholds
from envs.early_exit.types import ExitTable
from envs.early_exit.work_file import save_work
from inference.front import run
from optimal.early_exit import methods
from optimal.early_exit.front_report import COLUMNS
from optimal.early_exit.levels import thresholds

PATHS = ("table", "work", "out", "actions", "picture")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_table(month(rows=600, distinct=200), "a.csv")
    save_table(month(1, rows=400, distinct=200), "b.csv")
    save_work(NetworkWork((1000, 9000), (100, 900), (400, 0), 232), "work.yaml")
    return tmp_path


def front(*arguments: str) -> int:
    return main("front", FrontConfig, run, PATHS, argv=list(arguments))


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert front("format=json", *arguments) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_files_hold_what_routes_confirms(capsys: pytest.CaptureFixture[str]) -> None:
    found = result(capsys, "table=a.csv", "out=out/f.csv", "actions=actions.csv", "picture=f.png", "margin=0.02")
    table = load_table("a.csv")
    with open("out/f.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == found["methods"][0]["points"] == len(found["points"])
    ways = thresholds(np.array([[float(row[name]) for name in ("n1", "a1", "n2", "a2")] for row in rows]))
    where = routes(table, ways)
    assert [float(row["acceptance"]) for row in rows] == pytest.approx((where < REJECTED).mean(axis=1))
    assert [float(row["cost"]) for row in rows] == pytest.approx((where % REJECTED > 0).mean(axis=1))
    assert min(float(row["acceptance"]) for row in rows) >= 0.92
    assert sum(int(row["chosen"]) for row in rows) == 1
    actions = load_thresholds("actions.csv")
    chosen = next(at for at, row in enumerate(rows) if row["chosen"] == "1")
    assert len(actions) == len(rows) + 1 and actions.names[0].startswith("chosen: exact ")
    assert (actions.accept[0] == ways.accept[chosen]).all() and (actions.accept[1:] == ways.accept).all()
    with Image.open("f.png") as picture:
        assert picture.size == (836, 550)
    assert found["chosen"]["n1"] == float(rows[chosen]["n1"]) and found["rows"] == 600


def test_all_methods_are_compared(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert front("table=[a.csv,b.csv]", "compare=true", "generations=5", "picture=all.svg") == 0
    out = capsys.readouterr().out
    for name in (*methods.METHODS, *methods.BASELINES):
        assert name in out
    assert "a.csv and 1 more, 1,000 rows, at least 90 % accepted" in out and "chosen (exact, weight 0.1)" in out
    assert (folder / "all.svg").read_text(encoding="utf-8").count("NSGA-II, as published") == 1
    found = result(capsys, "table=[a.csv,b.csv]", "compare=true", "generations=5")
    ratios = {row["method"]: row["ratio"] for row in found["methods"]}
    assert ratios["exact"] == 1.0 and ratios["mass-aware"] > 0.97 and ratios["reject-at-exit-1"] >= 1.0
    assert max(ratios[name] for name in ("mass-aware", "grid", "nsga2")) <= 1.0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_a_front(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = result(capsys, "table=a.csv", f"method={method}", "generations=5", "rule=budget", "budget=0.3")
    assert found["chosen"]["cost"] <= 0.3 and found["chosen"]["method"] == method
    assert METHODS == methods.METHODS


def test_costs_have_their_units(capsys: pytest.CaptureFixture[str]) -> None:
    share = result(capsys, "table=a.csv", "rule=budget", "budget=0.2")["chosen"]
    # 1100 MAC at the edge, then 232 bytes over the radio
    joules = result(capsys, "table=a.csv", "cost=energy", "work=work.yaml", "rule=budget", "budget=4.651e-5")
    assert joules["unit"] == "J" and joules["chosen"]["error"] == share["error"]
    assert joules["chosen"]["cost"] == pytest.approx(1.1e-7 + 2.32e-4 * share["cost"])
    seconds = result(capsys, "table=a.csv", "cost=latency", "work=work.yaml", "sends=features")
    assert seconds["unit"] == "s" and seconds["points"][0]["cost"] == pytest.approx(1.1e-6)
    measured = result(capsys, "table=a.csv", "cost=measured")
    assert measured["points"][-1]["cost"] == measured["points"][-1]["share"] <= 1


def untimed(table: ExitTable) -> ExitTable:
    return ExitTable(table.label, table.predicted, table.certainty)


def three() -> ExitTable:
    table = exit_table(0, 20, 3)
    return ExitTable(table.label, table.predicted[[0, 1, 1]], table.certainty[[0, 1, 1]])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "table is [], expected at least one evaluation table"),
        (["table=none.csv"], "none.csv: there is no such file, expected a readable evaluation table (.csv, .csv.gz)"),
        (["table=three.csv"], "three.csv: has 3 exits, expected 2"),
        (["table=a.csv", "tau=1.5"], "tau is 1.5, expected a number in 0..1"),
        (["table=a.csv", "margin=0.2"], "tau is 0.9 and margin is 0.2, expected a sum of at most 1"),
        (
            ["table=a.csv", "method=best"],
            "method is best, expected one of exact, mass-aware, grid, nsga2, reject-at-exit-1",
        ),
        (["table=a.csv", "cost=energy"], "work is null, expected a work file (.yaml), because cost is energy"),
        (
            ["table=untimed.csv", "cost=measured"],
            "the table has no measured times, expected the columns bb_time_exit_k",
        ),
        (["table=a.csv", "method=reject-at-exit-1", "levels=61"], "levels is 61, expected 2..60 for reject-at-exit-1"),
        (["table=a.csv", "levels=40"], "levels is 40, expected null with method=exact"),
        (["table=a.csv", "picture=f.gif"], "picture is f.gif, expected a path that ends in .png or .svg"),
        (
            ["table=a.csv", "cost=energy", "work=work.yaml", "rule=budget", "budget=0"],
            "budget is 0, expected at least 1.1e-07, the least cost of the front",
        ),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    save_table(three(), "three.csv")
    save_table(untimed(exit_table(0, 20, 3)), "untimed.csv")
    assert front(*arguments, "out=f.csv") == 2
    said = capsys.readouterr()
    assert said.err.startswith(sentence) and said.err.count("\n") == 1 and said.out == ""
    assert not (folder / "f.csv").exists()


def test_the_commands_of_the_page_are_understood() -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "early_exit_front.md"
    commands = re.findall(r"python -m inference\.front([^`|\n]*)", page.read_text(encoding="utf-8"))
    called: list[FrontConfig] = []
    for command in commands:
        assert main("front", FrontConfig, called.append, PATHS, argv=shlex.split(command)) == 0
    assert len(called) >= 4
