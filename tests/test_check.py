"""``python -m optimal.check``: numbers worked out by hand, every violation named, wrong files refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from file_samples import changed

from agents.cli import main
from conf.schema import CheckConfig
from envs.distprivacy import files
from envs.distprivacy.generator import toy_instance
from envs.distprivacy.types import RequestSolution, Solution
from optimal.check import UNITS, check, wrong_claims

ROOT = Path(__file__).resolve().parent.parent
INSTANCE = files.instance_to_dict(toy_instance())
ROWS = {"relu1": (0, 1), "conv2": (1, 1), "relu2": (-1, 2)}
# The camera runs conv1 (288 multiplications at 1e6/s) and sends 64 bytes to each of two devices (1e5 bytes/s):
# 0.928 ms. relu1 takes no time. conv2 on the middle device: 64 bytes from the fast one and 144 multiplications:
# 0.784 ms. relu2: 16 bytes to the camera and to the slow device: 0.16 ms. The slow device sends 16 bytes at 1e4
# bytes/s, fc1 has 32 multiplications: 1.632 ms.
LATENCY_S = 3.504e-3
SOLUTION: dict[str, Any] = {
    "format": files.SOLUTION_FORMAT,
    "version": 1,
    "requests": [{"rejected": False, "layers": {name: list(row) for name, row in ROWS.items()}}],
}
VIOLATIONS = [
    {"kind": "privacy", "request": 0, "layer": "conv2", "device": 1, "amount": 1.0},
    {"kind": "must_not_be_on_source", "request": 0, "layer": "relu2", "device": -1, "amount": 1.0},
]


def _files(folder: Path, instance: Any = INSTANCE, solution: Any = SOLUTION) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "i.json").write_text(instance if isinstance(instance, str) else json.dumps(instance))
    (folder / "s.json").write_text(solution if isinstance(solution, str) else json.dumps(solution))
    return [f"instance={folder / 'i.json'}", f"solution={folder / 's.json'}"]


def _run(*arguments: str) -> int:
    return main("check", CheckConfig, check, ("instance", "solution"), argv=arguments)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("name", ["plain", "a b", "a,b", "a=b", "[a]", "{a}", 'it\'s "(quoted)"', "a\\b", "a:b"])
def test_json_is_the_documented_report_whatever_the_path(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(*_files(folder / name), "format=json") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["objective_s"] == pytest.approx(LATENCY_S, rel=1e-12)
    assert report["latencies_s"] == [report["objective_s"]] and report["violations"] == VIOLATIONS
    assert report["shared_bytes"] == [2 * 64 + 64 + 2 * 16 + 16]
    assert err == "" and os.listdir() == []


def test_text_names_requests_devices_and_units(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = INSTANCE["networks"]["toy"]
    instance = {**INSTANCE, "networks": {"[b]toy": network}, "privacy": {"[b]toy": INSTANCE["privacy"]["toy"]}}
    instance["requests"] = [{"source": 0, "network": "[b]toy"}] * 2
    instance = changed(changed(instance, "devices.1.memory_bytes", 10), "sources.0.bandwidth_budget_bytes", 100)
    solution = {**SOLUTION, "requests": [*SOLUTION["requests"], {"rejected": True}]}
    assert _run(*_files(folder, instance, solution)) == 0
    out, err = capsys.readouterr()
    lines = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    for line in (
        "0 [b]toy camera 3.504000 240",
        "1 [b]toy camera rejected 0",
        "privacy 0 conv2 middle 1 map",
        "must_not_be_on_source 0 relu2 camera 1 segment",
        f"memory middle {2 * 4 * 9 * 2 - 10} bytes",
        f"bandwidth camera {2 * 64 - 100} bytes",
        "objective: 3.504000 ms over 1 served",
        "rejected: 1; violated constraints: 4",
    ):
        assert line in lines, f"{line!r} is not in {out}"
    assert err == ""


def test_every_kind_of_violation_has_a_unit() -> None:
    schema = "assignment memory compute bandwidth privacy must_be_on_source must_not_be_on_source"
    assert set(UNITS) == set(schema.split())


def test_wrong_claims_are_warned_about(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = changed({**SOLUTION, "objective_s": LATENCY_S}, "requests.0.latency_s", LATENCY_S)
    for path, value, warned in (
        ("objective_s", LATENCY_S * (1 + 1e-10), False),
        ("objective_s", LATENCY_S * (1 + 1e-8), True),
        ("requests.0.latency_s", LATENCY_S * (1 - 1e-8), True),
        ("requests.0.latency_s", None, False),
        ("objective_s", 0.0, True),
    ):
        assert _run(*_files(folder, solution=changed(claims, path, value)), "format=json") == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["violations"] == VIOLATIONS
        name = path.replace(".0.", "[0].")
        sentence = f"s.json: {name} is stated as {value} s, the replay gives 0.003504 s\n"
        assert err.endswith(sentence) if warned else err == "", (path, value, err)
        assert err.count("\n") == int(warned)


def test_rejected_requests_claim_nothing() -> None:
    from envs.distprivacy.replay import Report

    rejected = Solution((RequestSolution(True, None), RequestSolution(False, 2.0)), 2.0, 1)
    assert list(wrong_claims(rejected, Report(2.0, (None, 2.0), (0.0, 1.0), ()))) == []
    assert len(list(wrong_claims(rejected, Report(1.0, (None, 1.0), (0.0, 1.0), ())))) == 2
    assert len(list(wrong_claims(rejected, Report(1.0, (None, 1.0), (0.0, 1.0), ()), objective_stated=False))) == 1


CONV = "networks.toy.layers.2"
WRONG = [
    ("instance", "period_s", ..., "i.json: field 'period_s' is missing, expected the keys"),
    ("instance", "devices.1.mults_per_s", -5, "i.json: field 'devices[1].mults_per_s' is -5, expected a finite number"),
    ("instance", f"{CONV}.kind", "dense", 'layers[2].kind\' is "dense", expected one of conv, act, pool, fc'),
    ("solution", "requests.0.layers.conv2", [1], "layers.conv2' is a list of 1 entries, expected 2, one device for"),
    ("solution", "requests.0.layers.conv2", ..., "s.json: field 'requests[0].layers.conv2' is missing"),
    ("solution", "requests.0.layers.conv2.1", 3, "layers.conv2[1]' is 3, expected a device in 0..2 or -1"),
    ("solution", "requests", [{"rejected": True}] * 2, "'requests' is a list of 2 entries, expected 1, one for each"),
]


@pytest.mark.parametrize(("file", "path", "value", "sentence"), WRONG, ids=range(len(WRONG)))
def test_wrong_files_are_one_sentence(
    folder: Path, file: str, path: str, value: Any, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"instance": INSTANCE, "solution": SOLUTION}
    given[file] = changed(given[file], path, value)
    assert _run(*_files(folder, **given), "format=json") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and sentence in err
    assert os.listdir() == []


def test_the_command_itself(folder: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "optimal.check", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    instance, solution = _files(folder, solution="{")
    code, out, err = run(instance, solution)
    assert (code, out, err.count("\n")) == (2, "", 1) and "s.json: line 1, column 2 is not valid JSON" in err
    code, out, err = run(instance, f"solution={folder / 'no.json'}")
    assert (code, out, err.count("\n")) == (2, "", 1) and "no.json: there is no such file" in err
    code, out, err = run("--help")
    assert code == 0 and err == "" and "instance=..." in out and "format=text" in out and "Exit codes" in out
    assert os.listdir() == []
