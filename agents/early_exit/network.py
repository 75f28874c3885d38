"""Q-values of early exit: what an action earns now, and what the budget and the acceptance that it leaves are worth.

With many windows left the best that the rest can earn is a linear program over mixtures of actions (its fluid limit). Its
value is the least of planes, one for each pair of prices of budget and acceptance: linear programming duality. The network
learns what each action earns, uses and accepts, and the planes follow. So what is left is priced consistently everywhere; a
free function of the state learns that only to the precision of its worst corner.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy
from torch import nn
from torch.nn import functional as F

from agents.early_exit.heads import Head
from agents.early_exit.planes import least_plane
from agents.masking import MaskedDQNPolicy

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
_STEP = 0.1
"""Unit in which what actions usually earn is learned: ten-thousandths decide, and half the updates have a step above 1e-3."""
_DOUBT = 0.1
"""Share by which demands are off: of the next window, and of those to come."""
_NOTHING = 1e-4
"""Windows' worth of the budget below which nothing was used: less than a row."""
_HEADS = 10.0
"""Weight of what an action earns and accepts against the error of Q."""


class _Parts(NamedTuple):
    """Of G windows with K states each and A actions, or 1 that was chosen."""

    q: th.Tensor  # (G, K, A)
    earned: tuple[th.Tensor, th.Tensor]  # (G, K, A) each: within the budget, and where it does not reach
    accepted: tuple[th.Tensor, th.Tensor]  # likewise, as shares of the rows
    apart: th.Tensor  # (G, 4 A) by how much these windows differ from others in all four


class ExitQNetwork(BasePolicy):
    """Q(s, a) = cost_a + [value of budget and acceptance left after a over the windows left].

    ``layout``: slices of the observation. ``windows``: of an episode. ``shortfall``: price of a row that lacks to the aim.
    ``threshold``: differences between windows below that, per row, are left out of what actions are thought to earn.
    Shapes: observations ``(B, L)``, Q ``(B, A)``; or groups ``(G, K, L)`` that differ in budget and acceptance alone.
    """

    takes_groups = True
    budget_price: th.Tensor
    accept_price: th.Tensor
    running_demand: th.Tensor
    running_seen: th.Tensor
    running_use: th.Tensor
    running_count: th.Tensor
    running_used: th.Tensor
    running_passed: th.Tensor

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
        self.register_buffer("running_demand", th.full((actions,), 0.2))
        self.register_buffer("running_seen", th.zeros(_REMEMBERED, seen))
        self.register_buffer("running_use", th.full((_REMEMBERED, actions), 0.2))
        self.register_buffer("running_count", th.zeros(1))
        # what actions have used, and let past exit 1: the same with two exits, less where rows may stop before the link
        self.register_buffer("running_used", th.full((actions,), 1e-3))
        self.register_buffer("running_passed", th.full((actions,), 1e-3))
        self.two_exits = self.slices["last_action"].stop - self.slices["last_action"].start == 8
        # what an action earns, less what all have in common, and accepts, each within the budget and where it does not reach
        self.earns = Head(seen, 2 * actions, hidden, 0.0, _STEP)
        self.keeps = Head(seen, 2 * actions, hidden, 0.8)
        self.lasting = nn.Parameter(th.full((1,), -0.25))  # which share of the windows to come will be like this one

    def _context(self, first: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """What is seen of windows ``(G, S)`` and the demand of each action ``(G, A)``."""
        part = {name: first[:, place] for name, place in self.slices.items()}
        fresh = (part["profile"].sum(dim=1, keepdim=True) == 0).float()
        seen = th.cat([*(part[name] * _SCALES[name] for name in _SEEN), fresh], dim=1)
        if self.training:
            self._remember(seen, part["demand"], fresh[:, 0] == 0)
        return seen, (fresh * self.running_demand + (1 - fresh) * part["demand"]) * self._share_used

    @th.no_grad()
    def _remember(self, seen: th.Tensor, demand: th.Tensor, known: th.Tensor) -> None:
        """Let a window of this batch stand for those to come in place of the oldest one."""
        at = int(self.running_count) % _REMEMBERED
        if known.any():
            self.running_demand.lerp_(demand[known].mean(dim=0), _MOMENTUM)
            self.running_seen[at], self.running_use[at] = seen[known][0], demand[known][0]
            self.running_count += 1

    @property
    def _share_used(self) -> th.Tensor:
        """What an action uses of the budget over what it lets past exit 1 ``(A,)``."""
        return self.running_used / self.running_passed

    @th.no_grad()
    def _count_use(self, actions: th.Tensor, used: th.Tensor, passed: th.Tensor, sure: th.Tensor) -> None:
        """Add to the running sums where it is ``sure`` that the budget reached."""
        if self.training and not self.two_exits:
            self.running_used.index_add_(0, actions[sure], used[sure])
            self.running_passed.index_add_(0, actions[sure], passed[sure])

    def _to_come(self) -> th.Tensor:
        """What a window to come earns at each pair of prices, mean over those remembered ``(J,)``."""
        count = max(min(int(self.running_count), _REMEMBERED), 1)
        earned = self.earns(self.running_seen[:count])[0].chunk(2, dim=1)[0]
        kept = th.sigmoid(_STEEP * self.keeps(self.running_seen[:count])[0]).chunk(2, dim=1)[0].detach()
        return self._at_prices(earned, self.running_use[:count] * self._share_used, kept).mean(dim=0)

    def _at_prices(self, earned: th.Tensor, uses: th.Tensor, kept: th.Tensor) -> th.Tensor:
        """What the best action earns in windows ``(M, A)`` at each pair of prices ``(M, J)``."""
        prices = th.stack([-self.budget_price, self.accept_price])  # (2, J)
        parts = th.stack([uses, kept], dim=2)  # (M, A, 2)
        return (earned[..., None] + parts @ prices).amax(dim=1)

    def _parts(self, groups: th.Tensor, chosen: th.Tensor | None) -> _Parts:
        """Q and what it is made of, for all actions, or for those ``chosen`` ``(G, K, 1)``."""
        first = groups[:, 0]
        seen, demand = self._context(first)
        earns, apart = self.earns(seen, self.training)
        kept, kept_apart = self.keeps(seen, self.training)
        kept = th.sigmoid(_STEEP * kept)
        n = (first[:, self.slices["time"]] * self.windows)[:, None]  # (G, 1, 1) windows left, this one among them
        todo = (n - 1).clamp(min=0)
        lasting = th.sigmoid(_STEEP * self.lasting)
        alike = self._at_prices(earns.chunk(2, dim=1)[0], demand, kept.chunk(2, dim=1)[0].detach())
        planes = todo[:, 0] * (lasting * alike + (1 - lasting) * self._to_come())  # (G, J)

        def of(values: th.Tensor) -> th.Tensor:
            wide = values[:, None].expand(-1, groups.shape[1], -1)
            return wide if chosen is None else wide.gather(2, chosen)

        uses = of(demand)
        earns_within, earns_over = (of(half) for half in earns.chunk(2, dim=1))
        keeps, keeps_over = (of(half) for half in kept.chunk(2, dim=1))
        have = groups[..., self.slices["budget"].start + 1][..., None] * n  # (G, K, 1) windows of rows that may go on
        need = groups[..., self.slices["acceptance"].start + 1][..., None] * n
        # the edge of the budget is a slope
        over = (((1 + _DOUBT) * uses - have) / (2 * _DOUBT * uses + 1e-4)).clamp(0, 1)
        accepted = keeps + (keeps_over - keeps) * over
        after, lack = (have - uses * (1 - over)).clamp(min=0), need - accepted
        if self.training and chosen is not None:
            # what is left is priced at the scale of one window, what an action leaves at that of its effect
            worth = self._expected(after.detach(), lack.detach(), planes) / (n + 1)
            left = self._expected(after, lack, planes.detach())
            value = left + (worth - worth.detach())
        else:
            value = self._expected(after, lack, planes)
        earned = earns_within + (earns_over - earns_within) * over
        return _Parts(
            (earned + value) * (n > 0.5),
            (earns_within, earns_over),
            (keeps, keeps_over),
            th.cat([apart, kept_apart], dim=1),
        )

    def _expected(self, after: th.Tensor, lack: th.Tensor, planes: th.Tensor) -> th.Tensor:
        """The mean of the least plane ``(G, K, A)`` where the demand to come, and so what a budget lasts, is off by a share.

        The fluid limit is sharp where one price takes the place of the next; what is left is never known that well.
        """
        # Gauss-Hermite on three points, exact to the fifth power of a normal number
        states = th.cat([(1 - 3**0.5 * _DOUBT) * after, after, (1 + 3**0.5 * _DOUBT) * after], dim=1)
        below, at, above = self._least(states, lack.repeat(1, 3, 1), planes).chunk(3, dim=1)
        return (below + 4 * at + above) / 6

    def _least(self, after: th.Tensor, lack: th.Tensor, planes: th.Tensor) -> th.Tensor:
        """The least plane at each state ``(G, K, A)``."""
        if not th.is_grad_enabled() and after.device.type == "cpu":
            flat = [part.flatten(1).contiguous().numpy() for part in (after, lack)]
            out = np.empty_like(flat[0])
            least_plane(*flat, planes.numpy(), self.budget_price.numpy(), self.accept_price.numpy(), out)
            return th.from_numpy(out).view_as(after)
        states = th.stack([after, lack], dim=3).flatten(1, 2)  # (G, K A, 2)
        prices = th.stack([self.budget_price, -self.accept_price])  # (2, J)
        each = th.baddbmm(planes[:, None], states, prices.expand(len(states), -1, -1))
        return each.amin(dim=2).view_as(after)

    def forward(self, obs: th.Tensor) -> th.Tensor:
        """Q-values of all actions; see the class."""
        q = self._parts(obs if obs.dim() == 3 else obs[:, None], None).q
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
        parts = self._parts(obs, actions)
        so_far, budget = self.slices["acceptance"].start, self.slices["budget"].start + 1
        n = obs[:, :1, self.slices["time"]] * self.windows  # (G, 1, 1)
        done = self.windows - n
        seen = next_obs[..., so_far, None] * (done + 1) - obs[..., so_far, None] * done
        left, then = obs[..., budget, None], next_obs[..., budget, None]
        used = left * n - then * (n - 1)
        demand = obs[..., self.slices["demand"]].gather(2, actions)
        last = n < 1.5  # its reward holds the charge for what lacks, and nothing shows what it used
        # both are cut at 1, where more than enough is left: what was used does not show there
        sure = (left * n > 1.5 * demand) & (left < 1.0) & (then < 1.0) & (demand > _NOTHING) & ~last
        self._count_use(actions, used, demand, sure)
        over = (demand * self._share_used[actions] > _NOTHING) & (used < _NOTHING)  # the budget did not reach
        earned, accepted = (th.where(over, *both[::-1]) for both in (parts.earned, parts.accepted))
        error = F.smooth_l1_loss(_centred(parts.q) / n, _centred(target) / n)
        off = earned - rewards
        common = (off * ~over).sum(dim=1, keepdim=True) / (~over).sum(dim=1, keepdim=True).clamp(min=1)
        of_earned = (off - th.where(over, common.detach(), common)).square().mul(~last).mean()
        of_accepted = (accepted - seen).square().mul((done > 0.5) & ~last).mean()
        # an absolute value as penalty moves what it weighs by a fixed amount towards 0
        return error + _HEADS * (
            of_earned + of_accepted + 2 * self.threshold * parts.apart.abs().mean(dim=0).view(4, -1).mean(dim=1).sum()
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
