"""Training: a complete and reproducible run folder, policies that act, settings that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from tiny_runs import PATHS, STEPS, outcome, rows, scalars, tiny, uninterrupted, weights

import agents
from agents.cli import main
from agents.curves import TIMING_COLUMNS
from agents.placement_world import COLUMNS
from agents.run_folder import resume_config
from agents.train import run as train_command
from agents.training import make_agent, make_training_env, train
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, DqnConfig, TrainConfig


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    return uninterrupted(tmp_path_factory.mktemp("whole"))


# --- what a run leaves -----------------------------------------------------------------------------------------------
def test_a_run_folder_is_complete(whole: Path) -> None:
    files = {path.name for path in whole.iterdir() if not path.name.startswith("events.out.tfevents.")}
    models = {"best_model.zip", "last_model.zip"}
    tables = {"config.yaml", "versions.json", "metrics.csv", "timing.csv", "summary.json"}
    assert files == models | tables | {"checkpoints"}
    assert sorted(p.name for p in (whole / "checkpoints").iterdir()) == ["step-000000000684.pt", "step-000000000720.pt"]
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


# --- wrong input -----------------------------------------------------------------------------------------------------
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


def test_step_sizes_fall_straight_or_by_the_same_factor() -> None:
    for fall, middle in (("straight", 0.0505), ("geometric", 0.01)):
        agent = DqnConfig(learning_rate=0.1, learning_rate_final=0.001, learning_rate_fall=fall)
        config = TrainConfig(agent=agent, num_envs=1, device="cpu")
        env = make_training_env(config)
        schedule = make_agent(config, env).lr_schedule
        env.close()
        assert [schedule(left) for left in (1.0, 0.5, 0.0, -0.1)] == pytest.approx([0.1, middle, 0.001, 0.001])


def test_a_flat_agent_trains_and_is_tied_to_its_devices(tmp_path: Path) -> None:
    folder = train(tiny(tmp_path, agent={"policy": "mlp", "name": "dqn_mlp"})).folder
    assert folder is not None
    assert all(row["invalid_rate"] == row["eval_violations"] == "0" for row in rows(folder / "metrics.csv"))
    policy = agents.load(folder)
    assert not play(policy)["invalid_action"]
    with pytest.raises(ValueError, match=r"^policy dqn_mlp \(run\) answers observations of 240 numbers, .* got 384"):
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
