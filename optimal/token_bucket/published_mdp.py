"""The independent-frames policy as published (github.com/ayanc/edgeml.mdp), with what is wrong with it.

Discount .9999; the best threshold is searched among sample values, with the *realised* reward of what lies above; it stops as
soon as no threshold has moved from one sweep to the next. The first makes thresholds step along the hull of a noisy curve, the
second ends the search before the values have settled. ``iid_mdp`` is the policy without these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import TraceGenerator
from optimal.token_bucket.average_reward import after_table, fill_time
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.policy import LevelThresholds

NAME = "iid-MDP as published"
SAMPLES = 33_334
"""Images of the training set of the papers: two thirds of 50,000."""
DISCOUNT = 0.9999
STEADY = 1e-6
"""Share of the range of metrics by which thresholds may move in a last sweep."""
MOST_SWEEPS = 10_000


def published_mdp(
    metric: NDArray[np.float64], reward: NDArray[np.float64], gaps: GapLaw, bucket: Bucket
) -> tuple[LevelThresholds, int]:
    """The policy from samples of metric and realised reward ``(N,)``, and the number of sweeps after which it stopped."""
    if metric.size < 1 or metric.shape != reward.shape or not np.isfinite(reward).all():
        raise ValueError("metric and reward differ in length, are empty or not finite, expected N numbers each")
    order = np.argsort(-metric, kind="stable")
    values, share = metric[order], np.arange(1, metric.size + 1) / metric.size
    corners = _hull(share, np.cumsum(reward[order]) / metric.size)
    share, gain, values = share[corners], np.cumsum(reward[order])[corners] / metric.size, values[corners]
    slopes = np.diff(gain) / np.diff(share)  # falling: beyond a slope below the price no more is worth sending
    joint = gaps.marginal().folded(fill_time(bucket))[0, :, 0]
    after, cost = after_table(bucket, len(joint)), bucket.cost
    used = np.flatnonzero(joint)
    value, policy = np.zeros(bucket.capacity + 1), np.full(bucket.capacity + 1, np.inf)
    sweeps = 0
    while sweeps < MOST_SWEEPS:
        sweeps += 1
        worth = joint[used] @ value[after[used]]
        price = DISCOUNT * (worth[cost:] - worth[:-cost])
        best = np.searchsorted(-slopes, -price, side="left")
        fresh = np.full_like(policy, np.inf)
        fresh[cost:] = values[best]
        value = DISCOUNT * worth
        value[cost:] += gain[best] - price * share[best]
        moved = np.abs(fresh[cost:] - policy[cost:]).max()
        policy = fresh
        if moved < STEADY * (metric.max() - metric.min()):
            break
    return LevelThresholds(NAME, "baseline", bucket, policy), sweeps


def published_mdp_of(
    generator: TraceGenerator, bucket: Bucket, *, samples: int = SAMPLES, seed: int = 0
) -> LevelThresholds:
    """The policy from independent samples of a generator's distribution, as many as the papers train on."""
    rng = np.random.default_rng(seed)
    metric = generator.distribution.quantile(rng.random(samples))
    reward = generator.distribution.realised(metric, rng.random(samples))
    return published_mdp(metric, reward, GapLaw.of(generator.arrivals), bucket)[0]


def _hull(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the corners of the upper hull of a curve over rising ``x``: the only points that are ever best."""
    corners: list[int] = []
    for i in range(len(x)):
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) > (y[i] - y[a]) * (x[b] - x[a]):
                break
            corners.pop()
        corners.append(i)
    return np.array(corners, np.int64)
