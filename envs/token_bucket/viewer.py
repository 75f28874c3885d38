"""Rendering of token-bucket offloading: a picture, a window, a text table."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.drawing import Canvas
from envs.rendering import FrameViewer, text_console
from envs.token_bucket.panels import HEIGHT, WIDTH, draw_bucket, draw_legend, draw_title, facts, loss, number
from envs.token_bucket.snapshot import DECIDING, EMPTY, OVER, Snapshot, take_snapshot
from envs.token_bucket.time_panels import draw_time

if TYPE_CHECKING:
    from envs.token_bucket.env import TokenBucketEnv

Frame = NDArray[np.uint8]
TEXT_WIDTH = 100
TEXT_ROWS = 12
"""Latest frames in the text table."""
_BAR = 24


def draw_snapshot(snap: Snapshot) -> Frame:
    """The picture of a snapshot, uint8 ``(HEIGHT, WIDTH, 3)``."""
    canvas = Canvas(WIDTH, HEIGHT)
    draw_title(canvas, snap)
    draw_bucket(canvas, snap)
    draw_time(canvas, snap)
    draw_legend(canvas, snap)
    return canvas.array()


class Viewer(FrameViewer):
    """See ``FrameViewer``."""

    title = "Offramp: token-bucket offloading"

    def draw(self, env: Any) -> Frame:
        """See ``FrameViewer``."""
        return draw_snapshot(take_snapshot(env))


def to_text(env: TokenBucketEnv, *, colour: bool = False) -> str:
    """The present state of ``env`` as text: facts, and a table of the latest frames.

    ``colour``: with ANSI escape codes. Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``.
    """
    stream = StringIO()
    console = text_console(stream, TEXT_WIDTH, colour=colour)
    snap = take_snapshot(env)
    status = {DECIDING: "keep or send?", EMPTY: "[red]no token: keep[/red]", OVER: "[green]episode over[/green]"}
    refused = "  [red](the last send had no token)[/red]" if snap.refused else ""
    console.print(f"[bold]Token-bucket offloading[/bold]  {status[snap.status]}{refused}")
    rows = [(name.lower(), value) for name, value in facts(snap)]
    if snap.realised is not None and snap.decided:
        known = snap.weak_loss > 0
        realised = snap.mean(snap.realised)
        rows.append((f"realised {'loss' if known else 'gain'}", loss(realised if known else -realised)))
    for at in range(0, len(rows), 3):
        console.print("   ".join(f"{name} [bold]{value}[/bold]" for name, value in rows[at : at + 3]))
    _print_frames(console, snap)
    return stream.getvalue()


def _print_frames(console: Any, snap: Snapshot) -> None:
    from rich.table import Table

    past = snap.past
    table = Table(caption="metric: expected reduction of the loss by sending the frame")
    for name in ("frame", "time", "gap", "tokens", "metric"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", width=_BAR, no_wrap=True)
    table.add_column("decision", no_wrap=True)
    if snap.regimes:
        table.add_column("regime", justify="right", no_wrap=True)
    last = len(past.time) - 1
    for k in range(max(last + 1 - TEXT_ROWS, 0), last + (snap.status != OVER)):
        sent, able = bool(past.sent[k]), bool(past.able[k])
        word = "sent" if sent else "kept" if able else "[red]kept, no token[/red]"
        if k == last:
            word = "[bold]?[/bold]" if able else "[red]? no token[/red]"
        length = round(_BAR * max(float(past.metric[k]), 0.0) / snap.scale.high)
        table.add_row(
            str(past.number[k] + 1),
            number(float(past.time[k])),
            number(float(past.time[k] - past.time[k - 1])) if k else "-",
            number(float(past.tokens[k])),
            loss(float(past.metric[k])),
            f"[blue]{'#' * length}[/blue]" if sent else "-" * length,
            word,
            *([str(int(past.regime[k]) + 1)] if snap.regimes else []),
            style="bold" if sent else None,
        )
    console.print(table)
