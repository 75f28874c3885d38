"""Names and numbers that the keys of several commands share; see ``conf.schema``, which brings them all together."""

from __future__ import annotations

from conf.early_exit_schema import EXIT_BASELINES, EarlyExitConfig
from conf.env_schema import BASELINES, TOKEN_BASELINES, EnvConfig, TokenBucketConfig

FORMATS = ("text", "json")
ALL_BASELINES = tuple(dict.fromkeys(BASELINES + TOKEN_BASELINES + EXIT_BASELINES))
"""Names of any environment; which of them fit is checked together with the environment."""
MOST_SEED = 2**31 - 1
"""Largest seed: numpy, torch and Gymnasium all take it, and so do the seeds counted up from it by SB3."""


def check_baselines(names: list[str], env: EnvConfig) -> None:
    """Raise ValueError for a policy that does not know the environment."""
    known: tuple[str, ...] = BASELINES
    if isinstance(env, TokenBucketConfig | EarlyExitConfig):
        known = TOKEN_BASELINES if isinstance(env, TokenBucketConfig) else EXIT_BASELINES
    for name in names:
        if name not in known:
            raise ValueError(f"baselines has the entry {name}, expected out of {', '.join(known)} for {env.id}")


def check_folder_name(name: str | None) -> None:
    """Raise ValueError for the name of a run folder that is no name of a folder; None has one made."""
    if name is not None and ("/" in name or name.startswith(".")):
        raise ValueError(f"name is {name}, expected a name without / that does not begin with a point")
