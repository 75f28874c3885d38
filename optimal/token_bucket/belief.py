"""The headline reference: hidden location and regime by Bayes' rule, thresholds of the full-information program averaged.

The filter is exact up to the grid: a location that shows share u lies in (u - spread, u] mod 1, resets mix it with the uniform
one, and gaps tell the regimes by the exact law of the next gap. Averaging thresholds (QMDP) is optimal as if the hidden state
were revealed after this decision; it is measured against the bound of ``full_information``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import TraceGenerator
from envs.token_bucket.metrics import LocalReset, MetricDistribution
from envs.token_bucket.streams import Streams
from optimal.token_bucket import simulate
from optimal.token_bucket.full_information import CELLS, full_information
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.policy import Sent, check, numbers

NAME = "belief"


@dataclass(frozen=True, eq=False)
class BeliefThresholds:
    """Send where the metric is at least the mean of ``thresholds`` ``(K, capacity + 1, cells)`` over what is believed.

    ``gaps``: law by which regimes are told; ``metrics``: process by which locations are, one cell where there is nothing to
    tell. ``law``: of the metric, strictly rising, so that a metric tells its share.
    """

    name: str
    kind: str
    bucket: Bucket
    gaps: GapLaw
    metrics: LocalReset
    law: MetricDistribution
    thresholds: NDArray[np.float64]

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """See ``Policy``. Raises ``ValueError`` for another bucket than the thresholds are for."""
        check(self.bucket, bucket, streams)
        regimes, _, cells = self.thresholds.shape
        share = streams.metric if cells == 1 else np.interp(streams.metric, self.law.values, self.law.shares)
        work, old = np.zeros((4, cells + regimes + 1)), np.zeros(2, np.int64)
        sent = np.empty(streams.metric.shape, np.bool_)
        simulate.play_belief(
            streams.metric, share, streams.gap, self.thresholds, self.metrics.spread, self.metrics.reset,
            self.gaps.joint, self.gaps.start, work, old, *numbers(bucket), sent,
        )  # fmt: skip
        return sent


def belief(generator: TraceGenerator, bucket: Bucket, cells: int = CELLS) -> BeliefThresholds:
    """The belief policy of a generator; on independent metrics there is one cell, and regimes alone are inferred."""
    known = full_information(generator, bucket, cells)
    process = generator.metrics if isinstance(generator.metrics, LocalReset) else LocalReset(1.0, 1.0)
    if known.cells > 1 and (np.diff(generator.distribution.values) <= 0).any():
        raise ValueError(
            f"distribution {generator.distribution.name} has equal values, expected a metric to tell its share"
        )
    return BeliefThresholds(
        NAME, "reference", bucket, GapLaw.of(generator.arrivals), process, generator.distribution, known.thresholds
    )
