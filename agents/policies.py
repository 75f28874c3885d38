"""Q-networks for segment allocation: one small network scores every device, whatever the number of devices.

``DevicePolicy`` is permutation-equivariant (Deep Sets, Zaheer et al. 2017): permute the devices of an observation and its
Q-values are permuted alike. Its weights do not depend on the number of device slots, so a policy trained with 12 slots acts
with 70.
"""

from __future__ import annotations

from typing import Any, cast

import torch as th
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from agents.masking import MaskedDQNPolicy
from envs.distprivacy.features import DEVICE_FEATURES, N_DEVICE, N_REQUEST, REQUEST_FEATURES

_NAMES = [feature.name for feature in DEVICE_FEATURES]
_INCREASE, _LATER, _PRESENT = (_NAMES.index(name) for name in ("increase", "later_increase", "present"))
_SPEED, _RATE = _NAMES.index("speed"), _NAMES.index("rate")
_USED_REQUEST = [index for index, feature in enumerate(REQUEST_FEATURES) if feature.name != "fleet"]
"""The size of the fleet is left out: a network that reads it does not carry over to larger fleets."""
_DEVICE_TIMES = [index for index, feature in enumerate(DEVICE_FEATURES) if feature.unit == "request scales"]
_REQUEST_TIMES = [index for index, feature in enumerate(REQUEST_FEATURES) if feature.unit == "request scales"]

_SHARPNESS = 4.0
"""How sharply the pooled context leaves devices out whose increase is large: weight e^-4 for a request scale more."""


_CROWD = 2
"""A network answers for so many times the devices that it was trained with; of larger fleets it sees the most capable."""
_PASSED_OVER = 1e3
"""What the others' Q-values are lowered by, request scales: they are taken only where no one else is allowed."""


def _compress(values: th.Tensor, times: list[int]) -> th.Tensor:
    """Times span decades: their entries (last axis) become log(1 + 8 x) / 2."""
    values = values.clone()
    values[..., times] = th.log1p(8.0 * values[..., times]) * 0.5
    return values


class DeviceQNetwork(BasePolicy):
    """Q-values of all devices from the flat ``full`` observation.

    Q(device) = -(increase of the latency if the map is placed there, in this layer and, should it stay, in later ones)
    + network(device, pooled context). With the last layer at zero it starts as a greedy heuristic with foresight and learns
    what that overlooks. The context is the maximum over the devices, and their mean weighted by exp(-4 increase).

    A fleet of more than twice the slots of training is a crowd in which weights of small fleets mislead: only as many devices,
    those with the largest sqrt(speed) x rate, are seen, and the others come last, in the order of their increase.

    Shapes: observation ``(B, 17 D + 24 + D)``, Q ``(B, D)``; D follows from the observation.
    """

    def __init__(self, observation_space: Any, action_space: Any, hidden: int = 64, layers: int = 2) -> None:
        super().__init__(observation_space, action_space)
        self.hidden = hidden
        self.own = nn.Linear(N_DEVICE, hidden)
        self.request = nn.Linear(len(_USED_REQUEST), hidden)
        self.embed = nn.Sequential(
            *[m for _ in range(layers - 1) for m in (nn.ReLU(), nn.Linear(hidden, hidden))], nn.ReLU()
        )
        self.context = nn.Linear(2 * hidden, hidden)
        self.again = nn.Linear(hidden, hidden)
        self.head = nn.Sequential(
            *[m for _ in range(layers - 1) for m in (nn.ReLU(), nn.Linear(hidden, hidden))], nn.ReLU()
        )
        self.value = nn.Linear(hidden, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, obs: th.Tensor) -> th.Tensor:
        """Q-values ``(B, D)`` of observations ``(B, L)``."""
        devices = (obs.shape[1] - N_REQUEST) // (N_DEVICE + 1)
        own = obs[:, : N_DEVICE * devices].reshape(-1, N_DEVICE, devices).transpose(1, 2)
        request = obs[:, N_DEVICE * devices : N_DEVICE * devices + N_REQUEST]
        most = _CROWD * int(cast(Any, self.action_space).n)
        if devices <= most:
            return self._values(own, request)
        worth = 0.5 * own[..., _SPEED] + own[..., _RATE] - 1e9 * (1.0 - own[..., _PRESENT])
        seen = worth.topk(most, dim=1, sorted=False).indices
        values = -(own[..., _INCREASE] + own[..., _LATER]) - _PASSED_OVER
        return values.scatter(1, seen, self._values(own.gather(1, seen[..., None].expand(-1, -1, N_DEVICE)), request))

    def _values(self, own: th.Tensor, request: th.Tensor) -> th.Tensor:
        """Q-values ``(B, n)`` of n devices by their features ``(B, n, F)`` and those of the request ``(B, R)``."""
        present = own[..., _PRESENT : _PRESENT + 1]
        increase = own[..., _INCREASE] + own[..., _LATER]
        request = self.request(_compress(request, _REQUEST_TIMES)[:, _USED_REQUEST])
        h = self.embed(self.own(_compress(own, _DEVICE_TIMES)) + request[:, None])
        # not the mean over all devices: in a large fleet it says most about those that are out of the question
        rivals = (-_SHARPNESS * increase[..., None] - 1e9 * (1.0 - present)).softmax(1) * present
        near = (h * rivals).sum(1)
        # h >= 0, so absent devices never win the maximum
        most = (h * present).amax(1)
        context = self.context(th.cat([near, most], dim=1))
        out = self.value(self.head(self.again(h) + context[:, None]))[..., 0]
        return cast(th.Tensor, out - increase)

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:
        return cast(th.Tensor, self(observation).argmax(dim=1))


class DevicePolicy(MaskedDQNPolicy):
    """``DeviceQNetwork`` as a policy of ``MaskableDQN``; ``hidden`` units, ``layers`` before and after the pooling."""

    def __init__(self, *args: Any, hidden: int = 64, layers: int = 2, **kwargs: Any) -> None:
        self._sizes = {"hidden": hidden, "layers": layers}
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> Any:
        """Build the online or the target network."""
        return DeviceQNetwork(self.observation_space, self.action_space, **self._sizes).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self._sizes}
