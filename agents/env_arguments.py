"""The arguments of the environment classes out of a config."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from conf.schema import EarlyExitConfig, EnvConfig, TokenBucketConfig


def env_arguments(config: EnvConfig) -> dict[str, Any]:
    """Keyword arguments of the environment classes from a config."""
    arguments = asdict(config)
    arguments.pop("id")
    if isinstance(config, TokenBucketConfig):
        arguments.pop("evaluation_length")  # of held-out streams, not of episodes
        for name in ("gaps", "leave"):
            arguments[name] = arguments[name] or None
    if isinstance(config, EarlyExitConfig):
        arguments.pop("test_months")  # of held-out episodes
        arguments["tables"] = arguments["tables"] or "synthetic"
        for name in ("attack_shares", "bandwidths", "loads"):
            arguments[name] = arguments[name] or None
    return arguments
