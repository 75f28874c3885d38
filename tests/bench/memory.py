"""Memory of 1,024 environments of `mixed-70` and of a full replay buffer at 70 devices: ``python tests/bench/memory.py``.

The bar: 200,000 transitions at 70 devices under 2 GB.
"""

from __future__ import annotations

import resource

import gymnasium as gym
import numpy as np

import envs
from agents.buffers import NStepBuffer


def resident() -> float:
    """Largest resident memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print both numbers."""
    warm = gym.make_vec(envs.ENVIRONMENTS[0], num_envs=1, vectorization_mode="vector_entry_point", scenario="mixed-70")
    warm.reset(seed=0)
    before = resident()
    env = gym.make_vec(
        envs.ENVIRONMENTS[0], num_envs=1024, vectorization_mode="vector_entry_point", scenario="mixed-70"
    )
    _, info = env.reset(seed=0)
    for _ in range(50):
        _, _, _, _, info = env.step(info["action_mask"].argmax(axis=1))
    print(f"1,024 environments of mixed-70: {resident() - before:.2f} GB")
    before = resident()
    buffer = NStepBuffer(200_000, warm.single_observation_space, warm.single_action_space, "cpu", n_envs=64)
    for part in vars(buffer).values():
        if isinstance(part, np.ndarray):
            part.fill(1)  # touch every page
    print(f"replay buffer, 200,000 transitions of 70 devices: {resident() - before:.2f} GB (bar: 2)")


if __name__ == "__main__":
    main()
