"""Which token levels and decisions a recorded pair of frames is asked about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import Dynamics
from envs.token_bucket.types import N_ENDOGENOUS


class TokenLevels:
    """The pure functions of an environment with its buckets, as ``CounterfactualReplayBuffer`` wants them (``Replayable``).

    A group is one bucket, its levels spread evenly over refill..capacity from a random start, and a decision for each: send
    with probability one half where there is a token.
    """

    def __init__(self, dynamics: Dynamics, buckets: Sequence[Bucket]) -> None:
        self.dynamics = dynamics
        self._buckets = np.array([(one.refill, one.cost, one.capacity) for one in buckets], np.int64)

    def transition(
        self, endogenous: NDArray[np.int64], exogenous: NDArray[np.float64], action: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """``Dynamics.transition``."""
        return self.dynamics.transition(endogenous, exogenous, action)

    def observe(self, endogenous: NDArray[np.int64], exogenous: NDArray[np.float64]) -> NDArray[np.float32]:
        """``Dynamics.observe``."""
        return self.dynamics.observe(endogenous, exogenous)

    def sample(self, rng: np.random.Generator, groups: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """States int64 ``(groups, size, 4)`` and decisions ``(groups, size)``; see the class."""
        chosen = self._buckets[rng.integers(len(self._buckets), size=groups)]
        refill, cost, capacity = chosen.T
        share = (np.arange(size) + rng.random((groups, 1))) / size
        states = np.empty((groups, size, N_ENDOGENOUS), np.int64)
        states[:, :, 0] = refill[:, None] + (share * (capacity - refill + 1)[:, None]).astype(np.int64)
        states[:, :, 1:] = chosen[:, None]
        actions = (states[:, :, 0] >= cost[:, None]) & (rng.random((groups, size)) < 0.5)
        return states, actions.astype(np.int64)
