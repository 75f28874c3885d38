"""MaskableDQN against stock SB3 DQN on the same environment: ``python tests/bench/speed_dqn.py --help``.

Both learn from the same number of sampled transitions per environment step (8), with the same network, learning rate,
target updates and one torch thread; stock DQN as it is used, one environment in a DummyVecEnv, batch 32 every 4 steps;
ours on 64 native environments, batch 128 four times a vector step. Quality: mean latency on 300 held-out instances after
``steps`` steps each. The bar: at least 4 times the steps per second at equal quality.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from rich.console import Console
from rich.table import Table
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv

import envs
from agents.baselines import baseline
from agents.dqn import MaskableDQN
from agents.evaluation import InstanceSet, evaluate
from agents.vec_adapter import SB3VecEnv
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.simulator import Options

STOCK, OURS = "stock DQN", "MaskableDQN"
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


def make(name: str, seed: int) -> DQN:
    """An untrained agent with its environments."""
    if name == STOCK:
        one: Any = DummyVecEnv([lambda: gym.make(envs.ENVIRONMENTS[0])])
        return DQN("MlpPolicy", one, train_freq=4, gradient_steps=1, batch_size=32, seed=seed, **SHARED)
    vector: Any = gym.make_vec(envs.ENVIRONMENTS[0], num_envs=64, vectorization_mode="vector_entry_point").unwrapped
    many = SB3VecEnv(vector)
    return MaskableDQN(
        "MlpPolicy", many, train_freq=1, gradient_steps=4, batch_size=128, double_q=False, seed=seed, **SHARED
    )


def main(steps: int, seeds: int) -> None:
    """Train both in turn with every seed, print medians of speed and quality."""
    th.set_num_threads(1)
    instances = InstanceSet.draw(scenario("lenet-random"), 300, 0)
    rates: dict[str, list[float]] = {STOCK: [], OURS: []}
    latencies: dict[str, list[float]] = {STOCK: [], OURS: []}
    for seed in range(seeds):
        for name in rates:
            model = make(name, seed)
            rates[name].append(timed(model, steps))
            latencies[name].append(1e3 * evaluate(Greedy(name, model), instances, check=False).mean_latency_s)
    greedy = 1e3 * evaluate(baseline("greedy"), instances, check=False).mean_latency_s
    title = (
        f"{steps:,} environment steps, 8 sampled transitions each, medians of {seeds} seeds (greedy: {greedy:.4f} ms)"
    )
    table = Table(title=title, title_justify="left")
    for head in ("agent", "steps/s", "latency ms", "lowest", "highest"):
        table.add_column(head, justify="left" if head == "agent" else "right")
    for name, reached in latencies.items():
        numbers = (median(reached), min(reached), max(reached))
        table.add_row(name, f"{median(rates[name]):,.0f}", *(f"{number:.4f}" for number in numbers))
    console = Console()
    console.print(table)
    ratios = [ours / stock for ours, stock in zip(rates[OURS], rates[STOCK], strict=True)]
    console.print(f"ratio of the speeds {median(ratios):.2f} (bar: 4)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--steps", type=int, default=100_000, help="environment steps of each training (default: 100000)"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each agent (default: 1)")
    arguments = parser.parse_args()
    main(arguments.steps, arguments.seeds)
