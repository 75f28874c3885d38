"""The mean SSIM of a cell, and how far it may be off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval at 95 %."""

    mean: float
    low: float
    high: float
    worst: float  # mean over pictures of the choice with the largest one: the luckiest device


def estimate(scores: NDArray[np.float64]) -> Estimate:
    """Of the mean over choices of maps and pictures, both seen as draws out of many.

    Its variance is that of the choices' means plus that of the pictures' means, as of two crossed factors, and the interval
    is Student's with the degrees of freedom of F. E. Satterthwaite (1946). One choice alone (all maps are held) adds none:
    there is no other.

    Args:
        scores: (choices, pictures).
    """
    choices, pictures = scores.shape
    parts = []  # variance of the mean, degrees of freedom
    for count, means in ((choices, scores.mean(1)), (pictures, scores.mean(0))):
        if count > 1:
            parts.append((float(means.var(ddof=1)) / count, count - 1))
    variance = sum(part for part, _ in parts)
    half = 0.0
    if variance > 0:
        freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
        half = float(student.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5
    mean = float(scores.mean())
    return Estimate(mean, max(mean - half, -1.0), min(mean + half, 1.0), float(scores.mean(1).max()))
