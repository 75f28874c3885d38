"""Keeping to budget and acceptance: what policies hold back, what is left for the rest, and what still fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.state import ACCEPTED, LEFT
from optimal.early_exit.episodes import Episodes, Floats
from optimal.early_exit.playing import Game, Ints

LAST_MARGIN = 0.3
"""Part of the margin of acceptance that is kept to the end."""


@dataclass(frozen=True)
class Margin:
    """What is kept back when a policy prepares itself: a share of the budget, and more acceptance than must be."""

    budget: float = 0.02  # of the budget
    accepted: float = 0.002  # added to the share that is aimed at

    def game(self, episodes: Episodes, game: Game) -> Game:
        """Other episodes with the limits of a game, less the margins."""
        least = min(1.0, game.least + self.accepted) if game.least > 0 else 0.0
        return Game(episodes, game.budget * (1.0 - self.budget), least)


DEFAULT_MARGIN = Margin()


def remaining(game: Game, state: Floats, window: int, margin: Margin) -> tuple[Floats, Floats]:
    """Budget that is left and rows still to be accepted ``(S,)``; the margins shrink with the windows that are left."""
    rows, todo = game.world.generator.rows, 1.0 - window / game.episodes.windows
    kept = margin.budget * game.limit * todo if game.limit < np.inf else 0.0
    least = min(1.0, game.aim + margin.accepted * max(todo, LAST_MARGIN)) if game.aim > 0 else 0.0
    return np.maximum(state[:, LEFT] - kept, 0.0), least * game.episodes.windows * rows - state[:, ACCEPTED]


@dataclass(frozen=True, eq=False)
class Guard:
    """Keeps from actions that might not fit into what is left, or the last windows reject what they meant to send."""

    most: Floats  # (A,) what a window of each action uses, but for few

    @classmethod
    def of(cls, training: Episodes, share: float = 0.98) -> Guard:
        """Of the use that a ``share`` of the windows of training episodes stay within."""
        use = training.tables.use[:, :, : training.actions]
        return cls(np.quantile(use.reshape(-1, use.shape[2]), share, axis=0))

    def fits(self, state: Floats) -> NDArray[np.bool_]:
        """Actions that fit ``(S, A)``, those that use nothing in any case."""
        return (self.most[None] <= state[:, LEFT][:, None]) | (self.most[None] <= 0.0)

    def replace(self, chosen: Ints, priced: Floats, state: Floats) -> Ints:
        """The same actions ``(S,)`` where they fit, else those of least ``priced`` ``(S, A)`` that do."""
        fits = self.fits(state)
        second = np.where(fits, priced, np.inf).argmin(axis=1)
        return np.where(fits[np.arange(len(chosen)), chosen] | ~fits.any(axis=1), chosen, second)
