"""``python -m inference.split``: tables, JSON, networks of the user's and trained ones, wrong input in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_split import any_placement, cut, instance_of, small_net

from agents.cli import main
from conf.split_schema import SplitConfig
from envs.distprivacy.files import save_instance, save_solution
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.types import RequestSolution, Solution
from inference.cnn.networks import make_cnn
from inference.cnn.trained import TrainedCnn
from inference.split.allocations import random_allocation
from inference.split.command import run
from inference.split.worker import Outbox

OWN = """
from torch import nn

def net(shape, classes):
    return nn.Sequential(nn.Conv2d(shape[0], 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 5), nn.Linear(5, classes))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instances and solutions of a LeNet, of three and of a network of one's own."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, instance in (
        ("lenet", scenario("lenet-10", requests=2).sample(rng)),
        ("other", scenario("lenet-random").sample(rng)),
        ("own", instance_of(cut(small_net()).network)),
    ):
        save_instance(instance, f"{name}.json")
        if name != "own":
            first = random_allocation(instance, 0, rng)
            rest = (RequestSolution(True, None),) * (len(instance.requests) - 1)
            save_solution(Solution((first, *rest), 0.0, len(rest)), f"{name}-s.json")
        else:
            placement = any_placement(instance.task.networks["tiny"], 4, rng)
            save_solution(Solution((placement,), 0.0), "own-s.json")
    Path("net.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def call(*arguments: str) -> int:
    paths = ("instance", "solution", "network", "checkpoint")
    return main("inference_split", SplitConfig, run, paths, argv=arguments)


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert call(*arguments, "format=json") == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_solution_is_run_and_set_beside_the_physics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = result(capsys, "instance=lenet.json", "solution=lenet-s.json", "inputs=2")
    assert data["bytes_equal"] and data["sent_bytes"] == data["predicted_bytes"] > 0
    assert data["output_difference_relative"] < 1e-5
    assert len(data["devices"]) == 11 and data["devices"][-1]["device"] == -1
    assert sum(row["sent_bytes"] for row in data["devices"]) == data["sent_bytes"]
    assert sum(one["sent_bytes"] for one in data["transfers"]) == data["sent_bytes"]
    assert all(one["sent_bytes"] == one["predicted_bytes"] for one in data["transfers"])
    placed = json.loads(Path("lenet-s.json").read_text())["requests"][0]["layers"]["conv2"]
    assert data["devices"][placed[0]]["seen"]["conv2"] == [i for i, owner in enumerate(placed) if owner == placed[0]]

    assert call("instance=lenet.json", "solution=lenet-s.json", "inputs=2") == 0
    text = capsys.readouterr().out
    assert "nexus-0" in text and "camera-0" in text and "predicted B" in text
    assert f"{len(data['transfers'])} of {len(data['transfers'])} transfers" in text


def test_random_allocations_of_a_scenario(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = result(capsys, "scenario=lenet-random", "allocations=3", "inputs=1", "progress=false")
    assert data["bytes_equal"] and len(data["allocations"]) == 3
    assert len({one["sent_bytes"] for one in data["allocations"]}) > 1
    again = result(capsys, "scenario=lenet-random", "allocations=3", "inputs=1", "seed=1")
    assert again["allocations"][0]["sent_bytes"] != data["allocations"][0]["sent_bytes"]
    assert call("instance=other.json", "allocations=2", "inputs=1") == 0
    assert "2 of 2 allocations have the bytes of the physics" in capsys.readouterr().out


def test_a_network_of_ones_own_and_a_trained_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from envs.distprivacy.types import Network
    from inference.split.layers import SplitNetwork
    from inference.split.subject import fresh

    layers = SplitNetwork.of(small_net(), (2, 9, 8)).network  # three classes, as own.json
    split, _ = fresh("net.py:net", (2, 6, 6), Network("net", layers.layers), 1, 0)
    save_instance(instance_of(split.network), "net.json")
    data = result(capsys, "instance=net.json", "allocations=2", "network=net.py:net", "shape=[2,6,6]", "inputs=1")
    assert data["network"] == "net" and data["bytes_equal"]

    classes = tuple("0123456789")
    TrainedCnn("lenet", make_cnn("lenet", (1, 28, 28), 10), (1, 28, 28), classes, (0.1,), (0.3,)).save("cnn.pt")
    data = result(capsys, "instance=lenet.json", "solution=lenet-s.json", "checkpoint=cnn.pt", "inputs=1")
    assert data["bytes_equal"] and data["output_difference_relative"] < 1e-5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("instance=lenet.json", "solution is null and allocations is null, expected one of them"),
        ("allocations=2", "instance is null and scenario is null, expected one of them"),
        ("instance=lenet.json scenario=lenet-10 allocations=2", "scenario is lenet-10, expected one of them"),
        ("scenario=lenet-10 solution=lenet-s.json", "expected instance=... beside a solution"),
        ("scenario=lenet-11 allocations=2", "scenario is 'lenet-11', expected one of lenet-10"),
        ("instance=lenet.json allocations=0", "allocations is 0, expected a whole number in 1..1000000"),
        ("instance=gone.json solution=lenet-s.json", "gone.json"),
        (
            "instance=lenet.json solution=other-s.json",
            "other-s.json: field 'requests' is a list of 1 entries, expected 2",
        ),
        ("instance=other.json solution=own-s.json", "own-s.json: field 'requests[0].layers"),
        (
            "instance=lenet.json solution=lenet-s.json request=2",
            "request is 2, expected at most 1, the last one of lenet",
        ),
        ("instance=lenet.json solution=lenet-s.json request=1", "lenet-s.json: field 'requests[1].rejected' is true"),
        (
            "instance=own.json solution=own-s.json",
            "the request is for network tiny, which is none of lenet, cifar_cnn, vgg16, vgg19, expected checkpoint=...",
        ),
        (
            "instance=own.json solution=own-s.json network=net.py:net",
            "shape is [], expected channels, height and width of the pictures",
        ),
        ("instance=own.json solution=own-s.json network=lenet", "own.json: network 'tiny' has 8 layers, expected 9"),
        (
            "instance=own.json solution=own-s.json network=net.py:net shape=[2,6,6]",
            "own.json: network 'tiny' has 8 layers, expected 4, those of the network that is run",
        ),
        (
            "instance=lenet.json allocations=1 shape=[1,32,32]",
            "lenet.json: network 'lenet', layer 'conv1' is conv from 1 to 8 maps of 576 pixels, kernel of 25, expected "
            "conv from 1 to 8 maps of 784 pixels, kernel of 25, as 'conv1' of the network that is run",
        ),
        ("instance=own.json solution=own-s.json network=net.py:no shape=[2,6,6]", "net.py has no class or function no"),
        ("instance=lenet.json allocations=1 shape=[28,28]", "shape is [28, 28], expected channels, height and width"),
        ("instance=lenet.json allocations=1 checkpoint=gone.pt", "gone.pt"),
        ("instance=lenet.json allocations=1 network=lenet checkpoint=x", "network is lenet, expected null beside a"),
        ("instance=lenet.json allocations=1 input=3", "input is an unknown key, expected inputs"),
    ],
)
def test_wrong_input_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, sentence: str
) -> None:
    before = sorted(folder.iterdir())
    assert call(*arguments.split()) == 2
    told = capsys.readouterr()
    assert sentence in told.err and len(told.err.strip().splitlines()) == 1 and told.out == ""
    assert sorted(path for path in folder.iterdir() if path.name != "__pycache__") == before


def test_unequal_bytes_are_a_defect(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Outbox.send

    def longer(self: Outbox, layer: int, receiver: int, header: bytes, payload: bytes) -> None:
        send(self, layer, receiver, header, payload)
        self.payload_bytes[layer, receiver] += 4

    monkeypatch.setattr(Outbox, "send", longer)
    assert call("instance=lenet.json", "solution=lenet-s.json", "inputs=1") == 1
    told = capsys.readouterr()
    assert "SplitMismatchError" in told.err and "0 of" in told.out  # the table is shown first
    assert call("instance=lenet.json", "allocations=2", "inputs=1") == 1
    assert "allocation 0 of seed 0: after layer 'conv1', camera-0 to" in capsys.readouterr().err


def test_help_explains_every_key_and_loads_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(f"  {field.name}=" in text for field in fields(SplitConfig))
    code = "import sys, inference.split.command, conf.split_schema; print([m for m in ('torch', 'numba') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
