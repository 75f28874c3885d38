"""When frames come: processes of the whole number of time units between one frame and the next."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Gaps = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Gaps ``(count - 1,)`` in time units, at least 1, and the regime in force at each frame ``(count,)``."""


class ArrivalProcess(Protocol):
    """Draws the gaps between frames."""

    @property
    def mean_gap(self) -> float:
        """Mean gap in time units, of the stationary process."""

    @property
    def regimes(self) -> int:
        """Number of hidden regimes; 1: the gaps so far say nothing about the next one."""

    def sample(self, rng: np.random.Generator, count: int) -> Gaps:
        """Gaps and regimes of ``count`` frames."""


@dataclass(frozen=True, slots=True)
class Periodic:
    """A frame every ``gap`` time units."""

    gap: int = 1

    regimes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not _is_whole(self.gap):
            raise ValueError(f"gap is {self.gap}, expected a whole number of time units >= 1")

    @property
    def mean_gap(self) -> float:
        """See ``ArrivalProcess``."""
        return float(self.gap)

    def sample(self, rng: np.random.Generator, count: int) -> Gaps:
        """See ``ArrivalProcess``."""
        return np.full(max(count - 1, 0), self.gap, np.int64), np.zeros(count, np.int64)


@dataclass(frozen=True, slots=True)
class Bernoulli:
    """In every time unit a frame comes with ``probability``: geometric gaps from 1 on."""

    probability: float

    regimes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_probability("probability", self.probability)

    @property
    def mean_gap(self) -> float:
        """See ``ArrivalProcess``."""
        return 1.0 / self.probability

    def sample(self, rng: np.random.Generator, count: int) -> Gaps:
        """See ``ArrivalProcess``."""
        return rng.geometric(self.probability, max(count - 1, 0)).astype(np.int64), np.zeros(count, np.int64)


@dataclass(frozen=True, slots=True)
class Geometric:
    """Gaps of ``least`` time units and a geometric rest, with a mean of ``mean``; ``least=1`` is ``Bernoulli(1 / mean)``."""

    mean: float
    least: int = 1

    regimes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not _is_whole(self.least):
            raise ValueError(f"least is {self.least}, expected a whole number of time units >= 1")
        if not (np.isfinite(self.mean) and self.mean >= self.least):
            raise ValueError(f"mean is {self.mean}, expected at least the least gap {self.least}")

    @property
    def mean_gap(self) -> float:
        """See ``ArrivalProcess``."""
        return float(self.mean)

    def sample(self, rng: np.random.Generator, count: int) -> Gaps:
        """See ``ArrivalProcess``."""
        rest = rng.geometric(1.0 / (self.mean - self.least + 1.0), max(count - 1, 0)) - 1
        return (self.least + rest).astype(np.int64), np.zeros(count, np.int64)


@dataclass(frozen=True, slots=True)
class MarkovModulated:
    """Regimes that last geometric numbers of time units, each with arrivals of its own.

    ``leave``: probability, each time unit, that a regime ends; ``gaps``: in regime i a frame every ``gaps[i]`` units, or, with
    ``random=True``, one each unit with probability 1 / ``gaps[i]``. ``next_regime``: rows of probabilities of the regime
    after; None: all others alike. Time left over when a regime ends goes into the next gap, so gaps besides ``gaps`` occur
    (the public implementation of Qiu et al. does the same). The first regime is drawn by its share of the time.
    """

    gaps: tuple[int, ...] = (1, 3)
    leave: tuple[float, ...] = (0.001, 0.0005)
    random: bool = False
    next_regime: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if len(self.gaps) < 2 or len(self.leave) != len(self.gaps):
            raise ValueError(
                f"gaps is {list(self.gaps)} and leave is {list(self.leave)}, expected two or more regimes with one entry each"
            )
        if not all(map(_is_whole, self.gaps)):
            raise ValueError(f"gaps is {list(self.gaps)}, expected whole numbers of time units >= 1")
        for value in self.leave:
            _check_probability("leave", value)
        rows = self.next_regime
        if rows is not None and not _is_stochastic(rows, len(self.gaps)):
            raise ValueError(
                f"next_regime is {rows}, expected {len(self.gaps)} rows of as many probabilities that sum to 1"
            )

    @property
    def regimes(self) -> int:
        """Number of regimes."""
        return len(self.gaps)

    @property
    def transitions(self) -> NDArray[np.float64]:
        """Probability of regime j after regime i ends, ``(regimes, regimes)``."""
        k = self.regimes
        if self.next_regime is None:
            return (1.0 - np.eye(k)) / (k - 1)
        return np.array(self.next_regime)

    @property
    def time_shares(self) -> NDArray[np.float64]:
        """Share of the time that each regime is in force, ``(regimes,)``."""
        return _time_shares(self)

    @property
    def mean_gap(self) -> float:
        """Mean gap without the few that span a change of regime: 1 / (sum of time shares / gaps)."""
        return float(1.0 / (self.time_shares / np.array(self.gaps)).sum())

    def sample(self, rng: np.random.Generator, count: int) -> Gaps:
        """See ``ArrivalProcess``."""
        state = int(np.searchsorted(np.cumsum(self.time_shares)[:-1], rng.random(), side="right"))
        times, regimes = [np.zeros(1, np.int64)], [np.full(1, state, np.int64)]
        have, clock = 1, 0
        frames_a_visit = 1.0 / (self.mean_gap * float(self.time_shares @ np.array(self.leave)))
        while have < count:
            visits = int((count - have) / frames_a_visit) + 2
            states = self._visits(rng, state, visits + 1)
            lengths = rng.geometric(np.array(self.leave)[states[:-1]]).astype(np.int64)
            starts = clock + np.append(0, np.cumsum(lengths))
            state, clock = int(states[-1]), int(starts[-1])
            at, regime = self._frames(rng, states[:-1], starts, lengths)
            times.append(at)
            regimes.append(regime)
            have += len(at)
        return np.diff(np.concatenate(times)[:count]), np.concatenate(regimes)[:count]

    def _visits(self, rng: np.random.Generator, state: int, count: int) -> NDArray[np.int64]:
        """Regimes of ``count`` visits one after the other, the first one ``state``."""
        if self.regimes == 2 and self.next_regime is None:
            return (state + np.arange(count)) % 2
        bounds = np.cumsum(self.transitions, axis=1)[:, :-1].tolist()
        states = [state]
        for uniform in rng.random(count - 1).tolist():
            states.append(bisect_right(bounds[states[-1]], uniform))
        return np.array(states)

    def _frames(
        self,
        rng: np.random.Generator,
        states: NDArray[np.int64],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> Gaps:
        """Times of all frames in visits that begin at ``starts``, and their regimes."""
        gaps = np.array(self.gaps)[states]
        if self.random:
            units = np.repeat(np.arange(len(states)), lengths)
            hit = rng.random(len(units)) * gaps[units] < 1.0
            return (starts[0] + 1 + np.flatnonzero(hit)).astype(np.int64), states[units[hit]]
        frames = lengths // gaps
        visit = np.repeat(np.arange(len(states)), frames)
        rank = 1 + np.arange(len(visit)) - (np.cumsum(frames) - frames)[visit]
        return starts[:-1][visit] + rank * gaps[visit], states[visit]


@lru_cache
def _time_shares(process: MarkovModulated) -> NDArray[np.float64]:
    k, matrix = process.regimes, process.transitions
    # the visits' shares nu solve nu = nu P, sum 1; a visit lasts 1 / leave
    system = np.vstack([matrix.T - np.eye(k), np.ones(k)])
    visits = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0), rcond=None)[0]
    time = visits / np.array(process.leave)
    shares = np.asarray(time / time.sum())
    shares.setflags(write=False)
    return shares


def _is_stochastic(rows: tuple[tuple[float, ...], ...], count: int) -> bool:
    matrix = np.array(rows) if all(len(row) == count for row in rows) else np.zeros(0)
    return matrix.shape == (count, count) and bool((matrix >= 0).all() and np.allclose(matrix.sum(axis=1), 1.0))


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1


def _check_probability(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value}, expected a probability in 0..1, above 0")
