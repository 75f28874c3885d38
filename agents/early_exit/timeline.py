"""What several policies do in one episode, window by window, as one static picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agents.benchmark_plots import svg
from envs.early_exit.dynamics import COST, R_OVER, R_REJECTED, R_SENT
from envs.early_exit.state import LEFT
from optimal.early_exit.episodes import Floats
from optimal.early_exit.playing import Game, Ints

_GROUNDS = ("#dbe9f6", "#fdf0cf", "#dcf1e4", "#f3e3ef", "#ececec")
_SMOOTH = 5
"""Windows over which rows sent are averaged: single windows of mixtures jump."""


@dataclass(frozen=True, eq=False)
class Course:
    """An episode as a policy made it: a number for each window ``(T,)``."""

    sent: Floats  # share of its rows
    left: Floats  # budget after it, of the whole
    accepted: Floats  # share of all rows so far
    cost: Floats  # of a row, without the charge for acceptance
    over: Ints  # numbers of the windows whose action did not fit


def course_of(game: Game, actions: Ints) -> Course:
    """Play actions ``(T,)`` in the first episode of a game."""
    frames, state, rows = game.episodes.frames[:1], game.first[:1], game.world.generator.rows
    reports, left = [], []
    for t, action in enumerate(actions):
        window = np.ascontiguousarray(frames[:, t])
        state, _, report = game.world.dynamics.outcomes(state, window, np.array([action]))
        reports.append(report[0])
        left.append(float(state[0, LEFT]))
    whole = np.stack(reports)
    seen = rows * np.arange(1.0, len(whole) + 1)
    budget = game.limit if 0 < game.limit < np.inf else 1.0
    return Course(
        whole[:, R_SENT] / rows,
        np.array(left) / budget,
        1.0 - np.cumsum(whole[:, R_REJECTED]) / seen,
        whole[:, COST],
        np.flatnonzero(whole[:, R_OVER] > 0),
    )


def draw_timeline(game: Game, policies: Mapping[str, Ints], base: str, colours: Mapping[str, str]) -> str:
    """SVG of the first episode of a game. ``policies``: name -> actions ``(T,)``; costs are relative to ``base``, one of them.

    From top to bottom: rows that cross the link, budget left, rows accepted so far, cost so far. Behind all of them the hidden
    months; the shares of attacks and the link have a row of their own where they change.
    """
    courses = {name: course_of(game, actions) for name, actions in policies.items()}
    windows = np.arange(1, game.episodes.windows + 1)
    limited, outside = 0 < game.limit < np.inf, _outside(game)
    panels: list[tuple[str, Any]] = [("rows sent, %", lambda one: 100 * _smoothed(one.sent))]
    panels += [("budget left, %", lambda one: 100 * one.left)] if limited else []
    panels += [
        ("accepted so far, %", lambda one: 100 * one.accepted),
        (f"cost of a row so far\nless that of {base}", lambda one: _so_far(one.cost) - _so_far(courses[base].cost)),
    ]
    heights = [1.3] * len(panels) + ([0.25 + 0.2 * len(outside)] if outside else [])
    figure = Figure(figsize=(10, sum(heights) + 1.0))
    grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})
    rows = list(grid[:, 0])
    _draw_months(rows[: len(panels)], game)
    for axes, (label, values) in zip(rows, panels, strict=False):
        for number, (name, one) in enumerate(courses.items()):
            wide = 2.2 if number == 0 else 1.2
            axes.plot(
                windows, values(one), color=colours[name], linewidth=wide, label=name if axes is rows[0] else None
            )
        axes.set_ylabel(label, fontsize=8)
        axes.grid(axis="y", alpha=0.4)
    rows[0].set_ylim(0, max(1.0, rows[0].get_ylim()[1]))
    if limited:
        rows[1].plot([0, windows[-1]], [100, 0], "--", color="#888888", linewidth=0.8, label="even spend")
        _draw_misfits(rows[1], courses, colours)
    accepted = rows[len(panels) - 2]
    accepted.axhline(100 * game.aim, color="#c83c14", linestyle="--", linewidth=0.8, label="aimed at, at the end")
    shown = np.concatenate([one.accepted for one in courses.values()])
    accepted.set_ylim(100 * min(float(np.quantile(shown, 0.02)), game.least - 0.02), 100.5)
    for axes in rows[: len(panels) - 1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, fontsize=8)
    if outside:
        _draw_strips(rows[-1], outside)
    rows[-1].set_xlabel("window")
    rows[-1].set_xlim(0.5, windows[-1] + 0.5)
    figure.align_ylabels(rows)
    figure.tight_layout(h_pad=0.5)
    return svg(figure)


def _draw_misfits(axes: Any, courses: Mapping[str, Course], colours: Mapping[str, str]) -> None:
    """Crosses where an action did not fit into the budget that was left."""
    told = False
    for name, one in courses.items():
        if len(one.over):
            label = None if told else "did not fit: unsure rows rejected"
            axes.plot(one.over + 1, 100 * one.left[one.over], "x", color=colours[name], markersize=4, label=label)
            told = True


def _draw_strips(axes: Any, lines: Mapping[str, Floats]) -> None:
    """A strip for each line, darker where its value is higher, with the value where there is room."""
    for place, values in enumerate(reversed(list(lines.values()))):
        for first, end in _runs(values):
            value = float(values[first])
            axes.barh(place, end - first, left=first + 0.5, height=0.8, color=str(0.95 - 0.5 * value), linewidth=0)
            if end - first >= 0.03 * len(values):
                axes.text((first + end + 1) / 2, place, f"{100 * value:.0f}", ha="center", va="center", fontsize=7)
    axes.set_yticks(range(len(lines)), [f"{name}, %" for name in reversed(list(lines))], fontsize=8)
    axes.set_ylim(-0.6, len(lines) - 0.4)


def _runs(values: NDArray[Any]) -> list[tuple[int, int]]:
    """First and end of every stretch of equal values."""
    starts = np.flatnonzero(np.append(True, np.diff(values) != 0)).tolist()
    return list(zip(starts, [*starts[1:], len(values)], strict=True))


def _outside(game: Game) -> dict[str, Floats]:
    """What changes besides months: shares of attacks (hidden), the speed of the link, the load of the cloud."""
    part, frames = game.world.generator.layout.slices, game.episodes.frames[0, :-1].astype(np.float64)
    link = frames[:, part["link"]]
    lines = {
        "attacks (hidden)": frames[:, part["attack_share"].start],
        "link speed": link[:, 0],
        "cloud load": link[:, 1],
    }
    moving = game.world.generator.schedule
    known = {
        "attacks (hidden)": moving.attack_share is not None,
        "link speed": len(np.unique(link[:, 0])) > 1,
        "cloud load": len(np.unique(link[:, 1])) > 1,
    }
    return {name: line for name, line in lines.items() if known[name]}


def _draw_months(rows: list[Any], game: Game) -> None:
    part, names = game.world.generator.layout.slices, game.world.generator.months.names
    month = game.episodes.frames[0, :-1, part["month"].start].astype(np.int64)
    for first, end in _runs(month):
        number = int(month[first])
        for axes in rows:
            axes.axvspan(first + 0.5, end + 0.5, color=_GROUNDS[number % len(_GROUNDS)], linewidth=0, zorder=0)
        if end - first >= 0.06 * len(month):
            at = rows[0].get_xaxis_transform()
            rows[0].text(
                (first + end + 1) / 2, 1.03, names[number], transform=at, ha="center", fontsize=8, color="#555555"
            )


def _so_far(values: Floats) -> Floats:
    return np.asarray(np.cumsum(values) / np.arange(1, len(values) + 1))


def _smoothed(values: Floats) -> Floats:
    """Means over ``_SMOOTH`` windows around each, fewer at the ends."""
    kernel = np.ones(min(_SMOOTH, len(values)))
    return np.asarray(np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same"))
