"""The physics, once: what an action does to a window, to the budget and to the acceptance of the episode, and what is seen.

``transition`` and ``observe`` are pure functions of arrays. The environments, the references and the replay buffer all call the
kernels of this module; which row goes where is ``routing.route`` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.early_exit.costs import Deployment, StageCosts
from envs.early_exit.generator import FrameLayout
from envs.early_exit.months import Months
from envs.early_exit.observation import ObservationLayout, observe_row
from envs.early_exit.outcomes import DIFFER, FATES, FN, FP, N_FIXED, SURENESS, TN, TP, count_window, n_counts
from envs.early_exit.state import (
    ACCEPTED,
    DONE,
    LAST,
    LAST_ANSWERED,
    LAST_DIFFER,
    LAST_REJECTED,
    LAST_SENT,
    LAST_SURENESS,
    LEAST,
    LEFT,
    N_STATE,
    ROWS,
    WINDOWS,
)

CONSTRAINTS = ("terminal", "incremental", "none")
"""When a lack of accepted rows is charged: at the end, as it grows and shrinks (with the same sum), or never."""
BUDGETS = ("rows", "joules")
"""What a budget counts: rows that cross the link, or the edge's energy beyond exit 1."""

# Parts of a report (N_REPORT,), float64: what a decision came to.
(
    COST, R_TP, R_TN, R_FP, R_FN, R_REJECTED, R_PASSED, R_SENT, R_JOULES, R_BYTES, R_LATE, R_USED, R_SHORTFALL, R_OVER,
    N_REPORT,
) = range(15)  # fmt: skip

# Rows of the stage matrix (N_STAGE, E)
S_EDGE, S_CLOUD, S_JOULES, S_BYTES, S_CROSSES, S_USE, N_STAGE = range(7)
# Entries of the numbers (N_NUMBERS,)
(
    P_FP, P_FN, P_REJECTED, P_SENT, P_JOULE, P_LATE, DEADLINE, CONSTRAINT, P_SHORTFALL, RATE_BYTES, ROUND_TRIP, ROWS_AT,
    LINK_AT, N_NUMBERS,
) = range(14)  # fmt: skip


@dataclass(frozen=True)
class Prices:
    """What a row costs in the reward. Raises ``ValueError`` for a negative or infinite price."""

    false_positive: float = 1.0
    false_negative: float = 1.0
    rejection: float = 0.3
    send: float = 0.0  # a row that crosses the link
    joule: float = 0.0  # energy of the edge
    late: float = 0.0  # a row whose answer takes longer than the deadline
    deadline_s: float = 0.1
    shortfall: float = 1.5  # a row that lacks to the least acceptance of the episode

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value}, expected a finite number >= 0")


@kernel
def apply(state, frame, action, physics, report):  # type: ignore[no-untyped-def]
    """Play one window: change ``state`` ``(N_STATE,)`` in place, write the ``report`` and return the reward.

    An action whose window would use more than is left of the budget sends none of it: its fallback is played, which
    rejects what would have been sent. ``physics``: of ``Dynamics``.
    """
    numbers, stages, fallback, fate_of, certainty, scratch, counts = physics
    exits = stages.shape[1]
    window = frame[int(numbers[ROWS_AT]) :]
    over = False
    used = 0.0
    for attempt in range(2):
        count_window(fate_of[fallback[action] if attempt == 1 else action], certainty, window, scratch, counts)
        used = 0.0
        for k in range(1, exits):
            used += stages[S_USE, k] * counts[N_FIXED + k - 1]
        if used <= state[LEFT]:
            break
        over = True
    rows = state[ROWS]
    accepted = counts[TP] + counts[TN] + counts[FP] + counts[FN]
    passed = counts[N_FIXED] if exits > 1 else 0.0
    joules, sent, sent_bytes, late, seconds = stages[S_JOULES, 0] * rows, 0.0, 0.0, 0.0, 0.0
    bandwidth, load = frame[int(numbers[LINK_AT])], frame[int(numbers[LINK_AT]) + 1]
    for k in range(exits):
        here = rows if k == 0 else counts[N_FIXED + k - 1]
        beyond = counts[N_FIXED + k] if k < exits - 1 else 0.0
        seconds += stages[S_EDGE, k] + stages[S_CLOUD, k] / (1.0 - load)
        if stages[S_CROSSES, k] > 0:
            sent += here
            sent_bytes += here * stages[S_BYTES, k]
            seconds += (numbers[ROUND_TRIP] + stages[S_BYTES, k] / numbers[RATE_BYTES]) / bandwidth
        if k > 0:
            joules += here * stages[S_JOULES, k]
        if seconds > numbers[DEADLINE]:
            late += here - beyond
    rejected = rows - accepted
    shortfall_before = max(0.0, state[LEAST] * rows * state[DONE] - state[ACCEPTED])
    state[LEFT] -= used
    state[ACCEPTED] += accepted
    state[DONE] += 1.0
    shortfall = max(0.0, state[LEAST] * rows * state[DONE] - state[ACCEPTED])
    state[LAST] = action
    state[LAST_ANSWERED] = counts[N_FIXED + exits - 1] / rows
    state[LAST_SENT] = passed / rows
    state[LAST_REJECTED] = rejected / rows
    state[LAST_DIFFER] = counts[DIFFER] / passed if passed > 0 else 0.0
    state[LAST_SURENESS] = counts[SURENESS] / passed if passed > 0 else 0.0
    cost = (
        numbers[P_FP] * counts[FP] + numbers[P_FN] * counts[FN] + numbers[P_REJECTED] * rejected
        + numbers[P_SENT] * sent + numbers[P_JOULE] * joules + numbers[P_LATE] * late
    ) / rows  # fmt: skip
    charged = 0.0
    if numbers[CONSTRAINT] == 1.0:
        charged = shortfall - shortfall_before
    elif numbers[CONSTRAINT] == 0.0 and state[DONE] >= state[WINDOWS]:
        charged = shortfall
    report[COST], report[R_TP], report[R_TN] = cost, counts[TP], counts[TN]
    report[R_FP], report[R_FN], report[R_REJECTED] = counts[FP], counts[FN], rejected
    report[R_PASSED], report[R_SENT], report[R_JOULES], report[R_BYTES] = passed, sent, joules, sent_bytes
    report[R_LATE], report[R_USED] = late, used
    report[R_SHORTFALL], report[R_OVER] = shortfall - shortfall_before, 1.0 if over else 0.0
    return -cost - numbers[P_SHORTFALL] * charged / rows


@kernel
def _transition_rows(states, frames, actions, physics, following, rewards, reports):  # type: ignore[no-untyped-def]
    for i in range(len(actions)):
        for k in range(N_STATE):
            following[i, k] = states[i, k]
        rewards[i] = apply(following[i], frames[i], actions[i], physics, reports[i])


@kernel
def _observe_rows(states, frames, window, thresholds, demands, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        observe_row(states[i], frames[i], window, thresholds, demands, out[i])


class Dynamics:
    """The pure functions of an environment, for whoever wants to know what other actions would have led to.

    ``observed``: layout of observations. ``frame``: layout of frames. ``months``: where rows come from, with all actions and
    their fallbacks. ``costs``, ``deployment``: of the network. ``prices``:
    of the reward. ``fallback`` ``(A',)``: what is played where the budget does not reach. ``budget``: one of ``BUDGETS``;
    ``constraint``: one of ``CONSTRAINTS``. Raises ``ValueError`` for others.
    """

    def __init__(
        self,
        observed: ObservationLayout,
        frame: FrameLayout,
        months: Months,
        costs: StageCosts,
        deployment: Deployment,
        prices: Prices,
        fallback: NDArray[np.int64],
        *,
        budget: str = "rows",
        constraint: str = "terminal",
    ) -> None:
        for name, value, known in (("budget_of", budget, BUDGETS), ("constraint", constraint, CONSTRAINTS)):
            if value not in known:
                raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")
        self.observed, self.frame, self.prices, self.months = observed, frame, prices, months
        slices = frame.slices
        self.numbers = np.array(
            [
                prices.false_positive, prices.false_negative, prices.rejection, prices.send, prices.joule, prices.late,
                prices.deadline_s, CONSTRAINTS.index(constraint), prices.shortfall, deployment.link.bytes_per_s,
                deployment.link.round_trip_s, slices["rows"].start, slices["link"].start,
            ],
            np.float64,
        )  # fmt: skip
        self.stages = np.zeros((N_STAGE, frame.exits))
        for row, values in (
            (S_EDGE, costs.edge_s), (S_CLOUD, costs.cloud_s), (S_JOULES, costs.joules), (S_BYTES, costs.bytes),
            (S_CROSSES, costs.crosses), (S_USE, costs.crosses if budget == "rows" else costs.joules),
        ):  # fmt: skip
            self.stages[row] = values
        self.stages[S_USE, 0] = 0.0  # every row pays for exit 1, which no decision can save
        scratch, counts = np.zeros(FATES * frame.exits, np.int64), np.zeros(n_counts(frame.exits))
        self.physics = (self.numbers, self.stages, fallback, months.fates, months.certainty, scratch, counts)

    @property
    def most_use(self) -> float:
        """What a row uses of the budget that goes to the last exit."""
        return float(self.stages[S_USE].sum())

    def transition(
        self, endogenous: NDArray[np.float64], exogenous: NDArray[np.float32], action: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Next endogenous states ``(B, N_STATE)`` and rewards ``(B,)`` of actions ``(B,)`` at the frames ``(B, X)``."""
        following, rewards, _ = self.outcomes(endogenous, exogenous, action)
        return following, rewards

    def outcomes(
        self, endogenous: NDArray[np.float64], exogenous: NDArray[np.float32], action: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """As ``transition``, and the reports ``(B, N_REPORT)``."""
        following, rewards = np.empty_like(endogenous), np.empty(len(endogenous))
        reports = np.empty((len(endogenous), N_REPORT))
        _transition_rows(
            endogenous, exogenous, np.asarray(action, np.int64), self.physics, following, rewards, reports,
        )  # fmt: skip
        return following, rewards, reports

    def observe(self, endogenous: NDArray[np.float64], exogenous: NDArray[np.float32]) -> NDArray[np.float32]:
        """Observations ``(B, L)`` of endogenous ``(B, N_STATE)`` and exogenous states ``(B, X)``."""
        out = np.empty((len(endogenous), self.observed.length), np.float32)
        _observe_rows(endogenous, exogenous, *self.observed.arrays, out)
        return out
