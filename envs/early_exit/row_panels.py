"""The panels about rows: how sure exit 1 was in the latest window, answers and truths so far, what a row costs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from envs import drawing as g
from envs.drawing import Canvas, Colour
from envs.early_exit.panels import PAD, REJECTED, WIDTH, cost, end_colours, exit_colour, number, pale, rule_text, share
from envs.early_exit.snapshot import CERTAINTY_BINS, LastWindow, Snapshot
from envs.early_exit.types import ATTACK, N_CLASSES, NORMAL

_HEAD = 816
_RIGHT = WIDTH - PAD
_LEFT = _RIGHT - 6 * CERTAINTY_BINS
_PLOTS = ((146, 238), (270, 362))
"""Top and bottom of the histograms, by the answer of exit 1."""
_CLASSES = ("normal", "attack")
_WRONG: Colour = (213, 94, 0)
_RIGHT_TINT, _WRONG_TINT, _NONE_TINT = (226, 240, 248), (251, 226, 207), (229, 231, 234)
_TICKS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_PARTS: dict[str, Colour] = {
    "false alarms": (204, 121, 167),
    "missed attacks": _WRONG,
    "rejections": REJECTED,
    "sends": exit_colour(1),
    "energy": (120, 150, 60),
    "late answers": (86, 180, 233),
}
"""Colours of what a cost is made of."""


def draw_rows(canvas: Canvas, snap: Snapshot) -> None:
    """All panels about rows."""
    _draw_certainty(canvas, snap)
    _draw_confusion(canvas, snap)
    _draw_cost(canvas, snap)


def _draw_certainty(canvas: Canvas, snap: Snapshot) -> None:
    title = "HOW SURE EXIT 1 WAS: NO WINDOW IS DECIDED YET"
    if snap.last is not None:
        title = f"HOW SURE EXIT 1 WAS IN WINDOW {snap.decided}, AND WHERE ITS ROWS ENDED"
    if snap.last is not None and snap.last.over_budget:
        title = f"EXIT 1 IN WINDOW {snap.decided}"
        canvas.text(_RIGHT, 112, "over budget: unsure rows are rejected", 11, g.ALERT, "right")
    canvas.text(_HEAD, 112, title, 9, g.MUTED)
    for kind in (NORMAL, ATTACK):
        top, bottom = _PLOTS[kind]
        end = canvas.text(_HEAD, top - 14, f"it says {_CLASSES[kind]}", 12)
        canvas.box(_LEFT, top, _RIGHT, bottom, g.PANEL)
        if snap.last is not None:
            words = rule_text(float(snap.last.accept[kind]), float(snap.last.reject[kind]), snap.low)
            canvas.text(_RIGHT, top - 14, words, 11, g.INK, "right", _RIGHT - end - 8)
            _draw_zones(canvas, snap, snap.last, kind)
        _draw_shares(canvas, kind, snap.top)
        if snap.last is not None:
            _draw_histogram(canvas, snap, snap.last.histogram[kind], kind)
            _draw_thresholds(canvas, snap, snap.last, kind)
        canvas.box(_LEFT, bottom, _RIGHT, bottom + 1, g.MUTED)
    bottom = _PLOTS[ATTACK][1]
    for k in range(6):
        x = _LEFT + k / 5 * (_RIGHT - _LEFT)
        canvas.box(min(x, _RIGHT - 1), bottom, min(x + 1, _RIGHT), bottom + 5, g.MUTED)
        value = f"{snap.low + k / 5 * (1 - snap.low):.1f}"
        canvas.text(min(x, _RIGHT - g.text_width(value, 11) / 2), bottom + 13, value, 11, g.MUTED, "center")
    words = "certainty \xb7 upwards: share of its rows, root scale"
    canvas.text((_LEFT + _RIGHT) / 2, bottom + 27, words, 11, g.MUTED, "center")


def _x(snap: Snapshot, certainty: float) -> float:
    """Where a certainty stands; a threshold above 1 stands at the right end, beyond which nothing is."""
    return _LEFT + min(max((certainty - snap.low) / (1.0 - snap.low), 0.0), 1.0) * (_RIGHT - _LEFT)


def _edges(snap: Snapshot, last: LastWindow, kind: int) -> tuple[float, float]:
    """Where exit 1 begins to pass on and where it begins to answer, as it was played."""
    accept = _x(snap, float(last.accept[kind]))
    reject = min(_x(snap, float(last.rejected_below[kind])), accept)
    return reject, accept


def _draw_zones(canvas: Canvas, snap: Snapshot, last: LastWindow, kind: int) -> None:
    """The ground tinted by what the thresholds do there: reject, pass on, answer."""
    top, bottom = _PLOTS[kind]
    reject, accept = _edges(snap, last, kind)
    canvas.box(_LEFT, top, reject, bottom, pale(REJECTED))
    canvas.box(reject, top, accept, bottom, pale(exit_colour(1)))
    canvas.box(accept, top, _RIGHT, bottom, pale(exit_colour(0)))
    for x0, x1, words in (
        (_LEFT, reject, "rejects"), (reject, accept, "passes on"), (accept, _RIGHT, "answers"),
    ):  # fmt: skip
        if x1 - x0 > g.text_width(words, 11) + 6:
            canvas.text((x0 + x1) / 2, top + 9, words, 11, g.MUTED, "center")


def _draw_shares(canvas: Canvas, kind: int, top_share: float) -> None:
    top, bottom = _PLOTS[kind]
    above = -math.inf
    for tick in _TICKS:
        y = round(bottom - math.sqrt(tick / top_share) * (bottom - top - 18))
        if tick <= top_share and y - above > 15 and bottom - y > 12:
            canvas.box(_LEFT, y, _RIGHT, y + 1, g.RULE)
            canvas.text(_LEFT - 8, y, f"{100 * tick:g}%", 11, g.MUTED, "right")
            above = y
    canvas.text(_LEFT - 8, bottom, "0", 11, g.MUTED, "right")


def _draw_histogram(canvas: Canvas, snap: Snapshot, counts: NDArray[np.int64], kind: int) -> None:
    """Bars of rows by certainty; each is divided by where its rows ended, in proportion."""
    top, bottom = _PLOTS[kind]
    colours, wide = end_colours(snap.exits), (_RIGHT - _LEFT) // CERTAINTY_BINS
    for k, bar in enumerate(counts.tolist()):
        total = sum(bar)
        high = math.sqrt(min(total / snap.rows / snap.top, 1.0)) * (bottom - top - 18)
        x, y = _LEFT + k * wide, float(bottom)
        for colour, count in zip(colours, bar, strict=True):
            if count:
                step = max(2.0, high) * count / total
                canvas.box(x, y - step, x + wide - 1, y, colour)
                y -= step


def _draw_thresholds(canvas: Canvas, snap: Snapshot, last: LastWindow, kind: int) -> None:
    """Upright lines where exit 1 begins to answer, and, broken, below which it rejects."""
    top, bottom = _PLOTS[kind]
    accept = _x(snap, float(last.accept[kind]))
    reject = _x(snap, float(last.reject[kind]))
    if _LEFT < accept < _RIGHT:
        canvas.box(accept - 1, top - 3, accept + 1, bottom, g.INK)
    if _LEFT < reject < accept:
        for y in range(top - 3, bottom, 6):
            canvas.box(reject - 1, y, reject + 1, min(y + 3, bottom), g.INK)


def _draw_confusion(canvas: Canvas, snap: Snapshot) -> None:
    """Rows so far by truth and answer."""
    canvas.text(_HEAD, 414, "ANSWERS AND TRUTH, ALL ROWS SO FAR", 9, g.MUTED)
    left, high, gap = _HEAD + 68, 38, 4
    wide = (_RIGHT - left + gap) / 3
    for column, words in enumerate(("answer normal", "answer attack", "rejected")):
        canvas.text(left + column * wide + (wide - gap) / 2, 432, words, 11, g.MUTED, "center")
    for truth in (NORMAL, ATTACK):
        y = 443 + truth * (high + gap)
        canvas.text(_HEAD, y + high / 2, f"is {_CLASSES[truth]}", 12)
        for column in range(N_CLASSES + 1):
            x = left + column * wide
            tint = _NONE_TINT if column == N_CLASSES else _RIGHT_TINT if column == truth else _WRONG_TINT
            canvas.box(x, y, x + wide - gap, y + high, tint)
            count = int(snap.confusion[truth, column])
            canvas.text(x + (wide - gap) / 2, y + 14, number(count), 15, g.INK, "center")
            note = share(count / snap.seen) if snap.seen else ""
            name = (("TN", "FP", ""), ("FN", "TP", ""))[truth][column]
            canvas.text(x + (wide - gap) / 2, y + 30, f"{name}  {note}".strip(), 10, g.MUTED, "center")
    normal, attacks = snap.confusion[:, :N_CLASSES].sum(axis=1)
    alarms = snap.confusion[NORMAL, ATTACK] / normal if normal else float("nan")
    missed = snap.confusion[ATTACK, NORMAL] / attacks if attacks else float("nan")
    words = f"wrong answers {share(snap.error)} \xb7 of the normal {share(alarms)}, of the attacks {share(missed)}"
    canvas.text(_HEAD, 540, words, 11, g.INK)


def _draw_cost(canvas: Canvas, snap: Snapshot) -> None:
    """The mean cost of a row, divided into its parts."""
    canvas.text(_HEAD, 566, "MEAN COST OF A ROW SO FAR", 9, g.MUTED)
    canvas.text(_RIGHT, 566, cost(snap.cost), 11, g.INK, "right")
    canvas.box(_HEAD, 576, _RIGHT, 592, g.PANEL)
    total = sum(value for _, value in snap.costs)
    x = float(_HEAD)
    for k, (name, value) in enumerate(snap.costs):
        wide = value / total * (_RIGHT - _HEAD) if total > 0 else 0.0
        canvas.box(x, 576, x + wide, 592, _PARTS[name])
        x += wide
        column, row = _HEAD + k % 2 * 176, 609 + k // 2 * 18
        canvas.box(column, row - 5, column + 10, row + 5, _PARTS[name])
        canvas.text(column + 15, row, f"{name} {cost(value)}", 11)
