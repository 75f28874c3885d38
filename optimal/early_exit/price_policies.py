"""Prices on budget and acceptance, moved by what was used and accepted: a primal-dual rule that knows training means alone.

After Balseiro, Lu and Mirrokni, The best of many worlds: dual mirror descent for online allocation problems, 2023.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from envs.early_exit.state import ACCEPTED, LEFT
from optimal.early_exit.episodes import Floats
from optimal.early_exit.fixed_policies import Mixture
from optimal.early_exit.limits import remaining
from optimal.early_exit.playing import HEURISTIC, Choose, Game, Ints, play

STEPS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Steps among which the tuning chooses, for the budget and for the acceptance."""


@dataclass(frozen=True, eq=False)
class AdaptivePrice:
    """The action of least mean cost + ``use_price`` * use - ``accept_price`` * accepted, by context.

    Prices begin at those of the plan for the training means. After each window the price of the budget goes up where the window
    used more than an equal part of what was left, and down where less; likewise acceptance. A step of 1 changes a price by
    its scale where a window uses all its rows more (or accepts none of them).
    """

    prior: Mixture
    use_step: float = 0.3
    accept_step: float = 0.3
    name: str = "adaptive-price"
    kind: str = HEURISTIC

    def tuned(self, game: Game) -> AdaptivePrice:
        """With the steps of the best mean return on the training episodes, at the limits of a game."""
        training = Game(self.prior.training, game.budget, game.least)
        options = [replace(self, use_step=u, accept_step=a) for u, a in itertools.product(STEPS, STEPS)]
        return options[int(np.argmax([play(one, training).returns.mean() for one in options]))]

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        cost, use, accepted, _ = self.prior.means
        plan = self.prior.plan(game)
        rows, count = float(game.world.generator.rows), len(game.episodes)
        unit = rows * max(game.world.dynamics.most_use, 1e-300)
        scale = float(np.ptp(cost))  # of a price that decides alone, per window
        use_price, accept_price = np.full(count, plan.use_price * unit), np.full(count, plan.accept_price * rows)
        before: list[tuple[Floats, Floats, Floats, Floats]] = []  # what was left and accepted, and the fair parts

        def choose(t: int, state: Floats) -> Ints:
            nonlocal use_price, accept_price
            todo = game.episodes.windows - t
            if before:
                left, done, fair_use, fair_accept = before.pop()
                if game.limit < np.inf:
                    moved = (left - state[:, LEFT] - fair_use) / unit
                    use_price = np.maximum(0.0, use_price + self.use_step * scale * moved)
                moved = (fair_accept - (state[:, ACCEPTED] - done)) / rows
                accept_price = np.clip(
                    accept_price + self.accept_step * scale * moved,
                    0.0,
                    max(game.price * rows, plan.accept_price * rows),
                )
            room, needed = remaining(game, state, t, self.prior.margin)
            before.append((state[:, LEFT].copy(), state[:, ACCEPTED].copy(), room / todo, needed / todo))
            own = self.prior.contexts.of(game.episodes, t)
            priced = cost[own] + use_price[:, None] * use[own] / unit - accept_price[:, None] * accepted[own] / rows
            return self.prior.guard.replace(priced.argmin(axis=1), priced, state)

        return choose


@dataclass(frozen=True, eq=False)
class TunedAdaptivePrice:
    """``AdaptivePrice`` with the steps that are best on the training episodes at the limits of the game."""

    prior: Mixture
    name: str = "adaptive-price"
    kind: str = HEURISTIC

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        return AdaptivePrice(self.prior).tuned(game).start(game)
