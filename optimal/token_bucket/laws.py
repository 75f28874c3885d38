"""Laws of the metric of one frame, exactly: pieces between which the metric is uniform, or points.

A law is a mixture of uniform pieces that do not overlap, so the share P(metric >= theta) and the mass
E[metric; metric >= theta] of a threshold are a binary search and one partial piece.
E[(metric - theta)+] is mass - theta * share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.token_bucket.metrics import MetricDistribution


@kernel
def _tails(low, high, weight, shares, masses, thresholds, share, mass):  # type: ignore[no-untyped-def]
    for k in range(thresholds.shape[0]):
        for i in range(thresholds.shape[1]):
            for n in range(thresholds.shape[2]):
                theta = thresholds[k, i, n]
                first, stop = 0, low.shape[1]
                while first < stop:  # the first piece that begins at theta or above
                    middle = (first + stop) // 2
                    if low[i, middle] >= theta:
                        stop = middle
                    else:
                        first = middle + 1
                share[k, i, n], mass[k, i, n] = shares[i, first], masses[i, first]
                if first > 0 and high[i, first - 1] > theta:
                    top, bottom = high[i, first - 1], low[i, first - 1]
                    part = weight[i, first - 1] * (top - theta) / (top - bottom)
                    share[k, i, n] += part
                    mass[k, i, n] += part * (top + theta) / 2


@dataclass(frozen=True, eq=False)
class MetricLaws:
    """One law of the metric for each of ``L`` locations.

    ``low``, ``high``, ``weight`` ``(L, J)``: pieces in rising order; missing ones have an infinite ``low`` and no weight.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.low)

    @classmethod
    def of_distribution(cls, law: MetricDistribution) -> MetricLaws:
        """Independent frames of a distribution: one location."""
        return cls(law.values[None, :-1], law.values[None, 1:], np.diff(law.shares)[None])

    @classmethod
    def of_samples(cls, metrics: NDArray[np.float64]) -> MetricLaws:
        """Independent frames that are drawn from ``metrics`` (any shape), each with the same probability."""
        if metrics.size == 0 or not np.isfinite(metrics).all():
            raise ValueError("metrics is empty or has an entry that is not finite, expected at least one number")
        values = np.sort(metrics, axis=None)[None]
        return cls(values, values, np.full(values.shape, 1.0 / values.size))

    @classmethod
    def of_windows(cls, law: MetricDistribution, starts: NDArray[np.float64], spread: float) -> MetricLaws:
        """Frames whose share is uniform in [start, start + spread) mod 1, for each of ``starts`` ``(L,)`` in [0, 1)."""
        if spread >= 1.0:
            return cls.of_distribution(law)
        rows = []
        for start in starts:
            if spread <= 0.0:
                value = float(law.quantile(np.array([start]))[0])
                rows.append(np.array([[value, value, 1.0]]))
                continue
            spans = [(start, min(start + spread, 1.0)), (0.0, start + spread - 1.0)]
            pieces = [_pieces(law, a, b, spread) for a, b in spans if b > a]
            row = np.concatenate(pieces)
            rows.append(row[np.argsort(row[:, 0], kind="stable")])
        table = np.zeros((len(rows), max(map(len, rows)), 3))
        table[:, :, :2] = np.inf
        for i, row in enumerate(rows):
            table[i, : len(row)] = row
        return cls(*(np.ascontiguousarray(table[:, :, c]) for c in range(3)))

    def tails(self, thresholds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share and mass of the frames at or above ``thresholds`` ``(K, L, N)``, each of that shape."""
        share, mass = np.empty_like(thresholds), np.empty_like(thresholds)
        middle = np.where(self.weight > 0, (self.low + self.high) / 2, 0.0)
        ends = np.zeros((len(self), 1))
        shares = np.hstack([np.cumsum(self.weight[:, ::-1], axis=1)[:, ::-1], ends])
        masses = np.hstack([np.cumsum((self.weight * middle)[:, ::-1], axis=1)[:, ::-1], ends])
        _tails(self.low, self.high, self.weight, shares, masses, np.ascontiguousarray(thresholds), share, mass)
        return share, mass


def _pieces(law: MetricDistribution, start: float, stop: float, spread: float) -> NDArray[np.float64]:
    """Rows of low, high, weight of the shares from ``start`` to ``stop``."""
    inner = law.shares[(law.shares > start) & (law.shares < stop)]
    u = np.concatenate([[start], inner, [stop]])
    m = law.quantile(u)
    return np.column_stack([m[:-1], m[1:], np.diff(u) / spread])
