"""Presets of the published sweeps: their processes and buckets, in the environment and in every command."""

from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from agents import benchmark as benchmark_command
from agents import evaluate as evaluate_command
from agents import rollout as rollout_command
from agents import timeline as timeline_command
from agents.cli import main
from agents.entries import grouped
from agents.run_folder import RunFolder, resume_config
from agents.token_bucket.runs import asked_for, frames_of_config
from agents.token_bucket.world import title_of
from agents.train import run as train_command
from conf.benchmark_schema import BenchmarkConfig
from conf.env_schema import TOKEN_PRESET, is_token_scenario
from conf.schema import EvaluateConfig, RolloutConfig, TokenBucketConfig, TrainConfig
from conf.token_bucket_schema import TimelineConfig
from envs.token_bucket.arrivals import ArrivalProcess, MarkovModulated, Periodic
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.build import make_world
from envs.token_bucket.env import TokenBucketEnv
from envs.token_bucket.generator import TraceGenerator
from envs.token_bucket.metrics import IidMetrics, LocalReset, MetricProcess
from envs.token_bucket.presets import PRESETS, SCENARIOS, SWEEPS, such_as
from envs.token_bucket.scenarios import rates_and_depths, scenario
from envs.token_bucket.streams import Streams
from envs.token_bucket.trace_file import save_trace
from optimal.token_bucket.points import points

assert envs.ENVIRONMENTS
DOCS = Path(__file__).parent.parent / "docs" / "token_bucket.md"
COUNTS = {"fig5": 13, "fig6": 15, "fig8": 12, "fig9": 15, "s3": 12}
SLOW = MarkovModulated((1, 3), (0.001, 0.0005))


def told(name: str) -> tuple[MetricProcess, ArrivalProcess, Bucket]:
    """What a name says, by the text of the paper's figures."""
    match = re.fullmatch(r"(\w+)-([a-z]+)([\d.]+)-([a-z]+)(-?[\d.]+)", name)
    assert match is not None, name
    figure, first, second = match[1], float(match[3]), float(match[5])
    if figure == "fig5":
        assert (match[2], match[4]) == ("reset", "spread")
        return LocalReset(second, first), Periodic(1), Bucket.of("0.1", 4)
    if figure == "fig8":
        assert (match[2], match[4]) == ("gap", "leave")
        fast, gap = 10**second, int(first)
        return IidMetrics(), MarkovModulated((1, gap), (fast, fast / {3: 2, 6: 4}[gap])), Bucket.of("0.1", 4)
    assert (match[2], match[4]) == ("rate", "depth")
    bucket = Bucket.of(match[3], match[5])
    return {
        "fig6": (LocalReset(0.1, 0.1), Periodic(1), bucket),
        "fig9": (IidMetrics(), SLOW, bucket),
        "s3": (LocalReset(0.1, 0.01), SLOW, bucket),
    }[figure]


def test_every_point_of_the_sweeps_has_a_preset() -> None:
    assert Counter(name.partition("-")[0] for name in PRESETS) == COUNTS and not set(PRESETS) & set(SCENARIOS)
    assert [sweep.figure for sweep in SWEEPS] == list(COUNTS)
    found = list(points())
    assert [point.name for point in found] == list(PRESETS)
    assert Counter(point.name.partition("-")[0] for point in found if point.published) == {
        name: count for name, count in COUNTS.items() if name != "s3"
    }
    for point in found:
        metrics, arrivals, bucket = told(point.name)
        generator = point.case.generator
        assert (generator.metrics, generator.arrivals, point.case.bucket) == (metrics, arrivals, bucket)
        assert generator.distribution.name == "standard" and point.name == point.name.lower()


def test_the_known_losses_belong_to_their_points() -> None:
    losses = {point.name: point.published for point in points()}
    assert losses["fig5-reset0.1-spread0.1"]["dqn"] == 0.25609 and losses["fig5-reset0.001-spread0.5"]["mdp"] == 0.25715
    assert (
        losses["fig6-rate0.05-depth10"]["baseline"] == 0.27748 and losses["fig6-rate0.25-depth20"]["bound"] == 0.16813
    )
    assert losses["fig8-gap6-leave-1.5"]["dqn"] == 0.17123 and losses["fig8-gap6-leave-1.5"]["bound"] == 0.14670
    assert losses["fig9-rate0.1-depth1"]["mdp"] == 0.24137


@pytest.mark.parametrize("name", PRESETS)
def test_the_environment_plays_the_point(name: str) -> None:
    metrics, arrivals, bucket = told(name)
    world = make_world(name)
    assert isinstance(world.generator, TraceGenerator)
    assert (world.generator.metrics, world.generator.arrivals, world.buckets) == (metrics, arrivals, (bucket,))
    assert PRESETS[name].meaning and frames_of_config(TokenBucketConfig(scenario=name)).buckets == (bucket,)


def test_the_environments_have_the_bucket_unless_another_one_is_given() -> None:
    def buckets(**arguments: Any) -> list[tuple[float, float]]:
        env = TokenBucketEnv(**arguments)
        env.reset(seed=0)
        assert env.bucket in env.world.buckets
        return [(float(one.rate), float(one.depth)) for one in env.world.buckets]

    name = "fig6-rate0.05-depth10"
    assert buckets(scenario=name) == [(0.05, 10)] and buckets() == buckets(scenario="s3") == [(0.1, 4)]
    assert buckets(scenario=name, rate=0.25) == [(0.25, 10)] and buckets(scenario=name, depth=2) == [(0.05, 2)]
    assert buckets(scenario=name, rate=None, depth=None) == [(0.05, 10)]
    assert buckets(scenario=name, rates=(0.1, 0.25)) == [(0.1, 10), (0.25, 10)]
    assert buckets(scenario=name, depths=(1, 2)) == [(0.05, 1), (0.05, 2)]
    assert buckets(scenario=scenario(name)) == [(0.1, 4)], "a generator has no bucket"
    env: Any = gym.make("offramp/TokenBucket-v0", scenario="fig8-gap6-leave-1.5").unwrapped
    assert env.world.generator.arrivals.gaps == (1, 6) and env.world.buckets == (Bucket.of(0.1, 4),)
    both: Any = gym.make_vec("offramp/TokenBucket-v0", 2, "vector_entry_point", scenario=name)
    _, infos = both.unwrapped.reset(seed=0)
    assert infos["cost"].tolist() == [20, 20] and infos["capacity"].tolist() == [200, 200]
    given = scenario("fig8-gap6-leave-1.5", gaps=(1, 5))
    assert isinstance(given.arrivals, MarkovModulated) and given.arrivals.gaps == (1, 5), "a preset can be changed"


def test_rates_and_depths() -> None:
    name = "fig9-rate0.25-depth20"
    assert rates_and_depths("s2") == ([0.1], [4]) == rates_and_depths("any.csv") == rates_and_depths(Path("fig9"))
    assert rates_and_depths(name) == ([0.25], [20])
    assert rates_and_depths(name, rate=Fraction(1, 3), depths=[1, 2]) == ([Fraction(1, 3)], [1, 2])
    assert rates_and_depths(name, rate=0.1, rates=[0.5]) == ([0.5], [20])


# --- unknown names ---------------------------------------------------------------------------------------------------
def test_names_that_are_near_are_suggested() -> None:
    assert such_as("fig6-rate0.05-depth11").startswith(
        "a preset such as fig6-rate0.05-depth1, fig6-rate0.05-depth10 or"
    )
    assert such_as("FIG9-rate.25-depth20").startswith("a preset such as fig9-rate0.25-depth20, ")
    assert such_as("fig8-gap6").startswith("a preset such as fig8-gap6-leave-3, fig8-gap6-leave-2.5 or fig8-gap6-")
    for name in ("", "s9", "nothing of the kind"):
        assert such_as(name) == f"a preset such as {TOKEN_PRESET}"
    assert TOKEN_PRESET in PRESETS and all(map(is_token_scenario, [*PRESETS, *SCENARIOS]))
    assert not any(map(is_token_scenario, [None, "lenet-20", "fig6"]))
    with pytest.raises(
        ValueError, match=r"^scenario is 'fig7-a1', expected one of iid, .*, or the path of a .csv file$"
    ):
        TokenBucketEnv("fig7-a1")


@pytest.mark.parametrize(
    ("name", "schema", "command", "argv", "ends"),
    [
        ("train", TrainConfig, train_command, ["env=token_bucket"], "or the path of a .csv file"),
        ("benchmark", BenchmarkConfig, benchmark_command.run, ["env=token_bucket"], "or the path of a .csv file"),
        ("evaluate", EvaluateConfig, evaluate_command.run, ["baselines=[greedy]"], "or null"),
        ("rollout", RolloutConfig, rollout_command.run, ["baseline=greedy"], "or null"),
        ("timeline", TimelineConfig, timeline_command.run, [], "or null"),
    ],
)
def test_a_mistyped_name_is_one_sentence_and_the_help_tells_of_presets(
    name: str, schema: type, command: Any, argv: list[str], ends: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "env.scenario" if argv == ["env=token_bucket"] else "scenario"
    assert main(name, schema, command, argv=[*argv, f"{key}=fig6-rate0.05-depth11"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.strip().endswith(ends)
    assert err.startswith(f"{key} is fig6-rate0.05-depth11, expected one of ") and " s1, s1-slow, s2," in err
    assert "a preset such as fig6-rate0.05-depth1, fig6-rate0.05-depth10 or" in err and err.count("fig") == 4
    assert main(name, schema, command, argv=[*argv, "--help"]) == 0
    told_of = " ".join(capsys.readouterr().out.split())
    assert "preset" in told_of and TOKEN_PRESET in told_of and "the preset's, else" in told_of


# --- runs and commands -----------------------------------------------------------------------------------------------
def test_a_command_plays_a_preset_with_its_bucket_and_other_scenarios_with_that_of_the_run() -> None:
    def bucket(asked: TokenBucketConfig) -> tuple[list[Any], list[Any]]:
        return rates_and_depths(
            asked.scenario, rate=asked.rate, depth=asked.depth, rates=asked.rates, depths=asked.depths
        )

    name, other = "fig6-rate0.05-depth10", "s3-rate0.25-depth2"
    own = TokenBucketConfig(scenario=name)
    assert asked_for(EvaluateConfig(run=["x"]), own) == own
    assert bucket(asked_for(EvaluateConfig(run=["x"], scenario=other), own)) == ([0.25], [2])
    assert bucket(asked_for(EvaluateConfig(run=["x"], scenario=other, depth=1.0), own)) == ([0.25], [1])
    assert bucket(asked_for(EvaluateConfig(run=["x"], scenario="s2"), own)) == ([0.05], [10])
    assert bucket(asked_for(EvaluateConfig(run=["x"], instance="a.csv"), own)) == ([0.05], [10])
    assert bucket(asked_for(EvaluateConfig(run=["x"], rate=0.1), own)) == ([0.1], [10])
    many = TokenBucketConfig(scenario="s1", rates=[0.1, 0.2], depths=[1.0, 2.0])
    assert bucket(asked_for(EvaluateConfig(run=["x"], scenario=name), many)) == ([0.05], [10])
    assert bucket(asked_for(EvaluateConfig(run=["x"], scenario="s2"), many)) == ([0.1, 0.2], [1, 2])
    changed = TokenBucketConfig(scenario=name, rate=0.25, spread=0.5)
    exactly = asked_for(TimelineConfig(run=["x"], scenario=name), changed)
    assert (bucket(exactly), exactly.spread) == (([0.05], [10]), None), "a preset that is asked for is that point"
    assert bucket(asked_for(EvaluateConfig(baselines=["greedy"], scenario=name), None)) == ([0.05], [10])


def test_titles_name_the_bucket() -> None:
    streams = Streams.draw(scenario("iid"), 2, 100, 0)
    for config, part in (
        (TokenBucketConfig(scenario="fig9-rate0.25-depth20"), "fig9-rate0.25-depth20, r 0.25, b 20, 2 held-out"),
        (TokenBucketConfig(scenario="s2", depth=2.0), "s2, r 0.1, b 2, 2 held-out"),
        (TokenBucketConfig(scenario="a.csv", rates=[0.1, 0.5]), "a.csv, r 0.1, 0.5, b 4, 2 windows"),
    ):
        assert title_of(config, streams).startswith(part)


def test_a_run_on_a_preset_is_kept_and_played_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "fig6-rate0.05-depth10"
    tiny = [
        "env=token_bucket", f"env.scenario={name}", "num_envs=2", "steps=100", "evaluate_every=0", "final_instances=2",
        "env.evaluation_length=100", "agent.learning_starts=40", "agent.batch_size=32", "agent.hidden=8",
        "agent.buffer_size=1000", "tensorboard=false", "progress=false", "device=cpu", "format=json",
        "baselines=[greedy]", f"run_root={tmp_path}", "name=run",
    ]  # fmt: skip
    assert main("train", TrainConfig, train_command, ("run_root", "env.scenario"), argv=tiny) == 0
    assert json.loads(capsys.readouterr().out)["title"].startswith(f"{name}, r 0.05, b 10, ")
    settled = RunFolder.open(tmp_path / "run").config.env
    assert isinstance(settled, TokenBucketConfig) and (settled.rate, settled.depth) == (0.05, 10)
    for source, part in ((f"scenario={name}", "r 0.05, b 10"), ("scenario=s3-rate0.25-depth2", "r 0.25, b 2")):
        argv = [f"run={tmp_path / 'run'}", source, "instances=2", "length=50", "format=json"]
        assert main("evaluate", EvaluateConfig, evaluate_command.run, ("run",), argv=argv) == 0
        assert part in json.loads(capsys.readouterr().out)["title"]
    out = tmp_path / "a.png"
    argv = ["baselines=[greedy]", "scenario=fig8-gap6-leave-1.5", "count=40", f"out={out}", "format=json"]
    assert main("timeline", TimelineConfig, timeline_command.run, ("out",), argv=argv) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "fig8-gap6-leave-1.5, r 0.1, b 4, frames 0 to 39"
    argv = ["baseline=greedy", f"scenario={name}", "length=5", f"out={tmp_path / 'a.gif'}", "format=json"]
    assert main("rollout", RolloutConfig, rollout_command.run, ("out",), argv=argv) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 6


def test_runs_with_written_numbers_are_read_and_are_the_same_agent(tmp_path: Path) -> None:
    """Folders from before presets hold rate: 0.1 and depth: 4.0, new ones null."""
    paths = []
    for rate, depth, resume in ((None, None, True), (0.1, 4.0, True), (0.1, 2.0, False)):
        env = TokenBucketConfig(rate=rate, depth=depth)
        config = TrainConfig(run_root=str(tmp_path), env=env, baselines=[])
        folder = RunFolder.create(config)
        paths.append(folder.path)
        stored = (folder.path / "config.yaml").read_text()
        assert f"rate: {'null' if rate is None else rate}" in stored
        typed = TrainConfig(resume=str(folder.path), env=TokenBucketConfig())
        if resume:
            assert resume_config(typed, ["resume", "env"]).env == TokenBucketConfig(rate=0.1, depth=4.0)
        else:
            with pytest.raises(ValueError, match=r"^env.depth is 4.0, but .* has 2.0 and a resumed run keeps it"):
                resume_config(typed, ["resume", "env"])
    groups = grouped([RunFolder.open(path) for path in paths])
    assert sorted(len(group) for _, group in groups) == [1, 2]


def test_a_trace_file_has_the_usual_bucket(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    save_trace(scenario("s3").draw(np.random.default_rng(0), 30), path)
    assert TokenBucketEnv(str(path)).world.buckets == (Bucket.of(0.1, 4),)
    settled = TokenBucketConfig(scenario=str(path)).settled()
    assert settled == TokenBucketConfig(scenario=str(path), rate=0.1, depth=4.0) and settled.settled() is settled


def test_the_documentation_counts_the_points() -> None:
    section = DOCS.read_text(encoding="utf-8").partition("## Published points\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith(("| `fig", "| `s3-"))]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [int(row[-1]) for row in rows] == list(COUNTS.values()) and f"{sum(COUNTS.values())} points" in section
    examples = re.findall(r"`((?:fig\d|s3)-[\w.-]+\d)`", section)
    assert len(examples) >= len(rows) and set(examples) <= set(PRESETS)
