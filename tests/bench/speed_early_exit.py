"""Steps per second of early exit, beside CartPole in the same run: ``python tests/bench/speed_early_exit.py``.

Default scenario and observation, actions at random, copies on; ours and CartPole take turns, and choosing the actions is not
timed. The bar, on one quiet core: 20,000 steps/s scalar, episodes drawn included. Then all scenarios, where the time of a
step goes, and what it takes to begin: the import, loading the kernels, making the environment.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from _rates import Stopwatch, scalar_rate, vector_rate
from rich.console import Console
from rich.table import Table

from envs.early_exit import batch
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.generator import EpisodeGenerator
from envs.early_exit.scenarios import SCENARIOS

OURS, PEER = "offramp/EarlyExit-v0", "CartPole-v1"
SCALAR_STEPS = 20_000
VECTOR_STEPS = {64: 500, 1024: 110}  # more than a whole episode
BARS: dict[int, float] = {1: 20_000}
_BEGIN = """
import time
started = time.perf_counter()
import envs
imported = time.perf_counter()
import gymnasium as gym
from envs.early_exit.env import EarlyExitEnv
modules = time.perf_counter()
EarlyExitEnv()
first = time.perf_counter()
EarlyExitEnv()
print(imported - started, modules - imported, first - modules, time.perf_counter() - first)
"""


class Chooser:
    """Actions at random, from numbers that are drawn beforehand."""

    def __init__(self, actions: int) -> None:
        self._numbers = np.random.default_rng(0).integers(0, actions, 1 << 16)
        self._at = 0

    def __call__(self, mask: Any) -> Any:
        """One action, or one for each row of a mask."""
        count = 1 if mask.ndim == 1 else len(mask)
        self._at = (self._at + count) % (len(self._numbers) - count)
        chosen = self._numbers[self._at : self._at + count]
        return chosen[0] if mask.ndim == 1 else chosen


def rate(env_id: str, num_envs: int, **arguments: Any) -> float:
    """Steps per second of one environment (``num_envs`` 1), or over all of a vector environment."""
    choose = Chooser(52 if env_id == OURS else 2)
    if num_envs == 1:
        return scalar_rate(env_id, SCALAR_STEPS, choose, disable_env_checker=True, **arguments)
    return vector_rate(env_id, num_envs, VECTOR_STEPS[num_envs], choose, **arguments)


def scalar_profile() -> dict[str, float]:
    """Microseconds of a scalar step in each of its parts; those of a reset are spread over the steps of its episode."""
    env = EarlyExitEnv()
    env.reset(seed=0)
    compiled, drawing = batch.decide, EpisodeGenerator.draw
    kernel, infos = Stopwatch(compiled), Stopwatch(env._info)
    seconds = 0.0

    def draw(*arguments: Any) -> Any:
        nonlocal seconds
        started = time.perf_counter()
        result = drawing(*arguments)
        seconds += time.perf_counter() - started
        return result

    batch.decide, env._info, EpisodeGenerator.draw = kernel, infos, draw  # type: ignore[method-assign]
    actions = np.random.default_rng(0).integers(0, 52, SCALAR_STEPS)
    try:
        started = time.perf_counter()
        for action in actions:
            if env.step(action)[3]:
                env.reset()
        total = time.perf_counter() - started
    finally:
        batch.decide, EpisodeGenerator.draw = compiled, drawing  # type: ignore[method-assign]
    spent = {"compiled step": kernel.seconds, "info": infos.seconds, "drawing episodes": seconds}
    spent["rest (Python, copies)"] = total - sum(spent.values())
    return {name: 1e6 * one / SCALAR_STEPS for name, one in (*spent.items(), ("all", total))}


def vector_profile(num_envs: int) -> dict[str, float]:
    """Microseconds of an environment step in each part of a vector step."""
    env: Any = gym.make_vec(OURS, num_envs=num_envs, vectorization_mode="vector_entry_point").unwrapped
    env.reset(seed=0)
    steps, choose, mask = VECTOR_STEPS[num_envs], Chooser(52), np.ones((num_envs, 1))
    compiled, total = batch.batch_decide, 0.0
    kernel, infos, begin = Stopwatch(compiled), Stopwatch(env._infos), Stopwatch(env._begin)
    batch.batch_decide, env._infos, env._begin = kernel, infos, begin
    try:
        for _ in range(steps):
            actions = choose(mask)
            started = time.perf_counter()
            env.step(actions)
            total += time.perf_counter() - started
    finally:
        batch.batch_decide = compiled
    spent = {"compiled step": kernel.seconds, "info": infos.seconds, "drawing episodes": begin.seconds}
    spent["rest (Python, copies)"] = total - sum(spent.values())
    return {name: 1e6 * one / steps / num_envs for name, one in (*spent.items(), ("all", total))}


def beginning() -> list[float]:
    """Seconds of: import of ``envs``; of the environment's modules; making the first environment; making another one."""
    done = subprocess.run([sys.executable, "-c", _BEGIN], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def table_of(title: str, *heads: str) -> Table:
    """An empty table, numbers to the right."""
    table = Table(title=title, title_justify="left")
    for name in heads:
        table.add_column(name, justify="left" if name == heads[0] else "right")
    return table


def main(repeats: int) -> None:
    """Print medians of ``repeats`` interleaved measurements, the rates of all scenarios, the profiles and the beginning."""
    sizes = (1, *VECTOR_STEPS)
    table = table_of(
        f"steps per second, medians of {repeats}", "case", "offramp", "highest", "CartPole", "ratio", "bar"
    )
    for size in sizes:
        one: Callable[[str], float] = partial(rate, num_envs=size)
        one(OURS)  # compile, warm up
        pairs = [(one(OURS), one(PEER)) for _ in range(repeats)]
        ours, peer = (median(pair[k] for pair in pairs) for k in range(2))
        ratio, highest = median(a / b for a, b in pairs), max(pair[0] for pair in pairs)
        bar = f"{BARS[size]:,.0f}" if size in BARS else "-"
        name = "scalar" if size == 1 else f"vector {size:,}"
        table.add_row(name, f"{ours:,.0f}", f"{highest:,.0f}", f"{peer:,.0f}", f"{ratio:.3f}", bar)
    others = table_of("steps per second", "scenario", "scalar", *(f"vector {size:,}" for size in VECTOR_STEPS))
    for scenario in SCENARIOS:
        rates = [[rate(OURS, size, scenario=scenario) for _ in range(repeats)] for size in sizes]
        others.add_row(scenario, *(f"{median(some):,.0f}" for some in rates))
    parts = table_of(
        "where a step's time goes", "us per environment step", "scalar", *(f"vector {n:,}" for n in VECTOR_STEPS)
    )
    profiles = [[scalar_profile() for _ in range(repeats)]]
    profiles += [[vector_profile(size) for _ in range(repeats)] for size in VECTOR_STEPS]
    for name in profiles[0][0]:
        parts.add_row(name, *(f"{median(one[name] for one in some):.2f}" for some in profiles))
    begin = table_of("the beginning, in a process of its own, kernels compiled before", "what", "seconds")
    begun = [beginning() for _ in range(repeats)]
    for k, name in enumerate(("import envs", "the environment's modules", "first environment", "another one")):
        begin.add_row(name, f"{median(one[k] for one in begun):.2f}")
    console = Console()
    for shown in (table, others, parts, begin):
        console.print(shown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each case (default: 3)")
    main(parser.parse_args().repeats)
