"""What the environment shows of itself: the episode so far in plain numbers, for text and drawings; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.token_bucket.batch import DECISIONS, EXPECTED, REALISED, SENDS
from envs.token_bucket.types import CAPACITY, COST, GAP, METRIC, REFILL, REGIME, REWARD, TOKENS

if TYPE_CHECKING:
    from envs.token_bucket.env import TokenBucketEnv

DECIDING, EMPTY, OVER = "deciding", "empty", "over"
"""States of an episode: the frame may be sent; it may not, for want of a token; there is nothing left to decide."""
PARTS = 6
"""Ticks of the time axis, which moves on by one at a time."""
_FRAMES = 60
"""Frames that the time axis has room for, at the mean gap of the episode."""


class Scale(NamedTuple):
    """Axes that hold for the whole episode, so that bars stay where they are."""

    span: float  # time units from the left to the right end
    low: float  # metric at the bottom, 0 or below
    high: float  # metric at the top, above 0
    least_gap: float  # time units between frames in the densest stretches


@dataclass(frozen=True, slots=True)
class Past:
    """The latest frames, K of them; all but the last one are decided."""

    number: NDArray[np.int64]  # (K,) from 0 on
    time: NDArray[np.float64]  # (K,) time units since the first frame
    metric: NDArray[np.float64]  # (K,)
    regime: NDArray[np.float64]  # (K,) hidden regime from 0; nan: not known
    tokens: NDArray[np.float64]  # (K,) before the decision
    sent: NDArray[np.bool_]  # (K,) False for the last one
    able: NDArray[np.bool_]  # (K,) whether there was a whole token


@dataclass(frozen=True)
class Snapshot:
    """The state of a ``TokenBucketEnv``; tokens are real ones, not micro-tokens."""

    status: str  # DECIDING, EMPTY, OVER
    refused: bool  # the last decision was a send without a token
    decided: int  # frames
    decisions: int  # of the episode
    time: float  # of the current frame, time units since the first one
    scale: Scale
    rate: float  # tokens a time unit
    depth: float
    gained: float  # tokens that came in since the start, the lost ones among them
    lost: float  # tokens that did not fit
    lost_now: float  # of these, since the frame before
    sends: int
    gain: float  # sum of the metrics of what was sent
    realised: float | None  # sum of the realised reductions; None: not known
    weak_loss: float  # mean loss without a send; 0: not known
    regimes: bool  # there is more than one, and they are known
    past: Past  # frames in view, and one before them if there is one

    @property
    def tokens(self) -> float:
        """Tokens now."""
        return float(self.past.tokens[-1])

    @property
    def metric(self) -> float:
        """Metric of the current frame."""
        return float(self.past.metric[-1])

    @property
    def share(self) -> float:
        """Part of the decided frames that was sent."""
        return self.sends / self.decided if self.decided else 0.0

    @cached_property
    def left(self) -> float:
        """Left end of the time axis: a whole number of ticks, such that the current frame is in view."""
        part = self.scale.span / PARTS
        return part * max(0, int(np.ceil(self.time / part + 0.25 - 1e-9)) - PARTS)

    def mean(self, total: float) -> float:
        """The mean loss of a frame when the sends so far have reduced the sum of losses by ``total``."""
        return self.weak_loss - total / max(self.decided, 1)


def take_snapshot(env: TokenBucketEnv) -> Snapshot:
    """The present state of ``env`` (unwrapped). Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``."""
    state, frames, done = env._endogenous, env._frames, env._clock
    if state[CAPACITY] == 0:
        raise ResetNeeded("the environment has nothing to show before its first reset(), call reset() before render()")
    refill, cost, capacity = int(state[REFILL]), int(state[COST]), int(state[CAPACITY])
    ticks = np.append(0, np.cumsum(frames[:-1, GAP])).astype(np.int64)
    times = ticks / env._ticks
    before = env._past
    totals = env._totals
    sends = int(totals[SENDS])
    start = before[0][0] if before else int(state[TOKENS])
    gained = refill * int(ticks[done])
    lost_now = 0
    if before:
        last, went = before[-1]
        lost_now = last - cost * went + refill * int(ticks[done] - ticks[done - 1]) - int(state[TOKENS])
    scale = _scale(frames, times)
    # more than is in view: the axis reaches back less than its span
    first = max(int(np.searchsorted(times, times[done] - scale.span)) - 1, 0)
    tokens = np.array([n for n, _ in before[first:done]] + [int(state[TOKENS])], np.int64)
    regime = frames[:, REGIME]
    return Snapshot(
        OVER if env._over else DECIDING if state[TOKENS] >= cost else EMPTY,
        bool(env._ints[7]),
        int(totals[DECISIONS]),
        len(frames) - 1,
        float(times[done]),
        scale,
        refill * env._ticks / cost,
        capacity / cost,
        gained / cost,
        (start + gained - cost * sends - int(state[TOKENS])) / cost,
        lost_now / cost,
        sends,
        float(totals[EXPECTED]),
        float(totals[REALISED]) if np.isfinite(frames[:, REWARD]).all() else None,
        env.world.generator.weak_loss,
        bool(np.isfinite(regime).all() and (regime != regime[0]).any()),
        Past(
            np.arange(first, done + 1),
            times[first : done + 1],
            frames[first : done + 1, METRIC],
            regime[first : done + 1],
            tokens / cost,
            np.array([went for _, went in before[first:done]] + [False]),
            tokens >= cost,
        ),
    )


def _scale(frames: NDArray[np.float64], times: NDArray[np.float64]) -> Scale:
    gaps = np.diff(times)
    part = _nice(min(_FRAMES / PARTS * float(gaps.mean()), float(times[-1]) / (PARTS - 0.5)))
    low, high = float(frames[:, METRIC].min()), float(frames[:, METRIC].max())
    return Scale(
        PARTS * part, -_nice(-low) if low < 0 else 0.0, _nice(high) if high > 0 else 1.0, float(np.quantile(gaps, 0.1))
    )


def _nice(value: float) -> float:
    """The next number of one digit at or above ``value`` > 0."""
    power = 10.0 ** np.floor(np.log10(value) + 1e-12)
    return float(power * np.ceil(value / power - 1e-9))
