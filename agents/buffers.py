"""Replay memory that keeps every observation once and forms n-step returns when it is sampled."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

_RINGS = ("observations", "actions", "rewards", "dones", "timeouts", "explored")


class NStepBuffer(ReplayBuffer):
    """A ring of transitions of ``n_envs`` environments, for flat Box observations and Discrete actions.

    The next observation of a transition is the ring's next entry of the same environment, so it is not stored again:
    half the memory of Stable-Baselines3's buffer (200,000 transitions of 1,284 floats: 1.03 GB). Only where an episode
    was truncated is its last observation kept beside the ring; that of a terminated episode has no value to bootstrap
    from, and its sample carries some other observation of the same environment.

    The return of transition t sums m <= ``n_steps`` rewards: it ends with the episode, before the write head, and, with
    ``cut_at_exploration``, before the first exploratory action after t, because what an exploratory action leads to is
    not what the greedy policy earns (Watkins' Q(lambda), 1989). ``discounts`` is ``gamma ** m``, the factor of the
    bootstrap value of ``next_observations``.

    Arguments: ``buffer_size`` counts transitions over all environments. ``gamma`` in [0, 1]. ``seed`` starts the
    buffer's own generator; the global one is never used. ``optimize_memory_usage`` is accepted for
    Stable-Baselines3's sake and must stay False. ``handle_timeout_termination=False`` treats truncated episodes as
    terminated.

    Rings have ``buffer_size + 1`` rows of ``n_envs``; row ``pos`` holds the observations that the next actions answer.
    A pickle holds only what is filled. Raises ``ValueError`` for other spaces or arguments out of range.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        n_steps: int = 1,
        gamma: float = 0.99,
        cut_at_exploration: bool = False,
        seed: int | np.random.SeedSequence | None = None,
    ) -> None:
        if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 1:
            raise ValueError(f"the observation space is {observation_space}, expected a flat Box")
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"the action space is {action_space}, expected Discrete")
        if optimize_memory_usage:
            raise ValueError(
                "optimize_memory_usage is True, expected False: NStepBuffer keeps each observation once anyway"
            )
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
            raise ValueError(f"n_steps is {n_steps!r}, expected a whole number >= 1")
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma is {gamma!r}, expected a number in 0..1")
        # past ReplayBuffer's own constructor, which would allocate the next observations
        super(ReplayBuffer, self).__init__(buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps, self.gamma, self.cut_at_exploration = n_steps, float(gamma), cut_at_exploration
        self._allocate()
        self.seed(seed)

    def _allocate(self) -> None:
        shape = (self.buffer_size + 1, self.n_envs)
        self.observations = np.zeros((*shape, *self.obs_shape), np.float32)
        self.actions = np.zeros((*shape, 1), np.int64)
        self.rewards = np.zeros(shape, np.float32)
        self.dones = np.zeros(shape, np.bool_)  # terminated or truncated
        self.timeouts = np.zeros(shape, np.bool_)  # truncated
        self.explored = np.zeros(shape, np.bool_)
        self._last_of_truncated: dict[int, NDArray[np.float32]] = {}  # row * n_envs + environment -> observation

    def seed(self, seed: int | np.random.SeedSequence | None) -> None:
        """Restart the generator that chooses samples; None takes entropy from the system."""
        self._rng = np.random.default_rng(seed)

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        self._last_of_truncated.clear()

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
        explored: NDArray[np.bool_] | None = None,
    ) -> None:
        """Store one transition of every environment.

        ``obs``, ``next_obs`` ``(n_envs, F)``; where an episode ended, ``next_obs`` is its last observation. ``action``,
        ``reward``, ``done`` ``(n_envs,)``. ``infos[i]["TimeLimit.truncated"]`` says that ``done[i]`` is a truncation.
        ``explored`` bool ``(n_envs,)``: the action was drawn at random; None means none was.
        """
        pos = self.pos
        if self.timeouts[pos].any():
            for i in np.flatnonzero(self.timeouts[pos]):
                self._last_of_truncated.pop(int(pos * self.n_envs + i), None)
        self.observations[pos] = obs
        self.actions[pos, :, 0] = np.reshape(action, self.n_envs)
        self.rewards[pos] = reward
        self.dones[pos] = done
        self.timeouts[pos] = False
        self.explored[pos] = False if explored is None else explored
        for i in np.flatnonzero(done) if self.handle_timeout_termination else ():
            if infos[i].get("TimeLimit.truncated", False):
                self.timeouts[pos, i] = True
                self._last_of_truncated[int(pos * self.n_envs + i)] = np.array(next_obs[i], np.float32)
        self.full = self.full or pos + 1 == self.buffer_size
        self.pos = (pos + 1) % (self.buffer_size + 1)
        self.observations[self.pos] = next_obs

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """``batch_size`` transitions, uniformly and with replacement. Raises ``ValueError`` if there is none."""
        if self.size() == 0:
            raise ValueError("the replay buffer is empty, expected at least one transition before sampling")
        age, envs = np.divmod(self._rng.integers(self.size() * self.n_envs, size=batch_size), self.n_envs)
        return self._gather(age, envs, env)

    def _get_samples(self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Transitions in the given rows, of environments chosen at random."""
        age = (batch_inds - self._oldest) % (self.buffer_size + 1)
        return self._gather(age, self._rng.integers(self.n_envs, size=len(batch_inds)), env)

    @property
    def _oldest(self) -> int:
        """The row of the oldest transition."""
        return (self.pos + 1) % (self.buffer_size + 1) if self.full else 0

    def _gather(self, age: NDArray[np.int64], envs: NDArray[np.int64], env: VecNormalize | None) -> ReplayBufferSamples:
        """The transitions ``age`` steps after the oldest one, of environments ``envs``, both int64 ``(B,)``."""
        start = (
            self._oldest + age
        ) * self.n_envs + envs  # index into a ring seen as one long row, taken modulo its length
        if self.n_steps == 1:
            length = np.ones_like(age)
            returns = self._normalize_reward(self.rewards.take(start, mode="wrap"), env)
        else:
            length, returns = self._returns(start, self.size() - age, env)
        last = start + (length - 1) * self.n_envs
        truncated = self.timeouts.take(last, mode="wrap")
        flat = self.observations.reshape(-1, *self.obs_shape)
        observations = flat.take(start, axis=0, mode="wrap")
        next_observations = flat.take(last + self.n_envs, axis=0, mode="wrap")
        for row in np.flatnonzero(truncated):
            next_observations[row] = self._last_of_truncated[int(last[row]) % self.dones.size]
        columns = (
            cast(NDArray[np.float32], self._normalize_obs(observations, env)),
            self.actions.take(start, mode="wrap")[:, None],
            cast(NDArray[np.float32], self._normalize_obs(next_observations, env)),
            (self.dones.take(last, mode="wrap") & ~truncated).astype(np.float32)[:, None],
            returns[:, None],
            (self.gamma**length).astype(np.float32)[:, None],
        )
        return ReplayBufferSamples(*(self.to_torch(column, copy=False) for column in columns))

    def _returns(
        self, start: NDArray[np.int64], available: NDArray[np.int64], env: VecNormalize | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Number of summed rewards and their discounted sum, ``(B,)`` each; ``available``: steps to the write head."""
        steps = np.arange(self.n_steps)
        index = start[:, None] + steps * self.n_envs
        summed = np.ones(index.shape, np.bool_)
        goes_on = ~self.dones.take(index[:, :-1], mode="wrap")
        goes_on &= steps[1:] < available[:, None]
        if self.cut_at_exploration:
            goes_on &= ~self.explored.take(index[:, 1:], mode="wrap")
        np.logical_and.accumulate(goes_on, axis=1, out=summed[:, 1:])
        rewards = self._normalize_reward(self.rewards.take(index, mode="wrap"), env)
        discounts = (self.gamma**steps).astype(np.float32)
        return summed.sum(axis=1), (rewards * discounts * summed).sum(axis=1)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the part of the rings that was never written."""
        state = self.__dict__.copy()
        rows = self.buffer_size + 1 if self.full else self.pos + 1
        return state | {name: state[name][:rows] for name in _RINGS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Allocate the rings at their full length and fill in what was written."""
        self.__dict__.update(state)
        filled = {name: state[name] for name in _RINGS}
        last_of_truncated = self._last_of_truncated
        if len(filled["dones"]) <= self.buffer_size:
            self._allocate()
            for name, part in filled.items():
                getattr(self, name)[: len(part)] = part
        self._last_of_truncated = last_of_truncated
