"""Training runs of a second or two, and what the tests of training compare of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import envs
from agents.learned import load_model
from agents.training import train
from conf.schema import DqnConfig, TrainConfig

assert envs.ENVIRONMENTS
STEPS = 720
SMALL = {"hidden": 16, "learning_starts": 60, "buffer_size": 300, "batch_size": 16, "gradient_steps": 2, "n_steps": 4}
PATHS = ("run_root", "resume", "env.scenario")


def tiny(root: Path, *, agent: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """A run of a second or two: evaluations every 240 steps, checkpoints every 76, some of them amid booked episodes."""
    values: dict[str, Any] = {
        "steps": STEPS,
        "num_envs": 4,
        "evaluate_every": 240,
        "evaluate_instances": 3,
        "final_instances": 3,
        "baselines": ["greedy"],
        "checkpoint_every": 76,
        "run_root": str(root),
        "name": "run",
        "tensorboard": False,
        "progress": False,
        "device": "cpu",
        "agent": DqnConfig(**{**SMALL, "target_update_interval": 80, **(agent or {})}),
    }
    return TrainConfig(**(values | changes))


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


def scalars(folder: Path, column: str) -> dict[int, float]:
    """What TensorBoard shows of a column: step -> value. A step that stands there twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload().Scalars(f"offramp/{column}")
    assert len({event.step for event in events}) == len(events)
    return {event.step: event.value for event in events}


def uninterrupted(root: Path) -> Path:
    """Folder of a run in one go."""
    folder = train(tiny(root, tensorboard=True)).folder
    assert folder is not None
    return folder


def in_child(config: TrainConfig) -> None:
    """What the killed processes do."""
    train(config)
