"""Rendering of early exit: a picture, a window, a text."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.drawing import Canvas
from envs.early_exit.panels import HEIGHT, WIDTH, amount, draw_legend, draw_title, facts, number, rule_text, share
from envs.early_exit.row_panels import draw_rows
from envs.early_exit.snapshot import Snapshot, take_snapshot
from envs.early_exit.time_panels import draw_time
from envs.rendering import FrameViewer, text_console

if TYPE_CHECKING:
    from envs.early_exit.env import EarlyExitEnv

Frame = NDArray[np.uint8]
TEXT_WIDTH = 100
_BAR = 30


def draw_snapshot(snap: Snapshot) -> Frame:
    """The picture of a snapshot, uint8 ``(HEIGHT, WIDTH, 3)``."""
    canvas = Canvas(WIDTH, HEIGHT)
    draw_title(canvas, snap)
    draw_time(canvas, snap)
    draw_rows(canvas, snap)
    draw_legend(canvas, snap)
    return canvas.array()


class Viewer(FrameViewer):
    """See ``FrameViewer``."""

    title = "Offramp: early exit"

    def draw(self, env: Any) -> Frame:
        """See ``FrameViewer``."""
        return draw_snapshot(take_snapshot(env))


def to_text(env: EarlyExitEnv, *, colour: bool = False) -> str:
    """The present state of ``env`` as text: facts, limits, the latest window, answers and truths.

    ``colour``: with ANSI escape codes. Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``.
    """
    from rich.markup import escape

    stream = StringIO()
    console = text_console(stream, TEXT_WIDTH, colour=colour)
    snap = take_snapshot(env)
    status = "[green]episode over[/green]" if snap.over else "which thresholds?"
    console.print(f"[bold]Early exit[/bold]  {status}")
    rows = [(name.lower(), escape(value)) for name, value in facts(snap)]
    rows.append(("budget left", _budget(snap)))
    rows.append(("accepted", f"{share(_latest(snap))}, at least {share(snap.least)}"))
    if snap.lack > 0.5:
        rows.append(("short of rows", f"[red]{number(snap.lack)}[/red]"))
    for name, values in (("link speed", snap.bandwidth), ("cloud load", snap.load)):
        if values is not None:
            rows.append((name, share(float(values[-1]))))
    for at in range(0, len(rows), 3):
        console.print("   ".join(f"{name} [bold]{value}[/bold]" for name, value in rows[at : at + 3]))
    if snap.last is not None:
        _print_window(console, snap)
        _print_answers(console, snap)
    return stream.getvalue()


def _latest(snap: Snapshot) -> float:
    return float(snap.acceptance[-1]) if snap.decided else float("nan")


def _budget(snap: Snapshot) -> str:
    if snap.budget == np.inf:
        return "no limit"
    part = float(snap.left[-1]) / snap.budget if snap.budget > 0 else 0.0
    return f"{amount(float(snap.left[-1]), snap.unit)} ({share(part)}, even spend {share(snap.even)})"


def _print_window(console: Any, snap: Snapshot) -> None:
    """The latest window: thresholds of exit 1, and where its rows ended beside those of all windows."""
    from rich.markup import escape
    from rich.table import Table

    last = snap.last
    assert last is not None
    note = "  [red]over budget: unsure rows were rejected[/red]" if last.over_budget else ""
    hidden = f"{escape(snap.month_names[snap.month[-1]])}, {share(float(snap.attack_share[-1]))} attacks"
    console.print(f"window [bold]{snap.decided}[/bold] (hidden: {hidden}){note}")
    for kind, name in enumerate(("normal", "attack")):
        words = rule_text(float(last.accept[kind]), float(last.reject[kind]), snap.low)
        console.print(f"exit 1, where it says {name}: {words}")
    table = Table()
    table.add_column("rows", no_wrap=True)
    for name in ("this window", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", width=_BAR, no_wrap=True)
    for name in ("so far", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    names = [f"answered at exit {k + 1}" for k in range(snap.exits)] + ["rejected"]
    for name, here, total in zip(names, snap.ends[-1], snap.ends.sum(axis=0), strict=True):
        table.add_row(
            name,
            number(here),
            share(here / snap.rows),
            f"[blue]{'#' * round(_BAR * here / snap.rows)}[/blue]",
            number(total),
            share(total / snap.seen),
        )
    console.print(table)


def _print_answers(console: Any, snap: Snapshot) -> None:
    (tn, fp, _), (fn, tp, _) = snap.confusion
    rejected = snap.confusion[:, -1].sum()
    counts = (("TP", tp), ("TN", tn), ("FP", fp), ("FN", fn), ("rejected", rejected))
    console.print("so far: " + "   ".join(f"{name} [bold]{number(count)}[/bold]" for name, count in counts))
    console.print("cost of a row: " + " + ".join(f"{name} {value:.4f}" for name, value in snap.costs))
