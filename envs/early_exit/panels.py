"""What stands above and below the panels: title, facts, legend; and colours and words that all of them share."""

from __future__ import annotations

from envs import drawing as g
from envs.drawing import Canvas, Colour
from envs.early_exit.dynamics import R_LATE, R_PASSED, R_REJECTED, R_SENT
from envs.early_exit.snapshot import Snapshot

WIDTH, HEIGHT = 1180, 716
PAD = 16
REJECTED: Colour = (64, 70, 80)
SERIES: Colour = (60, 84, 124)
SERIES_PALE: Colour = (222, 229, 239)
_EXITS: tuple[Colour, ...] = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233))
_WORDS, _MOST = 4, 8
"""Exits that the legend has room for: with a word for each, and at all."""
_DECIDING: Colour = (0, 90, 160)
_OVER: Colour = (0, 120, 85)


def exit_colour(number: int) -> Colour:
    """The colour of an exit, from 0; colours that are told apart by the colour-blind too, then darker ones."""
    red, green, blue = _EXITS[number % len(_EXITS)]
    dark = 0.6 ** (number // len(_EXITS))
    return int(red * dark), int(green * dark), int(blue * dark)


def end_colours(exits: int) -> list[Colour]:
    """The colours of the ends of a row, E + 1: the exits, then rejection."""
    return [*(exit_colour(k) for k in range(exits)), REJECTED]


def pale(colour: Colour, part: float = 0.16) -> Colour:
    """A tint: ``part`` of the colour on white."""
    red, green, blue = (round(255 - part * (255 - channel)) for channel in colour)
    return red, green, blue


def number(value: float) -> str:
    """A whole number, its thousands set apart."""
    return f"{value:,.0f}".replace(",", " ")


def amount(value: float, unit: str) -> str:
    """An amount of what the budget counts."""
    return f"{number(value)} rows" if unit == "rows" else f"{value:.3g} {unit}"


def share(fraction: float) -> str:
    """A share as a percentage with one digit after the point; ``-`` where there is none."""
    return f"{100 * fraction:.1f}%" if fraction == fraction else "-"


def cost(value: float) -> str:
    """A cost of a row; ``-`` where there is none."""
    return f"{value:.4f}" if value == value else "-"


def action_text(snap: Snapshot) -> str:
    """The action that was chosen last: its number, and its name if it has one."""
    if snap.last is None:
        return "-"
    return f"{snap.last.action} \xb7 {snap.last.name}" if snap.last.name else str(snap.last.action)


def threshold(value: float) -> str:
    """A threshold: four digits, or all of them where four would make it 1."""
    return f"{value:.6g}" if 0.99995 <= value < 1 else f"{value:.4g}"


def rule_text(accept: float, reject: float, low: float) -> str:
    """What a pair of thresholds of exit 1 does, in words; certainties are ``low`` .. 1."""
    if accept <= low:
        return "answers all"
    answers, rejects = f"answers from {threshold(accept)}", f"rejects below {threshold(reject)}"
    if accept > 1:
        return "rejects all" if reject > 1 else f"{rejects}, answers none" if reject > low else "passes on all"
    if reject >= accept:
        return f"{answers}, rejects the rest"
    return f"{answers}, {rejects}" if reject > low else f"{answers}, passes on the rest"


def facts(snap: Snapshot) -> list[tuple[str, str]]:
    """The episode so far: names and values."""
    rows = [
        ("WINDOW", f"{min(snap.decided + 1, snap.windows)} of {snap.windows}"),
        ("ROWS SO FAR", f"{number(snap.seen)} \xb7 {number(snap.rows)} a window"),
        ("LAST ACTION", action_text(snap)),
        ("ERROR OF THE ANSWERS", share(snap.error)),
        ("REJECTED", share(snap.share(R_REJECTED))),
        ("SENT", share(snap.share(R_SENT))) if snap.sends else ("PAST EXIT 1", share(snap.share(R_PASSED))),
    ]
    if any(name == "late answers" for name, _ in snap.costs):
        rows.append(("LATE", share(snap.share(R_LATE))))
    return [*rows, ("COST OF A ROW", cost(snap.cost))]


def draw_title(canvas: Canvas, snap: Snapshot) -> None:
    """Title, what is to be decided now, and the facts of the episode, each with its name above it."""
    end = canvas.text(PAD, 24, "Offramp", 20, g.INK, bold=True)
    canvas.text(end + 12, 25, "How sure must an exit be before it answers?", 16, g.MUTED)
    status = "EPISODE OVER" if snap.over else f"CHOOSE THRESHOLDS FOR WINDOW {snap.decided + 1}"
    canvas.box(WIDTH - PAD - 292, 10, WIDTH - PAD, 38, _OVER if snap.over else _DECIDING)
    canvas.text(WIDTH - PAD - 146, 24, status, 13, g.PAPER, "center")
    canvas.facts([(name, g.fit(value, 14, 230)) for name, value in facts(snap)], PAD, WIDTH - PAD, 60)
    canvas.box(PAD, 94, WIDTH - PAD, 95, g.RULE)


def _entry(canvas: Canvas, x: float, colour: Colour, name: str, gap: int) -> float:
    """An entry of the legend; returns where the next one begins."""
    y = HEIGHT - 22
    canvas.box(x, y - 6, x + 12, y + 6, colour)
    return canvas.text(x + 17, y, name, 11) + gap


def draw_legend(canvas: Canvas, snap: Snapshot) -> None:
    """What the colours and marks mean."""
    y, x = HEIGHT - 22, float(PAD)
    canvas.box(PAD, y - 22, WIDTH - PAD, y - 21, g.RULE)
    colours, few = end_colours(snap.exits), snap.exits <= _WORDS
    x = canvas.text(x, y, "rows answered at" if few else "rows answered at exit", 11, g.MUTED) + 10
    for k in range(min(snap.exits, _MOST)):
        x = _entry(canvas, x, colours[k], f"exit {k + 1}" if few else str(k + 1), 16 if few else 8)
    if snap.exits > _MOST:
        x = canvas.text(x, y, "..", 11, g.MUTED) + 10
    x = _entry(canvas, x, REJECTED, "rejected", 16)
    canvas.box(x, y - 6, x + 12, y + 6, g.PAPER, g.INK, 2)
    x = canvas.text(x + 17, y, "now to decide", 11) + 16
    canvas.curve([(x, y), (x + 18, y)], SERIES, 2)
    x = canvas.text(x + 23, y, "so far", 11) + 16
    if snap.budget < float("inf"):
        canvas.box(x, y - 2, x + 12, y + 3, g.ALERT)
        x = canvas.text(x + 17, y, "over budget: unsure rows are rejected", 11) + 16
        canvas.curve([(x, y), (x + 18, y)], g.GHOST, 2)
        x = canvas.text(x + 23, y, "even spend", 11) + 16
    canvas.dashes(x, x + 18, y, g.ALERT, 4)
    canvas.text(x + 23, y, "least acceptance", 11)
