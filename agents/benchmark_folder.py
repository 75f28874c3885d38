"""What benchmarks of all environments do alike: runs trained for them, the name and the files of their folder."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from agents.output import plain
from conf.benchmark_schema import BenchmarkConfig
from conf.messages import UserError, one_line
from conf.schema import TrainConfig

if TYPE_CHECKING:
    from rich.table import Table

    from agents.run_folder import RunFolder


def name_of(config: BenchmarkConfig) -> str:
    """The name of the folder: as configured, or benchmark, environment and local time."""
    environment = re.sub(r"-v\d+$", "", config.env.id.rpartition("/")[2]).lower()
    return config.name or f"benchmark-{environment}-{time.strftime('%Y%m%d-%H%M%S')}"


def train_seeds(config: BenchmarkConfig, name: str) -> list[RunFolder]:
    """A run for each seed of ``config.seeds`` by the keys of training, in a run folder of its own next to ``name``."""
    return [_train(config, seed, f"{name}-seed-{seed}") for seed in config.seeds]


def _train(config: BenchmarkConfig, seed: int, name: str) -> RunFolder:
    from agents.run_folder import RunFolder
    from agents.training import train

    values = {entry.name: getattr(config, entry.name) for entry in fields(TrainConfig)}
    print(f"training seed {seed}", file=sys.stderr)
    scores = train(TrainConfig(**{**values, "seed": seed, "name": name, "baselines": [], "format": "text"}))
    assert scores.folder is not None
    return RunFolder.open(scores.folder)


class Result(Protocol):
    """What a benchmark came to."""

    def table(self) -> Table:
        """A rich table."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``benchmark.json`` and ``format=json``."""


def hand_over(result: Result, folder: Path, config: BenchmarkConfig, width: int) -> dict[str, Any]:
    """Print table and folder, ``width`` columns wide where nobody looks; return the result as data."""
    from rich.console import Console

    if config.format == "text":
        console = Console(width=None if sys.stdout.isatty() else width)
        console.print(result.table())
        console.print(f"benchmark folder: {folder}", soft_wrap=True)
    return {**result.to_dict(), "folder": str(folder)}


def write_files(
    config: BenchmarkConfig,
    root: Path,
    name: str,
    data: Mapping[str, Any],
    files: Mapping[str, str],
    parts: Sequence[str],
    drawn: Mapping[str, tuple[str, str]],
) -> Path:
    """Write benchmark.json, config.yaml, the plots, report.html and ``files`` into a new folder; returns its path.

    ``data``: the figures, with ``title`` and ``policies``. ``parts``: HTML before the plots. ``drawn``: name -> (SVG, caption).
    The folder gets its name once it is complete. Raises ``UserError`` where it cannot be made.
    """
    from omegaconf import OmegaConf

    from agents import report
    from agents.new_folder import new_folder
    from agents.versions import versions
    from envs.atomic import write_text_atomic

    made_by, settings = versions(), OmegaConf.to_yaml(OmegaConf.structured(config))
    body = [
        report.caption(report.provenance(made_by)),
        *parts,
        *(report.picture(svg, caption) for svg, caption in drawn.values()),
        report.folded("Runs", "\n".join(f"{row['policy']}: {', '.join(row['runs'])}" for row in data["policies"])),
        report.folded("Settings", settings),
        report.folded("Command", shlex.join(cast(list[str], made_by["command"]))),
    ]
    texts = {
        "benchmark.json": json.dumps(plain({**data, "versions": made_by}), indent=2, allow_nan=False) + "\n",
        **files,
        "config.yaml": settings,
        **{f"{plot}.svg": svg for plot, (svg, _) in drawn.items()},
        "report.html": report.page(data["title"], body),
    }
    try:
        with new_folder(root, name) as made:
            for file, text in texts.items():
                write_text_atomic(made.path / file, text)
        return made.path
    except OSError as error:
        raise UserError(f"run_root is {root}, where no folder can be made: {one_line(str(error))}") from error
