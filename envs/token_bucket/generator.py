"""Where traces come from: synthetic processes, or traces that are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from envs.token_bucket.arrivals import ArrivalProcess, Periodic
from envs.token_bucket.metrics import IidMetrics, MetricDistribution, MetricProcess, distribution
from envs.token_bucket.types import Trace


@runtime_checkable
class Generator(Protocol):
    """Draws traces. All randomness comes from the generator that is handed in."""

    @property
    def ticks_per_unit(self) -> int:
        """Clock ticks in a time unit, the same for all traces."""

    @property
    def weak_loss(self) -> float:
        """Mean loss when nothing is sent."""

    @property
    def longest(self) -> int | None:
        """Most frames of a trace; None: any number."""

    @property
    def has_reward(self) -> bool:
        """Whether realised rewards are known."""

    def draw(self, rng: np.random.Generator, count: int) -> Trace:
        """A trace of ``count`` frames, or of ``longest`` where that is less."""


@dataclass(frozen=True)
class TraceGenerator:
    """Synthetic traces: metrics of images from one process, arrivals from another, independent of each other."""

    metrics: MetricProcess
    arrivals: ArrivalProcess
    distribution: MetricDistribution

    ticks_per_unit: int = 1
    longest: None = None
    has_reward: bool = True

    @property
    def weak_loss(self) -> float:
        """Mean loss of the weak classifier."""
        return self.distribution.weak_loss

    def draw(self, rng: np.random.Generator, count: int) -> Trace:
        """See ``Generator``."""
        share, location = self.metrics.sample(rng, count)
        metric = self.distribution.quantile(share)
        reward = self.distribution.realised(metric, rng.random(count))
        gap, regime = self.arrivals.sample(rng, count)
        return Trace(metric, gap, reward, regime, None if np.isnan(location).any() else location, ticks_per_unit=1)


@dataclass(frozen=True, eq=False)
class TraceList:
    """Traces that are given; a draw takes one of them, and a window of it where fewer frames are wanted.

    Raises ``ValueError`` for no trace, unequal clocks, or traces with more than one send level or with costs that are not 1:
    the environment serves one level of one token.
    """

    traces: Sequence[Trace]
    weak_loss: float = 0.0

    def __post_init__(self) -> None:
        if not self.traces:
            raise ValueError("traces is empty, expected at least one trace")
        if len({trace.ticks_per_unit for trace in self.traces}) > 1:
            raise ValueError("the traces have different clocks, expected the same ticks_per_unit in all of them")
        for trace in self.traces:
            if len(trace) < 2:
                raise ValueError(
                    "a trace has a single frame, expected at least two: the last one only ends the episode"
                )
            if trace.levels:
                raise ValueError(
                    f"a trace has {1 + len(trace.levels)} send levels, expected one: the environment serves one"
                )
            if trace.cost is not None and (trace.cost != 1).any():
                raise ValueError("a trace has costs other than 1, expected one token a send")

    @property
    def ticks_per_unit(self) -> int:
        """See ``Generator``."""
        return self.traces[0].ticks_per_unit

    @property
    def longest(self) -> int:
        """See ``Generator``."""
        return max(len(trace) for trace in self.traces)

    @property
    def has_reward(self) -> bool:
        """See ``Generator``."""
        return all(trace.reward is not None for trace in self.traces)

    def draw(self, rng: np.random.Generator, count: int) -> Trace:
        """See ``Generator``."""
        trace = self.traces[int(rng.integers(len(self.traces)))]
        spare = len(trace) - count
        return trace if spare <= 0 else trace.window(int(rng.integers(spare + 1)), count)


def toy_generator() -> TraceGenerator:
    """Independent metrics, a frame every unit: the smallest scenario, for tests."""
    return TraceGenerator(IidMetrics(), Periodic(), distribution("standard"))
