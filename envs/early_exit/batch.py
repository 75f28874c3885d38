"""One decision of one episode or of many: the compiled loop that both environment classes share."""

from __future__ import annotations

from envs._jit import kernel
from envs.early_exit.dynamics import N_REPORT, R_OVER, apply
from envs.early_exit.observation import observe_row
from envs.early_exit.state import ACCEPTED, DONE, LEFT, ROWS, WINDOWS

# What a step says, by the names of the info. Counts are of the window, ``episode_`` of the windows so far.
REPORT = (
    "cost", "true_positives", "true_negatives", "false_positives", "false_negatives", "rejected", "passed", "sent",
    "joules", "bytes", "late", "cost_budget", "cost_acceptance", "over_budget",
)  # fmt: skip
EPISODE = (
    "cost", "true_positives", "true_negatives", "false_positives", "false_negatives", "rejected", "passed", "sent",
    "joules", "bytes", "late", "used", "shortfall", "over_budget",
)  # fmt: skip
STATE = ("budget_left", "acceptance", "windows_left")
HIDDEN = ("month", "attack_share", "bandwidth", "load")
INFO = (*REPORT, *(f"episode_{name}" for name in EPISODE), *STATE, *HIDDEN)
"""All keys of the info but ``action_mask``."""
N_STATE_INFO = len(STATE)


@kernel
def begin(state, frame, shown, totals, observation, report, status):  # type: ignore[no-untyped-def]
    """Begin an episode: its first observation, and a report without a decision."""
    totals[:] = 0.0
    report[:] = 0.0
    window, thresholds, demands = shown
    observe_row(state, frame, window, thresholds, demands, observation)
    _status(state, status)


@kernel
def _status(state, status):  # type: ignore[no-untyped-def]
    status[0] = state[LEFT]
    status[1] = state[ACCEPTED] / (state[DONE] * state[ROWS]) if state[DONE] > 0 else 1.0
    status[2] = state[WINDOWS] - state[DONE]


@kernel
def decide(state, frame, following, action, physics, shown, totals, observation, report, status):  # type: ignore[no-untyped-def]
    """Play the window of ``frame`` with an action, go on to the frame ``following``, and return the reward.

    ``physics``: of ``Dynamics``. ``shown``: ``arrays`` of ``ObservationLayout``.
    """
    window, thresholds, demands = shown
    reward = apply(state, frame, action, physics, report)
    for k in range(N_REPORT):
        totals[k] += report[k]
    observe_row(state, following, window, thresholds, demands, observation)
    _status(state, status)
    return reward


@kernel
def batch_decide(  # type: ignore[no-untyped-def]
    states, frames, clocks, lengths, actions, physics, shown, totals, observations, reports, statuses, rewards, done
):  # fmt: skip
    """One decision of every sub-environment; ``clocks``: window that is decided, ``lengths``: windows of the episode."""
    ended = 0
    for i in range(len(actions)):
        t = clocks[i]
        rewards[i] = decide(
            states[i], frames[i, t], frames[i, t + 1], actions[i], physics, shown, totals[i], observations[i],
            reports[i], statuses[i],
        )  # fmt: skip
        clocks[i] = t + 1
        done[i] = clocks[i] == lengths[i]
        ended += done[i]
    return ended


assert len(REPORT) == N_REPORT and REPORT[R_OVER] == "over_budget"
