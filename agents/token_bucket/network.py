"""The Q-network for token-bucket offloading: it values what a decision leaves in the bucket."""

from __future__ import annotations

from typing import Any, cast

import torch as th
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from agents.masking import MaskedDQNPolicy

_LEVEL, _RATE, _INVERSE_DEPTH, _METRIC = 0, 2, 3, 4
_LEVEL_FEATURES = 6
_EMBEDDING = 8


class TokenQNetwork(BasePolicy):
    """Q(keep) = value(level), Q(send) = metric + value(level less one token): one function of what is left in the bucket.

    One part of the network sees metrics and gaps so far, once for all levels of a frame, another one the level, both the
    bucket, so that one network serves any rate and depth. What a send earns at once is known and not learned, but for one
    number (the price of its latency).

    Shapes: observations ``(B, L)`` of ``TokenBucket-v0`` without the latent slice, Q ``(B, 2)``; or groups ``(G, K, L)`` of
    observations that differ in their level alone, Q ``(G, K, 2)``. ``metric_scale``: that of the environment.
    """

    takes_groups = True

    def __init__(
        self, observation_space: Any, action_space: Any, hidden: int = 64, layers: int = 2, metric_scale: float = 1.0
    ) -> None:
        super().__init__(observation_space, action_space)
        self.metric_scale = metric_scale
        exogenous = int(observation_space.shape[0]) - 2 - _METRIC
        wide = 2 * hidden
        self.embed = nn.Sequential(nn.Linear(1, _EMBEDDING), nn.SiLU())
        inner: list[nn.Module] = []
        for _ in range(layers - 1):
            inner += [nn.Linear(wide, wide), nn.SiLU()]
        self.past = nn.Sequential(
            nn.Linear(exogenous * (1 + _EMBEDDING) + 2, wide), nn.SiLU(), *inner, nn.Linear(wide, hidden)
        )
        self.level = nn.Linear(_LEVEL_FEATURES + 2, hidden)
        self.body = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))
        self.send_bias = nn.Parameter(th.zeros(1))

    def forward(self, obs: th.Tensor) -> th.Tensor:
        """Q-values of keep and send; see the class."""
        groups = obs if obs.dim() == 3 else obs[:, None]
        first = groups[:, 0]
        rate, inverse_depth = first[:, _RATE, None], first[:, _INVERSE_DEPTH, None]
        bucket = th.cat([th.log(rate.clamp(min=1e-3)), th.log(inverse_depth)], dim=1) * 0.5
        seen_so_far = first[:, _METRIC:-2] * 2.0
        embedded = self.embed(seen_so_far[..., None]).flatten(1)
        past = self.past(th.cat([seen_so_far, embedded, bucket], dim=1))
        kept = groups[..., _LEVEL]
        level = th.cat([kept, (kept - inverse_depth).clamp(min=0.0)], dim=1)  # (G, 2 K)
        tokens, room = level / inverse_depth, (1.0 - level) / inverse_depth
        wait = room / rate  # time units until it is full
        features = [level, tokens.clamp(max=1.0), (tokens - 1.0).clamp(0.0, 1.0)]
        features += [th.log1p(tokens), th.log1p(room), 0.3 * th.log1p(wait)]
        seen = th.cat([th.stack(features, dim=2), bucket[:, None].expand(-1, level.shape[1], -1)], dim=2)
        value = self.body(self.level(seen) + past[:, None])[..., 0].unflatten(1, (2, -1))  # (G, 2, K)
        now = self.metric_scale * groups[..., _METRIC] + self.send_bias
        q = th.stack([value[:, 0], value[:, 1] + now], dim=2)
        return q if obs.dim() == 3 else q[:, 0]

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:
        return cast(th.Tensor, self(observation).argmax(dim=1))


class TokenPolicy(MaskedDQNPolicy):
    """``TokenQNetwork`` as a policy of ``MaskableDQN``."""

    def __init__(self, *args: Any, hidden: int = 64, layers: int = 2, metric_scale: float = 1.0, **kwargs: Any) -> None:
        self._sizes: dict[str, Any] = {"hidden": hidden, "layers": layers, "metric_scale": metric_scale}
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> Any:
        """Build the online or the target network."""
        return TokenQNetwork(self.observation_space, self.action_space, **self._sizes).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self._sizes}
