"""What a policy must beat: one threshold, sending while there are tokens, chance; and the bound without a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import TraceGenerator
from envs.token_bucket.streams import Streams
from optimal.token_bucket import simulate
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.policy import LevelThresholds, Sent, check, numbers


def send_share(bucket: Bucket, gaps: GapLaw) -> float:
    """Largest share of frames that the rate can pay for, at most 1: rate times mean gap."""
    return min(1.0, float(bucket.rate) / bucket.ticks_per_unit * gaps.mean)


def fixed_threshold(generator: TraceGenerator, bucket: Bucket) -> LevelThresholds:
    """The baseline of both papers: send what is among the best ``send_share`` of all images, at any token level."""
    share = send_share(bucket, GapLaw.of(generator.arrivals))
    theta = float(generator.distribution.quantile(np.array([1.0 - share]))[0])
    return LevelThresholds("threshold", "baseline", bucket, np.full(bucket.capacity + 1, theta))


def lower_bound(generator: TraceGenerator, bucket: Bucket) -> float:
    """Mean loss when exactly the best ``send_share`` of all images is sent: what no policy's average can beat."""
    law = generator.distribution
    return law.weak_loss - law.tail_mass(send_share(bucket, GapLaw.of(generator.arrivals)))


@dataclass(frozen=True)
class Greedy:
    """Send whenever there is a token."""

    name: ClassVar[str] = "greedy"
    kind: ClassVar[str] = "baseline"

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """See ``Policy``."""
        return _play(np.ones(streams.metric.shape, np.bool_), streams, bucket)


@dataclass(frozen=True)
class Chance:
    """Send with probability ``share`` where there is a token; ``seed`` of its own coin."""

    share: float
    seed: int = 0

    name: ClassVar[str] = "random"
    kind: ClassVar[str] = "baseline"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is {self.share}, expected a probability in 0..1")

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """See ``Policy``."""
        return _play(np.random.default_rng(self.seed).random(streams.metric.shape) < self.share, streams, bucket)


@dataclass(frozen=True)
class Never:
    """Send nothing: the weak classifier."""

    name: ClassVar[str] = "never"
    kind: ClassVar[str] = "baseline"

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """See ``Policy``."""
        return np.zeros(streams.metric.shape, np.bool_)


def always_loss(generator: TraceGenerator) -> float:
    """Mean loss when every frame is sent, as if there were no bucket: the strong classifier, not a policy."""
    return generator.weak_loss - generator.distribution.mean


def _play(allowed: Sent, streams: Streams, bucket: Bucket) -> Sent:
    check(bucket, bucket, streams)
    sent = np.empty(allowed.shape, np.bool_)
    simulate.play_allowed(allowed, streams.gap, *numbers(bucket), sent)
    return sent
