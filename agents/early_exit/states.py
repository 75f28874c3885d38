"""Which budgets, acceptances and actions a recorded window is asked about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.build import World
from envs.early_exit.state import ACCEPTED, DONE, LEAST, LEFT, ROWS


class EpisodeStates:
    """The pure functions of an environment with its budgets, as ``CounterfactualReplayBuffer`` wants them (``Replayable``).

    The states of a group have the same budget for the episode and the same number of windows left, small numbers as often as
    large ones: what the end of an episode teaches must reach its beginning. They differ in what is left of the budget and in
    the acceptance that the rest needs: around an even spend and the aim, and well away from both.
    """

    def __init__(self, world: World) -> None:
        self.dynamics = world.dynamics
        self._actions, self._windows = len(world.actions), world.windows
        self._first = np.stack([world.first_state(share, world.windows) for share in world.budgets])

    def transition(
        self, endogenous: NDArray[np.float64], exogenous: NDArray[np.float32], action: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``Dynamics.transition``."""
        return self.dynamics.transition(endogenous, exogenous, action)

    def observe(self, endogenous: NDArray[np.float64], exogenous: NDArray[np.float32]) -> NDArray[np.float32]:
        """``Dynamics.observe``."""
        return self.dynamics.observe(endogenous, exogenous)

    def sample(self, rng: np.random.Generator, groups: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """States ``(groups, size, N_STATE)`` and actions ``(groups, size)``; see the class."""
        shape = (groups, size)
        states = np.repeat(self._first[rng.integers(len(self._first), size=groups)][:, None], size, axis=1)
        todo = np.ceil(self._windows ** rng.random((groups, 1)))
        states[:, :, DONE] = self._windows - todo
        limit = states[:, :, LEFT]
        limited = np.isfinite(limit)
        spread = np.exp(0.8 * rng.standard_normal(shape)) * (rng.random(shape) > 0.08)
        left = np.minimum(np.where(limited, limit, 0.0) * np.minimum(todo / self._windows * spread, 1.0), limit)
        states[:, :, LEFT] = np.where(limited, left, np.inf)
        aim, rows = states[:, :, LEAST], states[:, :, ROWS]
        wide = 0.3 + 0.75 * rng.random(shape)
        need = np.where(rng.random(shape) < 0.5, wide, aim + 0.03 * rng.standard_normal(shape))
        states[:, :, ACCEPTED] = np.floor((aim * self._windows - need * todo) * rows)
        # as few twice as there can be: what two actions make of the same window is compared without its noise
        rounds = -(-size // self._actions)
        order = rng.random((groups, rounds, self._actions)).argsort(axis=2).reshape(groups, -1)
        return states, order[:, :size]
