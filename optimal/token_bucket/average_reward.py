"""The decision problem of one bucket with its hidden state in sight, solved for the best average reward a frame.

State: regime k of the arrivals, location i of the images, micro-tokens n. V(k, i, n) = W(k, i, n) + E[(m - theta)+] with
theta = W(k, i, n) - W(k, i, n - cost), the worth of a token, and W what is expected at the next frame from n left. Before that
frame the location is drawn anew, uniformly, with probability ``reset``.

Policy iteration: resets all lead to the same mixture over locations, so that the equations of a policy fall into one system
for each location and one for the mixture. One more sweep of relative value iteration bounds the best gain from both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import tokens_after
from optimal.token_bucket import chains
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.laws import MetricLaws

SPAN = 1e-10
"""Certified distance of the gain from the best one at which iteration stops, reward a frame."""
MOST_DENSE = 2_000
"""Largest number of (regime, tokens) states whose equations are solved at once; beyond, value iteration alone."""
MOST_SWEEPS = 1_000_000
MOST_POLICIES = 60

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solution:
    """The best policy and what it earns."""

    gain: float  # reward a frame
    bounds: tuple[float, float]  # proven: the best gain lies between
    thresholds: Array  # (K, L, capacity + 1), infinite without a token
    values: Array  # (K, L, capacity + 1), relative to a full bucket


def _width(solution: Solution) -> float:
    return solution.bounds[1] - solution.bounds[0]


@kernel
def _after(refill, cost, capacity, table):  # type: ignore[no-untyped-def]
    for g in range(table.shape[0]):
        for left in range(table.shape[1]):
            table[g, left] = tokens_after(left, refill, cost, capacity, g + 1, False)


def after_table(bucket: Bucket, longest: int) -> NDArray[np.int64]:
    """Micro-tokens at the next frame after gaps of 1..``longest`` ticks with 0..capacity left, ``(longest, capacity + 1)``."""
    table = np.empty((longest, bucket.capacity + 1), np.int64)
    _after(bucket.refill, bucket.cost, bucket.capacity, table)
    return table


def fill_time(bucket: Bucket) -> int:
    """Ticks after which the bucket is full whatever was left."""
    return -(-bucket.capacity // bucket.refill)


class Problem:
    """A bucket, the law of gaps, the law of the metric at each location, and the probability that the location changes."""

    def __init__(self, bucket: Bucket, gaps: GapLaw, laws: MetricLaws, reset: float = 1.0) -> None:
        if len(laws) > 1 and not 0 < reset <= 1:
            raise ValueError(
                f"reset is {reset}, expected a probability above 0: else each location is a problem of its own"
            )
        self.bucket, self.laws, self.reset = bucket, laws, reset if len(laws) > 1 else 1.0
        self.joint = gaps.folded(fill_time(bucket))
        self.after = after_table(bucket, self.joint.shape[1])
        self.shape = (gaps.regimes, len(laws), bucket.capacity + 1)

    def solve(self, *, dense: bool | None = None) -> Solution:
        """The best policy. ``dense``: policy iteration; False: value iteration; None: by size.

        Raises ``RuntimeError`` where value iteration does not settle.
        """
        states = self.shape[0] * self.shape[2]
        if dense is False or (dense is None and states > MOST_DENSE):
            return self._sweep_on(np.zeros(self.shape), MOST_SWEEPS, SPAN)
        thresholds = self.masked(np.full(self.shape, self._level()))
        best: Solution | None = None
        for _ in range(MOST_POLICIES):
            _, values = self.evaluate(thresholds)
            found = self._sweep_on(values, 1, np.inf)
            if best is None or _width(found) < _width(best):
                best = found
            thresholds = found.thresholds
            if _width(best) < SPAN / 10:
                break
        assert best is not None
        return best if _width(best) <= SPAN else self._sweep_on(best.values, MOST_SWEEPS, SPAN)

    def _level(self) -> float:
        """A threshold that sends about as often as the rate can pay for, over all locations."""
        shares = self.joint.sum(axis=2).mean(axis=0) @ np.arange(1, self.joint.shape[1] + 1)
        budget = min(1.0, float(shares) * self.bucket.refill / self.bucket.cost)
        low, high = float(self.laws.low.min()), float(self.laws.high[self.laws.weight > 0].max())
        for _ in range(50):
            middle = (low + high) / 2
            share, _ = self.laws.tails(np.full((1, self.shape[1], 1), middle))
            low, high = (middle, high) if share.mean() > budget else (low, middle)
        return low

    def masked(self, thresholds: Array) -> Array:
        """``thresholds`` of shape ``(K, L, capacity + 1)``, infinite where there is no token."""
        return np.where(np.arange(self.shape[2]) >= self.bucket.cost, thresholds, np.inf)

    def worth(self, values: Array) -> Array:
        """W: what is expected at the next frame from so many micro-tokens left, of V, both ``(K, L, capacity + 1)``."""
        mixed = (1.0 - self.reset) * values + self.reset * values.mean(axis=1, keepdims=True)
        worth = np.zeros(self.shape)
        for g in np.flatnonzero(self.joint.sum(axis=(0, 2))):
            worth += np.einsum("ij,jln->iln", self.joint[:, g], mixed[:, :, self.after[g]])
        return worth

    def _sweep_on(self, values: Array, sweeps: int, span: float) -> Solution:
        """Relative value iteration from ``values``; the best gain lies between the least and the largest increase."""
        cost = self.bucket.cost
        dense = self._leaps() if sweeps > 1 and self.shape[0] * self.shape[2] <= MOST_DENSE else None
        for _ in range(sweeps):
            if dense is None:
                worth = self.worth(values)
            else:
                mixed = (1.0 - self.reset) * values + self.reset * values.mean(axis=1, keepdims=True)
                flat = mixed.transpose(2, 0, 1).reshape(-1, self.shape[1])
                worth = (dense @ flat).reshape(self.shape[2], self.shape[0], -1).transpose(1, 2, 0)
            thresholds = np.full(self.shape, np.inf)
            thresholds[:, :, cost:] = worth[:, :, cost:] - worth[:, :, :-cost]
            improved = worth + self._surplus(thresholds)
            increase = improved - values
            low, high = float(increase.min()), float(increase.max())
            if high - low <= span:
                return Solution((low + high) / 2, (low, high), thresholds, values - values[0, 0, -1])
            values = improved - improved[0, 0, -1]
        raise RuntimeError(
            f"value iteration has not settled after {sweeps:,} sweeps: the gain is {low:.6g}..{high:.6g}"
        )

    def _surplus(self, thresholds: Array) -> Array:
        """E[(metric - threshold)+], 0 where the threshold is infinite."""
        share, mass = self.laws.tails(thresholds)
        return mass - np.where(share > 0, thresholds, 0.0) * share

    def _leaps(self) -> Array:
        """Probabilities from (left after the decision, regime) to (tokens, regime) at the next frame, ``(M K, M K)``.

        Tokens come first, so that sends lead back a few rows only and elimination has little to fill.
        """
        k, _, m = self.shape
        leaps = np.zeros((m, k, m, k))
        rows = np.arange(m)
        for g in np.flatnonzero(self.joint.sum(axis=(0, 2))):
            for i in range(k):
                for j in np.flatnonzero(self.joint[i, g]):
                    leaps[rows, i, self.after[g], j] += self.joint[i, g, j]
        return leaps.reshape(k * m, k * m)

    def _chain(self, leaps: Array, share: Array) -> Array:
        """Transitions between decisions at one location that never changes; ``share`` ``(K, M)`` of frames that are sent."""
        k = self.shape[0]
        flat, back = share.T.reshape(-1, 1), k * self.bucket.cost
        matrix = (1.0 - flat) * leaps
        matrix[back:] += flat[back:] * leaps[:-back]
        return matrix

    def evaluate(self, thresholds: Array) -> tuple[float, Array]:
        """Gain and relative values ``(K, L, capacity + 1)`` of a policy, exactly: a system a location and one for all."""
        k, count, m = self.shape
        share, mass = self.laws.tails(self.masked(thresholds))
        leaps, size, stay = self._leaps(), k * m, 1.0 - self.reset
        unit = np.eye(size)
        earn, time, mix = np.zeros(size), np.zeros(size), np.zeros((size, size))
        for i in range(count):
            chain = self._chain(leaps, share[:, i])
            right = np.column_stack([mass[:, i].T.ravel(), np.ones(size), self.reset * chain])
            solved = right if stay == 0.0 else chains.solve(unit - stay * chain, right)
            earn += solved[:, 0] / count
            time += solved[:, 1] / count
            mix += solved[:, 2:] / count
        gain, mixture = chains.relative_values(mix, earn, time)
        values = np.empty(self.shape)
        for i in range(count):
            chain = self._chain(leaps, share[:, i])
            right = (mass[:, i].T.ravel() - gain + self.reset * (chain @ mixture))[:, None]
            values[:, i] = (right if stay == 0.0 else chains.solve(unit - stay * chain, right)).reshape(m, k).T
        return gain, values

    def stationary(self, thresholds: Array) -> Array:
        """Long-run shares of the states ``(K, 1, capacity + 1)`` under a policy, for one location."""
        if self.shape[1] != 1:
            raise ValueError(f"the problem has {self.shape[1]} locations, expected one")
        k, _, m = self.shape
        share, _ = self.laws.tails(self.masked(thresholds))
        return chains.stationary(self._chain(self._leaps(), share[:, 0])).reshape(m, k).T[:, None]
