"""Environment steps per second, as ratios to CartPole in the same run: ``python tests/bench/speed_env.py [repeats]``.

Default scenario, full observation, valid actions (the first allowed device), copies on. The bars: scalar at least 2 times
CartPole's through ``gym.make``; vector at 64 and 1,024 at least 1.0 and 0.15 times CartPole's ``vector_entry_point``.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

import envs
from envs.distprivacy import batch

OURS, PEER = envs.ENVIRONMENTS[0], "CartPole-v1"
SCALAR_STEPS = 30_000
VECTOR_STEPS = {64: 3_000, 1024: 400}


def scalar_rate(env_id: str) -> float:
    """Steps per second of one environment through ``gym.make``; choosing the action is not timed."""
    env: Any = gym.make(env_id)
    _, info = env.reset(seed=0)
    spent = 0.0
    for step in range(SCALAR_STEPS):
        action = int(info["action_mask"].argmax()) if env_id == OURS else step % 2
        started = time.perf_counter()
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
        spent += time.perf_counter() - started
    return SCALAR_STEPS / spent


def vector_rate(env_id: str, num_envs: int) -> float:
    """Steps per second over all sub-environments of the ``vector_entry_point``; choosing the actions is not timed."""
    env: Any = gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point")
    _, info = env.reset(seed=0)
    rng, spent = np.random.default_rng(0), 0.0
    for _ in range(VECTOR_STEPS[num_envs]):
        actions = info["action_mask"].argmax(axis=1) if env_id == OURS else rng.integers(2, size=num_envs)
        started = time.perf_counter()
        _, _, _, _, info = env.step(actions)
        spent += time.perf_counter() - started
    return num_envs * VECTOR_STEPS[num_envs] / spent


def profile(num_envs: int) -> Table:
    """Where the time of a vector step goes: the compiled loop, the copies, the rest (infos, refills, Python)."""
    env: Any = gym.make_vec(OURS, num_envs=num_envs, vectorization_mode="vector_entry_point").unwrapped
    _, info = env.reset(seed=0)
    kernel, spent = batch.batch_step, {"compiled loop": 0.0}
    loops = VECTOR_STEPS[num_envs] // 2

    def timed(*arguments: Any) -> int:
        started = time.perf_counter()
        ended = kernel(*arguments)
        spent["compiled loop"] += time.perf_counter() - started
        return int(ended)

    batch.batch_step = timed
    try:
        started, choosing = time.perf_counter(), 0.0
        for _ in range(loops):
            before = time.perf_counter()
            actions = info["action_mask"].argmax(axis=1)
            choosing += time.perf_counter() - before
            _, _, _, _, info = env.step(actions)
        total = time.perf_counter() - started - choosing
    finally:
        batch.batch_step = kernel
    started = time.perf_counter()
    for _ in range(loops):
        env._observations.copy()
        env._masks.copy()
    spent["copies of observations and masks"] = time.perf_counter() - started
    spent["infos, new periods, Python"] = total - sum(spent.values())
    table = Table(title=f"one vector step of {num_envs}", title_justify="left")
    table.add_column("part")
    table.add_column("ns per environment step", justify="right")
    for name, seconds in spent.items():
        table.add_row(name, f"{1e9 * seconds / loops / num_envs:.0f}")
    return table


def main(repeats: int) -> None:
    """Interleave ours and CartPole ``repeats`` times and print medians."""
    cases: list[tuple[str, Any, float]] = [("scalar, gym.make", scalar_rate, 2.0)]
    cases += [(f"vector {n}", lambda env_id, n=n: vector_rate(env_id, n), bar) for n, bar in ((64, 1.0), (1024, 0.15))]
    table = Table(title=f"steps per second, medians of {repeats}", title_justify="left")
    for name in ("case", "offramp", "CartPole", "ratio", "lowest", "bar"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for name, rate, bar in cases:
        rate(OURS)  # compile, warm up
        pairs = [(rate(OURS), rate(PEER)) for _ in range(repeats)]
        ratios = [ours / peer for ours, peer in pairs]
        ours, peer = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        table.add_row(name, f"{ours:,.0f}", f"{peer:,.0f}", f"{median(ratios):.2f}", f"{min(ratios):.2f}", f"{bar:g}")
    console = Console()
    console.print(table)
    for num_envs in VECTOR_STEPS:
        console.print(profile(num_envs))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
