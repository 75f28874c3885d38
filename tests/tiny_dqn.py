"""A small MaskableDQN on the default environment, for tests."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3 import DQN

import envs  # noqa: F401  (registers the environments)
from agents.dqn import MaskableDQN
from agents.vec_adapter import SB3VecEnv

th.set_num_threads(1)
SMALL: dict[str, Any] = {"net_arch": [16]}


class Watched(SB3VecEnv):
    """Offramp's environment, counting the actions that its own mask forbids."""

    def __init__(self, n: int) -> None:
        super().__init__(gym.make_vec("offramp/DistPrivacy-v0", num_envs=n))
        self.steps, self.invalid = 0, 0

    def step_async(self, actions: NDArray[Any]) -> None:
        masks = np.stack(self.env_method("action_masks"))
        self.steps += len(actions)
        self.invalid += int((~masks[np.arange(len(actions)), actions]).sum())
        super().step_async(actions)


def model(n: int = 8, **changes: Any) -> MaskableDQN:
    arguments: dict[str, Any] = {
        "learning_starts": 200,
        "batch_size": 16,
        "train_freq": 1,
        "gradient_steps": 2,
        "target_update_interval": 160,
        "exploration_fraction": 0.5,
        "buffer_size": 1000,
        "learning_rate": 1e-3,
        "policy_kwargs": SMALL,
        "seed": 0,
        "device": "cpu",
    }
    return MaskableDQN("MlpPolicy", Watched(n), **(arguments | changes))


def weights(algorithm: DQN) -> bytes:
    """Parameters of both networks and the optimizer's moments, bit for bit."""
    moments = algorithm.policy.optimizer.state_dict()["state"]
    tensors = [*algorithm.policy.state_dict().values(), *(t for m in moments.values() for t in m.values())]
    return b"".join(t.numpy().tobytes() for t in tensors)
