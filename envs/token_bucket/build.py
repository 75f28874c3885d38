"""What both environment classes are made from: traces, buckets and the pure functions; and how an episode begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket, Number
from envs.token_bucket.dynamics import Dynamics
from envs.token_bucket.generator import Generator
from envs.token_bucket.observation import Window
from envs.token_bucket.scenarios import as_generator, rates_and_depths
from envs.token_bucket.types import Trace

REWARDS = ("expected", "realised")
STARTS = ("full", "random")


class Options(TypedDict, total=False):
    """Keyword arguments of both environment classes; see ``TokenBucketEnv`` for their meaning."""

    rate: Number | None
    depth: Number | None
    rates: Sequence[Number]
    depths: Sequence[Number]
    length: int
    start: str
    reward: str
    latency_price: float
    history: int
    gap_history: int
    metric_scale: float
    gap_scale: float
    include_latent: bool
    distribution: str
    spread: float | None
    reset: float | None
    arrivals: str | None
    gaps: Sequence[int] | None
    leave: Sequence[float] | None
    mean_gap: float | None
    weak_loss: float | None


@dataclass(frozen=True)
class World:
    """All that an environment needs besides its state."""

    generator: Generator
    buckets: tuple[Bucket, ...]
    dynamics: Dynamics
    length: int  # decisions of an episode
    random_start: bool

    @property
    def most_frames(self) -> int:
        """Frames of an episode: one more than decisions, for the last observation."""
        longest = self.generator.longest
        return self.length + 1 if longest is None else min(self.length + 1, longest)

    def begin(
        self, rng: np.random.Generator, trace: Trace | None = None, bucket: Bucket | None = None
    ) -> tuple[Trace, NDArray[np.int64]]:
        """Trace and first endogenous state ``(4,)`` of a new episode, drawn unless given."""
        drawn = self.generator.draw(rng, self.length + 1) if trace is None else trace
        one = bucket
        if one is None:
            one = self.buckets[0 if len(self.buckets) == 1 else int(rng.integers(len(self.buckets)))]
        tokens = int(rng.integers(one.refill, one.capacity + 1)) if self.random_start else one.capacity
        return drawn, np.array([tokens, one.refill, one.cost, one.capacity], np.int64)


def make_world(
    scenario: str | Path | Trace | Generator = "s1",
    *,
    rate: Number | None = None,
    depth: Number | None = None,
    rates: Sequence[Number] = (),
    depths: Sequence[Number] = (),
    length: int = 1000,
    start: str = "full",
    reward: str = "expected",
    latency_price: float = 0.0,
    history: int = 8,
    gap_history: int = 4,
    metric_scale: float = 1.0,
    gap_scale: float = 8.0,
    include_latent: bool = False,
    distribution: str = "standard",
    spread: float | None = None,
    reset: float | None = None,
    arrivals: str | None = None,
    gaps: Sequence[int] | None = None,
    leave: Sequence[float] | None = None,
    mean_gap: float | None = None,
    weak_loss: float | None = None,
) -> World:
    """The world of an environment's arguments. Raises ``ValueError`` for arguments out of range."""
    for name, count in (("length", length), ("history", history), ("gap_history", gap_history)):
        if not isinstance(count, int | np.integer) or isinstance(count, bool):
            raise ValueError(f"{name} is {count!r}, expected a whole number")
    for name, numbers in (("rates", rates), ("depths", depths), ("gaps", gaps), ("leave", leave)):
        if numbers is not None and (isinstance(numbers, str) or not hasattr(numbers, "__iter__")):
            raise ValueError(f"{name} is {numbers!r}, expected a list of numbers")
    generator = as_generator(
        scenario,
        weak_loss=weak_loss,
        distribution_name=distribution,
        spread=spread,
        reset=reset,
        arrivals=arrivals,
        gaps=None if gaps is None else tuple(gaps),
        leave=None if leave is None else tuple(leave),
        mean_gap=mean_gap,
    )
    if length < 1:
        raise ValueError(f"length is {length}, expected at least 1 decision")
    for name, value, known in (("start", start, STARTS), ("reward", reward, REWARDS)):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    if reward == "realised" and not generator.has_reward:
        raise ValueError("reward is 'realised', but the trace has no realised rewards, expected 'expected'")
    ticks = generator.ticks_per_unit
    all_rates, all_depths = rates_and_depths(scenario, rate=rate, depth=depth, rates=rates, depths=depths)
    buckets = tuple(Bucket.of(r, b, ticks) for r in all_rates for b in all_depths)
    window = Window(history, gap_history, float(metric_scale), float(gap_scale), bool(include_latent), ticks)
    dynamics = Dynamics(window, realised=reward == "realised", latency_price=latency_price)
    return World(generator, buckets, dynamics, length, start == "random")
