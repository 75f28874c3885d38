"""One decision of one episode or of many: the compiled loop that both environment classes share."""

from __future__ import annotations

from envs._jit import kernel
from envs.token_bucket.dynamics import (
    KEEP,
    LOCAL_S,
    OFFLOADED_S,
    SEND,
    first_exogenous,
    next_exogenous,
    reward_of,
    tokens_after,
)
from envs.token_bucket.observation import observe_row
from envs.token_bucket.types import CAPACITY, COST, GAP, LOCATION, METRIC, REFILL, REGIME, REWARD, TOKENS

# Sums over an episode (N_TOTAL,)
EXPECTED, REALISED, SENDS, DECISIONS, LATENCY, N_TOTAL = range(6)
# What a step says in whole numbers (N_INT,) and in real ones (N_FLOAT,), by the names of the info
INTS = ("tokens_int", "refill", "cost", "capacity", "gap", "regime", "sent", "invalid_action")
FLOATS = ("metric", "reward_realised", "location", "loss", "loss_realised", "offload_rate", "latency_s")
FLAGS = ("sent", "invalid_action")
NEED_REWARD = ("reward_realised", "loss_realised")
"""Names that an info lacks where realised rewards are not known: it never holds a nan."""
N_INT, N_FLOAT = len(INTS), len(FLOATS)


@kernel
def look(endogenous, row, window, observation, mask):  # type: ignore[no-untyped-def]
    """Write the observation and the action mask of a state."""
    observe_row(endogenous, row, window, observation)
    mask[0] = 1
    mask[1] = 1 if endogenous[TOKENS] >= endogenous[COST] else 0


@kernel
def begin(endogenous, row, frames, window, totals, observation, mask, ints, floats):  # type: ignore[no-untyped-def]
    """Begin an episode on ``frames`` ``(N, N_FRAME)``: its first observation, and a report without a decision."""
    first_exogenous(row, frames[0])
    totals[:] = 0.0
    look(endogenous, row, window, observation, mask)
    _report_state(endogenous, ints)
    ints[4], ints[5], ints[6], ints[7] = 0, -1, 0, 0
    floats[:] = 0.0
    floats[2] = -1.0


@kernel
def _report_state(endogenous, ints):  # type: ignore[no-untyped-def]
    ints[0], ints[1] = endogenous[TOKENS], endogenous[REFILL]
    ints[2], ints[3] = endogenous[COST], endogenous[CAPACITY]


@kernel
def decide(endogenous, row, frame, action, window, numbers, weak_loss, totals, observation, mask, ints, floats):  # type: ignore[no-untyped-def]
    """Keep or send the frame of ``row``, go on to the next ``frame``, and return the reward."""
    can_send = endogenous[TOKENS] >= endogenous[COST]
    sent = action == SEND and can_send
    reward = reward_of(row, sent, numbers)
    totals[DECISIONS] += 1
    totals[LATENCY] += OFFLOADED_S if sent else LOCAL_S
    if sent:
        totals[SENDS] += 1
        totals[EXPECTED] += row[METRIC]
        totals[REALISED] += row[REWARD]
    gap, regime = row[GAP], row[REGIME]
    location = row[LOCATION]
    floats[0], floats[1], floats[2] = row[METRIC], row[REWARD], location if location == location else -1.0
    endogenous[TOKENS] = tokens_after(
        endogenous[TOKENS], endogenous[REFILL], endogenous[COST], endogenous[CAPACITY], int(gap), sent
    )
    next_exogenous(row, frame, int(window[0]), int(window[1]))
    look(endogenous, row, window, observation, mask)
    _report_state(endogenous, ints)
    ints[4], ints[5] = int(gap), int(regime) if regime == regime else -1
    ints[6], ints[7] = 1 if sent else 0, 1 if action == SEND and not can_send else 0
    n = totals[DECISIONS]
    floats[3], floats[4] = weak_loss - totals[EXPECTED] / n, weak_loss - totals[REALISED] / n
    floats[5], floats[6] = totals[SENDS] / n, totals[LATENCY] / n
    return reward


@kernel
def batch_decide(  # type: ignore[no-untyped-def]
    endogenous, rows, frames, clocks, lengths, actions, window, numbers, weak_loss, totals, observations, masks, ints,
    floats, rewards, done,
):  # fmt: skip
    """One decision of every sub-environment; ``clocks``: frame that is decided, ``lengths``: frames of the episode.

    Returns the number of episodes that ended, or -1 - i where action i is none, and then nothing has happened.
    """
    for i in range(len(actions)):
        if actions[i] != KEEP and actions[i] != SEND:
            return -1 - i
    ended = 0
    for i in range(len(actions)):
        clocks[i] += 1
        rewards[i] = decide(
            endogenous[i], rows[i], frames[i, clocks[i]], actions[i], window, numbers, weak_loss, totals[i],
            observations[i], masks[i], ints[i], floats[i],
        )  # fmt: skip
        done[i] = clocks[i] == lengths[i] - 1
        ended += done[i]
    return ended
