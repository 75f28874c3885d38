"""A cache of results, which is no choice of thresholds: rows that look like one that was sent before are answered for nothing.

Flow records repeat: a row is known by the answers and certainties of exit 1, to all decimals. What the exits further on said of
the first row of a look that was sent is taken for every other of that look in the episode. A baseline outside the action space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.early_exit.build import World
from envs.early_exit.dynamics import S_CROSSES
from envs.early_exit.types import ExitTable
from optimal.early_exit.cache_kernel import play_rows
from optimal.early_exit.episodes import Episodes
from optimal.early_exit.limits import DEFAULT_MARGIN, Margin
from optimal.early_exit.outside import Outside, played_by_counts
from optimal.early_exit.playing import OUTSIDE, Game, Ints, Played


@dataclass(frozen=True, eq=False)
class Cache(Outside):
    """One action in all windows, with a cache of what was sent: the best one on training episodes, by the same return."""

    training: Episodes
    margin: Margin = DEFAULT_MARGIN
    name: str = "cache"
    kind: str = OUTSIDE

    def play(self, game: Game) -> Played:
        """See ``Outside``."""
        less = self.margin.game(self.training, game)
        actions = range(self.training.actions)
        best = int(np.argmax([play_cached(less, a).returns.mean() for a in actions]))
        return play_cached(game, best)


def play_cached(game: Game, action: int) -> Played:
    """Play one action with a cache in all windows. Raises ``ValueError`` as ``check_cache``."""
    world, episodes = game.world, game.episodes
    check_cache(world)
    part = world.generator.layout.slices["rows"]
    rows = np.ascontiguousarray(episodes.frames[:, :-1, part])
    counts = np.zeros((len(episodes), 5))
    point, points = looks(world)
    chosen = np.full(len(episodes), action, np.int64)
    fate, fallback = world.generator.months.fates, world.dynamics.physics[2]
    play_rows(rows, fate, fallback, point, np.empty(points, np.int64), game.limit, chosen, counts)
    return played_by_counts("cache", game, np.repeat(chosen[:, None], episodes.windows, axis=1), counts)


def check_cache(world: World) -> None:
    """Raise ``ValueError`` for a world in which nothing is known of what a cached row costs.

    That is where rows have other costs than errors, rejections and being sent, where joules are the budget, or where rows go
    on to exit 2 without being sent.
    """
    dynamics = world.dynamics
    if dynamics.prices.joule > 0 or dynamics.prices.late > 0 or dynamics.most_use != 1.0:
        raise ValueError("the cache counts rows alone, expected no price of joules or late rows and a budget of rows")
    if dynamics.stages[S_CROSSES, 1] == 0:
        raise ValueError(
            "the cache takes rows that go past exit 1 for sent, expected exit 2 to be the first one in the cloud"
        )


def looks(world: World) -> tuple[Ints, int]:
    """The look of every row of a world's months ``(rows,)``, by number, and how many there are."""
    whole = ExitTable.joined(list(world.generator.months.tables))
    values, point = np.unique(np.stack([whole.predicted[0], whole.certainty[0]]), axis=1, return_inverse=True)
    return point.reshape(-1).astype(np.int64), int(values.shape[1])
