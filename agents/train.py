"""``python -m agents.train``: train an agent, score it next to the baselines, leave a run folder."""

from __future__ import annotations

from typing import Any

from agents.cli import main
from agents.run_folder import resume_config
from conf.schema import TrainConfig


def run(config: TrainConfig) -> dict[str, Any]:
    """Train by ``config`` and print the table."""
    from rich.console import Console

    from agents.training import train

    scores = train(config)
    if config.format == "text":
        console = Console()
        console.print(scores.table())
        console.print(f"run folder: {scores.folder}", soft_wrap=True)
    return scores.to_dict()


if __name__ == "__main__":
    raise SystemExit(main("train", TrainConfig, run, ("run_root", "resume", "env.scenario"), settle=resume_config))
