"""The law of the next gap: every arrival process as a Markov renewal process, exactly.

After a frame in regime i the next one comes g ticks later, in regime j, with probability ``joint[i, g - 1, j]``. Frames of
``MarkovModulated`` leave nothing else behind: a visit's remaining time has no memory, and the phase starts anew at each frame.
The odd gaps that span a change of regime are therefore part of the law, and a posterior over regimes is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.arrivals import ArrivalProcess, Bernoulli, Geometric, MarkovModulated, Periodic

REST = 1e-14
"""Probability of longer gaps that is left to the last entry."""
MOST_GAP = 200_000
"""Longest gap that a law tells apart, ticks."""


@dataclass(frozen=True, eq=False)
class GapLaw:
    """Law of the next gap and regime.

    ``joint`` ``(K, G, K)``: see the module; its last gap also stands for all longer ones. ``start`` ``(K,)``: regime of the
    first frame. ``mean``: mean gap in ticks over all frames, with the odd gaps at changes of regime.
    """

    joint: NDArray[np.float64]
    start: NDArray[np.float64]
    mean: float

    @classmethod
    def of(cls, arrivals: ArrivalProcess) -> GapLaw:
        """The law of an arrival process. Raises ``ValueError`` for a process of another kind, or without an end to its gaps."""
        if isinstance(arrivals, Periodic):
            return cls.of_shares(np.eye(arrivals.gap)[-1])
        if isinstance(arrivals, Bernoulli):
            return _geometric(1, arrivals.probability, arrivals.mean_gap)
        if isinstance(arrivals, Geometric):
            return _geometric(arrivals.least, 1.0 / (arrivals.mean - arrivals.least + 1.0), arrivals.mean_gap)
        if isinstance(arrivals, MarkovModulated):
            joint = _renewal(arrivals)
            marginal = _stationary(joint.sum(axis=1)) @ joint.sum(axis=2)
            return cls(joint, arrivals.time_shares.copy(), float(marginal @ np.arange(1, len(marginal) + 1)))
        raise ValueError(f"arrivals is a {type(arrivals).__name__}, expected a process of envs.token_bucket.arrivals")

    @classmethod
    def of_shares(cls, shares: NDArray[np.float64]) -> GapLaw:
        """Independent gaps: 1, 2, ... ticks with probabilities ``shares`` ``(G,)``."""
        return cls(shares[None, :, None], np.ones(1), float(shares @ np.arange(1, len(shares) + 1)))

    @classmethod
    def of_samples(cls, gaps: NDArray[np.int64]) -> GapLaw:
        """Independent gaps with the frequencies of ``gaps`` (any shape), at least 1 tick each."""
        if gaps.size == 0 or gaps.min() < 1 or gaps.max() > MOST_GAP:
            raise ValueError(f"gaps are empty or outside 1..{MOST_GAP} ticks")
        return cls.of_shares(np.bincount(gaps.ravel())[1:] / gaps.size)

    @property
    def regimes(self) -> int:
        """Number of regimes."""
        return len(self.joint)

    @property
    def frame_shares(self) -> NDArray[np.float64]:
        """Share of the frames that come in each regime, ``(K,)``."""
        return _stationary(self.joint.sum(axis=1))

    def marginal(self) -> GapLaw:
        """Independent gaps with the same shares over all frames: what a policy without memory of gaps may know."""
        if self.regimes == 1:
            return self
        shares = self.frame_shares @ self.joint.sum(axis=2)
        return GapLaw(shares[None, :, None], np.ones(1), self.mean)

    def folded(self, longest: int) -> NDArray[np.float64]:
        """``joint`` with all gaps of ``longest`` ticks and more in one entry: they fill the bucket alike."""
        if self.joint.shape[1] <= longest:
            return self.joint
        rest = self.joint[:, longest - 1 :].sum(axis=1, keepdims=True)
        return np.concatenate([self.joint[:, : longest - 1], rest], axis=1)


def _geometric(least: int, probability: float, mean: float) -> GapLaw:
    """Gaps ``least``, ``least`` + 1, ... with a geometric rest."""
    if probability >= 1.0:
        return GapLaw.of_shares(np.eye(least)[-1])
    count = min(int(np.log(REST) / np.log1p(-probability)) + 2, max(MOST_GAP - least, 2))
    rest = (1.0 - probability) ** np.arange(count)
    shares = np.zeros(least - 1 + count)
    shares[least - 1 :] = np.append(rest[:-1] * probability, rest[-1])
    return GapLaw(shares[None, :, None], np.ones(1), mean)


def _renewal(arrivals: MarkovModulated) -> NDArray[np.float64]:
    """``joint`` of a modulated process: unit by unit over (regime, units since the visit or the last frame began)."""
    gaps, leave, k = np.array(arrivals.gaps), np.array(arrivals.leave), arrivals.regimes
    phases = np.ones(k, np.int64) if arrivals.random else gaps
    first = np.append(0, np.cumsum(phases))
    regime = np.repeat(np.arange(k), phases)
    emits = np.zeros((len(regime), k))  # a frame in this unit, of which regime
    if arrivals.random:
        emits[np.arange(k), np.arange(k)] = 1.0 / gaps
    else:
        emits[first[1:] - 1, np.arange(k)] = 1.0
    onward = np.zeros((k, len(regime)))  # where a visit that ends here goes
    onward[:, first[:-1]] = arrivals.transitions
    begin = leave[:, None] * onward
    begin[np.arange(k), first[:-1]] += 1.0 - leave
    quiet = 1.0 - emits.sum(axis=1)
    step = (quiet * leave[regime])[:, None] * onward[regime]
    following = np.arange(len(regime)) if arrivals.random else np.minimum(np.arange(1, len(regime) + 1), first[-1] - 1)
    step[np.arange(len(regime)), following] += quiet * (1.0 - leave[regime])
    now, entries = begin, list[NDArray[np.float64]]()
    while len(entries) < MOST_GAP:
        entries.append(now @ emits)
        now = now @ step
        if now.sum(axis=1).max() < REST:
            return np.stack(entries, axis=1)
    raise ValueError(f"arrivals have gaps beyond {MOST_GAP} units, expected regimes that last long enough for a frame")


def _stationary(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The stationary shares of a stochastic matrix ``(K, K)``."""
    k = len(matrix)
    system = np.vstack([matrix.T - np.eye(k), np.ones(k)])
    shares = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0), rcond=None)[0]
    return np.asarray(np.maximum(shares, 0.0) / np.maximum(shares, 0.0).sum())
