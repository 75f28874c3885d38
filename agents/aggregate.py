"""Aggregates over seeds and instances, and how sure they are (Agarwal et al. 2021, "Deep RL at the edge of the statistical
precipice"): interquartile mean, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RESAMPLES = 2000


CHUNK = 2**21
"""Numbers that are resampled at a time."""


def means(rows: Values) -> Values:
    """Mean of the finite entries of each row, ``(B, n)`` to ``(B,)``; nan where there is none."""
    counts = np.isfinite(rows).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(rows, axis=1) / counts)


def interquartile_means(rows: Values) -> Values:
    """Mean of the middle half of the finite entries of each row, ``(B, n)`` to ``(B,)``; nan where there is none.

    A quarter of them, rounded down, is cut off at each end.
    """
    counts = np.isfinite(rows).sum(axis=1)
    ordered = np.sort(rows, axis=1)  # nan last
    place, cut = np.arange(rows.shape[1]), counts[:, None] // 4
    middle = (place >= cut) & (place < counts[:, None] - cut)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(middle, ordered, 0.0).sum(axis=1) / middle.sum(axis=1))


def mean(values: Values) -> float:
    """Mean of the finite entries; nan where there is none."""
    return float(means(values.reshape(1, -1))[0])


def interquartile_mean(values: Values) -> float:
    """Mean of the middle half of the finite entries; nan where there is none."""
    return float(interquartile_means(values.reshape(1, -1))[0])


def interval(
    values: Values, statistic: Callable[[Values], Values], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of a statistic of ``values``, float64 ``(seeds, instances, ...)``.

    Seeds and instances are two strata that are resampled apart: whole rows, because one training plays all instances, and
    whole columns, because all seeds play the same instance. With one seed it is the plain bootstrap over instances. nan where
    nothing is finite. ``statistic``: of each row, ``(B, n)`` to ``(B,)``.
    """
    seeds, instances = values.shape[:2]
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    rows = rng.integers(seeds, size=(resamples, seeds, 1))
    columns = rng.integers(instances, size=(resamples, 1, instances))
    step = max(1, CHUNK // values.size)
    found = [
        statistic(values[rows[at : at + step], columns[at : at + step]].reshape(-1, values.size))
        for at in range(0, resamples, step)
    ]
    low, high = np.nanpercentile(np.concatenate(found), [2.5, 97.5])
    return float(low), float(high)


def aggregate(values: Values, seed: int = 0) -> dict[str, float | list[float]]:
    """Mean and interquartile mean with their intervals, 95th percentile and worst of ``values`` ``(seeds, instances, ...)``."""
    known = values[np.isfinite(values)]
    none = float("nan")
    return {
        "mean": mean(values),
        "interval": list(interval(values, means, seed)),
        "iqm": interquartile_mean(values),
        "iqm_interval": list(interval(values, interquartile_means, seed)),
        "p95": float(np.percentile(known, 95)) if len(known) else none,
        "worst": float(known.max()) if len(known) else none,
    }


def share_of_gain(loss: Values, base: Values, best: Values, seed: int = 0, least: float = 1e-4) -> dict[str, Any]:
    """The score (base - policy) / (base - best) of mean losses, its 95 % interval, and that of every training seed.

    ``loss``: ``(seeds, instances)``; ``base``, ``best``: ``(instances,)`` on the same instances. The interval is the bootstrap
    over seeds and instances; a resample takes the same instances for all three. nan where base and best differ by ``least`` or
    less.
    """
    gain = float(base.mean() - best.mean())
    if not gain > least:
        return {"mean": float("nan"), "interval": [float("nan")] * 2, "seeds": [float("nan")] * len(loss)}
    paired = np.stack([loss, np.broadcast_to(base, loss.shape), np.broadcast_to(best, loss.shape)], axis=2)
    return {
        "mean": float(base.mean() - loss.mean()) / gain,
        "interval": list(interval(paired, _shares, seed)),
        "seeds": [float(base.mean() - row.mean()) / gain for row in loss],
    }


def _shares(rows: Values) -> Values:
    """Scores ``(B,)`` of rows ``(B, n)`` that hold loss, base and best of every play next to each other."""
    policy, base, best = rows.reshape(len(rows), -1, 3).mean(axis=1).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((base - policy) / (base - best))


def half(bounds: Sequence[float]) -> float:
    """Half an interval."""
    return (bounds[1] - bounds[0]) / 2
