"""Q-values of early exit: what an action earns now, and what the budget and the acceptance that it leaves are worth.

With many windows left the best that the rest can earn is a linear program over mixtures of actions (its fluid limit). Its
value is the least of planes, one for each pair of prices of budget and acceptance: linear programming duality. The network
learns what each action earns, uses and accepts, and the planes follow. So what is left is priced consistently everywhere; a
free function of the state learns that only to the precision of its worst corner.
"""

from __future__ import annotations

from typing import Any, cast

import torch as th
from stable_baselines3.common.policies import BasePolicy
from torch import nn
from torch.nn import functional as F

from agents.masking import MaskedDQNPolicy

_EMBEDDING = 16
_BUDGET_PRICES = (
    0.0,
    0.005,
    0.01,
    0.018,
    0.03,
    0.045,
    0.065,
    0.09,
    0.12,
    0.16,
    0.22,
    0.3,
    0.42,
    0.6,
    0.85,
    1.2,
    1.8,
    3.0,
)
"""Cost that the last row of budget would save, on a grid; the least plane of neighbours is never far off."""
_ACCEPT_PRICES = (0.0, 0.06, 0.14, 0.25, 0.4, 0.6, 0.8, 1.0)
"""The same for a row that must be accepted, over the price of one that lacks."""
_MOMENTUM = 0.02
_REMEMBERED = 64
"""Windows of training that stand for those to come."""
_STEEP = 4.0
"""Learned logits count that many times: they have far to go at a small step size."""
_HEADS = 10.0
"""Weight of what an action earns and accepts against the error of Q."""


class ExitQNetwork(BasePolicy):
    """Q(s, a) = cost_a + [value of budget and acceptance left after a over the windows left].

    ``layout``: slices of the observation. ``windows``: of an episode. ``shortfall``: price of a row that lacks to the aim.
    ``threshold``: differences between windows below that, per row, are left out of what actions are thought to earn.
    Shapes: observations ``(B, L)``, Q ``(B, A)``; or groups ``(G, K, L)`` that differ in budget and acceptance alone.
    """

    takes_groups = True
    budget_price: th.Tensor
    accept_price: th.Tensor
    running_mean: th.Tensor
    running_square: th.Tensor
    running_demand: th.Tensor
    running_seen: th.Tensor
    running_use: th.Tensor
    running_count: th.Tensor

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        layout: dict[str, tuple[int, int]],
        windows: int,
        shortfall: float = 1.0,
        threshold: float = 0.03,
        hidden: int = 32,
    ) -> None:
        super().__init__(observation_space, action_space)
        self.slices = {name: slice(*ends) for name, ends in layout.items()}
        self.windows, self.threshold = float(windows), float(threshold)
        actions = int(action_space.n)
        pairs = th.cartesian_prod(th.tensor(_BUDGET_PRICES), th.tensor(_ACCEPT_PRICES) * shortfall)
        self.register_buffer("budget_price", pairs[:, 0].clone())  # (J,)
        self.register_buffer("accept_price", pairs[:, 1].clone())  # (J,)
        seen = sum(self.slices[name].stop - self.slices[name].start for name in _SEEN) + 1
        self.embed = nn.Sequential(nn.Linear(seen, hidden), nn.SiLU(), nn.Linear(hidden, _EMBEDDING), nn.SiLU())
        self.register_buffer("running_mean", th.zeros(_EMBEDDING))
        self.register_buffer("running_square", th.ones(_EMBEDDING))
        self.register_buffer("running_demand", th.full((actions,), 0.2))
        self.register_buffer("running_seen", th.zeros(_REMEMBERED, seen))
        self.register_buffer("running_use", th.full((_REMEMBERED, actions), 0.2))
        self.register_buffer("running_count", th.zeros(1))
        self.usual = nn.Parameter(th.zeros(actions))  # what an action earns in a window, less what all have in common
        self.apart = nn.Linear(_EMBEDDING, actions, bias=False)  # by how much this window differs
        self.lasting = nn.Parameter(th.full((1,), -0.25))  # which share of the windows to come will be like this one
        self.over = nn.Parameter(th.zeros(actions))  # what it earns more or less where the budget does not reach
        self.kept = nn.Parameter(th.full((2, actions), 0.8))  # accepted share, and where the budget does not reach
        self.kept_apart = nn.Linear(_EMBEDDING, 2 * actions, bias=False)
        with th.no_grad():
            self.apart.weight.mul_(0.05)
            self.kept_apart.weight.mul_(0.05)

    def _context(self, first: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """Normalised embedding of what the windows look like ``(G, 16)`` and demand of each action ``(G, A)``."""
        part = {name: first[:, place] for name, place in self.slices.items()}
        fresh = (part["profile"].sum(dim=1, keepdim=True) == 0).float()
        seen = th.cat([*(part[name] * _SCALES[name] for name in _SEEN), fresh], dim=1)
        x = self.embed(seen)
        if self.training:
            self._remember(x.detach(), seen, part["demand"], fresh[:, 0] == 0)
        return self._normal(x), fresh * self.running_demand + (1 - fresh) * part["demand"]

    @th.no_grad()
    def _remember(self, x: th.Tensor, seen: th.Tensor, demand: th.Tensor, known: th.Tensor) -> None:
        """Move the running means, and let a window of this batch stand for those to come in place of the oldest one."""
        self.running_mean.lerp_(x.mean(dim=0), _MOMENTUM)
        self.running_square.lerp_(x.square().mean(dim=0), _MOMENTUM)
        at = int(self.running_count) % _REMEMBERED
        if known.any():
            self.running_demand.lerp_(demand[known].mean(dim=0), _MOMENTUM)
            self.running_seen[at], self.running_use[at] = seen[known][0], demand[known][0]
            self.running_count += 1

    def _normal(self, x: th.Tensor) -> th.Tensor:
        spread = (self.running_square - self.running_mean.square()).clamp(min=1e-4).sqrt()
        return (x - self.running_mean) / spread

    def _to_come(self) -> th.Tensor:
        """What a window to come earns at each pair of prices, mean over those remembered ``(J,)``."""
        count = max(min(int(self.running_count), _REMEMBERED), 1)
        x = self._normal(self.embed(self.running_seen[:count]))
        earned = self.usual + self.apart(x)
        kept = th.sigmoid(_STEEP * (self.kept.flatten() + self.kept_apart(x))).chunk(2, dim=1)[0].detach()
        return self._at_prices(earned, self.running_use[:count], kept).mean(dim=0)

    def _at_prices(self, earned: th.Tensor, uses: th.Tensor, kept: th.Tensor) -> th.Tensor:
        """What the best action earns in windows ``(M, A)`` at each pair of prices ``(M, J)``."""
        prices = th.stack([-self.budget_price, self.accept_price])  # (2, J)
        parts = th.stack([uses, kept], dim=2)  # (M, A, 2)
        return (earned[..., None] + parts @ prices).amax(dim=1)

    def _parts(self, groups: th.Tensor, chosen: th.Tensor | None) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
        """Q, what is earned now and the accepted share, ``(G, K, A)`` each, or ``(G, K, 1)`` of the actions ``chosen``; and by
        how much this window differs in either, ``(G, 3 A)``."""
        first = groups[:, 0]
        x, demand = self._context(first)
        apart = self.apart(x)
        kept_apart = self.kept_apart(x)
        kept = th.sigmoid(_STEEP * (self.kept.flatten() + kept_apart))
        n = (first[:, self.slices["time"]] * self.windows)[:, None]  # (G, 1, 1) windows left, this one among them
        todo = (n - 1).clamp(min=0)
        lasting = th.sigmoid(_STEEP * self.lasting)
        alike = self._at_prices(self.usual + apart, demand, kept.chunk(2, dim=1)[0].detach())
        planes = todo[:, 0] * (lasting * alike + (1 - lasting) * self._to_come())  # (G, J)

        def of(values: th.Tensor) -> th.Tensor:
            wide = values[:, None].expand(-1, groups.shape[1], -1)
            return wide if chosen is None else wide.gather(2, chosen)

        uses, keeps, keeps_over = of(demand), *(of(half) for half in kept.chunk(2, dim=1))
        have = groups[..., self.slices["budget"].start + 1][..., None] * n  # (G, K, 1) windows of rows that may go on
        need = groups[..., self.slices["acceptance"].start + 1][..., None] * n
        # the next window's demand is known to some ten percent: the edge of the budget is a slope
        over = ((1.12 * uses - have) / (0.24 * uses + 1e-4)).clamp(0, 1)
        accepted = keeps + (keeps_over - keeps) * over
        earned = of(self.usual + apart) + of(self.over.expand_as(apart)) * over
        after, lack = (have - uses * (1 - over)).clamp(min=0), need - accepted
        if self.training and chosen is not None:
            # what is left is priced at the scale of one window, what an action leaves at that of its effect
            worth = self._least(after.detach(), lack.detach(), planes) / (n + 1)
            left = self._least(after, lack, planes.detach())
            value = left + (worth - worth.detach())
        else:
            value = self._least(after, lack, planes)
        return (earned + value) * (n > 0.5), earned, accepted, th.cat([apart, kept_apart], dim=1)

    def _least(self, after: th.Tensor, lack: th.Tensor, planes: th.Tensor) -> th.Tensor:
        """The least plane at each state ``(G, K, A)``."""
        states = th.stack([after, lack], dim=3).flatten(1, 2)  # (G, K A, 2)
        prices = th.stack([self.budget_price, -self.accept_price])  # (2, J)
        each = th.baddbmm(planes[:, None], states, prices.expand(len(states), -1, -1))
        return each.amin(dim=2).view_as(after)

    def forward(self, obs: th.Tensor) -> th.Tensor:
        """Q-values of all actions; see the class."""
        q = self._parts(obs if obs.dim() == 3 else obs[:, None], None)[0]
        return q if obs.dim() == 3 else q[:, 0]

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:
        return cast(th.Tensor, self(observation).argmax(dim=1))

    def loss(
        self, obs: th.Tensor, actions: th.Tensor, rewards: th.Tensor, next_obs: th.Tensor, target: th.Tensor
    ) -> th.Tensor:
        """The error of Q against ``target`` for each window left, and that of what actions earn and accept.

        ``obs``, ``next_obs`` ``(G, K, L)``; ``actions``, ``rewards``, ``target`` ``(G, K, 1)``. All but the accepted share is
        compared within groups, which see the same window: its own difficulty is no concern of any action.
        """
        q, earned, accepted, apart = self._parts(obs, actions)
        time, so_far = self.slices["time"].start, self.slices["acceptance"].start
        n = (obs[:, :1, time] * self.windows)[..., None]  # (G, 1, 1)
        done = self.windows - n
        seen = next_obs[..., so_far, None] * (done + 1) - obs[..., so_far, None] * done
        last = n < 1.5  # its reward holds the charge for what lacks
        error = F.smooth_l1_loss(_centred(q) / n, _centred(target) / n)
        of_earned = (_centred(earned) - _centred(rewards)).square().mul(~last).mean()
        of_accepted = (accepted - seen).square().mul(done > 0.5).mean()
        # an absolute value as penalty moves what it weighs by a fixed amount towards 0
        return error + _HEADS * (
            of_earned + of_accepted + 2 * self.threshold * apart.abs().mean(dim=0).view(3, -1).mean(dim=1).sum()
        )


_SEEN = ("shape", "profile", "link")
_SCALES = {"shape": 4.0, "profile": 4.0, "link": 1.0}


def _centred(values: th.Tensor) -> th.Tensor:
    return values - values.mean(dim=1, keepdim=True)


class ExitPolicy(MaskedDQNPolicy):
    """``ExitQNetwork`` as a policy of ``MaskableDQN``."""

    def __init__(
        self,
        *args: Any,
        layout: dict[str, tuple[int, int]],
        windows: int,
        shortfall: float = 1.0,
        threshold: float = 0.03,
        hidden: int = 32,
        **kwargs: Any,
    ) -> None:
        self._sizes: dict[str, Any] = {
            "layout": layout,
            "windows": windows,
            "shortfall": shortfall,
            "threshold": threshold,
            "hidden": hidden,
        }
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> Any:
        """Build the online or the target network."""
        return cast(Any, ExitQNetwork(self.observation_space, self.action_space, **self._sizes).to(self.device))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self._sizes}
