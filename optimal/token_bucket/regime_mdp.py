"""The policy that knows the regimes of the arrivals and takes metrics for independent: thresholds by (regime, tokens).

The last gap mostly tells the regime; what it leaves open, such as the odd gaps at changes, a posterior over regimes settles.
The law of the next gap includes those odd gaps, so the program is exact where the regime is known.
"""

from __future__ import annotations

from dataclasses import dataclass

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import TraceGenerator
from envs.token_bucket.metrics import LocalReset
from optimal.token_bucket.average_reward import Problem
from optimal.token_bucket.belief import BeliefThresholds
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.laws import MetricLaws

NAME = "regime-MDP"


@dataclass(frozen=True, eq=False)
class RegimeMdp(BeliefThresholds):
    """The best thresholds ``(K, capacity + 1, 1)`` where the regime is seen and metrics are independent.

    ``gain``: reward a frame that it earns there; ``bounds``: proven for the best one.
    """

    gain: float
    bounds: tuple[float, float]


def regime_mdp(generator: TraceGenerator, bucket: Bucket) -> RegimeMdp:
    """Solve the problem of a generator's arrivals with independent metrics of its distribution."""
    gaps, law = GapLaw.of(generator.arrivals), generator.distribution
    found = Problem(bucket, gaps, MetricLaws.of_distribution(law)).solve()
    thresholds = found.thresholds.transpose(0, 2, 1).copy()
    return RegimeMdp(NAME, "reference", bucket, gaps, LocalReset(1.0, 1.0), law, thresholds, found.gain, found.bounds)
