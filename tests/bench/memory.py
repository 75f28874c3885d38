"""Resident memory of many environments and of a full replay buffer: ``python tests/bench/memory.py --help``.

The bar: 200,000 transitions at 70 devices under 2 GB. Every page is written, so nothing that the system would hand out
only later is left uncounted.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

import envs
from agents.buffers import NStepBuffer

SCENARIO = "mixed-70"


def resident() -> float:
    """Resident memory of this process, GB (1e9 bytes)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9


def touch(owner: object) -> None:
    """Write one number in every page of the arrays that ``owner`` holds, without changing their values."""
    for part in vars(owner).values():
        if isinstance(part, np.ndarray) and part.flags.writeable:
            flat = part.reshape(-1)
            step = max(1, 4096 // part.itemsize)
            flat[::step] = flat[::step].copy()


def make(num_envs: int) -> Any:
    """A vector environment after its first steps."""
    env: Any = gym.make_vec(
        envs.ENVIRONMENTS[0], num_envs=num_envs, vectorization_mode="vector_entry_point", scenario=SCENARIO
    ).unwrapped
    _, info = env.reset(seed=0)
    for _ in range(60):
        _, _, _, _, info = env.step(info["action_mask"].argmax(axis=1))
    touch(env)
    return env


def main(num_envs: int, transitions: int) -> None:
    """Print both numbers."""
    one = make(1)  # compiles: what the kernels take is not counted
    before = resident()
    many = make(num_envs)
    environments = resident() - before
    before = resident()
    buffer = NStepBuffer(transitions, one.single_observation_space, one.single_action_space, "cpu", n_envs=64)
    touch(buffer)
    table = Table(title=f"resident memory, {SCENARIO}", title_justify="left")
    for name in ("what", "GB", "kB each", "bar, GB"):
        table.add_column(name, justify="left" if name == "what" else "right")
    table.add_row(f"{many.num_envs:,} environments", f"{environments:.3f}", f"{1e6 * environments / num_envs:,.1f}", "")
    filled = resident() - before
    each = f"{1e6 * filled / transitions:,.2f}"
    table.add_row(f"replay buffer, {transitions:,} transitions", f"{filled:.3f}", each, "2")
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=1024, help="number of environments (default: 1024)")
    parser.add_argument("--transitions", type=int, default=200_000, help="size of the buffer (default: 200000)")
    arguments = parser.parse_args()
    main(arguments.envs, arguments.transitions)
