"""Held-out instances: drawn from random streams that no training environment reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy.generator import Generator
from envs.distprivacy.simulator import Simulator

HELD_OUT = 0x0FF
"""First word of the seeds of held-out instances. Training environments are seeded by a single number."""


def held_out_heads(generator: Generator, simulator: Simulator, count: int, seed: int) -> NDArray[np.float64]:
    """``count`` encoded instances of a seed, float64 ``(count, instance_length)``; a larger count begins alike."""
    heads = np.zeros((count, simulator.instance_length))
    rng = np.random.default_rng([HELD_OUT, seed])
    generator.fill_block(heads, simulator, rng.random((count, generator.uniforms)))
    return heads
