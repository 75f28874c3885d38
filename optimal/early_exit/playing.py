"""Policies on episodes: how one decides, how it is played through the physics, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.build import World
from envs.early_exit.dynamics import (
    CONSTRAINT,
    CONSTRAINTS,
    N_REPORT,
    P_SHORTFALL,
    R_FN,
    R_FP,
    R_OVER,
    R_REJECTED,
    R_SENT,
    R_USED,
)
from envs.early_exit.state import BUDGET, LEAST, LEFT
from optimal.early_exit.episodes import Episodes, Floats

Ints = NDArray[np.int64]
HEURISTIC, PAST_LABELS, FUTURE, OUTSIDE = (
    "heuristic",
    "knows past labels",
    "knows the future",
    "outside the action space",
)
"""Kinds of policies: what they know beyond the observation, or do beyond the actions."""
ROUNDING = 1e-9
"""Relative: a share accepted that is less than the least one by rounding alone is no violation."""


@dataclass(frozen=True, eq=False)
class Game:
    """Episodes to be played within a budget: what a policy may prepare itself on, as far as its kind allows."""

    episodes: Episodes
    budget: float  # share of what sending every row would use; inf: no limit
    least: float  # share of the rows that must be accepted

    @classmethod
    def of(cls, episodes: Episodes, budget: float | None = None, least: float | None = None) -> Game:
        """The game of a world's own budget and least acceptance, unless given. Raises ``ValueError`` out of range."""
        world = episodes.world
        chosen = world.budgets[0] if budget is None else float(budget)
        asked = world.least_acceptance if least is None else float(least)
        if not chosen >= 0:
            raise ValueError(f"budget is {chosen}, expected a share >= 0")
        if not 0 <= asked <= 1:
            raise ValueError(f"least acceptance is {asked}, expected a number in 0..1")
        return cls(episodes, chosen, asked)

    @property
    def world(self) -> World:
        """The world of the episodes."""
        return self.episodes.world

    @property
    def aim(self) -> float:
        """Share of the rows whose lack is charged: the least acceptance and the margin of the world, at most 1."""
        return min(1.0, self.least + self.world.margin)

    @property
    def first(self) -> Floats:
        """Endogenous states before the first decision ``(S, N_STATE)``."""
        state = self.world.first_state(self.budget, self.episodes.windows)
        state[LEAST] = self.aim
        return np.repeat(state[None], len(self.episodes), axis=0)

    @property
    def limit(self) -> float:
        """The budget in its own unit: rows or joules; inf: no limit."""
        return float(self.first[0, BUDGET])

    @property
    def needed(self) -> float:
        """Rows of an episode below which each that lacks is charged."""
        return self.aim * self.episodes.windows * self.world.generator.rows

    @property
    def price(self) -> float:
        """What each row adds to the cost of an episode that lacks to the least acceptance; 0 where nothing is charged."""
        numbers = self.world.dynamics.numbers
        if CONSTRAINTS[int(numbers[CONSTRAINT])] == "none":
            return 0.0
        return float(numbers[P_SHORTFALL]) / self.world.generator.rows


Choose = Callable[[int, Floats], Ints]
"""From the window and the states before it ``(S, N_STATE)`` to the actions ``(S,)``; called once a window, in their order."""


class Policy(Protocol):
    """Decides episodes."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def kind(self) -> str:
        """``HEURISTIC`` (knows what is observed), ``PAST_LABELS``, ``FUTURE``."""

    def start(self, game: Game) -> Choose:
        """Prepare for episodes, all of which are decided side by side."""


@dataclass(frozen=True, eq=False)
class Played:
    """What a policy did in S episodes of T windows."""

    name: str
    kind: str
    actions: Ints  # (S, T) chosen; where the budget did not reach, the fallback was played
    returns: Floats  # (S,) sums of rewards, the charge for acceptance included
    totals: Floats  # (S, N_REPORT) sums of the reports of ``dynamics``
    limit: float  # the budget; inf: none
    least: float  # share of the rows that must be accepted
    rows: int  # of an episode
    seconds: float = 0.0  # to prepare and decide, all episodes

    def __len__(self) -> int:
        return len(self.returns)

    @property
    def cost_per_row(self) -> Floats:
        """Minus the mean reward of a window ``(S,)``: cost of a row, the charge for acceptance included."""
        return np.asarray(-self.returns / self.actions.shape[1])

    @property
    def errors(self) -> Floats:
        """Wrong answers, share of all rows ``(S,)``."""
        return (self.totals[:, R_FP] + self.totals[:, R_FN]) / self.rows

    @property
    def rejected(self) -> Floats:
        """Share of the rows without an answer ``(S,)``."""
        return self.totals[:, R_REJECTED] / self.rows

    @property
    def accepted(self) -> Floats:
        """Share of the rows with an answer ``(S,)``."""
        return 1.0 - self.rejected

    @property
    def sent(self) -> Floats:
        """Share of the rows that crossed the link ``(S,)``."""
        return self.totals[:, R_SENT] / self.rows

    @property
    def used(self) -> Floats:
        """Share of the budget that was used ``(S,)``; 0 where there is no limit or no budget."""
        if not 0 < self.limit < np.inf:
            return np.zeros(len(self))
        return self.totals[:, R_USED] / self.limit

    @property
    def over(self) -> Floats:
        """Windows whose action did not fit into what was left ``(S,)``."""
        return np.asarray(self.totals[:, R_OVER])

    @property
    def violated(self) -> NDArray[np.bool_]:
        """Whether less was accepted than must be ``(S,)``."""
        return (self.rows - self.totals[:, R_REJECTED]) < self.least * self.rows * (1.0 - ROUNDING)


def play(policy: Policy, game: Game) -> Played:
    """Play a policy, all episodes side by side, through ``Dynamics.outcomes``.

    Raises ``RuntimeError`` for an action that does not exist or a budget that was exceeded.
    """
    started = time.perf_counter()
    episodes, state = game.episodes, game.first
    count, windows = len(episodes), episodes.windows
    chosen = np.empty((count, windows), np.int64)
    returns, totals = np.zeros(count), np.zeros((count, N_REPORT))
    choose = policy.start(game)
    for t in range(windows):
        actions = np.asarray(choose(t, state), np.int64)
        if actions.shape != (count,) or actions.min() < 0 or actions.max() >= episodes.actions:
            raise RuntimeError(f"policy {policy.name} chose what does not exist in window {t}: {actions!r}")
        state, rewards, reports = game.world.dynamics.outcomes(
            state, np.ascontiguousarray(episodes.frames[:, t]), actions
        )
        chosen[:, t] = actions
        returns += rewards
        totals += reports
    if (state[:, LEFT] < 0).any():
        raise RuntimeError(f"policy {policy.name} used more than the budget")
    rows = windows * game.world.generator.rows
    return Played(
        policy.name,
        policy.kind,
        chosen,
        returns,
        totals,
        game.limit,
        game.least,
        rows,
        time.perf_counter() - started,
    )


@dataclass(frozen=True, eq=False)
class Script:
    """Actions that were chosen beforehand, ``(S, T)`` or one for all ``()``."""

    actions: Ints
    name: str = "script"
    kind: str = HEURISTIC

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        every = np.broadcast_to(self.actions, (len(game.episodes), game.episodes.windows))
        return lambda t, state: every[:, t]
