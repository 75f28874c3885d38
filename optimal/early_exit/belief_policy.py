"""A causal reference: a belief over months and shares of attacks from what certainties look like, and prices for the rest.

Nothing but observations is used. Bayes' rule over the training months (Rabiner, 1989, forward algorithm) says which tables to
expect, now and in the windows to come; a linear program over those says what a unit of the budget and an accepted row are
worth. Months that come may be unlike all of training: the likelihood of a look is tempered (Grünwald, 2012), and prices are
found anew from what is really left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimal.early_exit.episodes import Episodes, Floats
from optimal.early_exit.limits import DEFAULT_MARGIN, Guard, Margin, remaining
from optimal.early_exit.month_tables import MonthTables
from optimal.early_exit.planning import Diffusion, Plan, plan
from optimal.early_exit.playing import HEURISTIC, Choose, Game, Ints


@dataclass(frozen=True, eq=False)
class BeliefPrice:
    """Plans over all contexts of training by their expected number of windows; takes actions as often as the plan believes.

    ``temper``: power of the likelihood. ``every``: windows between plans.
    """

    training: Episodes
    temper: float = 0.1
    every: int = 2
    margin: Margin = DEFAULT_MARGIN
    name: str = "belief-price"
    kind: str = HEURISTIC

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        model = MonthTables(self.training.world)
        hidden, link = model.moves
        episodes, contexts = game.episodes, (len(hidden), len(link))
        cost, use, accepted = (one.reshape(*contexts, -1) for one in model.goods)
        logs = np.log(model.looks.reshape(len(hidden), -1))
        sums = [_sums(one, episodes.windows) for one in (hidden, link)]
        belief = np.full((len(episodes), len(hidden)), 1.0 / len(hidden))
        diffusion, guard = Diffusion(len(episodes), episodes.actions), Guard.of(self.training)
        plans: list[Plan] = []

        def choose(t: int, state: Floats) -> Ints:
            nonlocal belief, plans
            if t > 0:
                look = episodes.seen("shape", t)[:, :-1] * episodes.world.generator.rows
                belief = _normal(np.log(belief) + self.temper * look @ logs.T) @ hidden
            seen = episodes.seen("link", t)
            here = ((seen[:, None] - model.links[None]) ** 2).sum(axis=2).argmin(axis=1)
            if t % self.every == 0:
                left, needed = remaining(game, state, t, self.margin)
                todo = episodes.windows - t
                # month and link move alone, so their windows multiply, but for the few first ones
                ahead = belief @ sums[0][todo - 1]
                links = sums[1][todo - 1][here] / todo
                weight = ahead[:, :, None] * links[:, None, :]
                flat = (
                    cost.reshape(-1, cost.shape[2]),
                    use.reshape(-1, cost.shape[2]),
                    accepted.reshape(-1, cost.shape[2]),
                )
                plans = [plan(*flat, weight[s].ravel(), left[s], needed[s], game.price) for s in range(len(episodes))]
            share = np.stack([one.share.reshape(*contexts, -1)[:, k] for one, k in zip(plans, here, strict=True)])
            chosen = diffusion.choose(np.einsum("sm,sma->sa", belief, share))
            use_price = np.array([[[one.use_price]] for one in plans])
            accept_price = np.array([[[one.accept_price]] for one in plans])
            values = cost[:, here] + 0.0
            priced = np.swapaxes(values, 0, 1) + use_price * np.swapaxes(use[:, here], 0, 1)
            priced = priced - accept_price * np.swapaxes(accepted[:, here], 0, 1)
            return guard.replace(chosen, np.einsum("sm,sma->sa", belief, priced), state)

        return choose


def _sums(move: Floats, most: int) -> list[Floats]:
    """Expected visits ``(states, states)`` in the 1, 2, ..., ``most`` windows from one on."""
    power, total, found = np.eye(len(move)), np.zeros_like(move), []
    for _ in range(most):
        total = total + power
        power = power @ move
        found.append(total)
    return found


def _normal(logs: Floats) -> Floats:
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(np.maximum(weights / weights.sum(axis=1, keepdims=True), 1e-12))
