"""Which environment ``agents.evaluate`` and ``agents.rollout`` are asked about, and what they hand over in the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.output import plain
from agents.run_folder import RunFolder
from agents.worlds import Scores
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, EnvConfig, EvaluateConfig, RolloutConfig, check_keys


def environment_of(config: EvaluateConfig | RolloutConfig, runs: Sequence[str | Path]) -> type[EnvConfig]:
    """The environment of scenario, file or runs; segment allocation where nothing says it.

    Raises ``UserError`` for a run of another environment, ``ValueError`` for a key of another one.
    """
    folders = [RunFolder.open(run) for run in runs]
    kind = config.environment or (type(folders[0].config.env) if folders else DistPrivacyConfig)
    for folder in folders:
        if type(folder.config.env) is not kind:
            raise UserError(f"run {folder.path} is of {folder.config.env.id}, expected one of {kind().id}")
    check_keys(config, kind)
    return kind


def hand_over(config: EvaluateConfig, scores: Scores, **details: Any) -> dict[str, Any]:
    """Write ``out`` with details of every instance, print the table, return the scores as data."""
    from rich.console import Console

    from envs.atomic import write_text_atomic

    result = scores.to_dict()
    if config.out is not None:
        write_text_atomic(config.out, json.dumps(plain({**result, **details}), allow_nan=False) + "\n")
    if config.format == "text":
        Console().print(scores.table())
    return result
