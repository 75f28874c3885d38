"""Contexts of windows that need no labels: how the certainties of the window before looked, and the link."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimal.early_exit.episodes import Episodes, Floats
from optimal.early_exit.fixed_policies import Contexts
from optimal.early_exit.playing import Ints

ROUNDS = 50
"""Rounds of Lloyd's algorithm at most."""


@dataclass(frozen=True, eq=False)
class Clusters(Contexts):
    """The nearest of K centres of what is seen; the first window of an episode, before which nothing was seen, is ``first``."""

    centres: Floats  # (K, F)
    first: int

    @property
    def number(self) -> int:  # type: ignore[override]
        """K."""
        return len(self.centres)

    def of(self, episodes: Episodes, window: int) -> Ints:
        """See ``Contexts``."""
        if window == 0:
            return np.full(len(episodes), self.first, np.int64)
        return _nearest(features(episodes, window), self.centres)


def features(episodes: Episodes, window: int) -> Floats:
    """What a context is told by, ``(S, F)``: ``shape`` and ``profile`` of certainties, and the ``link``."""
    return np.concatenate([episodes.seen(name, window) for name in ("shape", "profile", "link")], axis=1)


def cluster(training: Episodes, number: int, seed: int = 0) -> Clusters:
    """K centres of all windows of training episodes but the first (k-means++, Arthur and Vassilvitskii, 2007; Lloyd)."""
    points = np.concatenate([features(training, t) for t in range(1, training.windows)])
    rng = np.random.default_rng(seed)
    centres = points[rng.integers(len(points))][None]
    for _ in range(number - 1):
        far = ((points[:, None] - centres[None]) ** 2).sum(axis=2).min(axis=1)
        total = far.sum()
        pick = rng.choice(len(points), p=far / total) if total > 0 else rng.integers(len(points))
        centres = np.concatenate([centres, points[pick][None]])
    own = _nearest(points, centres)
    for _ in range(ROUNDS):
        centres = np.stack([points[own == k].mean(axis=0) if (own == k).any() else centres[k] for k in range(number)])
        before, own = own, _nearest(points, centres)
        if (before == own).all():
            break
    return Clusters(centres, int(np.argmax(np.bincount(own, minlength=number))))


def _nearest(points: Floats, centres: Floats) -> Ints:
    found: Ints = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    return found
