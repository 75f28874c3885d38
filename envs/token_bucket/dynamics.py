"""The physics, once: what a decision does to the bucket, what the outside world does meanwhile, and what is seen of both.

``transition`` and ``observe`` are pure functions of arrays. The environments, the simulator of policies, the dynamic programs
and the replay buffer all call the kernels of this module.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import inlined_kernel, kernel
from envs.token_bucket.observation import Window, observe_row
from envs.token_bucket.types import CAPACITY, COST, GAP, METRIC, N_ENDOGENOUS, N_FRAME, REFILL, REWARD, TOKENS

KEEP, SEND = 0, 1
LOCAL_S, OFFLOADED_S = 0.0209, 0.0735
"""Seconds until the answer, kept or sent: means of the testbed of Qiu et al. (Fig 4)."""


@inlined_kernel
def tokens_after(tokens, refill, cost, capacity, gap, sent):  # type: ignore[no-untyped-def]
    """Micro-tokens at the next frame: spend first, then refill over ``gap`` ticks, then clip at the capacity."""
    left = tokens - cost if sent else tokens
    # a long gap fills the bucket whatever the refill; asking that first keeps refill * gap from overflowing
    if gap >= capacity:
        return capacity
    return min(left + refill * gap, capacity)


@inlined_kernel
def reward_of(frame, sent, numbers):  # type: ignore[no-untyped-def]
    """Reward of one decision; ``numbers``: whether the realised reward counts, price of a second of latency."""
    latency = OFFLOADED_S if sent else LOCAL_S
    gain = (frame[REWARD] if numbers[0] > 0 else frame[METRIC]) if sent else 0.0
    return gain - numbers[1] * latency


@kernel
def next_exogenous(row, frame, history, gap_history):  # type: ignore[no-untyped-def]
    """Turn an exogenous row into that of the next ``frame`` ``(N_FRAME,)``: the window moves by one."""
    gap = row[GAP]
    for k in range(N_FRAME + history + gap_history - 2, N_FRAME + history - 1, -1):
        row[k] = row[k - 1]
    if gap_history > 0:
        row[N_FRAME + history - 1] = gap
    for k in range(N_FRAME + history - 2, N_FRAME, -1):
        row[k] = row[k - 1]
    if history > 1:
        row[N_FRAME] = row[METRIC]
    for k in range(N_FRAME):
        row[k] = frame[k]


@kernel
def first_exogenous(row, frame):  # type: ignore[no-untyped-def]
    """Begin an exogenous row at ``frame``: there is no past, which counts as 0."""
    row[:] = 0.0
    for k in range(N_FRAME):
        row[k] = frame[k]


@kernel
def _transition_rows(endogenous, exogenous, actions, numbers, following, rewards):  # type: ignore[no-untyped-def]
    for i in range(len(actions)):
        e = endogenous[i]
        sent = actions[i] == SEND and e[TOKENS] >= e[COST]
        for k in range(N_ENDOGENOUS):
            following[i, k] = e[k]
        gap = np.int64(exogenous[i, GAP])
        following[i, TOKENS] = tokens_after(e[TOKENS], e[REFILL], e[COST], e[CAPACITY], gap, sent)
        rewards[i] = reward_of(exogenous[i], sent, numbers)


@kernel
def _observe_rows(endogenous, exogenous, window, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        observe_row(endogenous[i], exogenous[i], window, out[i])


class Dynamics:
    """The pure functions of an environment, for whoever wants to know what other decisions would have led to.

    ``window``: what is observed. ``realised``: rewards are realised reductions of the loss, not expected ones.
    ``latency_price``: loss that a second of latency counts as. Raises ``ValueError`` for a negative price.
    """

    def __init__(self, window: Window, *, realised: bool = False, latency_price: float = 0.0) -> None:
        if not 0 <= latency_price < np.inf:
            raise ValueError(f"latency_price is {latency_price}, expected a finite number >= 0")
        self.window = window
        self.numbers = np.array([realised, latency_price], np.float64)

    def transition(
        self, endogenous: NDArray[np.int64], exogenous: NDArray[np.float64], action: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Next endogenous states ``(B, 4)`` and rewards ``(B,)`` of actions ``(B,)`` in states ``(B, 4)``.

        ``exogenous`` ``(B, X)``: the row of the frame that is decided, whose ``GAP`` is the time to the next one. A send
        without a token is a keep.
        """
        following, rewards = np.empty_like(endogenous), np.empty(len(endogenous))
        _transition_rows(endogenous, exogenous, np.asarray(action, np.int64), self.numbers, following, rewards)
        return following, rewards

    def observe(self, endogenous: NDArray[np.int64], exogenous: NDArray[np.float64]) -> NDArray[np.float32]:
        """Observations ``(B, L)`` of endogenous ``(B, 4)`` and exogenous states ``(B, X)``; the next gap is not seen."""
        out = np.empty((len(endogenous), self.window.length), np.float32)
        _observe_rows(endogenous, exogenous, self.window.numbers, out)
        return out
