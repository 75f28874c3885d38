"""agents.figure: recipes compose, cells are benchmarks, panels, fronts and curves are drawn, devices leave."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.baselines import baseline
from agents.cli import main
from agents.evaluation import InstanceSet, evaluate
from agents.figure import fleet_of, run
from conf import schema
from conf.benchmark_schema import FigureConfig
from envs.distprivacy.scenarios import scenario

PATHS = ("runs", "run_root", "env.scenario")
RECIPES = sorted(path.stem for path in (Path(schema.__file__).parent / "experiment").glob("*.yaml"))
FIGURES = [name for name in RECIPES if name.startswith(("fig_", "traffic_"))]
TINY = ["num_envs=4", "agent.learning_starts=20", "agent.buffer_size=200", "checkpoint_every=0", "tensorboard=false"]
QUIET = ["progress=false", "device=cpu", "evaluate_instances=1", "format=json"]


def drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main("figure", FigureConfig, run, PATHS, argv=[*TINY, *QUIET, f"run_root={tmp_path}", "name=f", *argv]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    names = {path.name for path in (tmp_path / "f").iterdir()}
    assert names == {"figure.svg", "figure.json", "cells.csv", "config.yaml", "report.html"}
    assert "http" not in (tmp_path / "f" / "report.html").read_text().split("<body>")[1].split("<pre>")[0]
    return result


def test_there_is_a_recipe_for_every_figure() -> None:
    numbers = [int(part) for name in FIGURES if name.startswith("fig_") for part in name.split("_")[1:]]
    assert numbers == [9, 10, 11, 12, 13, 14, 15, 16, 17] and "traffic_front" in FIGURES


@pytest.mark.parametrize("name", FIGURES)
def test_recipes_are_valid_and_state_what_the_paper_claims(name: str) -> None:
    called: list[FigureConfig] = []
    assert main("figure", FigureConfig, called.append, PATHS, argv=[f"experiment={name}"]) == 0
    (config,) = called
    assert len(config.claim) > 20 and config.seeds == [0]
    assert all(sum(fleet_of(text).values()) > 0 for text in config.fleets)


def test_panels_of_scenarios_and_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["steps=80", "evaluate_every=0", "final_instances=2", "baselines=[greedy,per-layer]"]
    cells = ["scenarios=[lenet-10,lenet-random]", "ssims=[0.8,0.6]", "measures=[latency,data,served,gap]"]
    result = drawn(tmp_path, capsys, *sizes, *cells)
    assert [(cell["panel"], cell["label"]) for cell in result["cells"]] == [
        (name, f"SSIM {level}") for name in ("lenet-10", "lenet-random") for level in (0.8, 0.6)
    ]
    last = {row["policy"]: row for row in result["cells"][-1]["policies"]}
    assert set(last) == {"optimum", "dqn", "greedy", "per-layer"} and last["optimum"]["gap"]["mean"] == 0.0
    alone = evaluate(baseline("greedy"), InstanceSet.draw(scenario("lenet-random", ssim=0.6), 2, 0))
    assert last["greedy"]["latency_s"]["mean"] == pytest.approx(alone.mean_latency_s)
    with open(tmp_path / "f" / "cells.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16 and float(rows[-1]["latency_ms"]) > 0


def test_one_policy_for_each_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["steps=40", "evaluate_every=0", "final_instances=1", "baselines=[]", "train_each=true"]
    result = drawn(tmp_path, capsys, *sizes, "scenarios=[lenet-10,lenet-20]", "optimum=false")
    runs = [cell["policies"][0]["runs"][0] for cell in result["cells"]]
    assert [Path(run).name for run in runs] == ["f-lenet-10-seed-0", "f-lenet-20-seed-0"]


def test_fleets_along_a_panel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["train_seeds=[]", "baselines=[greedy]", "env.scenario=lenet-10", "final_instances=1", "optimum=false"]
    result = drawn(tmp_path, capsys, *argv, 'fleets=["nexus=10","stm32h7=10"]')
    strong, weak = (cell["policies"][0]["latency_s"]["mean"] for cell in result["cells"])
    assert strong < weak


def test_a_front_of_traffic_prices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["steps=40", "evaluate_every=0", "final_instances=2", "baselines=[greedy]", "traffic_prices=[0,2.5]"]
    (cell,) = drawn(tmp_path, capsys, *sizes)["cells"]
    rows = {row["policy"]: row for row in cell["policies"]}
    assert set(rows) == {"dqn, price 0", "dqn, price 2.5", "greedy", "optimum"}
    config = (Path(rows["dqn, price 2.5"]["runs"][0]) / "config.yaml").read_text()
    assert "traffic_price: 2.5" in config


def test_returns_while_devices_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["steps=600", "evaluate_every=200", "leave_after=[200,400]", "env.scenario=lenet-10", "leaving=3"]
    assert drawn(tmp_path, capsys, *sizes, "baselines=[]")["cells"] == []
    assert {path.name for path in tmp_path.iterdir()} == {"f", "f-leave-200-seed-0", "f-leave-400-seed-0"}


def test_devices_leave_with_the_next_period() -> None:
    env: Any = gym.make_vec(
        "offramp/DistPrivacy-v0", 2, vectorization_mode="vector_entry_point", scenario="lenet-20"
    ).unwrapped
    _, infos = env.reset(seed=0)
    env.devices_leave(range(15, 20))
    done, left = np.zeros(2, np.bool_), False
    assert infos["action_mask"][:, 15:].any(), "the period under way is played with all devices"
    for _ in range(200):
        actions = infos["action_mask"].argmax(axis=1)
        _, _, terminated, _, infos = env.step(actions)
        done |= terminated
        if done.all():
            left = True
            assert not infos["action_mask"][:, 15:].any()
    assert left
    with pytest.raises(ValueError, match=r"^absent is \[20\], expected device slots in 0..19"):
        env.devices_leave([20])


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "scenarios, traffic_prices, leave_after, ssims, fleets are all empty"),
        (["ssims=[0.6]", "traffic_prices=[1]"], "traffic_prices and ssims are given, expected only one of"),
        (["traffic_prices=[1]", "scenarios=[lenet-10]"], "traffic_prices trains on env alone"),
        (["ssims=[2]"], "ssims is [2.0], expected a list of numbers in -1..1"),
        (["scenarios=[lenet]"], "scenarios is [lenet], expected a list with entries out of lenet-10"),
        (["ssims=[0.6]", "train_each=true"], "train_each is true and scenarios is empty"),
        (["ssims=[0.6]", "set=lenet-10-0.6"], "set is lenet-10-0.6, but a figure draws its instances"),
        (
            ["train_seeds=[]", "env.scenario=lenet-10", "fleets=[many]"],
            "fleets has the entry 'many', expected type=count",
        ),
        (["train_seeds=[]", 'fleets=["nexus=3"]'], "types is {'nexus': 3}, but scenario lenet-random draws its fleets"),
        (["leave_after=[10]", "env.scenario=lenet-10"], "leaving is 10, expected fewer than the 10 devices"),
    ],
)
def test_wrong_input_is_told_in_one_sentence(
    argv: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("figure", FigureConfig, run, PATHS, argv=argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.strip().count("\n") == 0 and sentence in err and list(tmp_path.iterdir()) == []
