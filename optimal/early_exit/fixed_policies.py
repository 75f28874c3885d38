"""Policies that stay with what they chose: one action, or a mixture of actions, from training episodes or in hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import Thresholds
from optimal.early_exit.episodes import Episodes, Floats
from optimal.early_exit.limits import DEFAULT_MARGIN, Guard, Margin
from optimal.early_exit.planning import Diffusion, Plan, plan
from optimal.early_exit.playing import FUTURE, HEURISTIC, Choose, Game, Ints, Script, play


@dataclass(frozen=True, eq=False)
class Named:
    """One action of the menu in all windows, by number; names it ``name``."""

    name: str
    action: int
    kind: str = HEURISTIC

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        return Script(np.array(self.action)).start(game)


def all_edge(actions: Thresholds) -> Named:
    """Exit 1 answers all rows. Raises ``ValueError`` where no action of the menu does that."""
    return Named(
        "all-edge", _find(actions, np.asarray((actions.accept[:, 0] <= 0.0).all(axis=1)), "exit 1 accepts everything")
    )


def all_cloud(actions: Thresholds) -> Named:
    """Every row goes to the last exit, which answers it. Raises ``ValueError`` where no action of the menu does that."""
    before = ((actions.accept[:, :-1] > 1.0) & (actions.reject[:, :-1] <= 0.0)).all(axis=(1, 2))
    return Named(
        "all-cloud",
        _find(
            actions, np.asarray(before & (actions.accept[:, -1] <= 0.0).all(axis=1)), "the last exit accepts everything"
        ),
    )


def _find(actions: Thresholds, mask: NDArray[np.bool_], what: str) -> int:
    if not mask.any():
        raise ValueError(f"the menu has no action by which {what}")
    return int(np.flatnonzero(mask)[0])


def returns_of_actions(game: Game) -> Floats:
    """Returns of every action in all windows ``(S, A)``."""
    return np.stack([play(Script(np.array(a)), game).returns for a in range(game.episodes.actions)], axis=1)


@dataclass(frozen=True, eq=False)
class Static:
    """The action with the best mean return on training episodes, everything that is charged included.

    ``feasible``: of those alone that keep to budget and acceptance there, on average and with margins, if there are any; others
    may spend the budget early and reject what they cannot send from then on.
    """

    training: Episodes
    margin: Margin = DEFAULT_MARGIN
    feasible: bool = True
    name: str = "static"
    kind: str = HEURISTIC

    def action(self, game: Game) -> int:
        """The action for the limits of a game."""
        less = self.margin.game(self.training, game)
        value = returns_of_actions(less).mean(axis=0)
        if self.feasible:
            tables = self.training.tables
            use, accepted = (one[:, :, : len(value)].mean(axis=(0, 1)) for one in (tables.use, tables.accepted))
            windows = self.training.windows
            fits = (use * windows <= less.limit) & (accepted >= less.aim * less.world.generator.rows)
            value = np.where(fits, value, -np.inf) if fits.any() else value
        return int(np.argmax(value))

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        return Script(np.array(self.action(game))).start(game)


@dataclass(frozen=True)
class StaticHindsight:
    """The best single action of each episode, known beforehand."""

    name: str = "static-hindsight"
    kind: str = FUTURE

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        best = np.argmax(returns_of_actions(game), axis=1)
        return lambda t, state: best


class Contexts:
    """One context for all windows; what tells others apart overrides ``number`` and ``of``."""

    number = 1

    def of(self, episodes: Episodes, window: int) -> Ints:
        """The context of each episode ``(S,)`` in a window, from what is observed."""
        return np.zeros(len(episodes), np.int64)


@dataclass(frozen=True, eq=False)
class Mixture:
    """In each context the mixture of actions that is best on average over training episodes, within the limits less margins."""

    training: Episodes
    contexts: Contexts
    margin: Margin = DEFAULT_MARGIN
    name: str = "mixture"
    kind: str = HEURISTIC

    @cached_property
    def means(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Mean cost, use and accepted rows of a window by context and action ``(K, A)``; share of windows ``(K,)``."""
        tables, actions = self.training.tables, self.training.actions
        context = np.stack([self.contexts.of(self.training, t) for t in range(self.training.windows)], axis=1)
        weight = np.bincount(context.ravel(), minlength=self.contexts.number) / context.size
        goods = []
        for values in (tables.cost, tables.use, tables.accepted):
            whole = values[:, :, :actions].mean(axis=(0, 1))
            goods.append(
                np.stack(
                    [
                        values[:, :, :actions][context == k].mean(axis=0) if weight[k] > 0 else whole
                        for k in range(self.contexts.number)
                    ]
                )
            )
        return goods[0], goods[1], goods[2], weight

    @cached_property
    def guard(self) -> Guard:
        """What windows of the training episodes use."""
        return Guard.of(self.training)

    def plan(self, game: Game) -> Plan:
        """The shares of actions by context for the limits of a game, and their prices."""
        cost, use, accepted, weight = self.means
        less, windows = self.margin.game(self.training, game), game.episodes.windows
        needed = less.aim * windows * game.world.generator.rows
        return plan(cost, use, accepted, weight * windows, game.limit * (1.0 - self.margin.budget), needed, game.price)

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        share, episodes = self.plan(game).share, game.episodes
        diffusion = [Diffusion(len(episodes), episodes.actions) for _ in range(self.contexts.number)]

        def choose(t: int, state: Floats) -> Ints:
            context, actions = self.contexts.of(episodes, t), np.zeros(len(state), np.int64)
            for k, one in enumerate(diffusion):
                own = np.flatnonzero(context == k)
                actions[own] = one.choose(np.repeat(share[k][None], len(own), axis=0), own)
            return actions

        return choose
