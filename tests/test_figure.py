"""agents.figure: recipes compose, cells are benchmarks, panels, fronts and curves are drawn, devices leave."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest

from agents.baselines import baseline
from agents.cli import main
from agents.evaluation import InstanceSet, evaluate
from agents.figure import fleet_of, run
from agents.figure_training import recipes
from agents.run_folder import RunFolder
from conf import schema
from conf.benchmark_schema import FigureConfig
from conf.recipes import training_recipe
from conf.schema import DistPrivacyConfig, TrainConfig
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
    assert names == {"figure.svg", "figure.png", "figure.json", "cells.csv", "config.yaml", "report.html"}
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
    assert len(config.claim) > 20 and config.title is not None and config.seeds == [0]
    assert len(recipes(config)) == len(config.recipes) * max(1, len(config.ssims))
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


SHORT = ["steps=40", "num_envs=4", "evaluate_every=0", "agent.learning_starts=20", "agent.buffer_size=200"]
OVERRIDES = f"overrides=[{','.join(f'{chr(34)}{text}{chr(34)}' for text in SHORT)}]"


def by_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, *argv: str) -> list[dict[str, Any]]:
    same = ["device=cpu", "progress=false", "tensorboard=false", "format=json", "final_instances=1", "optimum=false"]
    argv = (*same, "baselines=[]", f"run_root={tmp_path}", f"name={name}", *argv)
    assert main("figure", FigureConfig, run, PATHS, argv=argv) == 0
    cells: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["cells"]
    return cells


def test_one_policy_for_each_scenario_and_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ["scenarios=[lenet-10,lenet-20]", "ssims=[0.8,0.6]", "recipes=[lenet_10,lenet_20]"]
    cells = by_recipe(tmp_path, capsys, "f", *grid, OVERRIDES, "title=One heading")
    runs = [Path(cell["policies"][0]["runs"][0]) for cell in cells]
    expected = [("lenet-10", 0.8), ("lenet-10", 0.6), ("lenet-20", 0.8), ("lenet-20", 0.6)]
    assert [path.name for path in runs] == [f"f-{name}-{level:g}-seed-0" for name, level in expected]
    configs = [RunFolder.open(path).config for path in runs]
    worlds = [cast(DistPrivacyConfig, config.env) for config in configs]
    assert [(world.scenario, world.ssim) for world in worlds] == expected
    assert {(config.steps, config.num_envs, config.evaluate_every) for config in configs} == {(40, 4, 0)}
    assert "<h1>One heading</h1>" in (tmp_path / "f" / "report.html").read_text()

    given = f"runs=[{','.join(map(str, runs))}]"
    again = by_recipe(tmp_path, capsys, "again", *grid, given)
    for name in ("runs", "latency_s", "shared_bytes"):
        assert [cell["policies"][0][name] for cell in again] == [cell["policies"][0][name] for cell in cells]
    assert {path.name for path in tmp_path.iterdir()} == {"f", "again", *(path.name for path in runs)}
    (away,) = by_recipe(tmp_path, capsys, "away", "scenarios=[lenet-random]", given)
    assert len(away["policies"]) == 4, "nobody was trained there, so all play"
    (level,) = by_recipe(tmp_path, capsys, "level", "scenarios=[lenet-10]", "ssims=[0.4]", given)
    assert len(level["policies"]) == 4


def test_recipes_are_what_training_would_run(tmp_path: Path) -> None:
    recipe = training_recipe("mixed_70", ["env.ssim=0.8", "steps=7"])
    called: list[TrainConfig] = []
    argv = ["experiment=mixed_70", "env.ssim=0.8", "steps=7"]
    assert main("train", TrainConfig, called.append, argv=argv) == 0
    assert called == [recipe]


def test_recipes_of_a_folder_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nsteps: 11\nenv:\n  scenario: lenet-20\n")
    found: list[TrainConfig] = []

    def function(config: FigureConfig) -> None:
        found.extend(recipes(config))

    argv = ["--config-dir", str(tmp_path), "scenarios=[lenet-20]", "recipes=[mine]", "ssims=[0.8,0.4]"]
    assert main("figure", FigureConfig, function, PATHS, argv=argv) == 0
    assert [(recipe.steps, cast(DistPrivacyConfig, recipe.env).ssim) for recipe in found] == [(11, 0.8), (11, 0.4)]


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
        (
            ["scenarios=[lenet-10]", "recipes=[lenet_10,lenet_20]"],
            "recipes is [lenet_10, lenet_20], expected one for each",
        ),
        (
            ["scenarios=[lenet-20]", "recipes=[lenet_10]"],
            "recipes has lenet_10 for lenet-20, but it trains on lenet-10",
        ),
        (
            ["scenarios=[lenet-20]", "recipes=[lenet]"],
            "recipes has lenet: experiment is lenet, expected one of cifar_70",
        ),
        (
            ["scenarios=[lenet-20]", "recipes=[fig_17]"],
            "recipes has fig_17: configuration file experiment/fig_17.yaml: scenarios is an unknown key",
        ),
        (["scenarios=[lenet-20]", "recipes=[lenet_20]", 'overrides=["step=3"]'], "recipes has lenet_20: step"),
        (["scenarios=[lenet-20]", "recipes=[lenet_20]", "steps=3"], "steps is 3, but recipes bring their own"),
        (
            ["scenarios=[lenet-20]", "recipes=[lenet_20]", "env.granularity=3"],
            "env.granularity is 3, but recipes bring",
        ),
        (["scenarios=[lenet-20]", "recipes=[lenet_20]", "agent.hidden=3"], "agent.hidden is 3, but recipes bring"),
        (["scenarios=[lenet-20]", "overrides=['steps=3']"], "overrides is [steps=3], but there are no recipes"),
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
