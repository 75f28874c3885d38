"""Training: a complete run folder, reproducible, and exact continuation after a crash or a kill at any moment."""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

import agents
import envs
from agents.cli import Interrupted, main
from agents.curves import COLUMNS, TIMING_COLUMNS
from agents.learned import load_model
from agents.run_folder import resume_config
from agents.train import run as train_command
from agents.training import train
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, DqnConfig, TrainConfig

assert envs.ENVIRONMENTS
STEPS = 720
SMALL = {"hidden": 16, "learning_starts": 60, "buffer_size": 300, "batch_size": 16, "gradient_steps": 2, "n_steps": 4}
PATHS = ("run_root", "resume", "env.scenario")


def tiny(root: Path, *, agent: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """A run of a second or two: evaluations every 240 steps, checkpoints every 100."""
    values: dict[str, Any] = {
        "steps": STEPS,
        "num_envs": 4,
        "evaluate_every": 240,
        "evaluate_instances": 3,
        "final_instances": 3,
        "baselines": ["greedy"],
        "checkpoint_every": 100,
        "run_root": str(root),
        "name": "run",
        "tensorboard": False,
        "progress": False,
        "device": "cpu",
        "agent": DqnConfig(**{**SMALL, "target_update_interval": 80, **(agent or {})}),  # type: ignore[arg-type]
    }
    return TrainConfig(**(values | changes))


def resumed(folder: Path) -> TrainConfig:
    """The config with which ``resume=folder`` goes on."""
    return resume_config(TrainConfig(resume=str(folder)), ["resume"])


def weights(folder: Path, name: str) -> bytes:
    """Parameters and moments of the optimizer in a model file, bit for bit."""
    policy = load_model(folder / name, "cpu").policy
    moments = policy.optimizer.state_dict()["state"]
    tensors = [*policy.state_dict().values(), *(t for m in moments.values() for t in m.values())]
    return b"".join(t.numpy().tobytes() for t in tensors)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run leaves and that does not depend on the clock."""
    summary = json.loads((folder / "summary.json").read_text())
    policies = [{k: v for k, v in row.items() if k not in ("decision_s", "policy")} for row in summary["policies"]]
    models = {name: weights(folder, name) for name in ("last_model.zip", "best_model.zip")}
    metrics = (folder / "metrics.csv").read_bytes()
    return {**models, "metrics": metrics, "steps": summary["steps"], "policies": policies}


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    folder = train(tiny(tmp_path_factory.mktemp("whole"), tensorboard=True)).folder
    assert folder is not None
    return folder


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


# --- what a run leaves -----------------------------------------------------------------------------------------------
def test_a_run_folder_is_complete(whole: Path) -> None:
    files = {path.name for path in whole.iterdir() if not path.name.startswith("events.out.tfevents.")}
    models = {"best_model.zip", "last_model.zip"}
    tables = {"config.yaml", "versions.json", "metrics.csv", "timing.csv", "summary.json"}
    assert files == models | tables | {"checkpoints"}
    assert sorted(p.name for p in (whole / "checkpoints").iterdir()) == ["step-000000000700.pt", "step-000000000720.pt"]
    metrics, timing = rows(whole / "metrics.csv"), rows(whole / "timing.csv")
    assert tuple(metrics[0]) == tuple(COLUMNS) and tuple(timing[0]) == TIMING_COLUMNS
    assert [row["step"] for row in metrics] == [row["step"] for row in timing] == ["240", "480", "720"]
    seconds = [float(row["seconds"]) for row in timing]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert int(metrics[-1]["updates"]) == 2 * (720 - 60) // 4
    assert float(metrics[0]["exploration"]) > float(metrics[-1]["exploration"]) == pytest.approx(0.2)
    best = min(float(row["eval_latency_ms"]) for row in metrics)
    assert float(metrics[-1]["best_latency_ms"]) == best
    summary = json.loads((whole / "summary.json").read_text())
    assert (summary["steps"], summary["seed"], summary["folder"]) == (STEPS, 0, str(whole))
    assert [row["policy"] for row in summary["policies"]] == ["dqn", "greedy"]


def test_tensorboard_holds_the_metrics(whole: Path) -> None:
    assert scalars(whole, "eval_latency_ms") == {
        int(row["step"]): pytest.approx(float(row["eval_latency_ms"])) for row in rows(whole / "metrics.csv")
    }


def scalars(folder: Path, column: str) -> dict[int, float]:
    """What TensorBoard shows of a column: step -> value. A step that stands there twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload().Scalars(f"offramp/{column}")
    assert len({event.step for event in events}) == len(events)
    return {event.step: event.value for event in events}


def test_a_masked_agent_never_acts_invalidly_and_never_violates(whole: Path) -> None:
    for row in rows(whole / "metrics.csv"):
        assert (row["invalid_rate"], row["rejection_rate"], row["eval_violations"]) == ("0", "0", "0")
    for scored in json.loads((whole / "summary.json").read_text())["policies"]:
        assert (scored["violations"], scored["rejected"], scored["requests"]) == (0, 0, 3)


def test_equal_seeds_give_equal_bytes_and_others_do_not(whole: Path, tmp_path: Path) -> None:
    again = train(tiny(tmp_path / "a")).folder
    other = train(tiny(tmp_path / "b", seed=1)).folder
    assert again is not None and other is not None
    assert outcome(again) == outcome(whole)
    assert outcome(other)["metrics"] != outcome(whole)["metrics"]
    assert weights(other, "last_model.zip") != weights(whole, "last_model.zip")


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


def in_child(config: TrainConfig) -> None:
    """What the killed processes do."""
    train(config)


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


def test_agents_and_observations_that_do_not_fit(tmp_path: Path) -> None:
    paper = DistPrivacyConfig(observation="paper")
    with pytest.raises(UserError, match=r"^agent.policy is device and env.observation is paper, expected full"):
        train(tiny(tmp_path, env=paper))
    with pytest.raises(UserError, match=r"^agent.masked is true and env.observation is paper, which carries no mask"):
        train(tiny(tmp_path, env=paper, agent={"policy": "mlp"}))
    assert list(tmp_path.iterdir()) == []


# --- trained policies ------------------------------------------------------------------------------------------------
def play(policy: Any, **arguments: Any) -> dict[str, Any]:
    """One episode of the scalar environment; the last info."""
    env = gym.make("offramp/DistPrivacy-v0", **arguments)
    observation, info = env.reset(seed=5)
    while True:
        observation, _, terminated, _, info = env.step(policy.act(observation))
        if terminated:
            return info


def test_a_loaded_policy_acts_on_one_observation_and_on_many(whole: Path) -> None:
    policy = agents.load(whole)
    assert policy.name == "dqn (run)" and policy.respects_privacy
    vector = gym.make_vec("offramp/DistPrivacy-v0", num_envs=6)
    observations, infos = vector.reset(seed=0)
    for _ in range(60):
        actions = policy.act(observations)
        assert actions.shape == (6,) and infos["action_mask"][np.arange(6), actions].all()
        one = policy.act(observations[2])
        assert isinstance(one, int) and one == actions[2]
        observations, _, _, _, infos = vector.step(actions)
    for scenario in ("lenet-random", "lenet-20"):
        info = play(policy, scenario=scenario)
        assert not info["invalid_action"] and not info["rejected"]


def test_a_flat_agent_trains_and_is_tied_to_its_devices(tmp_path: Path) -> None:
    folder = train(tiny(tmp_path, agent={"policy": "mlp", "name": "dqn_mlp"})).folder
    assert folder is not None
    assert all(row["invalid_rate"] == row["eval_violations"] == "0" for row in rows(folder / "metrics.csv"))
    policy = agents.load(folder)
    assert not play(policy)["invalid_action"]
    with pytest.raises(ValueError, match=r"^policy dqn_mlp \(run\) answers observations of 228 numbers, .* got 364"):
        play(policy, scenario="lenet-20")


def test_the_agent_of_the_paper_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["agent=dqn_paper", "env.scenario=lenet-10", f"run_root={tmp_path}", "name=paper", "format=json"]
    sizes = ["steps=400", "num_envs=2", "evaluate_every=200", "evaluate_instances=2", "final_instances=2"]
    rest = ["baselines=greedy", "progress=false", "tensorboard=false", "checkpoint_every=0", "device=cpu"]
    code = main("train", TrainConfig, train_command, PATHS, settle=resume_config, argv=[*typed, *sizes, *rest])
    result = json.loads(capsys.readouterr().out)
    assert code == 0 and [row["policy"] for row in result["policies"]] == ["dqn_paper", "greedy"]
    assert list((tmp_path / "paper" / "checkpoints").iterdir()) == []
    metrics = rows(tmp_path / "paper" / "metrics.csv")
    assert [row["step"] for row in metrics] == ["200", "400"] and float(metrics[0]["invalid_rate"]) > 0
    assert int(metrics[-1]["updates"]) > 100
    policy = agents.load(tmp_path / "paper")
    world = {"scenario": "lenet-10", "privacy_scope": "layer", "episode": "layer", "reward": "paper"}
    assert play(policy, observation="paper", **world)["latency_s"] > 0
