"""The road of docs/own_network.md: its files and its commands, with smaller numbers, from a module to a split run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import evaluate, train
from agents.cli import main
from conf.cnn_schema import TrainCnnConfig
from conf.instance_schema import InstanceConfig
from conf.invert_schema import InvertConfig
from conf.schema import CheckConfig, EvaluateConfig, TrainConfig
from conf.solve_schema import SolveConfig
from conf.split_schema import SplitConfig
from envs.distprivacy.files import load_fleet_or_instance, load_instance, load_solution
from envs.distprivacy.privacy import row_limit
from envs.distprivacy.replay import replay
from envs.distprivacy.table_file import load_tables
from inference import instance, invert, train_cnn
from inference.split import command as split
from optimal import check, solve

PAGE = (Path(__file__).parent.parent / "docs" / "own_network.md").read_text(encoding="utf-8")
Settle = Callable[[Any, Collection[str]], Any] | None
COMMANDS: dict[str, tuple[str, type, Callable[[Any], Any], tuple[str, ...], Settle]] = {
    "inference.train_cnn": (
        "inference_train_cnn",
        TrainCnnConfig,
        train_cnn.run,
        ("network", "data"),
        train_cnn.settle,
    ),
    "inference.invert": ("inference_invert", InvertConfig, invert.run, ("checkpoint", "data", "out"), None),
    "inference.instance": ("inference_instance", InstanceConfig, instance.run, ("checkpoint", "table", "fleet"), None),
    "agents.train": ("train", TrainConfig, train.run, ("env.scenario",), None),
    "agents.evaluate": ("evaluate", EvaluateConfig, evaluate.run, ("run", "instance", "solution"), None),
    "optimal.solve": ("solve", SolveConfig, solve.run, ("instance", "out"), None),
    "optimal.check": ("check", CheckConfig, check.check, ("instance", "solution"), None),
    "inference.split": ("inference_split", SplitConfig, split.run, ("instance", "solution", "checkpoint"), None),
}
SMALLER = {
    "minutes=1": "steps=2 choices=1 counts=[1,2,4] test_pictures=60 pictures=400",
    "steps=100_000": "steps=512 num_envs=8 evaluate_every=0 tensorboard=false baselines=[greedy] agent.hidden=16",
    "name=net": "name=net epochs=2",
}
"""What the commands of the page are run with here, and what with there."""


def named(name: str) -> str:
    """The block that follows the line which ends with the file's name and a colon."""
    found = re.search(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)^```$", PAGE, re.M | re.S)
    assert found, name
    return found.group(1)


def road() -> list[list[str]]:
    """The commands of the page in order, each once: module and arguments."""
    lines = re.findall(r"^python -m (\S+) (.*)$", PAGE, re.M)
    return [[module, *shlex.split(rest)] for module, rest in dict.fromkeys(lines)]


def run(capsys: pytest.CaptureFixture[str], module: str, *arguments: str) -> dict[str, Any]:
    name, schema, function, paths, settle = COMMANDS[module]
    given = [small for argument in arguments for small in SMALLER.get(argument, argument).split()]
    code = main(name, schema, function, paths, settle=settle, argv=[*given, "format=json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    return dict(json.loads(told.out))


def test_the_road_from_a_module_and_pictures_to_a_split_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    for name in ("net.py", "home.json"):
        Path(name).write_text(named(name), encoding="utf-8")
    exec(compile(named("photos.py"), "photos.py", "exec"), {})
    commands = road()
    assert [module for module, *_ in commands] == list(COMMANDS)
    results = {module: run(capsys, module, *arguments) for module, *arguments in commands}

    assert results["inference.train_cnn"]["images"] == {"train": 1438, "validation": 179, "test": 180}
    (table,) = load_tables("table.yaml").values()
    assert list(table) == ["conv1", "conv2", "conv3"]
    assert all(value is not None and 0 <= value <= 1 for row in table.values() for value in row.values())

    made = load_instance("instance.json")
    fleet = load_fleet_or_instance("home.json")
    assert made.task.privacy == {"Net": table} and made.task.ssim == 0.9
    assert (made.devices, made.sources) == (fleet.devices, fleet.sources)
    limits = {row["layer"]: row for row in results["inference.instance"]["limits"]}
    for layer, measured in (("relu1", "conv1"), ("relu2", "conv2"), ("conv3", "conv2"), ("relu3", "conv3")):
        assert limits[layer]["limit"] == row_limit(table[measured], 0.9, 0.01), layer
    assert [name for name, row in limits.items() if not row["on_source"]] == ["relu2", "conv3", "relu3"]

    report = replay(made, load_solution("solution.json"))
    agent = results["agents.evaluate"]["policies"][0]
    assert report.violations == () and results["optimal.check"]["violations"] == []
    assert report.objective_s == pytest.approx(agent["latency_s"], rel=1e-9)
    assert results["optimal.solve"]["status"] == "optimal"
    assert results["optimal.solve"]["objective_s"] <= report.objective_s * (1 + 1e-9)

    executed = results["inference.split"]
    assert executed["bytes_equal"] and executed["sent_bytes"] == executed["predicted_bytes"] > 0
    assert executed["output_difference_relative"] < 1e-4
