"""What a policy could earn that sees the hidden state: the bound on every causal policy, and the thresholds of ``belief``.

State: regime, location on a grid of cells, tokens. Hidden are only the metrics to come, so the gain bounds the reward of every
policy that sees metrics and gaps as they come. The location stands at the middle of its cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import TraceGenerator
from envs.token_bucket.metrics import LocalReset
from envs.token_bucket.streams import Streams
from optimal.token_bucket import simulate
from optimal.token_bucket.average_reward import Problem
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.laws import MetricLaws
from optimal.token_bucket.policy import Sent, check, numbers

NAME = "full information"
CELLS = 200
"""Cells of the location."""


@dataclass(frozen=True, eq=False)
class FullInformation:
    """The best policy that sees regime and location. ``gain``: reward a frame, in the long run.

    ``thresholds`` ``(K, capacity + 1, cells)``; one cell where the location says nothing. ``bounds`` of the gain, proven for
    the grid.
    """

    name: str
    kind: str
    bucket: Bucket
    gain: float
    bounds: tuple[float, float]
    thresholds: NDArray[np.float64]

    @property
    def cells(self) -> int:
        """Cells of the location."""
        return int(self.thresholds.shape[2])

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """See ``Policy``; reads the hidden columns of the streams. Raises ``ValueError`` where they are not known."""
        check(self.bucket, bucket, streams)
        hidden = [streams.regime] * (len(self.thresholds) > 1) + [streams.location] * (self.cells > 1)
        if any(np.isnan(values).any() for values in hidden):
            raise ValueError("the streams do not tell regime or location, expected streams of the generator")
        shape = streams.metric.shape
        regime = np.zeros(shape, np.int64) if len(self.thresholds) == 1 else streams.regime.astype(np.int64)
        cell = np.zeros(shape, np.int64)
        if self.cells > 1:
            cell = np.minimum((streams.location * self.cells).astype(np.int64), self.cells - 1)
        sent = np.empty(shape, np.bool_)
        simulate.play_hidden(streams.metric, streams.gap, regime, cell, self.thresholds, *numbers(bucket), sent)
        return sent


def problem_of(generator: TraceGenerator, bucket: Bucket, cells: int = CELLS) -> Problem:
    """The decision problem of a generator with its hidden state in sight. Raises ``ValueError`` for fewer than 2 cells."""
    gaps, metrics = GapLaw.of(generator.arrivals), generator.metrics
    if cells < 2:
        raise ValueError(f"cells is {cells}, expected at least 2")
    if not (isinstance(metrics, LocalReset) and metrics.spread < 1 and metrics.reset < 1):
        return Problem(bucket, gaps, MetricLaws.of_distribution(generator.distribution))
    starts = (np.arange(cells) + 0.5) / cells
    return Problem(bucket, gaps, MetricLaws.of_windows(generator.distribution, starts, metrics.spread), metrics.reset)


def full_information(generator: TraceGenerator, bucket: Bucket, cells: int = CELLS) -> FullInformation:
    """Solve the problem with the hidden state in sight."""
    found = problem_of(generator, bucket, cells).solve()
    thresholds = np.ascontiguousarray(found.thresholds.transpose(0, 2, 1))
    return FullInformation(NAME, "clairvoyant", bucket, found.gain, found.bounds, thresholds)
