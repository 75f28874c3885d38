"""``python -m agents.evaluate`` for token-bucket offloading: runs and baselines on the same held-out streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agents.asked import hand_over
from agents.entries import distinct_names
from agents.learned import load_model
from agents.run_folder import RunFolder
from agents.token_bucket.runs import asked_for, frames_of_config, policy_of_run, settings_of
from agents.token_bucket.world import score_all, title_of
from conf.schema import EvaluateConfig, check_baselines
from envs.token_bucket.streams import Streams

STREAMS = 64
"""Held-out streams, where nothing else is said."""


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Score by ``config``, print the table, write ``out``."""
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
    rows = [
        {"policy": o.policy, "loss": o.loss, "loss_realised": o.realised, "offload_rate": o.sends}
        for o in scores.outcomes
    ]
    return hand_over(config, scores, streams=rows)
