"""What the outside world does from window to window: the month in force, the share of attacks, the link, the cloud's load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDERS = ("markov", "calendar", "shuffled")


@dataclass(frozen=True)
class MarkovLevels:
    """A number that stays at a level and changes to another one with probability ``change`` a window.

    Raises ``ValueError`` for no level or a probability outside 0..1.
    """

    levels: tuple[float, ...]
    change: float = 0.1

    def __post_init__(self) -> None:
        if not self.levels or not np.isfinite(self.levels).all():
            raise ValueError(f"levels is {list(self.levels)}, expected one finite number or more")
        if not 0 <= self.change <= 1:
            raise ValueError(f"change is {self.change}, expected a probability in 0..1")

    def sample(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Levels of ``count`` windows; the first one uniformly."""
        return np.array(self.levels)[_visits(rng, len(self.levels), self.change, count)]


@dataclass(frozen=True)
class Schedule:
    """How windows follow one another.

    ``order``: of the months: ``markov``, another one with probability ``change`` a window; ``calendar``, all in their order,
    for equal parts of the episode; ``shuffled``, the same in a random order. ``attack_share``: of the rows, by resampling;
    None: as in the month. ``bandwidth``: share of the link's rate; ``load``: share of the cloud that is taken.
    Raises ``ValueError`` for other orders or levels out of range.
    """

    order: str = "markov"
    change: float = 0.03
    attack_share: MarkovLevels | None = None
    bandwidth: MarkovLevels = MarkovLevels((1.0,))
    load: MarkovLevels = MarkovLevels((0.0,))

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order is {self.order!r}, expected one of {', '.join(ORDERS)}")
        if not 0 <= self.change <= 1:
            raise ValueError(f"change is {self.change}, expected a probability in 0..1")
        if self.attack_share is not None and not all(0 <= share <= 1 for share in self.attack_share.levels):
            raise ValueError(f"attack_shares is {list(self.attack_share.levels)}, expected numbers in 0..1")
        if not all(0 < share <= 1 for share in self.bandwidth.levels):
            raise ValueError(f"bandwidths is {list(self.bandwidth.levels)}, expected numbers in 0..1, above 0")
        if not all(0 <= load < 1 for load in self.load.levels):
            raise ValueError(f"loads is {list(self.load.levels)}, expected numbers in 0..1, below 1")

    def months(self, rng: np.random.Generator, months: int, count: int) -> NDArray[np.int64]:
        """The month of each of ``count`` windows, as an index."""
        if self.order == "markov":
            return _visits(rng, months, self.change, count)
        order = np.arange(months) if self.order == "calendar" else rng.permutation(months)
        return order[np.arange(count) * months // count]


def _visits(rng: np.random.Generator, states: int, change: float, count: int) -> NDArray[np.int64]:
    """States of a chain that moves with probability ``change`` to one of the others, uniformly; the first one uniformly."""
    if states == 1:
        return np.zeros(count, np.int64)
    steps = np.where(rng.random(count) < change, rng.integers(1, states, count), 0)
    steps[:1] = rng.integers(states)
    return np.cumsum(steps) % states
