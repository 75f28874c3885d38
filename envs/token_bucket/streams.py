"""Streams of frames on which policies are compared: long, held out, the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import tokens_after
from envs.token_bucket.generator import Generator, TraceList
from envs.token_bucket.types import GAP, LOCATION, METRIC, REGIME, REWARD, Trace

TEST_SEED, VALIDATION_SEED = 20_260, 20_261
"""Seeds of the streams of final and of periodic evaluation; both are apart from every training stream."""
_HELD_OUT = 0x5EED_70CE
"""Second word of their seeds: environments seed with one word, so no training stream is ever one of these."""


@dataclass(frozen=True, eq=False)
class Streams:
    """S streams of T frames that are decided, in ticks of one clock."""

    metric: NDArray[np.float64]  # (S, T) expected reduction of the loss by sending
    reward: NDArray[np.float64]  # (S, T) realised reduction; nan where unknown
    gap: NDArray[np.int64]  # (S, T) ticks from frame t to t + 1
    regime: NDArray[np.float64]  # (S, T) hidden; nan where unknown
    location: NDArray[np.float64]  # (S, T) hidden; nan where unknown
    weak_loss: float
    ticks_per_unit: int = 1

    @classmethod
    def draw(cls, generator: Generator, count: int, length: int, seed: int) -> Streams:
        """``count`` streams of ``length`` decisions, from generators spawned from ``seed``.

        Given traces (``TraceList``) that are not longer are played whole, once each, cut to the shortest one.
        """
        seeds = np.random.SeedSequence([seed, _HELD_OUT]).spawn(count)
        if isinstance(generator, TraceList) and generator.longest <= length + 1:
            rows = [trace.frames() for trace in generator.traces]
        else:
            rows = [generator.draw(np.random.default_rng(one), length + 1).frames() for one in seeds]
        shortest = min(len(row) for row in rows) - 1
        frames = np.stack([row[:shortest] for row in rows])
        return cls(
            np.ascontiguousarray(frames[:, :, METRIC]),
            np.ascontiguousarray(frames[:, :, REWARD]),
            frames[:, :, GAP].astype(np.int64),
            np.ascontiguousarray(frames[:, :, REGIME]),
            np.ascontiguousarray(frames[:, :, LOCATION]),
            generator.weak_loss,
            generator.ticks_per_unit,
        )

    @classmethod
    def of_trace(cls, trace: Trace, weak_loss: float) -> Streams:
        """One stream: a trace without its last frame, of which only the arrival matters."""
        frames = trace.frames()[None, :-1]
        columns = [np.ascontiguousarray(frames[:, :, c]) for c in (METRIC, REWARD, REGIME, LOCATION)]
        gap = frames[:, :, GAP].astype(np.int64)
        return cls(columns[0], columns[1], gap, columns[2], columns[3], weak_loss, trace.ticks_per_unit)

    def __len__(self) -> int:
        return len(self.metric)

    @property
    def length(self) -> int:
        """Decisions of a stream."""
        return int(self.metric.shape[1])

    @property
    def mean_gap(self) -> float:
        """Mean gap of these streams, time units."""
        return float(self.gap.mean()) / self.ticks_per_unit

    def head(self, count: int) -> Streams:
        """The first ``count`` streams."""
        names = ("metric", "reward", "gap", "regime", "location")
        return replace(self, **{name: getattr(self, name)[:count] for name in names})

    def losses(self, sent: NDArray[np.bool_], *, realised: bool = False) -> NDArray[np.float64]:
        """Mean loss of each stream ``(S,)`` when the frames of ``sent`` ``(S, T)`` are sent."""
        value = self.reward if realised else self.metric
        return np.asarray(self.weak_loss - np.where(sent, value, 0.0).mean(axis=1))


@kernel
def _replay(sent, gap, refill, cost, capacity, tokens, violations, lost):  # type: ignore[no-untyped-def]
    for s in range(len(sent)):
        n = capacity
        for t in range(sent.shape[1]):
            tokens[s, t] = n
            if sent[s, t] and n < cost:
                violations[s] += 1
            go = sent[s, t] and n >= cost
            after = tokens_after(n, refill, cost, capacity, gap[s, t], go)
            lost[s] += (n - cost if go else n) + refill * gap[s, t] - after
            n = after


@dataclass(frozen=True, eq=False)
class Replay:
    """What a bucket that starts full went through."""

    tokens: NDArray[np.int64]  # (S, T) micro-tokens before each decision
    violations: NDArray[np.int64]  # (S,) sends without a token, which were kept instead
    lost: NDArray[np.int64]  # (S,) micro-tokens that did not fit


def replay(streams: Streams, bucket: Bucket, sent: NDArray[np.bool_]) -> Replay:
    """Play decisions ``sent`` ``(S, T)`` through the bucket, by the physics of the environment."""
    shape = streams.metric.shape
    if sent.shape != shape:
        raise ValueError(f"sent has the shape {sent.shape}, expected that of the streams, {shape}")
    result = Replay(np.empty(shape, np.int64), np.zeros(len(streams), np.int64), np.zeros(len(streams), np.int64))
    numbers = (bucket.refill, bucket.cost, bucket.capacity)
    _replay(sent, streams.gap, *numbers, result.tokens, result.violations, result.lost)
    return result
