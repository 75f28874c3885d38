"""The panels over time: what each frame is worth and what became of it, and the tokens, on one axis in time units."""

from __future__ import annotations

import numpy as np

from envs import drawing as g
from envs.drawing import Canvas, Colour
from envs.token_bucket.panels import LOST, NO_TOKEN, NO_TOKEN_PALE, SENT, SENT_PALE, WIDTH, number
from envs.token_bucket.snapshot import OVER, PARTS, Snapshot

_LEFT, _RIGHT = 272, WIDTH - 96
_INSET = 8
"""Ground beyond both ends of the time axis, so that no bar is cut."""
_METRIC = (128, 330)
_TOKENS = (372, 530)
"""Top and bottom of the two panels."""
_GROUNDS: tuple[Colour, ...] = ((240, 245, 251), (253, 246, 228), (236, 247, 240), (248, 240, 247), (244, 244, 240))
"""Soft tints of hidden regimes, in turn."""


def draw_time(canvas: Canvas, snap: Snapshot) -> None:
    """Both panels."""
    canvas.text(_LEFT, 112, "METRIC OF EACH FRAME: EXPECTED REDUCTION OF THE LOSS BY SENDING IT", 9, g.MUTED)
    for top, bottom in (_METRIC, _TOKENS):
        canvas.box(_LEFT, top, _RIGHT, bottom, g.PANEL)
    if snap.regimes:
        _draw_regimes(canvas, snap)
    _draw_metrics(canvas, snap)
    _draw_tokens(canvas, snap)
    _draw_axis(canvas, snap)


def _x(snap: Snapshot, time: float) -> float:
    return _LEFT + _INSET + (time - snap.left) / snap.scale.span * (_RIGHT - _LEFT - 2 * _INSET)


def _draw_regimes(canvas: Canvas, snap: Snapshot) -> None:
    """Bands of the hidden regime; a band begins at the first frame that comes in it."""
    past = snap.past
    starts = np.flatnonzero(np.append(True, np.diff(past.regime) != 0))
    ends = np.append(past.time[starts[1:]], past.time[-1])
    for start, end in zip(starts, ends, strict=True):
        x0, x1 = max(_x(snap, past.time[start]), _LEFT), _x(snap, float(end))
        regime = int(past.regime[start])
        for top, bottom in (_METRIC, _TOKENS):
            canvas.box(x0, top, x1, bottom, _GROUNDS[regime % len(_GROUNDS)])
        name = f"regime {regime + 1}"
        if g.text_width(name, 11) > x1 - x0 - 8:
            name = str(regime + 1)
        canvas.text(x0 + 4, _METRIC[0] + 9, name, 11, g.MUTED, width=x1 - x0 - 5)


def _draw_metrics(canvas: Canvas, snap: Snapshot) -> None:
    """One bar a frame: full when sent, hollow when kept, marked below when there was no token."""
    (top, bottom), scale, past = _METRIC, snap.scale, snap.past
    top += 18  # room for the names of the regimes

    def y(metric: float) -> float:
        return bottom - (metric - scale.low) / (scale.high - scale.low) * (bottom - top)

    step = g.round_up((scale.high - scale.low) / 5)
    for tick in np.arange(np.ceil(scale.low / step - 1e-9), np.floor(scale.high / step + 1e-9) + 1) * step:
        canvas.box(_LEFT, y(tick), _RIGHT, y(tick) + 1, g.RULE)
        canvas.text(_LEFT - 8, y(tick), f"{tick + 0.0:g}", 11, g.MUTED, "right")
    wide = min(max(0.7 * scale.least_gap / scale.span * (_RIGHT - _LEFT), 3.0), 12.0)
    zero = y(0.0)
    for k in range(len(past.time)):
        x = _x(snap, past.time[k])
        if past.time[k] < snap.left:
            continue
        current = k == len(past.time) - 1
        if current and snap.status == OVER:
            break
        x0, x1 = round(x - wide / 2), round(x - wide / 2) + round(wide)
        metric = float(past.metric[k])
        upper, lower = min(y(metric), zero - 2), max(y(metric), zero)
        if past.sent[k]:
            canvas.box(x0, upper, x1, lower, SENT)
            canvas.box((x0 + x1) // 2, bottom + 2, (x0 + x1) // 2 + 1, _TOKENS[0], SENT_PALE)
        elif current:
            canvas.box(x0 - 2, upper - 2, x1 + 2, lower + 2, g.PAPER, g.INK, 2)
        else:
            able = past.able[k]
            canvas.box(x0, upper, x1, lower, g.PAPER if able else NO_TOKEN_PALE, g.GHOST if able else NO_TOKEN)
        if not past.able[k]:
            canvas.box(x0, bottom + 3, x1, bottom + 7, NO_TOKEN)
    canvas.box(_LEFT, zero, _RIGHT, zero + 1, g.MUTED)


def _draw_tokens(canvas: Canvas, snap: Snapshot) -> None:
    """The level over time: it falls by one token at a send, rises with the rate, and stays at the top when full."""
    top, bottom = _TOKENS

    def y(tokens: float) -> float:
        return bottom - tokens / snap.depth * (bottom - top)

    step = max(1, int(g.round_up(snap.depth / 5)))
    for tick in range(0, int(snap.depth) + 1, step):
        canvas.box(_LEFT, y(tick), _RIGHT, y(tick) + 1, g.RULE)
        canvas.text(_LEFT - 8, y(tick), str(tick), 11, g.MUTED, "right")
    points, full = _level(snap)
    line = [(_x(snap, time), y(tokens)) for time, tokens in points]
    if len(line) > 1:
        canvas.shape([(line[0][0], bottom), *line, (line[-1][0], bottom)], SENT_PALE, 0.75)
        canvas.curve(line, SENT, 1.5)
    for start, end in full:
        x0, x1 = _x(snap, max(start, snap.left)), _x(snap, end)
        canvas.box(x0, top - 3, x1, top + 2, LOST)
    canvas.dashes(_LEFT, _RIGHT, y(1.0), NO_TOKEN)
    x, level = line[-1]
    canvas.box(x - 3, level - 3, x + 4, level + 4, g.INK)
    right = _RIGHT + 8
    canvas.text(right, y(1.0) - 6, "one token,", 11, NO_TOKEN)
    canvas.text(right, y(1.0) + 7, "for one send", 11, NO_TOKEN)
    if y(1.0) - top > 20:
        canvas.text(right, top, f"full: {number(snap.depth)}", 11, g.MUTED)
    title = "TOKENS IN THE BUCKET"
    canvas.box(_LEFT, top - 20, _LEFT + g.text_width(title, 9) + 6, top - 8, g.PAPER)
    canvas.text(_LEFT, top - 14, title, 9, g.MUTED)


def _level(snap: Snapshot) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Corners (time, tokens) of the level from the left end of the axis on, and the times in which tokens were lost."""
    past = snap.past
    points, full = [(float(past.time[0]), float(past.tokens[0]))], []
    for k in range(len(past.time) - 1):
        start, end = float(past.time[k]), float(past.time[k + 1])
        low = float(past.tokens[k]) - float(past.sent[k])
        top = start + (snap.depth - low) / snap.rate
        points.append((start, low))
        if top < end - 1e-9:
            points.append((top, snap.depth))
            full.append((top, end))
        points.append((end, float(past.tokens[k + 1])))
    inside = [k for k, (time, _) in enumerate(points) if time >= snap.left]
    if inside[0] > 0:
        (t0, n0), (t1, n1) = points[inside[0] - 1], points[inside[0]]
        edge = (snap.left, n0 + (n1 - n0) * (snap.left - t0) / (t1 - t0))
        points = [edge, *points[inside[0] :]]
    return points, [(start, end) for start, end in full if end > snap.left]


def _draw_axis(canvas: Canvas, snap: Snapshot) -> None:
    bottom, part = _TOKENS[1], snap.scale.span / PARTS
    canvas.box(_LEFT, bottom, _RIGHT, bottom + 1, g.MUTED)
    for tick in range(PARTS + 1):
        x = _x(snap, snap.left + tick * part)
        canvas.box(x, bottom, x + 1, bottom + 5, g.MUTED)
        canvas.text(x, bottom + 14, f"{snap.left + tick * part:.6g}", 11, g.MUTED, "center")
    canvas.text((_LEFT + _RIGHT) / 2, bottom + 31, "time since the first frame, time units", 11, g.MUTED, "center")
