"""What each action makes of a row of each month and class on average, and how the months look: expected tables of windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from envs.early_exit.build import World
from envs.early_exit.months import N_SHAPE
from envs.early_exit.schedule import MarkovLevels
from envs.early_exit.types import N_CLASSES
from optimal.early_exit.episodes import Floats, tabulate

PSEUDO = 0.5
"""Rows that are added to each bin of a histogram, so that no look is impossible."""


@dataclass(frozen=True, eq=False)
class MonthTables:
    """Expected tables of the M months of a world, of L levels of the share of attacks and of the K states of its link."""

    world: World

    @cached_property
    def months(self) -> int:
        """M."""
        return len(self.world.generator.months.tables)

    @cached_property
    def attack_shares(self) -> Floats:
        """Share of attacks ``(M, L)``."""
        levels, own = self.world.generator.schedule.attack_share, self.world.generator.months.attack_shares
        if levels is None:
            return own[:, None]
        return np.repeat(np.array(levels.levels)[None], self.months, axis=0)

    @cached_property
    def links(self) -> Floats:
        """Bandwidth and load of each state of the link ``(K, 2)``, the load moving fastest."""
        schedule = self.world.generator.schedule
        pairs = [(width, load) for width in schedule.bandwidth.levels for load in schedule.load.levels]
        return np.array(pairs, np.float64)

    @cached_property
    def _by_class(self) -> tuple[Floats, Floats]:
        """Cost, use and accepted rows of one row ``(3, M, 2, K, A')``, and looks ``(M, 2, N_SHAPE - 1)``, each by class."""
        generator = self.world.generator
        members, starts = generator.months.by_class
        part, links = generator.layout.slices, self.links
        goods = np.zeros((3, self.months, N_CLASSES, len(links), len(generator.months.thresholds)))
        looks = np.zeros((self.months, N_CLASSES, N_SHAPE - 1))
        for m in range(self.months):
            for c in range(N_CLASSES):
                rows = members[starts[m, c] : starts[m, c + 1]]
                if not len(rows):
                    continue
                frames = np.zeros((1, len(links), part["rows"].start + len(rows)), np.float32)
                frames[0, :, part["link"]] = links
                frames[0, :, part["rows"].start :] = rows
                tables = tabulate(self.world, frames, len(rows))
                goods[0, m, c] = tables.cost[0]
                goods[1, m, c] = tables.use[0] / len(rows)
                goods[2, m, c] = tables.accepted[0] / len(rows)
                counts = generator.months.look(rows[None])[0][0, :-1].astype(np.float64) * len(rows)
                looks[m, c] = (counts + PSEUDO) / (counts.sum() + PSEUDO * len(counts))
        return goods, looks

    @cached_property
    def goods(self) -> tuple[Floats, Floats, Floats]:
        """Expected cost, use and accepted rows of a window ``(M, L, K, A)`` of the actions that can be chosen."""
        rows, share = self.world.generator.rows, self.attack_shares[:, :, None, None]
        by_class = self._by_class[0][..., : len(self.world.actions)]
        mixed = (1.0 - share) * by_class[:, :, 0, None] + share * by_class[:, :, 1, None]
        return mixed[0], mixed[1] * rows, mixed[2] * rows

    @cached_property
    def looks(self) -> Floats:
        """Share of the rows of a window in each bin of class and certainty ``(M, L, N_SHAPE - 1)``."""
        share, looks = self.attack_shares[:, :, None], self._by_class[1]
        return np.asarray((1.0 - share) * looks[:, None, 0] + share * looks[:, None, 1])

    @cached_property
    def moves(self) -> tuple[Floats, Floats]:
        """From one window to the next: chances of month and share of attacks ``(M L, M L)``, of the link ``(K, K)``.

        Months that come in an order are taken to change as often as they do.
        """
        schedule = self.world.generator.schedule
        change = schedule.change if schedule.order == "markov" else self.months / self.world.windows
        hidden = np.kron(_chain(self.months, min(1.0, change)), _of(schedule.attack_share))
        return np.asarray(hidden, np.float64), np.asarray(
            np.kron(_of(schedule.bandwidth), _of(schedule.load)), np.float64
        )


def _of(levels: MarkovLevels | None) -> Floats:
    return np.ones((1, 1)) if levels is None else _chain(len(levels.levels), levels.change)


def _chain(states: int, change: float) -> Floats:
    """A chain that moves with probability ``change``, to each of the others alike."""
    if states == 1:
        return np.ones((1, 1))
    return np.where(np.eye(states) > 0, 1.0 - change, change / (states - 1))
