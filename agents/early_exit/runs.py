"""Run folders of early exit, and the settings to play their policies with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from agents.dqn import MaskableDQN
from agents.early_exit.learned import LearnedExitPolicy
from agents.entries import grouped
from agents.learned import load_model
from agents.run_folder import RunFolder
from conf.fields import shown
from conf.messages import UserError
from conf.schema import EarlyExitConfig, exit_scenario

OF_SCENARIO = ("budget", "budgets", "send", "late", "order", "attack_shares", "bandwidths", "loads")
"""Keys that a scenario brings; a run's own say nothing about another scenario."""
SEEN = ("windows", "actions", "work", "budget_of", "memory", "label_delay", "include_latent", "remote_from")
"""Keys that change what actions and observations mean: a policy is played with those of its training alone."""


def policy_of_run(folder: RunFolder, model: MaskableDQN, name: str) -> LearnedExitPolicy:
    """The greedy policy of a run folder's ``model``."""
    return LearnedExitPolicy(name, model.q_net)


def settings_of(folder: RunFolder) -> EarlyExitConfig:
    """The environment of a run of early exit."""
    return cast(EarlyExitConfig, folder.config.env)


def check_played(folders: Sequence[RunFolder], env: EarlyExitConfig) -> None:
    """Raise ``UserError`` for a run whose policy would not understand what it sees in ``env``."""
    for folder in folders:
        own = settings_of(folder)
        for name in SEEN:
            value, trained = getattr(env, name), getattr(own, name)
            if value != trained:
                raise UserError(
                    f"env.{name} is {shown(value)}, but run {folder.path} was trained with {shown(trained)}, expected the same"
                )


def named_policies(folders: Sequence[RunFolder]) -> list[LearnedExitPolicy]:
    """The policies of runs: those that differ in nothing but the seed are told apart by it, others by their folders."""
    names = {}
    for shown_as, group in grouped(folders):
        for folder in group:
            by_seed = len({one.config.seed for one in group}) == len(group) > 1
            own = f"{shown_as}, seed {folder.config.seed}"
            names[folder.path] = own if by_seed else f"{folder.config.agent.name} ({folder.path.name})"
    return [policy_of_run(one, load_model(one.best_model), names[one.path]) for one in folders]


def asked_for(
    scenario: str | None, budgets: Sequence[float | None], trained: EarlyExitConfig | None
) -> EarlyExitConfig:
    """The environment that a command asks for: that of the run, changed where scenario or budgets are given."""
    own = EarlyExitConfig() if trained is None else trained
    name = None if scenario is None else exit_scenario(scenario) or scenario
    if name is not None and name != own.scenario:
        plain = EarlyExitConfig()
        own = replace(own, scenario=name, **{key: getattr(plain, key) for key in OF_SCENARIO})
    given = [share for share in budgets if share is not None]
    return replace(own, budgets=given) if given else own
