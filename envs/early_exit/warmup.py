"""First calls of the compiled entry points: compilation is announced, and over before work starts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from envs._jit import announce_compilation
from envs.early_exit import batch
from envs.early_exit.build import make_world
from envs.early_exit.costs import NetworkWork
from envs.early_exit.dynamics import N_REPORT
from envs.early_exit.types import ExitTable, Thresholds


def toy_table(exits: int = 2) -> ExitTable:
    """Four rows of every kind, by hand, for tests and warm-up: unsure at exit 1 where it is wrong."""
    label = np.array([0, 1, 0, 1], np.int8)
    predicted = np.repeat(label[None], exits, axis=0)
    predicted[0, 2:] = 1 - label[2:]
    certainty = np.linspace(0.6, 0.9, exits)[:, None] + np.array([0.1, 0.1, 0.0, 0.0])
    return ExitTable(label, predicted, np.round(certainty, 6))


def toy_thresholds(exits: int = 2) -> Thresholds:
    """All at exit 1, all at the last exit, unsure rows at the last exit, unsure rows rejected."""
    accept, reject = np.zeros((4, exits, 2)), np.zeros((4, exits, 2))
    accept[1, :-1] = 2.0
    accept[2:, 0] = 0.65
    reject[3, 0] = 2.0
    return Thresholds(accept, reject, ("all at exit 1", "all at the last exit", "unsure go on", "unsure are rejected"))


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Load the kernels of the scalar and the vector environment from the disk cache, or compile them."""
    with announce_compilation():
        world = make_world(
            tables=[toy_table()], months=[1], actions=toy_thresholds(), work=NetworkWork((1, 1), (1, 1), (1, 0), 1), rows=4,
            windows=2,
        )  # fmt: skip
        frames, state = world.begin(np.random.default_rng(0))
        dynamics, observed = world.dynamics, world.dynamics.observed
        physics, shown = dynamics.physics, observed.arrays
        observation, status = np.zeros((1, observed.length), np.float32), np.zeros((1, batch.N_STATE_INFO))
        totals, report = np.zeros((1, N_REPORT)), np.zeros((1, N_REPORT))
        batch.begin(state, frames[0], shown, totals[0], observation[0], report[0], status[0])
        batch.decide(state, frames[0], frames[1], 0, physics, shown, totals[0], observation[0], report[0], status[0])
        states, clocks, lengths = state[None].copy(), np.zeros(1, np.int64), np.full(1, 2, np.int64)
        batch.batch_decide(
            states, frames[None], clocks, lengths, np.zeros(1, np.int64), physics, shown, totals, observation,
            report, status, np.zeros(1), np.zeros(1, np.bool_),
        )  # fmt: skip
        dynamics.transition(states, frames[:1], np.zeros(1, np.int64))
        dynamics.observe(states, frames[:1])
