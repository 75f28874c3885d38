"""What training asks of an environment: how to make it, how to judge a policy in it, how to score the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from conf.schema import EarlyExitConfig, EnvConfig, TokenBucketConfig, TrainConfig

if TYPE_CHECKING:
    from rich.table import Table

    from agents.dqn import MaskableDQN
    from agents.run_folder import RunFolder

Score = tuple[float, ...]
"""How good a policy is on held-out data; compared entry by entry, lower is better."""


class Scores(Protocol):
    """The result of an evaluation: a table for people, plain data for files."""

    folder: Path | None

    def table(self) -> Table:
        """A rich table."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``summary.json`` and ``format=json``."""


class Judge(Protocol):
    """Says how training goes."""

    columns: Mapping[str, str]
    """Every column of metrics.csv with its meaning."""

    def episode(self, info: Mapping[str, Any]) -> tuple[float, ...]:
        """The numbers of an episode of training that count, from its last info (SB3's, with ``episode``)."""

    def of_training(self, episodes: Sequence[tuple[float, ...]]) -> dict[str, float]:
        """The columns about the episodes since the last row, nan where there are none."""

    def status(self, episodes: Sequence[tuple[float, ...]]) -> str:
        """The latest episodes in a few words, for the progress bar."""

    def of_policy(self, model: MaskableDQN | None) -> tuple[dict[str, float], Score]:
        """The columns about the greedy policy on held-out data, and its score; None: the columns alone, nan each."""

    def prefers(self, score: Score, best: Score) -> bool:
        """Whether a model with this score takes the place of the one that is kept; ``best``: the best score before."""

    def of_best(self, score: Score) -> dict[str, float]:
        """The columns about the best score so far."""


class World(Protocol):
    """One kind of environment. Raises ``UserError`` for settings that do not fit together."""

    def policy(self, config: TrainConfig) -> tuple[Any, dict[str, Any]]:
        """Policy class (or name) of an agent and its keyword arguments."""

    def replay(self, config: TrainConfig, env: Any) -> dict[str, Any]:
        """Keyword arguments of ``MaskableDQN`` about replay."""

    def judge(self, config: TrainConfig, env: Any) -> Judge:
        """The judge of a training."""

    def score(self, config: TrainConfig, env: Any, folder: RunFolder) -> Scores:
        """The best model of a run folder next to the baselines."""


def world_of(env: EnvConfig) -> World:
    """The world of an environment's config."""
    if isinstance(env, TokenBucketConfig):
        from agents.token_bucket.world import TokenBucketWorld

        return TokenBucketWorld()
    if isinstance(env, EarlyExitConfig):
        from agents.early_exit.world import EarlyExitWorld

        return EarlyExitWorld()
    from agents.placement_world import PlacementWorld

    return PlacementWorld()
