"""First calls of the compiled entry points: compilation is announced, and over before work starts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from envs._jit import announce_compilation
from envs.token_bucket import batch
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.build import World
from envs.token_bucket.dynamics import Dynamics
from envs.token_bucket.generator import toy_generator
from envs.token_bucket.observation import Window


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Load the kernels of the scalar and the vector environment from the disk cache, or compile them."""
    with announce_compilation():
        window = Window()
        world = World(toy_generator(), (Bucket.of(0.1, 4),), Dynamics(window), 2, False)
        trace, endogenous = world.begin(np.random.default_rng(0))
        frames = trace.frames()
        state = (endogenous[None], np.zeros((1, window.exogenous_length)))
        shown = (np.zeros((1, window.length), np.float32), np.zeros((1, 2), np.int8))
        report = (np.zeros((1, batch.N_INT), np.int64), np.zeros((1, batch.N_FLOAT)))
        totals, numbers = np.zeros((1, batch.N_TOTAL)), world.dynamics.numbers
        args = (window.numbers, totals[0])
        batch.begin(endogenous, state[1][0], frames, *args, shown[0][0], shown[1][0], report[0][0], report[1][0])
        batch.decide(
            endogenous, state[1][0], frames[1], 0, window.numbers, numbers, 0.0, totals[0], shown[0][0], shown[1][0],
            report[0][0], report[1][0],
        )  # fmt: skip
        clocks, lengths, actions = np.zeros(1, np.int64), np.full(1, 3, np.int64), np.zeros(1, np.int64)
        batch.batch_decide(
            *state, frames[None], clocks, lengths, actions, window.numbers, numbers, 0.0, totals, *shown, *report,
            np.zeros(1), np.zeros(1, np.bool_),
        )  # fmt: skip
        world.dynamics.transition(state[0], state[1], actions)
        world.dynamics.observe(state[0], state[1])
