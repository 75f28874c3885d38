"""Environment steps per second, as ratios to CartPole in the same run: ``python tests/bench/speed_env.py --help``.

Default scenario, full observation, valid actions (the first allowed device), copies on; ours and CartPole take turns, and
choosing the actions is not timed. The bars: scalar at least 2 times CartPole's through ``gym.make``; vector at 64 and 1,024
at least 1.0 and 0.15 times CartPole's ``vector_entry_point``. Ours is registered without Gymnasium's passive checker; one
row compares with a CartPole that goes without it too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import gymnasium as gym
from _rates import Stopwatch, scalar_rate, vector_rate
from rich.console import Console
from rich.table import Table

import envs
from envs.distprivacy import batch

OURS, PEER = envs.ENVIRONMENTS[0], "CartPole-v1"
SCALAR_STEPS = 30_000
VECTOR_STEPS = {64: 3_000, 1024: 400}
BARS: dict[int, float] = {64: 1.0, 1024: 0.15}


def scalar(env_id: str, **arguments: Any) -> float:
    """Steps per second of one environment through ``gym.make``, resets included."""
    return scalar_rate(env_id, SCALAR_STEPS, lambda mask: mask.argmax(), **arguments)


def scalar_unchecked(env_id: str) -> float:
    """``scalar`` without Gymnasium's passive checker."""
    return scalar(env_id, disable_env_checker=True)


def vector(env_id: str, num_envs: int) -> float:
    """Steps per second over all sub-environments of the ``vector_entry_point``."""
    return vector_rate(env_id, num_envs, VECTOR_STEPS[num_envs], lambda mask: mask.argmax(axis=1))


def profile(num_envs: int) -> dict[str, float]:
    """Nanoseconds of an environment step in each part of a vector step."""
    env: Any = gym.make_vec(OURS, num_envs=num_envs, vectorization_mode="vector_entry_point").unwrapped
    _, info = env.reset(seed=0)
    steps = VECTOR_STEPS[num_envs]
    kernel, infos, resets = Stopwatch(batch.batch_step), Stopwatch(env._final_infos), Stopwatch(env._refill)
    compiled, total = batch.batch_step, 0.0
    batch.batch_step, env._final_infos, env._refill = kernel, infos, resets
    try:
        for _ in range(steps):
            actions = info["action_mask"].argmax(axis=1)
            started = time.perf_counter()
            _, _, _, _, info = env.step(actions)
            total += time.perf_counter() - started
    finally:
        batch.batch_step = compiled
    copies = {"copy of the observations": env._observations, "copy of the masks": env._masks}
    spent = {"compiled loop": kernel.seconds}
    for name, array in copies.items():
        copy = Stopwatch(array.copy)
        for _ in range(steps):
            copy()
        spent[name] = copy.seconds
    spent |= {"infos of ended episodes": infos.seconds, "drawing new periods": resets.seconds}
    spent["rest (Python)"] = total - sum(spent.values())
    return {name: 1e9 * seconds / steps / num_envs for name, seconds in (*spent.items(), ("all", total))}


def table_of(title: str, heads: tuple[str, ...]) -> Table:
    """An empty table, numbers to the right."""
    table = Table(title=title, title_justify="left")
    for name in heads:
        table.add_column(name, justify="left" if name == heads[0] else "right")
    return table


def main(repeats: int) -> None:
    """Print medians of ``repeats`` interleaved measurements, then the profile of a vector step."""
    cases: list[tuple[str, Callable[[str], float], str]] = [
        ("scalar, gym.make", scalar, "2"),
        ("scalar, both unchecked", scalar_unchecked, ""),
    ]
    cases += [(f"vector {n}", partial(vector, num_envs=n), f"{bar:g}") for n, bar in BARS.items()]
    table = table_of(
        f"steps per second, medians of {repeats}", ("case", "offramp", "CartPole", "ratio", "lowest", "bar")
    )
    for name, rate, bar in cases:
        rate(OURS)  # compile, warm up
        pairs = [(rate(OURS), rate(PEER)) for _ in range(repeats)]
        ratios = [ours / peer for ours, peer in pairs]
        ours, peer = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        table.add_row(name, f"{ours:,.0f}", f"{peer:,.0f}", f"{median(ratios):.2f}", f"{min(ratios):.2f}", bar)
    parts = table_of("where a vector step's time goes", ("ns per environment step", *(f"vector {n}" for n in BARS)))
    profiles = [[profile(num_envs) for _ in range(repeats)] for num_envs in BARS]
    for name in profiles[0][0]:
        parts.add_row(name, *(f"{median(one[name] for one in some):,.0f}" for some in profiles))
    console = Console()
    console.print(table)
    console.print(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each case (default: 5)")
    main(parser.parse_args().repeats)
