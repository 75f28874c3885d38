"""agents.benchmark env=early_exit: figures are those of the episodes, differences are paired, the folder is complete."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_exit_runs import benchmark

from agents.early_exit.benchmark import compare, write_folder
from agents.early_exit.benchmark_plots import plots
from agents.early_exit.benchmark_result import COLUMNS, FIGURES, HEADINGS
from agents.run_folder import RunFolder
from conf.benchmark_schema import BenchmarkConfig
from conf.schema import EarlyExitConfig, TrainConfig
from envs.early_exit.build import make_world
from optimal.early_exit.episode_gaps import BASE, BEST
from optimal.early_exit.episodes import TUNING_SEED, Episodes

DOCS = Path(__file__).resolve().parent.parent / "docs" / "early_exit_benchmark.md"


# --- benchmark -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def benched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two seeds, trained on the spot, with a folder for each next to its own."""
    root = tmp_path_factory.mktemp("benchmark")
    assert benchmark(root, "train_seeds=[3,4]", "baselines=[static,ewma,cache]", "name=t") == 0
    return root


def test_a_benchmark_leaves_a_complete_folder(benched: Path) -> None:
    assert {path.name for path in benched.iterdir()} == {"t", "t-seed-3", "t-seed-4"}
    plots = {f"{name}.svg" for name in ("cost", "difference", "gap", "budgets", "cost_time", "timeline")}
    files = {"benchmark.json", "episodes.csv", "config.yaml", "report.html"}
    assert {path.name for path in (benched / "t").iterdir()} == plots | files
    text = (benched / "t" / "report.html").read_text()
    assert text.count('src="data:image/svg+xml;base64,') == len(plots) == text.count("<img")
    assert "<script" not in text and not re.search(r"(?:src|href)=.?https?:|@import|url\(", text)
    assert text.count("<table>") == 2


def test_json_and_csv_agree(benched: Path) -> None:
    stored = json.loads((benched / "t" / "benchmark.json").read_text())
    rows = {row["policy"]: row for row in stored["policies"]}
    assert set(rows) == {"dqn", "static", "ewma", "cache", "knapsack"} and stored["budgets"] == [0.08, 0.2]
    assert (rows["dqn"]["seeds"], rows["dqn"]["kind"]) == (2, "learned") and rows["cache"]["decision_s"] is None
    with open(benched / "t" / "episodes.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS and len(lines) == (2 + 4) * 2 * 4

    def costs(name: str, budget: float) -> Any:
        found = [float(one["cost"]) for one in lines if one["policy"] == name and float(one["budget"]) == budget]
        return np.array(found).reshape(-1, 4)

    for name, row in rows.items():
        for one in row["budgets"]:
            cost, base, best = (costs(other, one["budget"]) for other in (name, BASE, BEST))
            assert one["cost"]["mean"] == pytest.approx(cost.mean())
            assert one["difference"][BASE]["mean"] == pytest.approx((cost - base).mean(), abs=1e-12)
            assert one["closed"]["mean"] == pytest.approx((base.mean() - cost.mean()) / (base.mean() - best.mean()))
            mine = [line for line in lines if line["policy"] == name and float(line["budget"]) == one["budget"]]
            for figure in FIGURES:
                assert one[figure] == pytest.approx(np.mean([float(line[figure]) for line in mine]))
        assert row["cost"]["mean"] == pytest.approx(np.mean([one["cost"]["mean"] for one in row["budgets"]]))
    assert rows["knapsack"]["closed"] == {"mean": 1.0, "interval": [1.0, 1.0], "seeds": [1.0]}
    assert rows["static"]["difference"]["static"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    assert set(stored["references"]) == {"static", "mixture", "adaptive-price", "knapsack"}


def test_runs_play_other_budgets_and_the_bound_stands_in_for_the_knapsack(
    benched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = f"runs=[{benched / 't-seed-3'},{benched / 't-seed-4'}]"
    asked = ["env.scenario=bursts", "env.budgets=[]", "baselines=[knapsack,mixture]", "optimum=false", "name=o"]
    assert benchmark(benched, runs, *asked, "format=text") == 0
    out = capsys.readouterr().out
    assert "bursts, synthetic, months 6, 7, 8: 4 held-out" in out and "bound *" in out and "benchmark folder" in out
    assert max(map(len, out.replace(str(benched), "").splitlines())) <= 110
    stored = json.loads((benched / "o" / "benchmark.json").read_text())
    assert {row["policy"] for row in stored["policies"]} == {"dqn", "mixture"} and stored["budgets"] == [0.08]
    assert set(stored["references"]) == {"static", "mixture", "adaptive-price", "bound"}
    assert not (benched / "o" / "budgets.svg").exists() and (benched / "o" / "timeline.svg").exists()


def test_without_a_budget_and_with_a_single_policy() -> None:
    world = make_world("link", windows=6, rows=30)
    result = compare([], ["static"], Episodes.draw(world, 4, TUNING_SEED), Episodes.draw(world, 3), "few")
    assert result.to_dict()["budgets"] == [None] and result.csv().splitlines()[1].split(",")[3] == ""
    drawn = plots(result)
    assert set(drawn) <= {"cost", "difference", "gap", "cost_time", "timeline"} and "no budget" in drawn["timeline"][1]


# --- wrong input -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["samples=4"], "samples is 4, but offramp/EarlyExit-v0 has no use for it, expected 1"),
        (["set=lenet-20-0.6"], "set is lenet-20-0.6, but offramp/EarlyExit-v0"),
        (["runs=nowhere"], "run folder nowhere does not exist"),
        (["runs=placement"], "is of offramp/DistPrivacy-v0, expected one of offramp/EarlyExit-v0"),
        (["runs=RUN", "env.windows=20"], "env.windows is 20, but run RUN was trained with 10, expected the same"),
    ],
)
def test_wrong_input_is_told_in_one_sentence(
    argv: list[str],
    sentence: str,
    benched: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    RunFolder.create(TrainConfig(run_root=".", name="placement"))
    run = str(benched / "t-seed-3")
    assert benchmark(tmp_path, *(argument.replace("RUN", run) for argument in argv)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.strip().count("\n") == 0 and sentence.replace("RUN", run) in err
    assert [path.name for path in tmp_path.iterdir()] == ["placement"]


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world = make_world("budget", windows=4, rows=20)
    result = compare([], ["static"], Episodes.draw(world, 4, TUNING_SEED), Episodes.draw(world, 2), "few")
    monkeypatch.setattr("envs.atomic.write_text_atomic", full)
    with pytest.raises(ValueError, match=r"^run_root is .*, where no folder can be made: .*No space left"):
        write_folder(result, BenchmarkConfig(env=EarlyExitConfig(), baselines=[]), tmp_path / "out", "name")
    assert list((tmp_path / "out").iterdir()) == []


# --- docs ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("heading", "names"), [("The table", ("b", *HEADINGS)), ("Rows by episode", COLUMNS)])
def test_columns_are_explained_in_order(heading: str, names: tuple[str, ...]) -> None:
    match = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", DOCS.read_text(encoding="utf-8"), re.M | re.S)
    assert match is not None
    assert re.findall(r"^\| `([^`]+)` \|", match.group(1), re.M) == list(names)
