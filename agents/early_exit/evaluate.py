"""``python -m agents.evaluate`` for early exit: runs and baselines on the same held-out episodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.asked import hand_over
from agents.early_exit.runs import asked_for, check_played, named_policies, settings_of
from agents.early_exit.world import score_all
from agents.entries import distinct_names
from agents.run_folder import RunFolder
from conf.schema import EvaluateConfig, check_baselines

EPISODES = 64
"""Held-out episodes, where nothing else is said."""


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Score by ``config``, print the table, write ``out``."""
    folders = [RunFolder.open(path) for path in config.run]
    world = asked_for(config.scenario, config.budgets, settings_of(folders[0]) if folders else None)
    check_baselines(config.baselines, world)
    check_played(folders, world)
    policies = named_policies(folders)
    distinct_names([policy.name for policy in policies] + config.baselines)
    count = EPISODES if config.instances is None else config.instances
    scores = score_all(policies, config.baselines, world, count, config.seed)
    rows = [
        {
            "budget": None if one.budget == np.inf else one.budget,
            "policy": played.name,
            "cost": played.cost_per_row,
            "errors": played.errors,
            "rejected": played.rejected,
            "sent": played.sent,
            "missed": played.violated,
        }
        for one in scores.comparisons
        for played in one.played
    ]
    return hand_over(config, scores, episodes=rows)
