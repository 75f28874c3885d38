"""``python -m agents.evaluate`` for token-bucket offloading: runs and baselines on the same held-out streams."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from agents.entries import distinct_names
from agents.learned import load_model
from agents.output import plain
from agents.run_folder import RunFolder
from agents.token_bucket.runs import asked_for, frames_of_config, policy_of_run, settings_of
from agents.token_bucket.world import score_all, title_of
from conf.messages import UserError
from conf.schema import EvaluateConfig, check_baselines
from envs.atomic import write_text_atomic
from envs.token_bucket.streams import Streams

STREAMS = 64
"""Held-out streams, where nothing else is said."""


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Score by ``config``, print the table, write ``out``."""
    from rich.console import Console

    for name in ("ssim", "privacy_scope", "churn"):
        if getattr(config, name) is not None:
            raise UserError(f"{name} is {getattr(config, name)}, which is for segment allocation, expected null")
    if config.samples > 1 or config.local_search or config.absent:
        raise UserError("samples, local_search and absent are for segment allocation, expected 1, false and 0")
    folders = [RunFolder.open(path) for path in config.run]
    settings = [settings_of(folder) for folder in folders]
    world = asked_for(config, settings[0] if settings else None)
    if config.length is not None:
        world = replace(world, evaluation_length=config.length)
    check_baselines(config.baselines, world)
    policies = [
        policy_of_run(folder, load_model(folder.best_model), f"{folder.config.agent.name} ({folder.path.name})")
        for folder in folders
    ]
    names = [policy.name for policy in policies] + config.baselines
    distinct_names(names)
    frames = frames_of_config(world)
    count = STREAMS if config.instances is None else config.instances
    streams = Streams.draw(frames.generator, count, world.evaluation_length, config.seed)
    scores = score_all(policies, config.baselines, frames, streams, title_of(world, streams))
    result = scores.to_dict()
    if config.out is not None:
        rows = [
            {"policy": o.policy, "loss": o.loss, "loss_realised": o.realised, "offload_rate": o.sends}
            for o in scores.outcomes
        ]
        write_text_atomic(config.out, json.dumps(plain({**result, "streams": rows}), allow_nan=False) + "\n")
    if config.format == "text":
        Console().print(scores.table())
    return result
