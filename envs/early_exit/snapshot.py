"""What the environment shows of itself: the episode so far in plain numbers, for text and drawings; nothing is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.early_exit.dynamics import (
    COST,
    N_REPORT,
    R_FN,
    R_FP,
    R_JOULES,
    R_LATE,
    R_OVER,
    R_REJECTED,
    R_SENT,
    S_CROSSES,
    S_USE,
)
from envs.early_exit.fallback import NOTHING
from envs.early_exit.months import Months
from envs.early_exit.outcomes import FATES
from envs.early_exit.state import BUDGET, LEAST, ROWS, WINDOWS
from envs.early_exit.types import N_CLASSES

if TYPE_CHECKING:
    from envs.early_exit.env import EarlyExitEnv

CERTAINTY_BINS = 50
"""Bins of certainty in the histograms of the latest window."""
_SCALE = 50
"""Windows of the episode, evenly spread, from which their scale is taken."""


@dataclass(frozen=True)
class LastWindow:
    """The window that was decided last."""

    action: int
    name: str  # what the action is for; empty: not known
    over_budget: bool  # the budget did not reach: what would have been charged was rejected
    accept: NDArray[np.float64]  # (2,) thresholds of exit 1, by its answer
    reject: NDArray[np.float64]  # (2,) of a single exit: all that it does not answer
    rejected_below: NDArray[
        np.float64
    ]  # (2,) what was played in place of ``reject``: another one where over the budget
    histogram: NDArray[np.int64]  # (2, CERTAINTY_BINS, E + 1) rows by answer and certainty of exit 1 and by their end


@dataclass(frozen=True)
class Snapshot:
    """The state of an ``EarlyExitEnv`` after t of T windows. An end of a row: the exit that answered, or, last, rejection."""

    windows: int  # T
    rows: int  # of a window
    exits: int  # E
    reports: NDArray[np.float64]  # (t, N_REPORT), see ``dynamics``
    ends: NDArray[np.int64]  # (t, E + 1) rows by their end
    confusion: NDArray[
        np.int64
    ]  # (2, 3) rows of all windows: normal or attack by answered normal, answered attack, rejected
    budget: float  # of the episode; inf: no limit
    unit: str  # of the budget
    left: NDArray[np.float64]  # (t + 1,) of the budget, from the start on
    least: float  # share of rows that the episode must accept
    sends: bool  # rows that go on cross a link somewhere
    costs: tuple[tuple[str, float], ...]  # what the mean cost of a row is made of; prices of 0 are left out
    bandwidth: NDArray[np.float64] | None  # (t + 1,) the last one of the window to decide; None: it does not vary
    load: NDArray[np.float64] | None  # (t + 1,)
    month: NDArray[np.int64]  # (t,) hidden
    month_names: tuple[str, ...]
    attack_share: NDArray[np.float64]  # (t,) hidden
    latent: bool  # the hidden numbers are part of the observation
    low: float  # certainty at the left end of the histograms
    top: float  # largest share of a window's rows in one bin, about, in the whole episode
    last: LastWindow | None  # None: nothing is decided yet

    @property
    def decided(self) -> int:
        """Windows decided, t."""
        return len(self.reports)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to decide."""
        return self.decided == self.windows

    @property
    def seen(self) -> int:
        """Rows so far."""
        return self.decided * self.rows

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """The reports added up, ``(N_REPORT,)``."""
        return np.asarray(self.reports.sum(axis=0), np.float64)

    @cached_property
    def acceptance(self) -> NDArray[np.float64]:
        """Share of rows accepted up to each window, ``(t,)``."""
        accepted = np.cumsum(self.rows - self.reports[:, R_REJECTED])
        return np.asarray(accepted / (self.rows * np.arange(1, self.decided + 1)), np.float64)

    @property
    def lack(self) -> float:
        """Rows that lack to the least acceptance of the windows so far."""
        return max(0.0, self.least * self.seen - (self.seen - float(self.totals[R_REJECTED])))

    @property
    def error(self) -> float:
        """Share of the answers that are wrong; nan: there is none."""
        answers = self.seen - self.totals[R_REJECTED]
        return float((self.totals[R_FP] + self.totals[R_FN]) / answers) if answers else float("nan")

    def share(self, part: int) -> float:
        """A part of the report as a share of the rows so far; nan: there is none."""
        return float(self.totals[part] / self.seen) if self.seen else float("nan")

    @property
    def cost(self) -> float:
        """Mean cost of a row; nan: there is none."""
        return float(self.totals[COST] / self.decided) if self.decided else float("nan")

    @property
    def even(self) -> float:
        """Share of the budget that an even spend would have left."""
        return 1.0 - self.decided / self.windows


def take_snapshot(env: EarlyExitEnv) -> Snapshot:
    """The present state of ``env`` (unwrapped). Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``."""
    done, state, past = env.clock, env.endogenous, env.past
    if env._over and not done:
        raise ResetNeeded("the environment has nothing to show before its first reset(), call reset() before render()")
    frames, dynamics = env._frames, env.world.dynamics
    months, part, exits = dynamics.months, dynamics.frame.slices, dynamics.frame.exits
    reports = np.array([report for _, report, _ in past]).reshape(done, N_REPORT)
    # the thresholds that were played: where the budget did not reach, those of the fallback
    actions = np.array([action for action, _, _ in past], np.int64)
    fallback: NDArray[np.int64] = dynamics.physics[2]
    played = np.where(reports[:, R_OVER] > 0, fallback[actions], actions)
    every = frames[:-1, part["rows"]]
    rows = every[:done].astype(np.int64)
    fate = months.fates[played[:, None], rows]
    counts = _count((done, exits * FATES), np.arange(done)[:, None], fate)
    counts = counts.reshape(done, exits, 2, 2, 2, 2)  # whether rejected, whether changed, answer, truth
    answers, rejected = counts[:, :, 0].sum(axis=2), counts[:, :, 1].sum(axis=(1, 2, 3))
    confusion = np.column_stack([answers.sum(axis=(0, 1)).T, rejected.sum(axis=0)])
    low = 0.5 if months.certainty[0].min() >= 0.5 else 0.0
    some = np.linspace(0, len(every) - 1, min(len(every), _SCALE)).round().astype(np.int64)
    most = int(_histograms(months, every[some].astype(np.int64), low).max())
    last = None
    if done:
        k, names = done - 1, env.world.actions.names
        end = np.where(fate[k] & 8, exits, fate[k] // FATES)
        histogram = _histograms(months, rows[k : k + 1], low, end, exits + 1)[0]
        most = max(most, int(histogram.sum(axis=2).max()))
        last = LastWindow(
            int(actions[k]),
            names[actions[k]] if names else "",
            bool(reports[k, R_OVER]),
            months.thresholds.accept[actions[k], 0],
            *_rejects(months, int(actions[k]), int(played[k])),
            histogram,
        )
    stages = dynamics.stages
    in_rows = bool((stages[S_USE, 1:] == stages[S_CROSSES, 1:]).all())
    bandwidth, load = (
        None if (column == column[0]).all() else column[: done + 1].astype(np.float64)
        for column in frames[:, part["link"]].T
    )
    return Snapshot(
        int(state[WINDOWS]),
        int(state[ROWS]),
        exits,
        reports,
        np.column_stack([answers.sum(axis=(2, 3)), rejected.sum(axis=1)]),
        confusion,
        float(state[BUDGET]),
        "rows" if in_rows else "J",
        np.array([state[BUDGET], *(left for _, _, left in past)]),
        float(state[LEAST]),
        bool(stages[S_CROSSES, 1:].any()),
        _costs(env, reports, int(state[ROWS])),
        bandwidth,
        load,
        frames[:done, part["month"].start].astype(np.int64),
        tuple(_short(name) for name in months.names),
        frames[:done, part["attack_share"].start].astype(np.float64),
        dynamics.observed.latent,
        low,
        most / int(state[ROWS]),
        last,
    )


def _rejects(months: Months, action: int, played: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What exit 1 rejects below with an action, and with what was played in its place."""
    reject = months.thresholds.reject if months.exits > 1 else np.full_like(months.thresholds.reject, NOTHING)
    return reject[action, 0], reject[played, 0]


def _histograms(
    months: Months, rows: NDArray[np.int64], low: float, end: NDArray[np.int64] | int = 0, ends: int = 1
) -> NDArray[np.int64]:
    """Rows of windows ``(t, W)`` by answer and certainty of exit 1 and by their end, ``(t, 2, CERTAINTY_BINS, ends)``.

    A certainty at the edge of two bins belongs to the upper one.
    """
    at = np.floor((months.certainty[0][rows] - low) / (1.0 - low) * CERTAINTY_BINS + 1e-9).astype(np.int64)
    fate = months.fates[0][rows]
    answer = (
        fate >> 1 ^ fate >> 2
    ) & 1  # a fate holds the final answer, and whether it is another one than that of exit 1
    shape = (len(rows), N_CLASSES, CERTAINTY_BINS, ends)
    return _count(shape, np.arange(len(rows))[:, None], answer, np.clip(at, 0, CERTAINTY_BINS - 1), np.asarray(end))


def _count(shape: tuple[int, ...], *index: NDArray[np.integer]) -> NDArray[np.int64]:
    """How often each combination of indices occurs; they are broadcast against each other."""
    flat: NDArray[np.int64] = np.zeros((), np.int64)
    for one, size in zip(index, shape, strict=True):
        flat = flat * size + one
    return np.bincount(flat.reshape(-1), minlength=int(np.prod(shape))).reshape(shape)


def _costs(env: EarlyExitEnv, reports: NDArray[np.float64], rows: int) -> tuple[tuple[str, float], ...]:
    prices = env.world.dynamics.prices
    total = reports.sum(axis=0) / max(len(reports) * rows, 1)
    parts = (
        ("false alarms", prices.false_positive, R_FP),
        ("missed attacks", prices.false_negative, R_FN),
        ("rejections", prices.rejection, R_REJECTED),
        ("sends", prices.send, R_SENT),
        ("energy", prices.joule, R_JOULES),
        ("late answers", prices.late, R_LATE),
    )
    return tuple((name, price * float(total[part])) for name, price, part in parts if price > 0)


def _short(name: str) -> str:
    """The name of a month; of a file, without its folder and its suffixes."""
    return os.path.basename(name).split(".")[0]
