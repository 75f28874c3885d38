"""What all references have in common: a name, a kind, and decisions for whole streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.streams import Streams, replay
from optimal.token_bucket import simulate

Sent = NDArray[np.bool_]
"""Which frames are sent, ``(S, T)``."""


class Policy(Protocol):
    """Decides streams. Never sends without a token."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def kind(self) -> str:
        """``baseline``, ``reference`` (causal), or ``clairvoyant`` (knows what a policy cannot)."""

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """The frames that are sent, ``(S, T)``, of streams that each begin with a full bucket."""


@dataclass(frozen=True, eq=False)
class LevelThresholds:
    """Send where the metric is at least ``thresholds[n]`` ``(capacity + 1,)``, n micro-tokens; made for one bucket."""

    name: str
    kind: str
    bucket: Bucket
    thresholds: NDArray[np.float64]

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """See ``Policy``. Raises ``ValueError`` for another bucket than the thresholds are for."""
        check(self.bucket, bucket, streams)
        sent = np.empty(streams.metric.shape, np.bool_)
        simulate.play_levels(streams.metric, streams.gap, self.thresholds, *numbers(bucket), sent)
        return sent


def numbers(bucket: Bucket) -> tuple[int, int, int]:
    """Refill of a tick, cost of a send and capacity, in micro-tokens: the arguments of the kernels."""
    return bucket.refill, bucket.cost, bucket.capacity


def check(own: Bucket, bucket: Bucket, streams: Streams) -> None:
    """Raise ``ValueError`` unless a policy for the bucket ``own`` can play ``streams`` with ``bucket``."""
    if numbers(own) != numbers(bucket):
        raise ValueError(f"bucket is {bucket}, but the policy was made for {own}")
    if bucket.ticks_per_unit != streams.ticks_per_unit:
        raise ValueError(
            f"the streams have {streams.ticks_per_unit} ticks a time unit, expected those of the bucket, "
            f"{bucket.ticks_per_unit}"
        )


def losses(policy: Policy, streams: Streams, bucket: Bucket, *, realised: bool = False) -> NDArray[np.float64]:
    """Mean loss of each stream ``(S,)`` under a policy, after its decisions went through the physics.

    Raises ``RuntimeError`` where it sent without a token: the policy would be wrong.
    """
    sent = policy.play(streams, bucket)
    violations = int(replay(streams, bucket, sent).violations.sum())
    if violations:
        raise RuntimeError(f"{policy.name} sent {violations} frames without a token")
    return streams.losses(sent, realised=realised)
