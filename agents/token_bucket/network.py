"""The Q-network for token-bucket offloading: it values what a decision leaves in the bucket."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import torch as th
from stable_baselines3.common.policies import BasePolicy
from torch import nn
from torch.nn import functional as F

from agents.masking import MaskedDQNPolicy

_LEVEL, _RATE, _INVERSE_DEPTH, _METRIC = 0, 2, 3, 4
_EMBEDDING, _BUCKET = 8, 64  # numbers that stand for one metric or gap, and for the bucket
_PIECES = 24
_SKEW = 1.5  # above 1, pieces are shorter where the bucket is nearly empty
_WORTH = 0.3  # of a token, before anything is learned


class TokenQNetwork(BasePolicy):
    """Q(keep) = value(level), Q(send) = metric + value(level less one token): one function of what is left in the bucket.

    That function is zero at an empty bucket and made of straight pieces. The network sees metrics and gaps so far, and the
    bucket, and says how steep each piece is: what a token is worth there. So it runs once for all levels of a frame, and
    what it says is of one size at any depth. The bucket scales and shifts every hidden layer, so that one network serves any
    rate and depth. What a send earns at once is known and not learned, but for one number (the price of its latency).

    Errors of deep buckets are sums over many tokens and would drown those of shallow ones: gradients are divided by the depth.

    Shapes: observations ``(B, L)`` of ``TokenBucket-v0`` without the latent slice, Q ``(B, 2)``; or groups ``(G, K, L)`` of
    observations that differ in their level alone, Q ``(G, K, 2)``. ``metric_scale``: that of the environment.
    """

    takes_groups = True
    starts: th.Tensor
    lengths: th.Tensor

    def __init__(
        self, observation_space: Any, action_space: Any, hidden: int = 128, layers: int = 2, metric_scale: float = 1.0
    ) -> None:
        super().__init__(observation_space, action_space)
        self.metric_scale = metric_scale
        edges = (th.arange(_PIECES + 1) / _PIECES) ** _SKEW
        self.register_buffer("starts", edges[:-1].clone())  # (P,) shares of the capacity
        self.register_buffer("lengths", edges[1:] - edges[:-1])
        past = int(observation_space.shape[0]) - 2 - _METRIC
        self.embed = nn.Linear(1, _EMBEDDING)
        widths = [past * (1 + _EMBEDDING)] + [hidden] * layers
        self.body = nn.ModuleList([nn.Linear(*pair) for pair in pairwise(widths)])
        self.bucket = nn.Sequential(nn.Linear(4, _BUCKET), nn.SiLU(), nn.Linear(_BUCKET, _BUCKET), nn.SiLU())
        self.scale = nn.ModuleList([nn.Linear(_BUCKET, hidden) for _ in range(layers)])
        self.shift = nn.ModuleList([nn.Linear(_BUCKET, hidden) for _ in range(layers)])
        self.worth = nn.Linear(widths[-1], _PIECES)
        self.usual_worth = nn.Linear(_BUCKET, _PIECES)
        self.send_bias = nn.Parameter(th.zeros(1))
        self._start()

    @th.no_grad()
    def _start(self) -> None:
        """Begin with an embedding that tells metrics apart and with a token that is worth about the same everywhere."""
        steep = 16.0 * th.tensor([1.0, -1.0]).repeat(_EMBEDDING // 2)
        self.embed.weight.copy_(steep[:, None])
        self.embed.bias.copy_(-steep * th.linspace(0.0, 0.6, _EMBEDDING))
        for layer in self.scale:
            cast(nn.Linear, layer).weight.mul_(0.3)
            cast(nn.Linear, layer).bias.fill_(1.0)
        self.worth.weight.mul_(0.3)
        self.usual_worth.weight.mul_(0.3)
        self.usual_worth.bias.fill_(1.0)

    def _worths(self, first: th.Tensor) -> th.Tensor:
        """What a token is worth in each piece, ``(G, P)``, from one observation of each group ``(G, L)``."""
        rate, inverse_depth = first[:, _RATE, None], first[:, _INVERSE_DEPTH, None]
        logs = [th.log(rate.clamp(min=1e-3)) + 2.3, 0.5 * th.log(inverse_depth) + 0.7]
        bucket = self.bucket(th.cat([*logs, 4.0 * rate - 0.5, 2.0 * inverse_depth - 0.6], dim=1))
        past = first[:, _METRIC:-2]
        h = th.cat([2.0 * past, F.silu(self.embed(past[..., None])).flatten(1)], dim=1)
        for layer, scale, shift in zip(self.body, self.scale, self.shift, strict=True):
            h = F.silu(layer(h) * scale(bucket) + shift(bucket))
        return cast(th.Tensor, (self.worth(h) + self.usual_worth(bucket)) * (_WORTH * self.metric_scale))

    def forward(self, obs: th.Tensor) -> th.Tensor:
        """Q-values of keep and send; see the class."""
        groups = obs if obs.dim() == 3 else obs[:, None]
        inverse_depth = groups[:, 0, _INVERSE_DEPTH, None]
        pieces = self._worths(groups[:, 0]) * self.lengths / inverse_depth  # (G, P) what each piece adds
        kept = groups[..., _LEVEL]
        level = th.cat([kept, (kept - inverse_depth).clamp(min=0.0)], dim=1)  # (G, 2 K)
        share = ((level[..., None] - self.starts) / self.lengths).clamp(0.0, 1.0)  # of each piece that is full
        value = th.bmm(share, pieces[..., None])[..., 0]
        if value.requires_grad:
            value = value * inverse_depth + (value * (1.0 - inverse_depth)).detach()
        kept_value, sent_value = value.chunk(2, dim=1)
        now = self.metric_scale * groups[..., _METRIC] + self.send_bias
        q = th.stack([kept_value, sent_value + now], dim=2)
        return q if obs.dim() == 3 else q[:, 0]

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:
        return cast(th.Tensor, self(observation).argmax(dim=1))


class TokenPolicy(MaskedDQNPolicy):
    """``TokenQNetwork`` as a policy of ``MaskableDQN``."""

    def __init__(
        self, *args: Any, hidden: int = 128, layers: int = 2, metric_scale: float = 1.0, **kwargs: Any
    ) -> None:
        self._sizes: dict[str, Any] = {"hidden": hidden, "layers": layers, "metric_scale": metric_scale}
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> Any:
        """Build the online or the target network."""
        return TokenQNetwork(self.observation_space, self.action_space, **self._sizes).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self._sizes}
