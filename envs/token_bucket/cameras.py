"""Several cameras behind one switch with one bucket: who may send, and what comes through.

In each slot (time unit) every camera has one frame, and the cameras take turns in a fixed order. A camera may hold a bucket of
its own and sends by thresholds on its tokens. The switch may hold a bucket too: it refills after *each* camera's turn, and
drops a send that meets no token; the camera's own token is gone then all the same (Chakrabarti et al., arXiv 2010.13737).
Every bucket starts full and moves by ``dynamics.tokens_after``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import tokens_after
from envs.token_bucket.metrics import MetricDistribution, MetricProcess

_CAMERAS = 0xCA3E_7A50
"""Second word of the seeds: no stream of cameras is ever one of an environment or of a comparison of policies."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What S streams of T slots and N cameras came to."""

    value: NDArray[np.float64]  # (S,) expected reduction of the loss, mean of all N * T frames
    sent: NDArray[np.int64]  # (S, N) frames that each camera sent
    dropped: NDArray[np.int64]  # (S, N) of these, those that the switch dropped


def draw_metrics(
    process: MetricProcess, distribution: MetricDistribution, cameras: int, count: int, length: int, seed: int
) -> NDArray[np.float64]:
    """Metrics ``(count, length, cameras)`` of independent cameras with images of one kind."""
    metrics = np.empty((count, length, cameras))
    for stream, one in enumerate(np.random.SeedSequence([seed, _CAMERAS]).spawn(count)):
        rng = np.random.default_rng(one)
        for camera in range(cameras):
            share, _ = process.sample(rng, length)
            metrics[stream, :, camera] = distribution.quantile(share)
    return metrics


def simulate(
    metrics: NDArray[np.float64],
    buckets: Sequence[Bucket],
    thresholds: Sequence[NDArray[np.float64]],
    switch: Bucket | None = None,
) -> Outcome:
    """Play metrics ``(S, T, N)`` through the cameras' own buckets and the switch.

    ``buckets``: one a camera, a tick is a slot. ``thresholds``: of each camera ``(capacity + 1,)``, the least metric that is
    sent with so many micro-tokens. ``switch``: its bucket, a tick is a turn; None: nothing is dropped.
    Raises ``ValueError`` for other shapes.
    """
    cameras = metrics.shape[2] if metrics.ndim == 3 else 0
    if cameras < 1 or len(buckets) != cameras or len(thresholds) != cameras:
        raise ValueError(
            f"metrics has the shape {metrics.shape}, expected (streams, slots, cameras) with one bucket and one array of "
            f"thresholds a camera, not {len(buckets)} and {len(thresholds)}"
        )
    table = np.full((cameras, max(bucket.capacity for bucket in buckets) + 1), np.inf)
    for camera, (bucket, row) in enumerate(zip(buckets, thresholds, strict=True)):
        if row.shape != (bucket.capacity + 1,):
            raise ValueError(
                f"thresholds of camera {camera} have the shape {row.shape}, expected ({bucket.capacity + 1},)"
            )
        table[camera, : len(row)] = row
    streams = len(metrics)
    outcome = Outcome(np.zeros(streams), np.zeros((streams, cameras), np.int64), np.zeros((streams, cameras), np.int64))
    numbers = np.array([_integers(bucket) for bucket in buckets])
    shared = np.array((0, 0, 0) if switch is None else _integers(switch))
    _play(metrics, table, numbers, shared, np.empty(cameras, np.int64), outcome.value, outcome.sent, outcome.dropped)
    return outcome


def as_one_device(metrics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metrics ``(S, T, N)`` in the order of turns as those of a single device, ``(S, T * N, 1)``: a turn is its slot."""
    return metrics.reshape(len(metrics), -1, 1)


def _integers(bucket: Bucket) -> tuple[int, int, int]:
    return bucket.refill, bucket.cost, bucket.capacity


@kernel
def _play(metrics, thresholds, buckets, switch, tokens, value, sent, dropped):  # type: ignore[no-untyped-def]
    """``switch``: its refill, cost, capacity; a cost of 0: it drops nothing. ``tokens`` ``(N,)``: room to work in."""
    streams, slots, cameras = metrics.shape
    refill, cost, capacity = switch[0], switch[1], switch[2]
    for s in range(streams):
        for c in range(cameras):
            tokens[c] = buckets[c, 2]
        shared, gained = capacity, 0.0
        for t in range(slots):
            for c in range(cameras):
                metric = metrics[s, t, c]
                go = tokens[c] >= buckets[c, 1] and metric >= thresholds[c, tokens[c]]
                passed = go and shared >= cost
                if go:
                    sent[s, c] += 1
                if passed:
                    gained += metric
                elif go:
                    dropped[s, c] += 1
                if cost > 0:
                    shared = tokens_after(shared, refill, cost, capacity, 1, passed)
                tokens[c] = tokens_after(tokens[c], buckets[c, 0], buckets[c, 1], buckets[c, 2], 1, go)
        value[s] = gained / (slots * cameras)
