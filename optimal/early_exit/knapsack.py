"""One episode with all known: what every action and fallback would cost, use and accept in every window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.build import World
from optimal.early_exit.episodes import Floats, WindowTables
from optimal.early_exit.playing import Game, Ints

SLACK = 1e-9
"""Relative: what is taken off a budget whose uses are not whole numbers, so that rounding of sums cannot break it."""


@dataclass(frozen=True, eq=False)
class Knapsack:
    """One episode with all known, in units of the budget. Columns A' are actions first, then fallbacks."""

    cost: Floats  # (T, A')
    use: Floats  # (T, A')
    accepted: Floats  # (T, A')
    budget: float  # inf: no limit
    needed: float  # rows to be accepted
    price: float  # of each that lacks
    actions: int  # A
    rows: int  # of a window
    fallback: Ints  # (A',)

    @classmethod
    def of(cls, game: Game, episode: int) -> Knapsack:
        """The knapsack of one episode of a game."""
        tables: WindowTables = game.episodes.tables
        one = WindowTables(tables.reports[episode], tables.rows)
        world: World = game.world
        unit = world.dynamics.most_use or 1.0
        use = one.use / unit
        whole = bool((np.abs(use - np.round(use)) < 1e-6).all())
        budget = game.limit / unit
        if whole:
            use = np.round(use)
            budget = float(np.floor(budget + 1e-9)) if unit == 1.0 and budget < np.inf else budget
        if unit != 1.0:
            budget *= 1.0 - SLACK
        rows = world.generator.rows
        fallback: Ints = world.dynamics.physics[2]
        return cls(one.cost, use, one.accepted, budget, game.needed, game.price, game.episodes.actions, rows, fallback)

    @property
    def whole(self) -> bool:
        """Whether all uses are whole numbers."""
        return bool((self.use == np.round(self.use)).all())

    @property
    def able(self) -> NDArray[np.bool_]:
        """Columns that may come to be played ``(A',)``: all, but without a limit no fallback."""
        return np.arange(self.cost.shape[1]) < (np.inf if self.budget < np.inf else self.actions)

    def kept(self) -> NDArray[np.bool_]:
        """Columns ``(T, A')`` that no other of their window beats or equals in cost, use and accepted rows at once.

        Without them the optimum is the same, for as long as any column may be chosen at any time.
        """
        windows, columns = self.cost.shape
        kept, able = np.ones((windows, columns), np.bool_), self.able
        for t in range(windows):
            goods = np.stack([self.cost[t], self.use[t], -self.accepted[t]])
            no_worse = (goods[:, :, None] <= goods[:, None, :]).all(axis=0)  # [i, j]: i no worse than j
            equal = no_worse & no_worse.T
            first = np.arange(columns)[:, None] < np.arange(columns)[None, :]
            kept[t] = ~(no_worse & (~equal | first) & able[:, None]).any(axis=0)
        return kept & able

    def objective(self, columns: Ints) -> float:
        """Cost of columns ``(T,)``, with the charge for acceptance."""
        at = (np.arange(len(columns)), columns)
        return float(self.cost[at].sum() + self.price * max(0.0, self.needed - self.accepted[at].sum()))

    def actions_of(self, columns: Ints) -> Ints:
        """Actions ``(T,)`` that play columns: for a fallback that of its actions which would use most."""
        actions = columns.copy()
        for t in np.flatnonzero(columns >= self.actions):
            own = np.flatnonzero(self.fallback[: self.actions] == columns[t])
            actions[t] = own[np.argmax(self.use[t, own])]
        return actions

    def playable(self, columns: Ints) -> bool:
        """Whether ``actions_of`` would be played as just these columns."""
        left = self.budget
        for t, (column, action) in enumerate(zip(columns, self.actions_of(columns), strict=True)):
            fits = self.use[t, action] <= left
            if (action == column) != fits:
                return False
            left -= self.use[t, column]
        return True
