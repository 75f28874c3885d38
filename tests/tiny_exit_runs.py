"""Runs of early exit of a second or two, and the commands that play them."""

from __future__ import annotations

from pathlib import Path

from agents import benchmark as benchmark_command
from agents import evaluate as evaluate_command
from agents import rollout as rollout_command
from agents.cli import main
from agents.train import run as train_command
from conf.benchmark_schema import BenchmarkConfig
from conf.schema import EvaluateConfig, RolloutConfig, TrainConfig

TINY = [
    "env=early_exit", "env.windows=10", "env.rows=50", "env.budgets=[0.08,0.2]", "num_envs=4", "agent.learning_starts=80",
    "agent.batch_size=64", "agent.group=8", "agent.hidden=8", "agent.buffer_size=2000", "evaluate_instances=4",
    "final_instances=4", "baselines=[static]", "tensorboard=false", "progress=false", "device=cpu", "format=json",
]  # fmt: skip
TRAIN_PATHS = ("run_root", "resume", "env.scenario")
BENCHMARK_PATHS = ("runs", "run_root", "env.scenario")


def trained(tmp_path: Path, *argv: str) -> Path:
    steps = ["steps=640", "evaluate_every=320", "checkpoint_every=200", f"run_root={tmp_path}", "name=run"]
    assert main("train", TrainConfig, train_command, TRAIN_PATHS, argv=[*TINY, *steps, *argv]) == 0
    return tmp_path / "run"


def evaluate(*argv: str) -> int:
    return main("evaluate", EvaluateConfig, evaluate_command.run, ("run", "instance", "out"), argv=list(argv))


def roll_out(*argv: str) -> int:
    paths = ("run", "instance", "out", "frames")
    return main("rollout", RolloutConfig, rollout_command.run, paths, argv=list(argv))


def benchmark(root: Path, *argv: str) -> int:
    tiny = [*TINY, "evaluate_every=0", "checkpoint_every=0", "steps=400", f"run_root={root}"]
    return main("benchmark", BenchmarkConfig, benchmark_command.run, BENCHMARK_PATHS, argv=[*tiny, *argv])
