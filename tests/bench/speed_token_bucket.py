"""Steps per second of the token bucket, beside CartPole in the same run: ``python tests/bench/speed_token_bucket.py``.

Default scenario and observation, a send whenever there is a token, copies on; ours and CartPole take turns, and choosing the
actions is not timed. The bars, on one quiet core: 50,000 steps/s scalar, a million at 64 and five million at 1,024
sub-environments. Then the time of other scenarios, and where the time of a vector step goes.
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

from envs.token_bucket import batch
from envs.token_bucket.scenarios import SCENARIOS

OURS, PEER = "offramp/TokenBucket-v0", "CartPole-v1"
SCALAR_STEPS = 30_000
VECTOR_STEPS = {64: 5_000, 1024: 1_005}
BARS: dict[int, float] = {64: 1e6, 1024: 5e6}
SCALAR_BAR = 50_000


def scalar(env_id: str) -> float:
    """Steps per second of one environment, without the passive checker."""
    return scalar_rate(env_id, SCALAR_STEPS, lambda mask: mask[1], disable_env_checker=True)


def vector(env_id: str, num_envs: int, **arguments: Any) -> float:
    """Steps per second over all sub-environments; every one begins new episodes too."""
    return vector_rate(env_id, num_envs, VECTOR_STEPS[num_envs], lambda mask: mask[:, 1], **arguments)


def profile(num_envs: int) -> dict[str, float]:
    """Nanoseconds of an environment step in each part of a vector step."""
    env: Any = gym.make_vec(OURS, num_envs=num_envs, vectorization_mode="vector_entry_point").unwrapped
    _, info = env.reset(seed=0)
    steps = VECTOR_STEPS[num_envs]
    compiled, total = batch.batch_decide, 0.0
    kernel, infos, begin = Stopwatch(compiled), Stopwatch(env._infos), Stopwatch(env._begin)
    batch.batch_decide, env._infos, env._begin = kernel, infos, begin
    try:
        for _ in range(steps):
            actions = info["action_mask"][:, 1]
            started = time.perf_counter()
            _, _, _, _, info = env.step(actions)
            total += time.perf_counter() - started
    finally:
        batch.batch_decide = compiled
    spent = {"compiled loop": kernel.seconds, "infos": infos.seconds, "drawing new episodes": begin.seconds}
    spent["rest (Python, copies)"] = total - sum(spent.values())
    return {name: 1e9 * seconds / steps / num_envs for name, seconds in (*spent.items(), ("all", total))}


def table_of(title: str, *heads: str) -> Table:
    """An empty table, numbers to the right."""
    table = Table(title=title, title_justify="left")
    for name in heads:
        table.add_column(name, justify="left" if name == heads[0] else "right")
    return table


def main(repeats: int) -> None:
    """Print medians of ``repeats`` interleaved measurements, the rates of all scenarios, and the profile."""
    cases: list[tuple[str, Callable[[str], float], float]] = [("scalar", scalar, SCALAR_BAR)]
    cases += [(f"vector {n}", partial(vector, num_envs=n), bar) for n, bar in BARS.items()]
    table = table_of(
        f"steps per second, medians of {repeats}", "case", "offramp", "highest", "CartPole", "ratio", "bar"
    )
    for name, rate, bar in cases:
        rate(OURS)  # compile, warm up
        pairs = [(rate(OURS), rate(PEER)) for _ in range(repeats)]
        ours, peer = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        ratio = median(one / other for one, other in pairs)
        highest = max(pair[0] for pair in pairs)
        table.add_row(name, f"{ours:,.0f}", f"{highest:,.0f}", f"{peer:,.0f}", f"{ratio:.2f}", f"{bar:,.0f}")
    others = table_of("million steps per second, vector 1,024", "scenario", "offramp")
    for name in SCENARIOS:
        rates = [vector(OURS, 1024, scenario=name) for _ in range(repeats)]
        others.add_row(name, f"{median(rates) / 1e6:.2f}")
    parts = table_of(
        "where a vector step's time goes", "ns per environment step", *(f"vector {n:,}" for n in VECTOR_STEPS)
    )
    profiles = [[profile(num_envs) for _ in range(repeats)] for num_envs in VECTOR_STEPS]
    for name in profiles[0][0]:
        parts.add_row(name, *(f"{median(one[name] for one in some):,.0f}" for some in profiles))
    console = Console()
    for one in (table, others, parts):
        console.print(one)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each case (default: 3)")
    main(parser.parse_args().repeats)
