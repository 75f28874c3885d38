"""Action masks: where they sit in an observation, and the argmax, maximum and uniform draw that respect them.

A mask is True where an action is allowed. A row without any allowed action (the last observation of an episode, which
no action answers) counts as all-true, so that every function below stays defined.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.dqn.policies import DQNPolicy

Array = TypeVar("Array", th.Tensor, np.ndarray[Any, Any])

SMALLEST_SPREAD = 0.05
"""Share of epsilon with which the least exploratory of the exploring environments explores."""


def split_mask(obs: Array, n_actions: int) -> tuple[Array, Array]:
    """Split flat observations ``(..., F + n_actions)`` into features ``(..., F)`` and mask ``(..., n_actions)``, bool.

    The mask is the last slice of every Offramp observation: 1 allowed, 0 not. Tensors and numpy arrays both work; the
    features are a view.
    """
    return obs[..., :-n_actions], obs[..., -n_actions:] > 0.5


def check_mask_space(space: spaces.Space[Any], n_actions: int) -> None:
    """Raise ``ValueError`` unless observations of ``space`` are flat and can end with a mask of ``n_actions``."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.shape[0] > n_actions:
        if (space.low[-n_actions:] == 0).all() and (space.high[-n_actions:] == 1).all():
            return
    raise ValueError(
        f"the observation space is {space}, expected a flat Box whose last {n_actions} entries are the action mask "
        "in 0..1 (or mask_in_observation=False)"
    )


def masked_values(q: th.Tensor, mask: th.Tensor | None) -> th.Tensor:
    """``q`` ``(B, n_actions)`` with minus infinity where ``mask`` (bool, same shape; None: all-true) forbids."""
    if mask is None:
        return q
    nothing_allowed = ~mask.any(dim=1, keepdim=True)
    return q.masked_fill(~(mask | nothing_allowed), -th.inf)


def masked_argmax(q: th.Tensor, mask: th.Tensor | None) -> th.Tensor:
    """The best allowed action of every row, int64 ``(B,)``; see ``masked_values``."""
    return masked_values(q, mask).argmax(dim=1)


def masked_max(q: th.Tensor, mask: th.Tensor | None) -> th.Tensor:
    """The value of the best allowed action of every row, ``(B,)``; see ``masked_values``."""
    return masked_values(q, mask).amax(dim=1)


def random_allowed(mask: NDArray[np.bool_], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """One allowed action a row, int64 ``(B,)``; ``mask`` ``(B, n_actions)``, uniform numbers ``(B,)`` in [0, 1)."""
    mask = mask | ~mask.any(axis=1, keepdims=True)
    rank = (uniform * mask.sum(axis=1)).astype(np.int64)
    return cast(NDArray[np.int64], np.argmax(mask.cumsum(axis=1) > rank[:, None], axis=1))


def exploration_spread(n_envs: int) -> NDArray[np.float64]:
    """Factor on epsilon of every environment, float64 ``(n_envs,)`` in [0, 1].

    The last quarter of the environments (rounded down) is greedy, factor 0; the others fall geometrically from 1 to
    ``SMALLEST_SPREAD``. Different degrees of exploration side by side stand in for a tuned schedule, in the manner of
    Ape-X (Horgan et al. 2018), and the greedy ones keep showing where the policy itself leads.
    """
    greedy = n_envs // 4
    return np.concatenate([np.geomspace(1.0, SMALLEST_SPREAD, n_envs - greedy), np.zeros(greedy)])


class MaskedPolicyMixin:
    """Put before a ``DQNPolicy``: its ``predict`` and ``forward`` then obey the mask at the end of the observation."""

    def _predict(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        policy = cast(DQNPolicy, self)
        assert isinstance(obs, th.Tensor)
        mask = split_mask(obs, int(cast(Any, policy.action_space).n))[1]
        return masked_argmax(policy.q_net(obs), mask)


class MaskedDQNPolicy(MaskedPolicyMixin, DQNPolicy):
    """Stable-Baselines3's ``DQNPolicy`` for flat observations that end with the action mask.

    Override ``make_q_net`` for another network: any module whose ``forward(obs)`` is ``(B, n_actions)``. Adam, unless
    ``optimizer_kwargs`` are given, is fused: the same formula in one call, about twice as fast on a CPU.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("optimizer_class", th.optim.Adam) is th.optim.Adam:
            kwargs.setdefault("optimizer_kwargs", {"fused": True})
        super().__init__(*args, **kwargs)
