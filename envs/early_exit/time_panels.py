"""The panels over the windows: which exits answered, the budget, the acceptance; and strips of the link and what is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import drawing as g
from envs.drawing import Canvas, Colour
from envs.early_exit.dynamics import R_OVER, R_PASSED
from envs.early_exit.panels import SERIES, SERIES_PALE, amount, end_colours, number, pale, share
from envs.early_exit.snapshot import Snapshot

_LEFT, _WIDE = 84, 700
_STRIP = 14
_TINTS: tuple[Colour, ...] = ((205, 222, 240), (247, 226, 174), (199, 229, 214), (238, 213, 229), (222, 222, 214))
"""Soft colours of months, in turn."""


class Axis(NamedTuple):
    """The axis of windows, which holds for the whole episode, and where the panels stand on the page (top, bottom)."""

    group: int  # windows in a bar
    bar: float  # pixels of a bar and the gap after it
    right: float
    bars: tuple[int, int]
    budget: tuple[int, int]
    acceptance: tuple[int, int]
    strips: int  # top of what stands below the axis

    def x(self, window: float) -> float:
        """Where a window begins, from 0."""
        return _LEFT + window * self.bar / self.group


def axis_of(snap: Snapshot) -> Axis:
    """Where the panels over the windows stand."""
    group = -(-snap.windows // (_WIDE // 3))
    bars = -(-snap.windows // group)
    # whole pixels look calm; where they would waste room, bars differ by a pixel
    bar = _WIDE // bars if _WIDE // bars * bars > 0.85 * _WIDE else _WIDE / bars
    strips = 604 - 18 * ((snap.bandwidth is not None) + (snap.load is not None))
    end = strips - 38
    lower = end - 76
    budget = (lower - 32 - (strips - 464), lower - 32)
    return Axis(
        group,
        bar,
        _LEFT + snap.windows * bar / group,
        (124, budget[0] - 32),
        budget,
        (lower, end),
        strips,
    )


def draw_time(canvas: Canvas, snap: Snapshot) -> None:
    """All panels and strips over the windows."""
    axis = axis_of(snap)
    _draw_bars(canvas, snap, axis)
    _draw_budget(canvas, snap, axis)
    _draw_acceptance(canvas, snap, axis)
    _draw_ticks(canvas, snap, axis)
    _draw_strips(canvas, snap, axis)


def _frame(
    canvas: Canvas, axis: Axis, place: tuple[int, int], low: float, high: float, ticks: NDArray[np.float64], title: str
) -> Callable[[float], float]:
    """Ground, ticks and heading of a panel of shares ``low`` .. ``high``; returns where a share stands."""
    top, bottom = place

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    canvas.text(_LEFT, top - 12, title, 9, g.MUTED)
    canvas.box(_LEFT, top, axis.right, bottom, g.PANEL)
    for tick in ticks:
        at = round(y(tick))
        canvas.box(_LEFT, at, axis.right, at + 1, g.RULE)
        canvas.text(_LEFT - 8, at, f"{100 * tick:.4g}%", 11, g.MUTED, "right")
    return y


def _draw_bars(canvas: Canvas, snap: Snapshot, axis: Axis) -> None:
    """One stacked bar a window, or a group of them where they are many: shares of its rows by their end."""
    top, bottom = axis.bars
    title = "WHERE THE ROWS OF EACH WINDOW ENDED: SHARE THAT EACH EXIT ANSWERED, AND REJECTED"
    title += f" (A BAR: {axis.group} WINDOWS)" if axis.group > 1 else ""
    y = _frame(canvas, axis, axis.bars, 0.0, 1.0, np.linspace(0, 1, 5), title)
    colours = end_colours(snap.exits)
    gap = 0 if axis.bar < 4 else 1 if axis.bar < 10 else round(0.12 * axis.bar)
    starts = np.arange(0, snap.decided, axis.group)
    levels = np.cumsum(np.add.reduceat(snap.ends, starts) if len(starts) else snap.ends, axis=1)
    over = snap.reports[:, R_OVER] > 0
    for first, level in zip(starts.tolist(), (levels / levels[:, -1:]).tolist(), strict=True):
        x0, x1 = round(axis.x(first)), round(axis.x(min(first + axis.group, snap.windows))) - gap
        low = 0.0
        for colour, high in zip(colours, level, strict=True):
            if high > low:
                canvas.box(x0, y(high), x1, y(low), colour)
            low = high
        if over[first : first + axis.group].any():
            canvas.box(x0, bottom + 3, x1, bottom + 7, g.ALERT)
    if not snap.over:
        x0, x1 = round(axis.x(snap.decided)), round(axis.x(snap.decided + 1))
        canvas.box(x0, top, max(x1 - gap, x0 + 3), bottom, g.PAPER, g.INK, 2 if x1 - x0 > 4 else 1)
    canvas.box(_LEFT, bottom, axis.right, bottom + 1, g.MUTED)


def _draw_budget(canvas: Canvas, snap: Snapshot, axis: Axis) -> None:
    """What is left of the budget beside an even spend; without a budget, the share that went past exit 1."""
    top, bottom = axis.budget
    limited = snap.budget < np.inf
    t, high = np.arange(snap.decided + 1), 1.0
    if limited:
        title = f"BUDGET LEFT OF {amount(snap.budget, snap.unit).upper()}"
        level = snap.left / snap.budget if snap.budget > 0 else np.zeros(len(t))
        note = f"left {share(float(level[-1]))} ({amount(snap.left[-1], snap.unit)}), with an even spend {share(snap.even)}"
        note = note if snap.budget > 0 else "there is none to spend"
    else:
        title, t = "NO BUDGET: SHARE OF ROWS THAT WENT PAST EXIT 1 SO FAR", t[1:]
        level = np.cumsum(snap.reports[:, R_PASSED]) / (snap.rows * t)
        high = min(1.0, g.round_up(1.1 * max(*level, 0.05, 0.05)))
        note = f"{share(snap.share(R_PASSED))} of the rows" if snap.decided else ""
    y = _frame(canvas, axis, axis.budget, 0.0, high, np.linspace(0, high, 3 if bottom - top < 120 else 5), title)
    canvas.text(axis.right, top - 12, note, 11, g.INK, "right")
    points = [(axis.x(k), y(value)) for k, value in zip(t.tolist(), level.tolist(), strict=True)]
    _area(canvas, points, bottom)
    if limited and snap.budget > 0:
        canvas.curve([(_LEFT, y(1.0)), (axis.right, y(0.0))], g.GHOST, 2)
    _series(canvas, points)
    canvas.box(_LEFT, bottom, axis.right, bottom + 1, g.MUTED)


def _draw_acceptance(canvas: Canvas, snap: Snapshot, axis: Axis) -> None:
    """The share accepted so far beside the least one, on an axis that begins where it matters."""
    top, bottom = axis.acceptance
    floor = min(snap.least, *snap.acceptance, 0.95)
    low = max(0.0, np.floor(10 * floor - 1e-9) / 10)
    step = 0.05 if low >= 0.8 else 0.1 if low >= 0.7 else 0.25 if low >= 0.5 else 0.5
    ticks = np.arange(np.ceil(low / step - 1e-9), round(1 / step) + 1) * step
    y = _frame(canvas, axis, axis.acceptance, low, 1.0, ticks, "SHARE OF ROWS ACCEPTED SO FAR")
    points = [(axis.x(k + 1), y(value)) for k, value in enumerate(snap.acceptance.tolist())]
    _area(canvas, points, bottom)
    canvas.dashes(_LEFT, axis.right, y(snap.least), g.ALERT)
    _series(canvas, points)
    canvas.box(_LEFT, bottom, axis.right, bottom + 1, g.MUTED)
    note = f"at least {share(snap.least)} by the end"
    if snap.decided:
        note = f"accepted {share(float(snap.acceptance[-1]))}, {note}"
        if snap.lack > 0.5:
            end = canvas.text(axis.right, top - 12, f"{number(snap.lack)} rows short", 11, g.ALERT, "right")
            canvas.text(
                end - g.text_width(f"{number(snap.lack)} rows short", 11) - 10, top - 12, note, 11, g.INK, "right"
            )
            return
    canvas.text(axis.right, top - 12, note, 11, g.INK, "right")


def _area(canvas: Canvas, points: list[tuple[float, float]], bottom: float) -> None:
    if len(points) > 1:
        canvas.shape([(points[0][0], bottom), *points, (points[-1][0], bottom)], SERIES_PALE, 0.8)


def _series(canvas: Canvas, points: list[tuple[float, float]]) -> None:
    canvas.curve(points, SERIES, 2)
    if points:
        x, y = points[-1]
        canvas.box(x - 3, y - 3, x + 4, y + 4, g.INK)


def _draw_ticks(canvas: Canvas, snap: Snapshot, axis: Axis) -> None:
    bottom = axis.acceptance[1]
    step = max(1, int(g.round_up(snap.windows / 10)))
    for tick in range(0, snap.windows + 1, step):
        x = axis.x(tick)
        canvas.box(x, bottom, x + 1, bottom + 5, g.MUTED)
        canvas.text(x, bottom + 13, str(tick), 11, g.MUTED, "center")
    canvas.text((_LEFT + axis.right) / 2, bottom + 27, "windows decided", 11, g.MUTED, "center")


def _draw_strips(canvas: Canvas, snap: Snapshot, axis: Axis) -> None:
    """Link and load where they vary, then what is hidden: month and share of attacks."""
    y = axis.strips
    for name, values in (("link speed", snap.bandwidth), ("cloud load", snap.load)):
        if values is not None:
            known = values[: snap.windows]  # the frame after the last decision is of no window
            _strip(canvas, axis, y, name, known, g.percent, _dark_when_low if name == "link speed" else _dark_when_high)
            y += 18
    words = "HIDDEN, BUT SHOWN TO THIS AGENT" if snap.latent else "HIDDEN FROM THE AGENT"
    canvas.text(_LEFT, y + 6, words, 9, g.MUTED)
    y += 16
    names = snap.month_names
    _strip(canvas, axis, y, "month", snap.month, lambda v: names[int(v)], lambda v: _TINTS[int(v) % len(_TINTS)])
    _strip(canvas, axis, y + 18, "attacks", snap.attack_share, g.percent, _dark_when_high)


def _dark_when_high(value: float) -> Colour:
    """Slate for a share, the darker the larger it is."""
    return pale(SERIES, 0.12 + 0.78 * value)


def _dark_when_low(value: float) -> Colour:
    return _dark_when_high(1.0 - value)


def _strip(
    canvas: Canvas,
    axis: Axis,
    top: int,
    name: str,
    values: NDArray[np.float64] | NDArray[np.int64],
    text: Callable[[float], str],
    colour: Callable[[float], Colour],
) -> None:
    """A thin row of boxes, one for each stretch of equal values, with the value where there is room."""
    canvas.text(_LEFT - 8, top + _STRIP / 2, name, 11, g.MUTED, "right")
    canvas.box(_LEFT, top, axis.right, top + _STRIP, g.PANEL)
    starts = [k for k in range(len(values)) if k == 0 or values[k] != values[k - 1]]
    for start, end in zip(starts, [*starts[1:], len(values)], strict=False):
        x0, x1 = axis.x(start), axis.x(end)
        value = float(values[start])
        canvas.box(x0, top, x1, top + _STRIP, colour(value))
        words = text(value)
        if g.text_width(words, 11) > x1 - x0 - 6:
            words = words.split()[-1]  # the number of a month
        if g.text_width(words, 11) <= x1 - x0 - 6:
            canvas.text((x0 + x1) / 2, top + _STRIP / 2, words, 11, g.ink_on(colour(value)), "center")
