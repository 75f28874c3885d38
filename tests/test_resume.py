"""Exact continuation of training after a crash or a kill at any moment; folders that cannot be resumed."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from tiny_runs import PATHS, STEPS, in_child, outcome, rows, scalars, tiny, uninterrupted

import agents
from agents.cli import Interrupted, main
from agents.evaluate import run as evaluate_command
from agents.learned import load_model
from agents.run_folder import resume_config
from agents.train import run as train_command
from agents.training import train
from conf.messages import UserError
from conf.schema import EvaluateConfig, TrainConfig


def resumed(folder: Path) -> TrainConfig:
    """The config with which ``resume=folder`` goes on."""
    return resume_config(TrainConfig(resume=str(folder)), ["resume"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    return uninterrupted(tmp_path_factory.mktemp("whole"))


class Crash(Exception):
    """Raised in the middle of a run."""


class CrashAt(BaseCallback):
    """Raises ``error`` after ``step`` environment steps: among them, or where the next rollout starts."""

    def __init__(self, step: int, *, at_start: bool = False, error: type[BaseException] = Crash) -> None:
        super().__init__()
        self.step, self.at_start, self.error = step, at_start, error

    def _on_rollout_start(self) -> None:
        if self.at_start and self.num_timesteps >= self.step:
            raise self.error

    def _on_step(self) -> bool:
        if not self.at_start and self.num_timesteps >= self.step:
            raise self.error
        return True


# --- interruption ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", range(3))
def test_a_crashed_run_goes_on_exactly(whole: Path, tmp_path: Path, case: int) -> None:
    rng = np.random.default_rng(case)
    first, second = sorted(int(step) for step in rng.integers(1, STEPS, size=2))
    # case 0 also loses a run before its first checkpoint, case 1 where a rollout starts
    first = 50 if case == 0 else first
    with pytest.raises(Crash):
        train(tiny(tmp_path), callbacks=[CrashAt(first, at_start=case == 1)])
    folder = tmp_path / "run"
    assert not (folder / "summary.json").exists()
    (folder / "checkpoints" / ".0123456789abcdef.tmp.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(Crash):
        train(resumed(folder), callbacks=[CrashAt(second)])
    assert train(resumed(folder)).folder == folder
    assert outcome(folder) == outcome(whole), f"crashed at {first} and {second}"
    assert len(list((folder / "checkpoints").iterdir())) == 2
    assert [row["step"] for row in rows(folder / "timing.csv")] == ["240", "480", "720"]


def kill(config: TrainConfig, ready: Path, delay: float) -> int:
    """Train in a process of its own and kill it ``delay`` seconds after ``ready`` changes; its exit code."""
    context = multiprocessing.get_context("forkserver")  # imports torch once for all of them
    context.set_forkserver_preload(["agents.training"])
    process = context.Process(target=in_child, args=(config,))
    before = sorted(ready.glob("*"))
    process.start()
    while process.is_alive() and (sorted(ready.glob("*")) == before or not list(ready.parent.glob("versions.json"))):
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code


def test_a_killed_run_goes_on_exactly(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rng = np.random.default_rng(0)
    codes = [kill(tiny(tmp_path, tensorboard=True), folder / "checkpoints", rng.uniform(0.0, 0.1))]
    for _ in range(2):
        time.sleep(1.0)  # TensorBoard orders event files by the second of their making
        codes.append(kill(resumed(folder), folder / "checkpoints", rng.uniform(0.0, 0.1)))
    assert codes[0] == -signal.SIGKILL, "the first process ended before it was killed"
    time.sleep(1.0)
    train(resumed(folder))
    assert outcome(folder) == outcome(whole)
    assert scalars(folder, "loss") == scalars(whole, "loss")


def test_tensorboard_shows_every_step_once_after_a_restart(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(tiny(tmp_path, tensorboard=True, checkpoint_every=0), callbacks=[CrashAt(300)])
    folder = tmp_path / "run"
    assert list(scalars(folder, "loss")) == [240]
    time.sleep(1.0)  # TensorBoard orders event files by the second of their making
    train(resumed(folder))
    assert scalars(folder, "loss") == scalars(whole, "loss")


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match=rf"^resume={tmp_path}/run goes on from the last checkpoint$"):
        train(tiny(tmp_path), callbacks=[CrashAt(10, error=KeyboardInterrupt)])


def test_resuming_a_finished_run_changes_nothing(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    train(resumed(folder))
    assert outcome(folder) == outcome(whole)
    longer = resumed(folder)
    longer.steps = STEPS + 240
    train(longer)
    metrics = rows(folder / "metrics.csv")
    assert metrics[:3] == rows(whole / "metrics.csv") and [row["step"] for row in metrics[3:]] == ["960"]


# --- wrong input -----------------------------------------------------------------------------------------------------
def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one sentence with which ``agents.train`` refuses its arguments."""
    assert main("train", TrainConfig, train_command, PATHS, settle=resume_config, argv=argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err.rstrip("\n")


def test_folders_and_files_that_cannot_be_resumed(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, f"resume={tmp_path}/nowhere") == (
        f"run folder {tmp_path}/nowhere does not exist, expected a folder that agents.train has written"
    )
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    newest = folder / "checkpoints" / "step-000000000720.pt"
    good = newest.read_bytes()
    half = len(good) // 2
    flipped = good[:half] + bytes([good[half] ^ 1]) + good[half + 1 :]
    for bad in (good[:half], b"", b"no checkpoint", good[:100] + b"\0" * (len(good) - 100), flipped):
        newest.write_bytes(bad)
        sentence = refusal(capsys, f"resume={folder}")
        assert sentence.startswith(f"checkpoint {newest} cannot be read (")
        assert sentence.endswith("; without it the run goes on from the one before")
    newest.unlink()
    train(resumed(folder))
    assert outcome(folder) == outcome(whole)
    best = folder / "best_model.zip"
    good = best.read_bytes()
    for bad in (good[: len(good) // 2], b"", b"no model"):
        best.write_bytes(bad)
        assert refusal(capsys, f"resume={folder}").startswith(f"model {best} cannot be read (")
        with pytest.raises(UserError, match=r"^model .*best_model.zip cannot be read \("):
            agents.load(folder)
    best.unlink()
    with pytest.raises(UserError, match=r"^model .*best_model.zip does not exist, expected"):
        agents.load(folder)


def test_files_of_another_version_of_the_network_say_so(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    best, newest = folder / "best_model.zip", folder / "checkpoints" / "step-000000000720.pt"
    data = th.load(newest, weights_only=False)
    data["policy"]["q_net.layer_of_before"] = th.zeros(3)
    th.save(data, newest)
    assert refusal(capsys, f"resume={folder}", "steps=960") == (
        f"checkpoint {newest} was written by another version of the network, or the run's config.yaml was changed since; "
        "expected the version that wrote it, or train again"
    )
    sentence = f"model {best} was written by another version of the network, expected one of this version: train again"
    layer, argument = load_model(best, "cpu"), load_model(best, "cpu")
    layer.policy.q_net.layer_of_before = th.nn.Linear(2, 2)
    argument.policy_kwargs["argument_of_before"] = 1
    for old in (layer, argument):
        old.save(best)
        with pytest.raises(UserError) as caught:
            agents.load(folder)
        assert str(caught.value) == sentence
        assert main("evaluate", EvaluateConfig, evaluate_command, ("run",), argv=[f"run={folder}"]) == 2
        assert capsys.readouterr().err == sentence + "\n"
