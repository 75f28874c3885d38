"""The world of a config, and the episodes that references learn from and that policies are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.env_arguments import env_arguments
from conf.schema import EarlyExitConfig
from envs.early_exit.build import World, check_months, make_world
from optimal.early_exit.episode_gaps import check_references
from optimal.early_exit.episodes import TEST_SEED, TUNING_SEED, Episodes

TUNING_EPISODES = 64
"""Episodes of the months of training that references learn from."""


def rows_of_config(env: EarlyExitConfig) -> World:
    """Tables, actions and pure functions by a config."""
    arguments = env_arguments(env)
    arguments.pop("id", None)
    return make_world(arguments.pop("scenario"), **arguments)


def tuning_episodes(env: EarlyExitConfig) -> Episodes:
    """What references learn from: episodes of the months of training."""
    return Episodes.draw(rows_of_config(env), TUNING_EPISODES, TUNING_SEED)


def held_out_episodes(env: EarlyExitConfig, count: int, seed: int = TEST_SEED) -> Episodes:
    """Held-out episodes of the test months."""
    _check_months(env)
    return Episodes.draw(rows_of_config(replace(env, months=env.test_months)), count, seed)


def check_playable(env: EarlyExitConfig, baselines: Sequence[str]) -> None:
    """Raise ``ValueError`` for months that are not there, and for a baseline that cannot be played on some of them."""
    _check_months(env)
    for months in (env.months, env.test_months):
        check_references(rows_of_config(replace(env, months=months)), baselines)


def _check_months(env: EarlyExitConfig) -> None:
    for name in ("months", "test_months"):
        check_months(getattr(env, name), env.tables or None, f"env.{name}")


def title_of(env: EarlyExitConfig, episodes: Episodes) -> str:
    """The title of a comparison on test episodes."""
    months = ", ".join(map(str, env.test_months)) or "all"
    tables = "given tables" if env.tables else "synthetic"
    size = f"{episodes.windows} x {episodes.world.generator.rows} rows"
    number = f"{len(episodes)} held-out episode{'s' * (len(episodes) > 1)}"
    return f"{env.scenario}, {tables}, months {months}: {number} of {size}"
