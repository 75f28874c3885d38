"""Policies that choose anew in each window by labels of windows before: what would have been best, had it been done then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimal.early_exit.episodes import Floats
from optimal.early_exit.fixed_policies import Mixture
from optimal.early_exit.limits import DEFAULT_MARGIN, Margin, remaining
from optimal.early_exit.planning import Diffusion, plan
from optimal.early_exit.playing import PAST_LABELS, Choose, Game, Ints


@dataclass(frozen=True, eq=False)
class Retuned:
    """Each window plans the rest of the episode as if every window were the mean of those before, which weigh less with age.

    ``prior``: the training means, before the first window. ``memory``: weight of the latest window; 1: it alone (lag 1).
    """

    prior: Mixture
    memory: float = 1.0
    margin: Margin = DEFAULT_MARGIN
    name: str = "lag-1"
    kind: str = PAST_LABELS

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        episodes, actions = game.episodes, game.episodes.actions
        goods = [one[..., :actions] for one in (episodes.tables.cost, episodes.tables.use, episodes.tables.accepted)]
        means = [np.repeat(one.mean(axis=0)[None], len(episodes), axis=0) for one in self.prior.means[:3]]
        diffusion, guard = Diffusion(len(episodes), actions), self.prior.guard

        def choose(t: int, state: Floats) -> Ints:
            if t > 0:
                for mean, values in zip(means, goods, strict=True):
                    mean += self.memory * (values[:, t - 1] - mean)
            left, needed = remaining(game, state, t, self.margin)
            weight = np.array([float(episodes.windows - t)])
            cost, use, accepted = means
            plans = [
                plan(cost[s][None], use[s][None], accepted[s][None], weight, left[s], needed[s], game.price)
                for s in range(len(episodes))
            ]
            chosen = diffusion.choose(np.concatenate([one.share for one in plans]))
            use_price, accept_price = (
                np.array([[p.use_price] for p in plans]),
                np.array([[p.accept_price] for p in plans]),
            )
            return guard.replace(chosen, cost + use_price * use - accept_price * accepted, state)

        return choose
