"""What every command does alike: help, checked input in one sentence, JSON output, exit codes, sweeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.cli import Interrupted, main
from conf.messages import UserError
from conf.overrides import quoted
from conf.schema import CheckConfig, DistPrivacyConfig, DqnConfig, EvaluateConfig, TrainConfig
from envs.distprivacy.types import Device

ROOT = Path(__file__).resolve().parent.parent
PATHS = ("run_root", "resume", "env.scenario")


class Command:
    """A command that notes the configs it was called with."""

    def __init__(self, schema: Any = TrainConfig, failure: BaseException | None = None) -> None:
        self.schema, self.failure = schema, failure
        self.configs: list[Any] = []
        self.name = {TrainConfig: "train", EvaluateConfig: "evaluate", CheckConfig: "check"}[schema]
        self.paths = PATHS if schema is TrainConfig else ("run", "instance", "solution", "out")

    def function(self, config: Any) -> Any:
        self.configs.append(config)
        if self.failure is not None:
            raise self.failure
        return {"seed": getattr(config, "seed", None), "root": getattr(config, "run_root", None), "nan": float("nan")}

    def __call__(self, *arguments: str) -> int:
        return main(self.name, self.schema, self.function, self.paths, argv=arguments)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err.rstrip("\n")


WRONG = [
    (["foo"], "'foo' is no override, expected key=value"),
    (["=5"], "'=5' is no override, expected key=value"),
    (["--seed", "3"], "unrecognized arguments: --seed, expected key=value or an option that --help lists"),
    (["--config-dir", "nowhere"], "--config-dir is nowhere, expected a folder that exists"),
    (["zzz=1"], "zzz is an unknown key, expected one of those that --help lists"),
    (["learning_rate=3"], "learning_rate is an unknown key, expected agent.learning_rate, the nearest known key"),
    (["agnet=dqn"], "agnet is an unknown key, expected agent, the nearest known key"),
    (["+extra=1"], "extra is an unknown key"),
    (["+steps=1"], "+steps adds a key that is there already"),
    (["~steps"], "steps is missing, expected a whole number >= 1"),
    (["steps.x=3"], "steps.x is an unknown key, expected steps, which is a whole number >= 1"),
    (
        ["agent=foo"],
        "agent is foo, expected one of distprivacy, dqn, dqn_counterfactual, dqn_mlp, dqn_paper, dqn_stock, early_exit, "
        "token_bucket",
    ),
    (
        ["agent=null"],
        "agent is null, expected one of distprivacy, dqn, dqn_counterfactual, dqn_mlp, dqn_paper, dqn_stock, early_exit, "
        "token_bucket",
    ),
    (["hydra/launcher=foo"], "hydra/launcher is foo, expected one of basic"),
    (["steps=abc"], "steps is abc, expected a whole number >= 1"),
    (["steps=null"], "steps is null, expected a whole number >= 1"),
    (["tensorboard=maybe"], "tensorboard is maybe, expected true or false"),
    (["steps=("], "'steps=(' cannot be read, expected key=value, the value in quotes where"),
    (["seed=1,2,3"], "seed is 1,2,3, expected one value; --multirun runs each of them"),
    (["steps=${foo}"], "steps is refused: Interpolation key 'foo' not found"),
    (["agent.learning_rate=-1.0"], "agent.learning_rate is -1.0, expected a number > 0"),
    (["run_root="], "run_root is missing, expected a path"),
    (["--multirun", "seed=1,-1"], "seed is -1, expected a whole number in 0..2147483647"),
    (["--multirun", "agent=dqn,foo"], "agent is foo, expected one of distprivacy, dqn"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG, ids=range(len(WRONG)))
def test_wrong_input_is_one_sentence_and_nothing_is_written(
    arguments: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command()
    assert command(*arguments, "format=json") == 2
    assert sentence in _one_sentence(capsys)
    assert command.configs == [] and os.listdir(folder) == []


def test_mandatory_values_and_rules_between_keys(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["instance=a.json"], ["instance=a.json", "solution="]):
        assert Command(CheckConfig)(*arguments) == 2
        assert _one_sentence(capsys) == "solution is missing, expected a path (solution=...)"
    assert Command(EvaluateConfig)() == 2
    assert _one_sentence(capsys) == "run and baselines are both empty, expected at least one of them"


def test_good_input_reaches_the_function_as_typed_objects(folder: Path) -> None:
    command = Command()
    assert command("agent=dqn_paper", "env.scenario=a, b=[c]'\"(d).json", "seed=3", "baselines=greedy,random") == 0
    (config,) = command.configs
    assert isinstance(config, TrainConfig) and (config.seed, config.baselines) == (3, ["greedy", "random"])
    assert isinstance(config.env, DistPrivacyConfig) and isinstance(config.agent, DqnConfig)
    assert (config.env.reward, config.agent.gamma, config.agent.masked) == ("paper", 0.95, False)
    assert config.env.scenario == "a, b=[c]'\"(d).json"
    assert os.listdir(folder) == [], "Hydra itself writes nothing"


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda name: "${" not in name)


@settings(deadline=None, max_examples=60)
@given(names)
@example("a b, c=[d]{e}(f)'g\"h\\")
@example("\\'")
@example("[1,2]")
@example("null ")
def test_paths_are_taken_as_typed(path: str) -> None:
    parser = OverridesParser.create()
    instance, run = quoted([f"instance={path}", f"run={path}"], EvaluateConfig, ("instance", "run"))
    assert parser.parse_overrides([instance])[0].value() == (None if path == "null" else path)
    if not (path.startswith("[") and path.endswith("]")) and path != "null":
        assert parser.parse_overrides([run])[0].value() == [path]


def test_sweeps_and_lists_of_paths(folder: Path) -> None:
    (folder / "x,y").mkdir()
    typed = ["run=a,b", "run=x,y", "run=[a,'b c']", "run="]
    assert quoted(typed, EvaluateConfig, ("run",)) == ["run=['a,b']", "run=['x,y']", "run=[a,'b c']", "run=[]"]
    swept = quoted(["run=a,b c", "run=x,y", "baselines=a,b"], EvaluateConfig, ("run",), multirun=True)
    assert swept == ["run=['a'],['b c']", "run=['x,y']", "baselines=a,b"]
    assert quoted(["out=", "out=null", "instance=a=b"], EvaluateConfig, ("out", "instance")) == [
        "out=null",
        "out=null",
        "instance='a=b'",
    ]


def test_json_is_all_that_standard_output_gets(capfd: pytest.CaptureFixture[str]) -> None:
    command = Command()

    def noisy(config: TrainConfig) -> Any:
        print("python")
        os.write(1, b"compiled\n")
        subprocess.run([sys.executable, "-c", "print('child')"], check=True)
        return command.function(config)

    assert main("train", TrainConfig, noisy, argv=["format=json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"seed": 0, "root": "runs", "nan": None}
    assert all(word in err for word in ("python", "compiled", "child"))
    assert main("train", TrainConfig, noisy, argv=[]) == 0
    assert "python\n" in capfd.readouterr().out


def _our_value_error(_: Any) -> None:
    Device("d", 1.0, -1.0, 1.0)


def _in_our_package(code: str) -> Any:
    """A function whose code stands in a module of one of this project's packages."""
    names: dict[str, Any] = {"__name__": "envs.made_up"}
    exec(f"def function(_):\n    {code}", names)
    return names["function"]


def test_exit_codes(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert Command(failure=UserError("a is b,\n expected c"))() == 2
    assert _one_sentence(capsys) == "a is b, expected c"
    assert main("train", TrainConfig, _our_value_error, argv=[]) == 2
    assert _one_sentence(capsys).startswith("device 'd': field 'mults_per_s' is -1.0, expected")
    for failure in (ValueError("numpy says"), RuntimeError("oh"), FileNotFoundError(2, "gone", "/ours")):
        assert Command(failure=failure)() == 1
        assert "Traceback" in capsys.readouterr().err
    assert main("train", TrainConfig, _in_our_package("raise ValueError('a is b')"), argv=[]) == 2
    assert _one_sentence(capsys) == "a is b"
    assert main("train", TrainConfig, _in_our_package("int('x')"), argv=[]) == 1, "no sentence of ours"
    assert "Traceback" in capsys.readouterr().err
    assert Command(failure=PermissionError(13, "Permission denied", "r/x"))("run_root=r") == 2
    assert _one_sentence(capsys) == "run_root is r, which cannot be used: r/x: Permission denied"
    assert Command(failure=KeyboardInterrupt())() == 130
    assert _one_sentence(capsys) == "interrupted"
    assert Command(failure=Interrupted("resume=runs/x goes on"))() == 130
    assert _one_sentence(capsys) == "interrupted: resume=runs/x goes on"


def test_multirun_runs_every_combination_in_one_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command()
    assert command("--multirun", "seed=1,2", "env.scenario=lenet-10,a b.json", "format=json", "run_root=r") == 0
    out, err = capsys.readouterr()
    assert [(c.seed, c.env.scenario) for c in command.configs] == [
        (1, "lenet-10"),
        (1, "a b.json"),
        (2, "lenet-10"),
        (2, "a b.json"),
    ]
    (sweep,) = os.listdir("r")
    assert sweep.startswith("sweep-") and {config.run_root for config in command.configs} == {f"r/{sweep}"}
    assert os.listdir(f"r/{sweep}") == ["multirun.yaml"] and os.listdir(folder) == ["r"]
    runs = json.loads(out)["runs"]
    assert [run["result"]["seed"] for run in runs] == [1, 1, 2, 2] and runs[0]["overrides"][0] == "seed=1"
    assert err.count("\n") == 4
    assert Path.cwd() == folder


def test_a_failing_run_of_a_sweep_fails_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(failure=RuntimeError("oh"))
    assert command("-m", "seed=1,2", "format=json") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("RuntimeError: oh") == 2 and len(command.configs) == 2
    assert Command(failure=UserError("a is b"))("-m", "seed=1,2") == 2
    assert capsys.readouterr().err.endswith("\na is b\n")


def test_a_sweep_may_stand_in_a_file(folder: Path) -> None:
    (folder / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 4,5\n"
    (folder / "mine" / "experiment" / "seeds.yaml").write_text(text)
    command = Command()
    assert command("--config-dir", "mine", "experiment=seeds") == 0
    assert [config.seed for config in command.configs] == [4, 5]
    (folder / "mine" / "experiment" / "seeds.yaml").write_text(text.replace("4,5", "6,-7"))
    assert command("--config-dir", "mine", "experiment=seeds") == 2
    assert len(command.configs) == 2, "the second is wrong, so the first is not run"


def test_files_of_the_user(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my, conf" / "agent").mkdir(parents=True)
    good, bad = (folder / "my, conf" / "agent" / name for name in ("good.yaml", "bad.yaml"))
    good.write_text("defaults: [dqn, _self_]\nhidden: 32\n")
    command = Command()
    assert command("--config-dir", "my, conf", "agent=good") == 0
    assert command.configs[0].agent.hidden == 32
    for text, sentence in (
        ("defaults: [dqn, _self_]\nhiden: 3", "agent/bad.yaml: agent.hiden is an unknown key, expected agent.hidden"),
        ("defaults: [dqn, _self_]\nhidden: x", "agent/bad.yaml: agent.hidden is refused: Value 'x' of type 'str'"),
        ("a: [1\nb: 2", "a configuration file is not valid YAML: while parsing"),
    ):
        bad.write_text(text)
        assert command("--config-dir", "my, conf", "agent=bad") == 2
        assert sentence in _one_sentence(capsys)


def test_options_that_only_print(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    command = Command()
    assert command("--cfg", "job", "seed=3") == 0
    assert "\nseed: 3\n" in capsys.readouterr().out
    assert command("--help", "agent=dqn_paper", "steps=77") == 0
    text = capsys.readouterr().out
    assert "steps=77\n" in text and "agent.gamma=0.95\n" in text and "(now dqn_paper)" in text
    assert command("--help", "wrong=input") == 0
    assert "usage: python -m agents.train" in capsys.readouterr().out
    assert command("--version") == 0
    assert capsys.readouterr().out.startswith("offramp ")
    assert command.configs == [] and os.listdir(folder) == []


def test_help_needs_no_heavy_package(folder: Path) -> None:
    code = (
        "import sys; from agents.cli import main; from conf.schema import TrainConfig\n"
        "assert main('train', TrainConfig, print, argv=['--help']) == 0\n"
        "heavy = {'torch', 'stable_baselines3', 'gymnasium', 'numba', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"usage: python -m agents.train") and os.listdir(folder) == []
