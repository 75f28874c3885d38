"""Stable-Baselines3's DQN for environments in which not every action is allowed."""

from __future__ import annotations

import random
from collections import deque
from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.dqn.dqn import DQN
from stable_baselines3.dqn.policies import DQNPolicy
from torch.nn import functional as F

from agents import masking
from agents.buffers import NStepBuffer
from agents.counterfactual import EXOGENOUS, CounterfactualReplayBuffer

_BLOCK = 8  # most batches that are sampled at a time
_COUNTERS = (
    "num_timesteps",
    "exploration_rate",
    "_n_calls",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
)


class MaskableDQN(DQN):
    """DQN that obeys an action mask when it acts, when it explores and in the maximum of its targets.

    Arguments besides those of ``stable_baselines3.DQN`` (``sb3``, with the defaults of its own):

    - ``mask_in_observation``: the last ``n_actions`` entries of the flat observation are the mask (1 allowed, 0 not),
      so a replayed next observation carries its own. False: every action is always allowed.
    - ``double_q``: the online network chooses the action of the target, the target network values it (van Hasselt
      2016).
    - ``exploration_spread``: environment i explores with its own share of epsilon, see ``masking.exploration_spread``.
      Each environment throws its own coin in any case, from the model's own generator and never the global one. Warm-up
      (``learning_starts``) is uniform over the allowed actions in all of them.
    - ``n_steps``: most rewards in the return of one transition, see ``NStepBuffer``.
    - ``cut_at_exploration``: returns end before the first exploratory action after their own.
    - ``centred``: with ``CounterfactualReplayBuffer``, Q-values and targets are compared less their means over each group.
      The states of a group see the same exogenous step, which no decision changes, so what they share is no concern of any
      decision: left out, it takes the common noise and the long horizon with it, and ``gamma`` may be 1 in a task without end.

    With N environments, ``train_freq=1, gradient_steps=k`` makes k updates a vector step, that is k / N a transition.

    A network may bring a ``loss(observations, actions, rewards, next_observations, targets)`` of its own, for the groups of
    ``CounterfactualReplayBuffer`` ``(G, K, .)``: it then takes the place of the Huber loss.

    The policy is any ``DQNPolicy`` whose ``q_net(obs)`` is ``(B, n_actions)``; the name "MlpPolicy" means
    ``MaskedDQNPolicy``, whose own ``predict`` obeys the mask too. ``replay_buffer_class`` is ``NStepBuffer`` unless
    given; with ``ReplayBuffer``, ``mask_in_observation=False`` and ``double_q=False`` it is DQN as Stable-Baselines3
    has it, but for the random draws of exploration.

    Raises ``ValueError`` when the observation has no room for the mask, for arguments that do not fit together, and in
    training when an environment offers no allowed action.
    """

    action_space: spaces.Discrete

    def __init__(
        self,
        policy: str | type[DQNPolicy],
        env: GymEnv | str,
        *,
        mask_in_observation: bool = True,
        double_q: bool = True,
        exploration_spread: bool = False,
        n_steps: int = 1,
        cut_at_exploration: bool = True,
        centred: bool = False,
        _init_setup_model: bool = True,
        **sb3: Any,
    ) -> None:
        if policy == "MlpPolicy" and mask_in_observation:
            policy = masking.MaskedDQNPolicy
        super().__init__(policy, env, _init_setup_model=False, **sb3)
        self.mask_in_observation = mask_in_observation
        self.double_q = double_q
        self.exploration_spread = exploration_spread
        self.n_steps = n_steps
        self.cut_at_exploration = cut_at_exploration
        self.centred = centred
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.mask_in_observation:
            masking.check_mask_space(self.observation_space, int(self.action_space.n))
        if self.replay_buffer_class is None:
            self.replay_buffer_class = NStepBuffer
        if issubclass(self.replay_buffer_class, NStepBuffer):
            own = {"n_steps": self.n_steps, "gamma": self.gamma, "cut_at_exploration": self.cut_at_exploration}
            self.replay_buffer_kwargs = {**self.replay_buffer_kwargs, **own}
        elif issubclass(self.replay_buffer_class, CounterfactualReplayBuffer):
            self.replay_buffer_kwargs = {**self.replay_buffer_kwargs, "gamma": self.gamma}
        if self.centred and not issubclass(self.replay_buffer_class, CounterfactualReplayBuffer):
            name = self.replay_buffer_class.__name__
            raise ValueError(f"centred is True with replay_buffer_class {name}, expected CounterfactualReplayBuffer")
        if self.n_steps != 1 and not issubclass(self.replay_buffer_class, NStepBuffer):
            name = self.replay_buffer_class.__name__
            raise ValueError(f"n_steps is {self.n_steps} with replay_buffer_class {name}, expected 1 or NStepBuffer")
        self._explored = np.zeros(self.n_envs, np.bool_)  # which of the latest actions were random
        self._spread = masking.exploration_spread(self.n_envs) if self.exploration_spread else np.ones(self.n_envs)
        # Stable-Baselines3 warns that a buffer class of one's own must be told n_steps; it was, above
        n_steps, self.n_steps = self.n_steps, 1
        super()._setup_model()
        self.n_steps = n_steps
        self._seed_generators(self.seed)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed all generators: those of Stable-Baselines3, the model's own and the replay buffer's."""
        super().set_random_seed(seed)
        if seed is not None:
            self._seed_generators(seed)

    def _seed_generators(self, seed: int | None) -> None:
        exploration, replay = np.random.SeedSequence(seed).spawn(2)
        self._rng = np.random.default_rng(exploration)
        if isinstance(self.replay_buffer, NStepBuffer | CounterfactualReplayBuffer):
            self.replay_buffer.seed(replay)

    # --- acting ------------------------------------------------------------------------------------------------------
    def _mask_of(self, obs: Any) -> th.Tensor | None:
        return masking.split_mask(obs, int(self.action_space.n))[1] if self.mask_in_observation else None

    def _greedy(self, obs: Any) -> NDArray[np.int64]:
        tensor, _ = self.policy.obs_to_tensor(obs)
        with th.no_grad():
            best = masking.masked_argmax(self.q_net(tensor), self._mask_of(tensor))
        return cast(NDArray[np.int64], best.cpu().numpy())

    def _explore(
        self, obs: Any, epsilon: NDArray[np.float64], *, strict: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Actions, at random with probability ``epsilon`` ``(B,)``, and which of them are, ``(B,)`` each."""
        count, n = len(epsilon), int(self.action_space.n)
        flat = np.reshape(obs, (count, -1)) if self.mask_in_observation else np.ones((count, n + 1))
        mask = masking.split_mask(flat, n)[1]
        stuck = np.flatnonzero(~mask.any(axis=1))
        if strict and len(stuck):
            raise ValueError(f"environment {stuck[0]} allows no action in mid-episode, expected at least one")
        explored = self._rng.random(count) < epsilon
        actions = masking.random_allowed(mask, self._rng.random(count))
        if not explored.all():
            actions = np.where(explored, actions, self._greedy(obs))
        return actions, explored

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        warm_up = self.num_timesteps < learning_starts
        epsilon = np.ones(n_envs) if warm_up else self.exploration_rate * self._spread
        actions, self._explored = self._explore(self._last_obs, epsilon, strict=True)
        return actions, actions

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """The best allowed action of one observation or a batch; unless ``deterministic``, epsilon-greedy.

        Only with ``deterministic=False`` is the model's generator drawn from. Where nothing is allowed, everything is.
        """
        self.policy.set_training_mode(False)
        batched = self.policy.is_vectorized_observation(observation)
        if deterministic:
            actions = self._greedy(observation)
        else:
            first = next(iter(observation.values())) if isinstance(observation, dict) else observation
            epsilon = np.full(len(first) if batched else 1, self.exploration_rate)
            actions, _ = self._explore(observation, epsilon, strict=False)
        return (actions if batched else actions.squeeze(axis=0)), state

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: NDArray[Any],
        new_obs: NDArray[Any] | dict[str, NDArray[Any]],
        reward: NDArray[Any],
        dones: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        if isinstance(replay_buffer, CounterfactualReplayBuffer):
            # where an episode has ended, the environment has begun the next one already
            values = cast(Any, self.env).get_attr(EXOGENOUS)
            replay_buffer.record(values[0] if np.ndim(values[0]) == 2 else np.stack(values), dones)
            self._last_obs = new_obs
            return
        if not isinstance(replay_buffer, NStepBuffer):
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
            return
        assert isinstance(new_obs, np.ndarray) and isinstance(self._last_obs, np.ndarray)
        next_obs = new_obs.copy() if dones.any() else new_obs
        for i in np.flatnonzero(dones):
            next_obs[i] = infos[i]["terminal_observation"]
        replay_buffer.add(self._last_obs, next_obs, buffer_action, reward, dones, infos, self._explored)
        self._last_obs = new_obs

    # --- learning ----------------------------------------------------------------------------------------------------
    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        if isinstance(self.replay_buffer, NStepBuffer) and self._vec_normalize_env is not None:
            raise ValueError(
                "the environment is wrapped in VecNormalize, expected one without: it would scale the mask"
            )
        return super()._setup_learn(*args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Make ``gradient_steps`` >= 1 updates with the Huber loss and log their means.

        Up to ``_BLOCK`` batches are sampled together and pass the target network, which stays as it is, in one call.
        """
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        parameters = list(self.q_net.parameters())
        losses, norms = [], []
        for first in range(0, gradient_steps, _BLOCK):
            count = min(_BLOCK, gradient_steps - first)
            data = self.replay_buffer.sample(batch_size * count, env=self._vec_normalize_env)
            with th.no_grad():
                next_q = self._values(self.q_net_target, data.next_observations)
                discounts = (1 - data.dones) * (self.gamma if data.discounts is None else data.discounts)
            columns = (data.observations, data.actions.long(), data.rewards, discounts, data.next_observations, next_q)
            for batch in zip(*(th.split(column, batch_size) for column in columns), strict=True):
                observations, actions, rewards, discount, next_observations, next_values = batch
                target = rewards + discount * self._bootstrap(next_observations, next_values)
                own_loss = getattr(self.q_net, "loss", None)
                if own_loss is not None:
                    parts = (observations, actions, rewards, next_observations, target)
                    q, loss = target, cast(th.Tensor, own_loss(*(self._grouped(part) for part in parts)))
                else:
                    q = self._values(self.q_net, observations).gather(1, actions)
                    if self.centred:
                        q, target = self._centre(q), self._centre(target)
                    loss = F.smooth_l1_loss(q, target)
                for parameter in parameters:
                    parameter.grad = None
                loss.backward()  # type: ignore[no-untyped-call]
                norms.append(th.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm))
                self.policy.optimizer.step()
                losses.append(loss.detach())  # not .item(), which on a GPU waits for every single update
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", th.stack(losses).mean().item())
        self.logger.record("train/grad_norm", th.stack(norms).mean().item())
        self.logger.record("train/q_mean", q.mean().item())  # of the last update
        self.logger.record("train/target_mean", target.mean().item())

    def _values(self, net: Any, obs: th.Tensor) -> th.Tensor:
        """Q-values ``(B, n_actions)``; a network with ``takes_groups`` sees the rows of a group together, ``(G, K, F)``."""
        if isinstance(self.replay_buffer, CounterfactualReplayBuffer) and getattr(net, "takes_groups", False):
            return cast(th.Tensor, net(self._grouped(obs))).flatten(0, 1)
        return cast(th.Tensor, net(obs))

    def _grouped(self, rows: th.Tensor) -> th.Tensor:
        """``rows`` ``(B, F)`` by the groups of the counterfactual buffer, ``(G, K, F)``."""
        return rows.view(-1, cast(CounterfactualReplayBuffer, self.replay_buffer).group, rows.shape[1])

    def _centre(self, values: th.Tensor) -> th.Tensor:
        """``values`` ``(B, 1)`` less their means over the groups of the counterfactual buffer."""
        grouped = values.view(-1, cast(CounterfactualReplayBuffer, self.replay_buffer).group)
        return (grouped - grouped.mean(dim=1, keepdim=True)).view(-1, 1)

    @th.no_grad()
    def _bootstrap(self, obs: th.Tensor, values: th.Tensor) -> th.Tensor:
        """Value ``(B, 1)`` of the best allowed action; ``values`` ``(B, n_actions)``: the target network's."""
        mask = self._mask_of(obs)
        if not self.double_q:
            return masking.masked_max(values, mask)[:, None]
        return values.gather(1, masking.masked_argmax(self._values(self.q_net, obs), mask)[:, None])

    # --- exact continuation ------------------------------------------------------------------------------------------
    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_rng", "_explored", "_spread"]

    def get_training_state(self, *, replay_buffer: bool = True) -> dict[str, Any]:
        """All that ``save`` leaves out and training needs to go on exactly; picklable.

        Taken where a rollout starts (``BaseCallback._on_rollout_start``), put back with ``set_training_state`` into a
        model loaded from a ``save`` of the same moment, and continued by ``learn(rest, reset_num_timesteps=False)``, it
        leads to the same weights, bit for bit, as training that was never interrupted. The environment must have
        ``get_state`` (``SB3VecEnv``), else ``ValueError``. ``replay_buffer=False`` leaves the buffer out, for those who
        use ``save_replay_buffer``, which makes no copy in memory.
        """
        if not hasattr(self.env, "get_state"):
            raise ValueError(f"the environment {type(self.env).__name__} has no get_state(), expected SB3VecEnv")
        state: dict[str, Any] = {
            "version": 1,
            "counters": {name: getattr(self, name) for name in _COUNTERS},
            "env": cast(Any, self.env).get_state(),
            "model_generator": self._rng.bit_generator.state,
            "torch_generator": th.get_rng_state(),
            "cuda_generators": th.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            # for buffers of Stable-Baselines3 itself, which sample from the global generators
            "numpy_generator": np.random.get_state(),  # noqa: NPY002
            "python_generator": random.getstate(),
            "last_obs": deepcopy(self._last_obs),
            "last_episode_starts": deepcopy(self._last_episode_starts),
            # without wall time, so that equal runs have equal states
            "episodes": [{k: v for k, v in e.items() if k != "t"} for e in self.ep_info_buffer or ()],
            "successes": list(self.ep_success_buffer or ()),
        }
        return state | ({"replay_buffer": deepcopy(self.replay_buffer)} if replay_buffer else {})

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of ``get_training_state``. Raises ``ValueError`` if it is of another kind of run."""
        if state.get("version") != 1:
            raise ValueError(f"the training state has version {state.get('version')!r}, expected 1")
        if not hasattr(self.env, "set_state"):
            raise ValueError(f"the environment {type(self.env).__name__} has no set_state(), expected SB3VecEnv")
        cast(Any, self.env).set_state(state["env"])
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])
        self._last_obs = deepcopy(state["last_obs"])
        self._last_episode_starts = deepcopy(state["last_episode_starts"])
        self.ep_info_buffer = deque(state["episodes"], maxlen=self._stats_window_size)
        self.ep_success_buffer = deque(state["successes"], maxlen=self._stats_window_size)
        if "replay_buffer" in state:
            self.replay_buffer = deepcopy(state["replay_buffer"])
            cast(ReplayBuffer, self.replay_buffer).device = self.device
        self._rng.bit_generator.state = state["model_generator"]
        th.set_rng_state(state["torch_generator"])
        if state["cuda_generators"] and self.device.type == "cuda":
            th.cuda.set_rng_state_all(state["cuda_generators"])
        np.random.set_state(state["numpy_generator"])  # noqa: NPY002
        random.setstate(state["python_generator"])
