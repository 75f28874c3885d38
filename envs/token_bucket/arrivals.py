"""When frames come: processes of the whole number of time units between one frame and the next."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel

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
        law = _law(self)
        state = bisect_right(law.bounds, rng.random())
        times, regimes = np.zeros(count, np.int64), np.full(count, state, np.int64)
        have, clock = 1, 0
        while have < count:
            visits = int((count - have) / law.frames_a_visit) + 2
            states = self._visits(rng, state, visits + 1)
            lengths = rng.geometric(law.leave[states[:-1]])
            if self.random:
                hits = rng.random(int(lengths.sum()))
                have = _random_frames(states, lengths, hits, law.gaps, clock, times, regimes, have)
            else:
                have = _spaced_frames(states, lengths, law.gaps, clock, times, regimes, have)
            state, clock = int(states[-1]), clock + int(lengths.sum())
        return times[1:] - times[:-1], regimes

    def _visits(self, rng: np.random.Generator, state: int, count: int) -> NDArray[np.int64]:
        """Regimes of ``count`` visits one after the other, the first one ``state``."""
        if self.regimes == 2 and self.next_regime is None:
            return (state + np.arange(count)) % 2
        bounds = _law(self).next_bounds
        states = [state]
        for uniform in rng.random(count - 1).tolist():
            states.append(bisect_right(bounds[states[-1]], uniform))
        return np.array(states)


@kernel
def _spaced_frames(states, lengths, gaps, clock, times, regimes, have):  # type: ignore[no-untyped-def]
    """Write the frames of visits from ``clock`` on, one each ``gaps[state]`` units, and return how many there are now."""
    for v in range(len(lengths)):
        gap, at = gaps[states[v]], clock
        for _ in range(lengths[v] // gap):
            if have == len(times):
                return have
            at += gap
            times[have], regimes[have] = at, states[v]
            have += 1
        clock += lengths[v]
    return have


@kernel
def _random_frames(states, lengths, hits, gaps, clock, times, regimes, have):  # type: ignore[no-untyped-def]
    """As ``_spaced_frames``, a frame in each unit whose uniform number in ``hits`` is below 1 / gap."""
    unit = 0
    for v in range(len(lengths)):
        gap = gaps[states[v]]
        for _ in range(lengths[v]):
            if hits[unit] * gap < 1.0:
                if have == len(times):
                    return have
                times[have], regimes[have] = clock + unit + 1, states[v]
                have += 1
            unit += 1
    return have


@dataclass(frozen=True, eq=False)
class _Law:
    """Arrays of a process that every draw needs."""

    gaps: NDArray[np.int64]
    leave: NDArray[np.float64]
    bounds: list[float]
    """Cumulative shares of the time but the last."""
    next_bounds: list[list[float]]
    """Cumulative transition probabilities but the last, by regime."""
    frames_a_visit: float


@lru_cache
def _law(process: MarkovModulated) -> _Law:
    shares, leave = process.time_shares, np.array(process.leave)
    return _Law(
        np.array(process.gaps, np.int64),
        leave,
        np.cumsum(shares)[:-1].tolist(),
        np.cumsum(process.transitions, axis=1)[:, :-1].tolist(),
        1.0 / (process.mean_gap * float(shares @ leave)),
    )


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
