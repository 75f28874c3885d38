"""What a send is worth: distributions of the offloading metric and processes that draw from them.

The offloading metric of an image is the expected reduction of loss by sending it, as the weak classifier estimates it; the
realised reduction is -1, 0 or 1 (top-5 error of the weak classifier minus that of the strong one).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

_STANDARD = (
    0.0026, 0.0030, 0.0043, 0.0064, 0.0106, 0.0168, 0.0233, 0.0298, 0.0367, 0.0436, 0.0504, 0.0595, 0.0706, 0.0842,
    0.1026, 0.1241, 0.1450, 0.1649, 0.1869, 0.2094, 0.2322, 0.2566, 0.2770, 0.2949, 0.3122, 0.3298, 0.3473, 0.3665,
    0.3866, 0.4042, 0.4213, 0.4392, 0.4605, 0.4847, 0.5079, 0.5283, 0.5425, 0.5580, 0.5771, 0.5850, 0.6674,
)  # fmt: skip
_STRONG_PAIR = ((0.0, 0.0), (0.4, 0.005), (0.6, 0.025), (0.82, 0.1), (0.9, 0.176), (0.93, 0.2), (1.0, 0.325))


@dataclass(frozen=True, eq=False)
class MetricDistribution:
    """A distribution of the metric by its quantiles, joined by straight lines, with the losses of both classifiers.

    ``shares`` ``(K,)`` from 0 to 1 and ``values`` ``(K,)``, both rising. The realised reward is -1 with probability ``harm``,
    1 with probability metric + ``harm``, else 0, so that its mean is the metric. ``weak_loss``: mean loss without any send.
    """

    name: str
    shares: NDArray[np.float64]
    values: NDArray[np.float64]
    weak_loss: float
    harm: float = 0.005

    def quantile(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """The metric at cumulative share ``u`` in [0, 1], any shape."""
        return np.interp(u, self.shares, self.values)

    def realised(self, metric: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Realised rewards -1, 0, 1 of images with ``metric``, from uniform numbers ``v`` of the same shape."""
        return (v < metric + self.harm).astype(np.float64) - (v >= 1.0 - self.harm)

    @cached_property
    def mean(self) -> float:
        """Mean of the metric; ``weak_loss`` minus this is the loss of the strong classifier."""
        return self.tail_mass(1.0)

    def tail_mass(self, share: float) -> float:
        """Integral of the metric over the best ``share`` of the images: the most that sending so many can gain a frame."""
        start = 1.0 - min(max(share, 0.0), 1.0)
        u = np.append(start, self.shares[self.shares > start])
        m = self.quantile(u)
        return float(((m[1:] + m[:-1]) / 2 * np.diff(u)).sum())


@lru_cache
def distribution(name: str) -> MetricDistribution:
    """A built-in distribution.

    ``standard``: 41 quantiles read off Fig 3 of Qiu et al. (arXiv 2208.00485), weak top-5 loss .2985. ``strong-pair``: from
    levels read off a figure of Chakrabarti et al. (arXiv 2010.13737), a better weak classifier, loss .103. ``beta``: a Beta
    (.642, 1.105) on 0..0.68, a smooth stand-in for ``standard``. Raises ``ValueError`` for another name.
    """
    if name == "standard":
        return MetricDistribution(name, np.linspace(0, 1, len(_STANDARD)), np.array(_STANDARD), 0.2985)
    if name == "strong-pair":
        shares, values = np.array(_STRONG_PAIR).T
        return MetricDistribution(name, shares.copy(), values.copy(), 0.103)
    if name == "beta":
        return MetricDistribution(name, *_beta_quantiles(0.642, 1.105, 0.68), 0.2985)
    raise ValueError(f"distribution is {name!r}, expected one of {', '.join(DISTRIBUTIONS)}")


DISTRIBUTIONS = ("standard", "strong-pair", "beta")
"""Names of the built-in distributions."""


def _beta_quantiles(a: float, b: float, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares and values of a Beta distribution on 0..scale, by integration over x = s^(1/a), where the density is tame."""
    s = np.linspace(0.0, 1.0, 200_001)[:-1]
    x = s ** (1 / a)
    density = (1 - x) ** (b - 1) / a  # dF = x^(a-1) (1-x)^(b-1) dx, and x^(a-1) dx = ds / a
    cumulative = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(s)))
    picks = np.unique(np.searchsorted(cumulative, np.linspace(0, cumulative[-1], 1001)))
    shares, values = cumulative[picks] / cumulative[-1], scale * x[picks]
    return np.append(shares[:-1], 1.0), np.append(values[:-1], scale)


class MetricProcess(Protocol):
    """Draws the cumulative shares of a sequence of images."""

    @property
    def correlated(self) -> bool:
        """Whether the metrics so far say anything about the next one."""

    def sample(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares ``(count,)`` in [0, 1) and hidden locations ``(count,)``, nan where there is none."""


@dataclass(frozen=True, slots=True)
class IidMetrics:
    """Every image is drawn anew."""

    correlated: ClassVar[bool] = False

    def sample(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See ``MetricProcess``."""
        return rng.random(count), np.full(count, np.nan)


@dataclass(frozen=True, slots=True)
class LocalReset:
    """Images come from a band of similar difficulty: share = (location + spread * uniform) mod 1.

    Before each later frame the location is drawn anew with probability ``reset``. Both in [0, 1].
    """

    spread: float = 0.1
    reset: float = 0.01

    correlated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("spread", "reset"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in 0..1")

    def sample(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See ``MetricProcess``."""
        changes = rng.random(count) < self.reset
        changes[:1] = True
        candidates = rng.random(count)
        starts = np.flatnonzero(changes)
        location = np.repeat(candidates[starts], np.append(starts[1:], count) - starts)
        share = location + self.spread * rng.random(count)
        share -= share >= 1.0  # as % 1.0, which takes longer than all the rest
        return share, location
