"""Run folders of token-bucket offloading, and the settings to play their policies with."""

from __future__ import annotations

from dataclasses import replace

from agents.dqn import MaskableDQN
from agents.env_arguments import env_arguments
from agents.run_folder import RunFolder
from agents.token_bucket.learned import LearnedBucketPolicy
from agents.token_bucket.world import learned_policy
from conf.messages import UserError
from conf.schema import EvaluateConfig, RolloutConfig, TokenBucketConfig
from conf.token_bucket_schema import TimelineConfig
from envs.token_bucket.build import World, make_world
from envs.token_bucket.presets import PRESETS


def policy_of_run(folder: RunFolder, model: MaskableDQN, name: str) -> LearnedBucketPolicy:
    """The greedy policy of a run folder's ``model``."""
    return learned_policy(model, folder.config, frames_of_config(settings_of(folder)), name)


def settings_of(folder: RunFolder) -> TokenBucketConfig:
    """The environment of a run. Raises ``UserError`` for a run of another environment."""
    env = folder.config.env
    if not isinstance(env, TokenBucketConfig):
        raise UserError(f"run {folder.path} is of {env.id}, expected one of offramp/TokenBucket-v0")
    return env


def frames_of_config(config: TokenBucketConfig) -> World:
    """Traces, buckets and pure functions by a config."""
    arguments = env_arguments(config)
    return make_world(arguments.pop("scenario"), **arguments)


def asked_for(
    config: EvaluateConfig | RolloutConfig | TimelineConfig, trained: TokenBucketConfig | None
) -> TokenBucketConfig:
    """The environment that a command asks for: that of the run, changed where its keys are given.

    A preset that is named brings its bucket; another scenario or a file is played with that of the run.
    """
    own = TokenBucketConfig() if trained is None else trained
    source = config.instance or config.scenario
    if source is not None and (source != own.scenario or source in PRESETS):
        own = replace(own, rate=None, depth=None, rates=[], depths=[]) if source in PRESETS else own.settled()
        # a run's own changes of its scenario say nothing about another one; a loss is asked for nowhere else
        plain = TokenBucketConfig()
        names = ("distribution", "spread", "reset", "arrivals", "gaps", "leave", "mean_gap")
        own = replace(own, scenario=source, **{name: getattr(plain, name) for name in names})
        own.weak_loss = own.weak_loss if source.endswith(".csv") else None
    if config.rate is not None:
        own = replace(own, rate=config.rate, rates=[])
    if config.depth is not None:
        own = replace(own, depth=config.depth, depths=[])
    return own
