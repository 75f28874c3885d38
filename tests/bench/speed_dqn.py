"""MaskableDQN against stock SB3 DQN on the same environment: ``python tests/bench/speed_dqn.py [steps]``.

Both learn from the same number of sampled transitions per environment step (8), with the same network, learning rate,
target updates and one torch thread; stock DQN as it is used, one environment in a DummyVecEnv, batch 32 every 4 steps;
ours on 64 native environments, batch 128 four times a vector step. Quality: mean latency on 300 held-out instances after
``steps`` steps each. The bar: at least 4 times the steps per second at equal quality.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from rich.console import Console
from rich.table import Table
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv

import envs
from agents.dqn import MaskableDQN
from agents.evaluation import InstanceSet, evaluate
from agents.vec_adapter import SB3VecEnv
from envs.distprivacy.simulator import Options

NETWORK = {"net_arch": [64, 64]}
SHARED: dict[str, Any] = {
    "learning_rate": 1e-3,
    "buffer_size": 50_000,
    "learning_starts": 1_000,
    "gamma": 1.0,
    "target_update_interval": 1_000,
    "exploration_fraction": 0.5,
    "exploration_final_eps": 0.05,
    "policy_kwargs": NETWORK,
    "seed": 0,
    "device": "cpu",
}


class Greedy:
    """A trained model as a policy; forbidden devices are left out for both, so that quality is compared alike."""

    respects_privacy = True
    options = Options()

    def __init__(self, name: str, model: DQN) -> None:
        self.name, self._model = name, model

    def act(self, observation: Any) -> Any:
        """Best allowed device of every observation."""
        with th.no_grad():
            q = self._model.q_net(th.as_tensor(observation)).numpy()
        return np.where(observation[:, -q.shape[1] :] > 0.5, q, -np.inf).argmax(axis=1)


def timed(model: DQN, steps: int) -> float:
    """Steps per second of training."""
    started = time.perf_counter()
    model.learn(steps, log_interval=10**9)
    return steps / (time.perf_counter() - started)


def main(steps: int) -> None:
    """Train both, print speed and quality."""
    th.set_num_threads(1)
    one: Any = DummyVecEnv([lambda: gym.make(envs.ENVIRONMENTS[0])])
    many = SB3VecEnv(gym.make_vec(envs.ENVIRONMENTS[0], num_envs=64, vectorization_mode="vector_entry_point").unwrapped)
    stock = DQN("MlpPolicy", one, train_freq=4, gradient_steps=1, batch_size=32, **SHARED)
    ours = MaskableDQN("MlpPolicy", many, train_freq=1, gradient_steps=4, batch_size=128, double_q=False, **SHARED)
    instances = InstanceSet.draw(many.env.generator, 300, 0)
    table = Table(title=f"{steps:,} environment steps, 8 sampled transitions each", title_justify="left")
    for name in ("agent", "steps/s", "latency ms", "rejected"):
        table.add_column(name, justify="left" if name == "agent" else "right")
    rates = {}
    for name, model in (("stock DQN", stock), ("MaskableDQN", ours)):
        rates[name] = timed(model, steps)
        outcome = evaluate(Greedy(name, model), instances, check=False)
        table.add_row(name, f"{rates[name]:,.0f}", f"{1e3 * outcome.mean_latency_s:.4f}", str(outcome.rejected))
    console = Console()
    console.print(table)
    console.print(f"ratio {rates['MaskableDQN'] / rates['stock DQN']:.2f} (bar: 4)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
