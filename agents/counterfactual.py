"""Replay of decisions that were never made, where what the outside world does depends on no decision.

In such an environment (input-driven, or with an *exogenous* process) one recorded step says what every action would have led
to from every endogenous state. Qiu et al. (arXiv 2208.00485) compute the targets of all token levels from each recorded pair of
frames; this is that idea for any environment and any network.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

EXOGENOUS = "exogenous"
"""Key of the info, and attribute of native vector environments, that holds the exogenous states."""


class Replayable(Protocol):
    """What can replay its exogenous input: pure functions of batches, and states worth asking about. Picklable."""

    def transition(
        self, endogenous: NDArray[Any], exogenous: NDArray[np.float64], action: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Next endogenous states ``(B, E)`` and rewards ``(B,)`` of actions ``(B,)`` at the exogenous states ``(B, X)``."""

    def observe(self, endogenous: NDArray[Any], exogenous: NDArray[np.float64]) -> NDArray[np.float32]:
        """Observations ``(B, F)``."""

    def sample(self, rng: np.random.Generator, groups: int, size: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Endogenous states ``(groups, size, E)`` and allowed actions ``(groups, size)`` to ask about.

        The states of a group see the same exogenous step. Where targets are centred within groups, they must be states
        that lead to one another (of one bucket, say): only what sets them apart is learned.
        """


class ExogenousInfo(gym.Wrapper[Any, Any, Any, Any]):
    """Puts the attribute ``exogenous`` of an environment into every info, where ``CounterfactualReplayBuffer.add`` reads it.

    For algorithms of Stable-Baselines3 itself; ``MaskableDQN`` reads the attribute.
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, and say in the info what the outside world has come to."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, EXOGENOUS: self.env.get_wrapper_attr(EXOGENOUS)}


class CounterfactualReplayBuffer(ReplayBuffer):
    """A buffer that stores exogenous states alone and samples transitions of endogenous states and actions at will.

    A sample of B transitions is B / ``group`` recorded steps with ``group`` counterfactual pairs of endogenous state and action
    each, in order: rows 0..group - 1 share a step. Observations, rewards and next observations are those that really
    stepping would give (``model``'s own functions); every transition goes on, so ``dones`` are 0.

    ``add`` reads ``infos[i]["exogenous"]`` ``(X,)``, the exogenous state that the step has led to (at the end of an episode its
    last one); ``record`` takes it as an array. A step is sampled once its successor is known. What was decided, and what came
    of it, is not stored.

    ``buffer_size``: steps over all environments. ``group``: pairs for each step. ``gamma``: discount that samples carry.
    ``seed``: of the buffer's own generator. Raises ``ValueError`` for other spaces or arguments out of range.
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
        model: Replayable,
        group: int = 16,
        gamma: float = 1.0,
        seed: int | np.random.SeedSequence | None = None,
    ) -> None:
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"the action space is {action_space}, expected Discrete")
        if group < 1:
            raise ValueError(f"group is {group}, expected a whole number >= 1")
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma is {gamma!r}, expected a number in 0..1")
        # past ReplayBuffer's own constructor, which would allocate observations
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 2)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.model, self.group, self.gamma = model, group, float(gamma)
        self._exogenous: NDArray[Any] | None = None  # (buffer_size, n_envs, X); allocated when X is known
        self._begins = np.zeros((self.buffer_size, n_envs), np.bool_)  # the row does not follow the one before
        self._ended = np.zeros(n_envs, np.bool_)  # whether the latest ``add`` ended an episode
        self.seed(seed)

    def seed(self, seed: int | np.random.SeedSequence | None) -> None:
        """Restart the generator that chooses samples; None takes entropy from the system."""
        self._rng = np.random.default_rng(seed)

    def reset(self) -> None:
        """Forget all steps."""
        super().reset()
        self._ended[:] = True

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Store the exogenous states in ``infos``. Raises ``ValueError`` where one is missing."""
        try:
            states = np.stack([info[EXOGENOUS] for info in infos])
        except KeyError:
            raise ValueError(
                f"infos hold no {EXOGENOUS!r}, expected an environment that reports its exogenous state (or record())"
            ) from None
        self.record(states, self._ended)
        self._ended = np.array(done, np.bool_)

    def record(self, states: NDArray[Any], begins: NDArray[np.bool_]) -> None:
        """Store exogenous states ``(n_envs, X)``; ``begins`` ``(n_envs,)``: those that follow no earlier record."""
        if self._exogenous is None:
            self._exogenous = np.zeros((self.buffer_size, self.n_envs, states.shape[1]), states.dtype)
        self._exogenous[self.pos], self._begins[self.pos] = states, begins
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """``batch_size`` counterfactual transitions, a whole number of groups. Raises ``ValueError`` if there is no step."""
        if batch_size % self.group:
            raise ValueError(f"batch_size is {batch_size}, expected a multiple of the group of {self.group}")
        rows, envs = self._steps(batch_size // self.group)
        assert self._exogenous is not None
        endogenous, actions = self.model.sample(self._rng, len(rows), self.group)
        now = np.repeat(self._exogenous[rows, envs], self.group, axis=0)
        then = np.repeat(self._exogenous[(rows + 1) % self.buffer_size, envs], self.group, axis=0)
        flat, chosen = endogenous.reshape(batch_size, -1), actions.reshape(batch_size)
        following, rewards = self.model.transition(flat, now, chosen)
        columns = (
            cast(NDArray[np.float32], self._normalize_obs(self.model.observe(flat, now), env)),
            chosen[:, None],
            cast(NDArray[np.float32], self._normalize_obs(self.model.observe(following, then), env)),
            np.zeros((batch_size, 1), np.float32),
            self._normalize_reward(rewards.astype(np.float32)[:, None], env),
            np.full((batch_size, 1), self.gamma, np.float32),
        )
        return ReplayBufferSamples(*(self.to_torch(column, copy=False) for column in columns))

    def _steps(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and environments of ``count`` recorded steps with a successor, uniformly and with replacement."""
        ages = self.size() - 1  # the newest row has no successor yet
        if ages < 1 or self._begins[self._row(np.arange(1, ages + 1))].all():
            raise ValueError("the replay buffer holds no step with its successor, expected two records in a row")
        found: list[NDArray[np.int64]] = []
        missing = count
        while missing:
            draw = self._rng.integers(ages * self.n_envs, size=missing)
            good = draw[~self._begins[self._row(draw // self.n_envs + 1), draw % self.n_envs]]
            found.append(good)
            missing -= len(good)
        drawn = np.concatenate(found)
        rows, envs = self._row(drawn // self.n_envs), drawn % self.n_envs
        return rows, envs

    def _row(self, age: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the step ``age`` after the oldest one."""
        return (age + (self.pos if self.full else 0)) % self.buffer_size

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the part of the ring that was never written."""
        state = self.__dict__.copy()
        if self._exogenous is not None and not self.full:
            state["_exogenous"] = self._exogenous[: self.pos]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Allocate the ring at its full length and fill in what was written."""
        self.__dict__.update(state)
        written = self._exogenous
        if written is not None and len(written) < self.buffer_size:
            self._exogenous = np.zeros((self.buffer_size, *written.shape[1:]), written.dtype)
            self._exogenous[: len(written)] = written
