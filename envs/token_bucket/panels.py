"""The panels around the time axis: title and facts, the bucket, the legend; and where everything stands."""

from __future__ import annotations

from envs import drawing as g
from envs.drawing import Canvas, Colour
from envs.token_bucket.snapshot import DECIDING, EMPTY, OVER, Snapshot

WIDTH, HEIGHT = 1120, 620
PAD = 16
SENT: Colour = (0, 114, 178)
SENT_PALE: Colour = (196, 221, 238)
NO_TOKEN: Colour = g.ALERT
NO_TOKEN_PALE: Colour = (252, 238, 233)
LOST: Colour = (230, 159, 0)
_STATUS: dict[str, Colour] = {DECIDING: (0, 90, 160), EMPTY: (190, 50, 20), OVER: (0, 120, 85)}
_SLOTS = 12
"""Deeper buckets are drawn as one level, without a compartment for every token."""
_VESSEL = (72, 168, 176, 420)
"""Left, top, right, bottom of the inside of the bucket."""


def number(value: float) -> str:
    """A number of tokens or time units: at most two digits after the point, none of them idle."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.4g}"


def loss(value: float) -> str:
    """A loss or a metric."""
    return f"{value:.4f}"


def facts(snap: Snapshot) -> list[tuple[str, str]]:
    """The episode so far: names and values."""
    some = snap.decided > 0
    known = snap.weak_loss > 0
    rows = [
        ("FRAME", f"{min(snap.decided + 1, snap.decisions)} of {snap.decisions}"),
        ("TIME", f"{number(snap.time)} units"),
        ("BUCKET", f"{snap.rate:.4g} tokens a unit, {number(snap.depth)} deep"),
        ("SENT", f"{snap.sends} of {snap.decided} ({g.percent(snap.share)})"),
        ("MEAN METRIC OF THE SENT", loss(snap.gain / snap.sends) if snap.sends else "-"),
        ("TOKENS LOST", f"{number(snap.lost)} of {number(snap.gained)}"),
        (
            "MEAN LOSS SO FAR" if known else "MEAN GAIN SO FAR",
            (loss(snap.mean(snap.gain)) if known else loss(-snap.mean(snap.gain))) if some else "-",
        ),
    ]
    return rows + [("IF NOTHING IS SENT", loss(snap.weak_loss))] if known else rows


def draw_title(canvas: Canvas, snap: Snapshot) -> None:
    """Title, what is to be decided now, and the facts of the episode, each with its name above it."""
    end = canvas.text(PAD, 24, "Offramp", 20, g.INK, bold=True)
    canvas.text(end + 12, 25, "Which images are worth a token?", 16, g.MUTED)
    status = {
        DECIDING: f"KEEP OR SEND?  METRIC {loss(snap.metric)}",
        EMPTY: f"NO TOKEN: MUST KEEP.  METRIC {loss(snap.metric)}",
        OVER: "EPISODE OVER",
    }[snap.status]
    canvas.box(WIDTH - PAD - 260, 10, WIDTH - PAD, 38, _STATUS[snap.status])
    canvas.text(WIDTH - PAD - 130, 24, status, 13, g.PAPER, "center")
    canvas.facts(facts(snap), PAD, WIDTH - PAD, 60)
    canvas.box(PAD, 94, WIDTH - PAD, 95, g.RULE)


def draw_bucket(canvas: Canvas, snap: Snapshot) -> None:
    """The bucket: tokens that flow in, those that are there, those that run over, and what a send takes."""
    left, top, right, bottom = _VESSEL
    middle = (left + right) / 2
    canvas.text(PAD, 112, "TOKEN BUCKET", 9, g.MUTED)
    canvas.text(middle, 134, f"+{snap.rate:.4g} a time unit", 12, g.INK, "center")
    canvas.shape([(middle - 5, 146), (middle + 5, 146), (middle, 158)], g.MUTED)
    canvas.box(left, top, right, bottom, g.PANEL)
    high = bottom - top
    fill = bottom - high * snap.tokens / snap.depth
    whole = bottom - high * int(snap.tokens + 1e-9) / snap.depth
    canvas.box(left, fill, right, bottom, SENT_PALE)
    canvas.box(left, whole, right, bottom, SENT)
    step = 1 if snap.depth <= _SLOTS else int(g.round_up(snap.depth / _SLOTS))
    for token in range(0, int(snap.depth) + 1, step):
        y = bottom - high * token / snap.depth
        if 0 < token < snap.depth:
            canvas.box(left, y - 1, right, y + 1, g.PAPER)
        canvas.text(left - 12, y, str(token), 11, g.MUTED, "right")
    for x in (left - 6, right):
        canvas.box(x, top - 8, x + 6, bottom + 6, g.INK)
    canvas.box(left - 6, bottom, right + 6, bottom + 6, g.INK)
    if snap.lost_now > 0:
        x = right + 6
        canvas.curve([(right - 2, top - 9), (x + 4, top - 9), (x + 9, top - 4), (x + 11, top + 22)], LOST, 4)
    canvas.text(middle, bottom + 26, f"{number(snap.tokens)} of {number(snap.depth)}", 18, g.INK, "center", bold=True)
    canvas.text(middle, bottom + 46, "tokens; a send takes one", 12, g.MUTED, "center")
    note, colour = "", g.MUTED
    if snap.refused:
        note, colour = "the last send had no token", NO_TOKEN
    elif snap.lost_now > 0:
        note, colour = f"{number(snap.lost_now)} just ran over, lost", (150, 100, 0)
    canvas.text(middle, bottom + 68, note, 12, colour, "center")


def draw_legend(canvas: Canvas, snap: Snapshot) -> None:
    """What the colours and marks mean."""
    y, x = HEIGHT - 22, float(PAD)
    canvas.box(PAD, y - 22, WIDTH - PAD, y - 21, g.RULE)
    entries: list[tuple[str, Colour | None, Colour, int]] = [
        ("sent", SENT, SENT, 1),
        ("kept", g.PAPER, g.GHOST, 1),
        ("kept: no token to send it", NO_TOKEN_PALE, NO_TOKEN, 1),
        ("now to decide", g.PAPER, g.INK, 2),
        ("tokens", SENT_PALE, SENT_PALE, 1),
        ("bucket full: tokens are lost", LOST, LOST, 1),
    ]
    for name, fill, outline, line in entries:
        canvas.box(x, y - 6, x + 12, y + 6, fill, outline, line)
        x = canvas.text(x + 17, y, name, 11) + 16
    if snap.regimes:
        canvas.text(WIDTH - PAD, y, "tint: hidden regime of the arrivals", 11, g.MUTED, "right", WIDTH - PAD - x)
