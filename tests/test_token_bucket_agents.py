"""Agents for token-bucket offloading: trained, judged, resumed, scored and rolled out by the commands of the project."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import agents
from agents import evaluate as evaluate_command
from agents import rollout as rollout_command
from agents import timeline as timeline_command
from agents.cli import main
from agents.run_folder import RunFolder, resume_config
from agents.token_bucket.baselines import MEANINGS, available, baseline
from agents.token_bucket.learned import LearnedBucketPolicy
from agents.token_bucket.runs import asked_for, frames_of_config
from agents.token_bucket.scores import BucketScores, outcome_of, play, score_of
from agents.token_bucket.world import COLUMNS, score_all
from agents.train import run as train_command
from conf.schema import TOKEN_BASELINES, TOKEN_SCENARIOS, EvaluateConfig, RolloutConfig, TokenBucketConfig, TrainConfig
from conf.token_bucket_schema import TimelineConfig
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.env import TokenBucketEnv
from envs.token_bucket.generator import TraceList
from envs.token_bucket.scenarios import SCENARIOS, scenario
from envs.token_bucket.streams import Streams, replay
from envs.token_bucket.trace_file import save_trace
from envs.token_bucket.types import Trace

TINY = [
    "env=token_bucket", "num_envs=4", "agent.learning_starts=40", "agent.batch_size=32", "agent.hidden=8",
    "agent.buffer_size=4000", "env.evaluation_length=300", "evaluate_instances=2", "final_instances=3",
    "tensorboard=false", "progress=false", "device=cpu", "format=json",
]  # fmt: skip
TRAIN_PATHS = ("run_root", "resume", "env.scenario")


def trained(tmp_path: Path, *argv: str) -> Path:
    steps = ["steps=400", "evaluate_every=200", "checkpoint_every=200", f"run_root={tmp_path}", "name=run"]
    assert main("train", TrainConfig, train_command, TRAIN_PATHS, argv=[*TINY, *steps, *argv]) == 0
    return tmp_path / "run"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"), "env.length=40")


def test_names_in_the_config_are_those_of_the_code() -> None:
    assert tuple(SCENARIOS) == TOKEN_SCENARIOS and tuple(MEANINGS) == TOKEN_BASELINES


def test_training_leaves_a_run_folder(run_folder: Path) -> None:
    with open(run_folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tuple(COLUMNS) and [row["step"] for row in rows] == ["208", "400"]
    assert all(0.2 < float(row["eval_loss"]) < 0.3 and float(row["eval_score"]) < 1.5 for row in rows)
    summary = RunFolder.open(run_folder).read_json("summary.json")
    by_name = {row["policy"]: row for row in summary["policies"]}
    assert by_name["belief"]["score"] == pytest.approx(1) and by_name["iid-mdp"]["score"] == 0
    assert by_name["dqn"]["kind"] == "learned" and len(by_name["dqn"]["loss_interval"]) == 2
    assert by_name["greedy"]["lost_tokens"] == 0 < by_name["fixed"]["lost_tokens"]


def test_equal_seeds_give_equal_bytes_and_a_resumed_run_ends_like_an_uninterrupted_one(
    run_folder: Path, tmp_path: Path
) -> None:
    whole = (run_folder / "metrics.csv").read_bytes()
    again = trained(tmp_path / "again", "env.length=40")
    assert (again / "metrics.csv").read_bytes() == whole
    for checkpoint in sorted((again / "checkpoints").iterdir())[1:]:
        checkpoint.unlink()
    argv = [f"resume={again}", "format=json"]
    assert main("train", TrainConfig, train_command, TRAIN_PATHS, settle=resume_config, argv=argv) == 0
    assert (again / "metrics.csv").read_bytes() == whole


def test_a_loaded_policy_decides_streams_as_it_acts_in_the_environment(run_folder: Path) -> None:
    policy = agents.load(run_folder)
    assert isinstance(policy, LearnedBucketPolicy)
    for bucket in ((0.1, 4), (0.25, 1)):
        env = TokenBucketEnv("s3", history=policy.window.history, length=200)
        observation, _ = env.reset(seed=3, options={"bucket": bucket})
        sent = policy.play(Streams.of_trace(env.trace, 0.0), env.bucket)[0]
        for index in range(200):
            action = policy.act(observation)
            observation, _, _, _, info = env.step(action)
            assert info["sent"] == sent[index] and not info["invalid_action"]
    with pytest.raises(ValueError, match=r"answers observations of \d+ numbers, got 3"):
        policy.act(np.zeros(3, np.float32))


def test_one_policy_plays_many_buckets_at_once(run_folder: Path) -> None:
    policy = agents.load(run_folder)
    assert isinstance(policy, LearnedBucketPolicy)
    streams = Streams.draw(scenario("s3"), 3, 200, 0)
    buckets = [Bucket.of(0.1, 4), Bucket.of(0.05, 20), Bucket.of(0.25, 1)]
    together = policy.play_all(streams, buckets)
    for index, bucket in enumerate(buckets):
        assert np.array_equal(together[index], policy.play(streams, bucket))
        assert not replay(streams, bucket, together[index]).violations.any()


@pytest.mark.parametrize("name", TOKEN_BASELINES)
def test_every_baseline_plays_without_a_violation(name: str) -> None:
    generator, bucket = scenario("s3"), Bucket.of(0.1, 2)
    streams = Streams.draw(generator, 2, 400, 0)
    outcome = play(name, [baseline(name, generator, bucket)], streams, [bucket])
    assert 0.1 < outcome.mean_loss <= streams.weak_loss and outcome.sends.max() <= 0.35
    assert np.isfinite(outcome.realised).all() and ((0 <= outcome.lost) & (outcome.lost <= 1)).all()


def test_a_send_without_a_token_is_a_defect() -> None:
    streams, bucket = Streams.draw(scenario("iid"), 1, 50, 0), Bucket.of(0.1, 1)
    with pytest.raises(RuntimeError, match=r"policy bold sent .* frames without a token"):
        outcome_of("bold", "baseline", np.ones((1, 1, 50), np.bool_), streams, [bucket], 1.0)


def test_the_score_is_the_share_of_the_gain_over_the_iid_policy() -> None:
    assert score_of(0.255, 0.26, 0.25) == pytest.approx(0.5)
    assert np.isnan(score_of(0.25, 0.26, 0.26)), "no score where there is nothing to gain"


def test_trace_files_are_trained_on_and_scored_without_policies_that_know_the_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.csv"
    drawn = scenario("s3").draw(np.random.default_rng(0), 800)
    save_trace(Trace(drawn.metric, drawn.gap), trace)
    run = trained(tmp_path, f"env.scenario={trace}", "env.length=100")
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert {row["policy"] for row in result["policies"]} == {"dqn", "iid-mdp", "fixed", "greedy", "random"}
    assert "belief is left out: it must know how the trace came about" in err
    assert all(row["loss_realised"] is None for row in result["policies"])
    assert (run / "best_model.zip").exists()
    trace.write_text("time,cost_1,metric_1,cost_2,metric_2\n0,1,0.1,2,0.2\n1,1,0.1,2,0.2\n")
    with pytest.raises(ValueError, match=r"trace\.csv: a trace has 2 send levels, expected one"):
        frames_of_config(TokenBucketConfig(scenario=str(trace)))
    generator = TraceList([drawn])
    assert available(["belief", "fixed"], generator) == ["fixed"]
    with pytest.raises(ValueError, match="baseline is belief, which must know the processes"):
        baseline("belief", generator, Bucket.of(0.1, 4))


def test_long_names_leave_the_figures_of_the_table_whole() -> None:
    generator = scenario("s1")
    streams, buckets = Streams.draw(generator, 2, 300, 0), [Bucket.of(0.1, 4)]
    names = ("iid-mdp", "belief", "greedy")
    outcomes = [play(name, [baseline(name, generator, buckets[0])], streams, buckets) for name in names]
    known = {one.policy: one.mean_loss for one in outcomes}
    outcomes[-1].policy = long = "dqn (tokenbucket-dqn-20260101-120000-s0)"
    out = io.StringIO()
    Console(width=80, file=out).print(BucketScores("long", outcomes, references=known).table())
    lines = out.getvalue().splitlines()
    assert "…" not in out.getvalue() and any(f"{outcomes[-1].mean_loss:.5f} ± 0." in line for line in lines)
    names_only = "".join(line[:21] for line in lines)  # as wide as the figures leave it
    assert long.replace(" ", "") in names_only.replace(" ", "")


def test_evaluate_scores_runs_and_baselines_on_any_scenario_and_bucket(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*argv: str) -> Any:
        small = ["instances=2", "length=200", "format=json"]
        command = evaluate_command.run
        assert main("evaluate", EvaluateConfig, command, ("run", "instance", "out"), argv=[*small, *argv]) == 0
        return json.loads(capsys.readouterr().out)

    result = evaluate(f"run={run_folder}", "baselines=[belief,clairvoyant]", f"out={tmp_path / 'scores.json'}")
    assert [row["policy"] for row in result["policies"]] == ["dqn (run)", "belief", "clairvoyant"]
    assert result["title"] == "s1, r 0.1, b 4, 2 held-out streams of 200 frames"
    assert len(json.loads((tmp_path / "scores.json").read_text())["streams"][0]["loss"][0]) == 2
    assert "s2, r 0.25, b 4" in evaluate(f"run={run_folder}", "scenario=s2", "rate=0.25")["title"]
    assert "bursts, r 0.1, b 2" in evaluate("baselines=[greedy]", "scenario=bursts", "depth=2")["title"]


def test_rollout_writes_a_gif(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.gif"
    for who in (f"run={run_folder}", "baseline=belief"):
        argv = [who, "scenario=s3", f"out={out}", "length=12", "format=json"]
        paths = ("run", "instance", "out", "frames")
        assert main("rollout", RolloutConfig, rollout_command.run, paths, argv=argv) == 0
        assert json.loads(capsys.readouterr().out)["frames"] == 13 and out.stat().st_size > 1000


def test_all_of_the_frames_that_are_played_unasked_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["baseline=greedy", "scenario=s1", "out=null", f"frames={tmp_path / 'pictures'}", "format=json"]
    assert main("rollout", RolloutConfig, rollout_command.run, ("run", "instance", "out", "frames"), argv=argv) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == len(list((tmp_path / "pictures").iterdir())) == 121


def test_timeline_draws_who_sends_what(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def draw(*argv: str) -> int:
        small = ["count=60", f"out={tmp_path / 'a.png'}", "format=json"]
        return main("timeline", TimelineConfig, timeline_command.run, ("run", "instance", "out"), argv=[*small, *argv])

    assert draw(f"run={run_folder}", "scenario=s3", "start=20") == 0
    result = json.loads(capsys.readouterr().out)
    assert sum(result["counts"].values()) == 60 and "s3, r 0.1, b 4, frames 20 to 79" == result["title"]
    assert draw("baselines=[belief,greedy,fixed]", "rate=0.25") == 0 and (tmp_path / "a.png").stat().st_size > 5000
    trace = tmp_path / "t.csv"
    save_trace(Trace(np.linspace(0, 0.5, 30), np.full(29, 2)), trace)
    capsys.readouterr()
    assert draw(f"instance={trace}") == 0 and "frames 0 to 28" in json.loads(capsys.readouterr().out)["title"]
    assert draw(f"instance={trace}", "start=29") == 2 and "start is 29, but the trace has 29" in capsys.readouterr().err
    assert draw(f"instance={trace}", "baselines=[belief]") == 2 and "must know the proc" in capsys.readouterr().err


def test_several_buckets_are_scored_together() -> None:
    frames = frames_of_config(TokenBucketConfig(rates=[0.1, 0.25], depths=[1.0, 4.0]))
    streams = Streams.draw(frames.generator, 3, 300, 0)
    scores = score_all([], ["greedy"], frames, streams, "four buckets")
    assert isinstance(scores, BucketScores) and scores.outcomes[0].loss.shape == (4, 3)
    assert scores.references["belief"] < scores.references["iid-mdp"]
    assert "four buckets" in str(scores.table().title)


def test_another_scenario_forgets_the_changes_of_the_run() -> None:
    own = TokenBucketConfig(scenario="s1", spread=0.5, rates=[0.1, 0.2])
    asked = asked_for(EvaluateConfig(run=["x"], scenario="s2", rate=0.3), own)
    assert (asked.scenario, asked.spread, asked.rate, asked.rates) == ("s2", None, 0.3, [])
    assert asked_for(EvaluateConfig(run=["x"]), own) == own
    assert asked_for(EvaluateConfig(run=["x"], depth=9.0), own).rates == [0.1, 0.2], "what is not asked for stays"
    given = TokenBucketConfig(scenario="a.csv", weak_loss=0.3)
    assert asked_for(EvaluateConfig(run=["x"], instance="/b/a.csv"), given).weak_loss == 0.3
    assert asked_for(EvaluateConfig(run=["x"], scenario="s1"), given).weak_loss is None


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["env.rate=0"], "env.rate is 0.0, expected a number > 0 and <= 1"),
        (["env.depth=0.5"], "env.depth is 0.5, expected a number >= 1"),
        (["env.rates=[0.1,2]"], "env.rates is [0.1, 2.0], expected a list of numbers > 0 and <= 1"),
        (["env.scenario=s9"], "env.scenario is s9, expected one of iid, s1,"),
        (["env.scenario=none.csv"], "none.csv"),
        (["env.scenario=s2", "env.gaps=[2]"], "gaps is [2] and leave is [0.001, 0.0005], expected two or more regimes"),
        (["baselines=[subset]"], "baselines has the entry subset, expected out of belief"),
        (["agent.policy=device"], "agent.policy is device, which is for segment allocation"),
        (["agent.batch_size=30"], "agent.batch_size is 30, expected a multiple of agent.group"),
        (["agent=dqn_paper"], "env.privacy_scope is an unknown key, expected one of those that --help lists"),
        (["env.include_latent=true"], "agent.policy is token and env.include_latent is true"),
        (["env=distprivacy", "agent.replay=counterfactual"], "agent.n_steps is 20 and agent.replay is counterfactual"),
        (["env=distprivacy", "agent.policy=token"], "agent.policy is token, which is for token-bucket offloading"),
        (["env=distprivacy", "baselines=[belief]"], "baselines has the entry belief, expected out of random"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(
    argv: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = [] if "env=distprivacy" in argv else TINY
    assert main("train", TrainConfig, train_command, TRAIN_PATHS, argv=[*tiny, "steps=10", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.strip().count("\n") == 0 and sentence in err and list(tmp_path.iterdir()) == []


def test_seconds_of_training_come_close_to_the_causal_optimum(tmp_path: Path) -> None:
    argv = ["steps=57_600", "evaluate_every=57_600", "evaluate_instances=16", "final_instances=16", "progress=false"]
    more = ["env=token_bucket", "baselines=[]", "checkpoint_every=0", "tensorboard=false", "device=cpu", "format=json"]
    paths = [f"run_root={tmp_path}", "name=run", "env.evaluation_length=4000"]
    assert main("train", TrainConfig, train_command, TRAIN_PATHS, argv=[*argv, *more, *paths]) == 0
    (row,) = RunFolder.open(tmp_path / "run").read_json("summary.json")["policies"]
    # a ninth of the default training; what learns nothing of the past has 0, the default run some .95
    assert row["score"] > 0.7
