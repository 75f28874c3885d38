"""Held-out episodes on which references are compared, and what every action would make of each of their windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.early_exit.build import World
from envs.early_exit.dynamics import (
    COST,
    N_REPORT,
    R_FN,
    R_FP,
    R_REJECTED,
    R_SENT,
    R_USED,
    apply,
)
from envs.early_exit.state import LEAST, N_STATE, ROWS

Floats = NDArray[np.float64]
TEST_SEED, TUNING_SEED = 20_260, 20_261
"""Seeds of the episodes on which policies are compared, and of those on which references are tuned."""
_HELD_OUT = 0x5EED_EA21
"""Second word of their seeds: environments seed with one word, so no training stream is ever one of these."""


@kernel
def _tabulate(frames, first, physics, state, reports):  # type: ignore[no-untyped-def]
    for s in range(len(frames)):
        for t in range(reports.shape[1]):
            for a in range(reports.shape[2]):
                for k in range(N_STATE):
                    state[k] = first[k]
                apply(state, frames[s, t], a, physics, reports[s, t, a])


@dataclass(frozen=True, eq=False)
class WindowTables:
    """What every action makes of windows: any leading shape ``(..., A')``, actions first, then their fallbacks.

    Nothing is charged for a lack of accepted rows; the budget has no limit.
    """

    reports: Floats  # (..., A', N_REPORT) of ``envs.early_exit.dynamics``
    rows: float  # of a window

    @property
    def cost(self) -> Floats:
        """Cost of the window, per row of it: what the reward is minus of, without the charge for acceptance."""
        return self.reports[..., COST]

    @property
    def use(self) -> Floats:
        """What the window uses of the budget: rows, or joules."""
        return self.reports[..., R_USED]

    @property
    def rejected(self) -> Floats:
        """Rows that get no answer."""
        return self.reports[..., R_REJECTED]

    @property
    def accepted(self) -> Floats:
        """Rows that get an answer."""
        return self.rows - self.reports[..., R_REJECTED]

    @property
    def sent(self) -> Floats:
        """Rows that cross the link."""
        return self.reports[..., R_SENT]

    @property
    def false_positives(self) -> Floats:
        """Normal rows answered as attacks."""
        return self.reports[..., R_FP]

    @property
    def false_negatives(self) -> Floats:
        """Attacks answered as normal."""
        return self.reports[..., R_FN]

    def at(self, window: int) -> WindowTables:
        """Of tables ``(S, T, A')`` those of one window, ``(S, A')``."""
        return WindowTables(self.reports[:, window], self.rows)


@dataclass(frozen=True, eq=False)
class Episodes:
    """S episodes of T windows of a world. Nothing in them depends on what is decided."""

    world: World
    frames: NDArray[np.float32]  # (S, T + 1, X) of ``generator.FrameLayout``

    @classmethod
    def draw(cls, world: World, count: int, seed: int = TEST_SEED) -> Episodes:
        """``count`` episodes of ``world.windows``, from generators spawned from ``seed``; more of them begin with the same.

        Raises ``ValueError`` for a count below 1.
        """
        if count < 1:
            raise ValueError(f"number of episodes is {count}, expected at least 1")
        seeds = np.random.SeedSequence([seed, _HELD_OUT]).spawn(count)
        drawn = [world.generator.draw(np.random.default_rng(one), world.windows) for one in seeds]
        return cls(world, np.stack(drawn))

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def windows(self) -> int:
        """Decisions of an episode T."""
        return int(self.frames.shape[1]) - 1

    @property
    def actions(self) -> int:
        """Actions that can be chosen A."""
        return len(self.world.actions)

    def seen(self, name: str, window: int) -> Floats:
        """A slice of the frames by name at one decision, ``(S, size)``: only what the observation shows is fair to ask for."""
        return self.frames[:, window, self.world.generator.layout.slices[name]].astype(np.float64)

    def head(self, count: int) -> Episodes:
        """The first ``count`` episodes."""
        return Episodes(self.world, self.frames[:count])

    @cached_property
    def tables(self) -> WindowTables:
        """``window_tables`` of these, made once."""
        return window_tables(self)


def window_tables(episodes: Episodes) -> WindowTables:
    """What every action and fallback makes of every window, ``(S, T, A')``, by the kernels of the environment."""
    return tabulate(episodes.world, np.ascontiguousarray(episodes.frames[:, :-1]), episodes.world.generator.rows)


def tabulate(world: World, frames: NDArray[np.float32], rows: int) -> WindowTables:
    """What every action and fallback makes of windows of ``rows`` rows, given as frames ``(S, T, X)``: ``(S, T, A')``.

    Frames may hold another number of rows than the world's windows.
    """
    first = world.first_state(np.inf, 1)
    first[ROWS], first[LEAST] = rows, 0.0
    reports = np.zeros((*frames.shape[:2], len(world.generator.months.thresholds), N_REPORT))
    _tabulate(frames, first, world.dynamics.physics, np.empty(N_STATE), reports)
    return WindowTables(reports, float(rows))
