"""The policy that takes frames for independent: thresholds by tokens alone, best for the average reward of such frames.

The model of Chakrabarti et al. (arXiv 2010.13737), solved without a discount and with the worth of a token in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import TraceGenerator
from envs.token_bucket.types import Trace
from optimal.token_bucket.average_reward import Problem, Solution
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.laws import MetricLaws
from optimal.token_bucket.policy import LevelThresholds

NAME = "iid-MDP"


@dataclass(frozen=True, eq=False)
class IidMdp(LevelThresholds):
    """The best thresholds ``(capacity + 1,)`` for independent frames, and their exact gain.

    ``gain``: reward a frame where frames are independent. ``values`` ``(capacity + 1,)``, relative to a full bucket.
    """

    gain: float
    bounds: tuple[float, float]
    values: NDArray[np.float64]


def problem(bucket: Bucket, gaps: GapLaw, laws: MetricLaws) -> Problem:
    """The problem of independent frames: gaps by their shares over all frames, one law of the metric."""
    if len(laws) != 1:
        raise ValueError(f"laws has {len(laws)} locations, expected one law for all frames")
    return Problem(bucket, gaps.marginal(), laws)


def iid_mdp(bucket: Bucket, gaps: GapLaw, laws: MetricLaws) -> IidMdp:
    """Solve the problem of independent frames."""
    found: Solution = problem(bucket, gaps, laws).solve()
    return IidMdp(
        NAME, "reference", bucket, found.thresholds[0, 0].copy(), found.gain, found.bounds, found.values[0, 0].copy()
    )


def iid_mdp_of(generator: TraceGenerator, bucket: Bucket) -> IidMdp:
    """The policy for a generator's metrics and gaps, each taken for independent from frame to frame."""
    return iid_mdp(bucket, GapLaw.of(generator.arrivals), MetricLaws.of_distribution(generator.distribution))


def iid_mdp_of_traces(traces: list[Trace], bucket: Bucket) -> IidMdp:
    """The policy for given traces: their metrics and gaps are samples."""
    if not traces:
        raise ValueError("traces is empty, expected at least one trace")
    gaps = np.concatenate([trace.gap for trace in traces])
    return iid_mdp(
        bucket, GapLaw.of_samples(gaps), MetricLaws.of_samples(np.concatenate([trace.metric for trace in traces]))
    )


def gain_of(bucket: Bucket, gaps: GapLaw, laws: MetricLaws, thresholds: NDArray[np.float64]) -> float:
    """Reward a frame of any thresholds ``(capacity + 1,)`` on independent frames, from the long-run shares of the levels."""
    if thresholds.shape != (bucket.capacity + 1,):
        raise ValueError(f"thresholds has the shape {thresholds.shape}, expected ({bucket.capacity + 1},)")
    asked = problem(bucket, gaps, laws)
    table = asked.masked(thresholds[None, None])
    _, mass = laws.tails(table)
    return float((asked.stationary(table) * mass).sum())
