"""Rendering of segment allocation: a picture, a window, a text table."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs import drawing as g
from envs.distprivacy.colours import device_colours
from envs.distprivacy.layer_panel import draw_layer
from envs.distprivacy.panels import Layout, draw_chain, draw_devices, draw_latency, draw_legend, draw_title, limit_text
from envs.distprivacy.snapshot import PLACING, REJECTED, SERVED, Snapshot, take_snapshot
from envs.rendering import FrameViewer, text_console

if TYPE_CHECKING:
    from envs.distprivacy.env import DistPrivacyEnv

Frame = NDArray[np.uint8]
TEXT_WIDTH = 110


def draw_snapshot(snap: Snapshot) -> Frame:
    """The picture of a snapshot, uint8 ``(height, width, 3)``, sized by the number of device slots alone."""
    layout = Layout.of(len(snap.slots))
    colours = device_colours(snap.source)
    canvas = g.Canvas(layout.width, layout.height)
    draw_title(canvas, snap)
    draw_latency(canvas, snap)
    draw_chain(canvas, snap, colours)
    draw_devices(canvas, snap, colours, layout)
    draw_layer(canvas, snap, colours, layout)
    draw_legend(canvas, snap, layout)
    return canvas.array()


class Viewer(FrameViewer):
    """See ``FrameViewer``."""

    title = "Offramp: segment allocation"

    def draw(self, env: Any) -> Frame:
        """See ``FrameViewer``."""
        return draw_snapshot(take_snapshot(env))


def to_text(env: DistPrivacyEnv, *, colour: bool = False) -> str:
    """The present state of ``env`` as text: facts, time of each layer, a table of the devices.

    ``colour``: with ANSI escape codes. Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``.
    """
    stream = StringIO()
    console = text_console(stream, TEXT_WIDTH, colour=colour)
    snap = take_snapshot(env)
    _print_facts(console, snap)
    _print_layers(console, snap)
    _print_devices(console, snap)
    return stream.getvalue()


def _print_facts(console: Any, snap: Snapshot) -> None:
    from rich.markup import escape

    layer = snap.layer
    status = {PLACING: "placing", SERVED: "[green]served[/green]", REJECTED: "[red]rejected[/red]: "}[snap.status]
    status += escape(snap.reason)
    if snap.status == PLACING and layer is not None:
        status += f" map {len(layer.holders) + 1} of {layer.segments} of {escape(layer.name)}"
    network, camera = escape(snap.network), escape(snap.slots[snap.source].name)
    request = f"request {snap.request + 1} of {snap.requests}"
    console.print(f"[bold]Segment allocation[/bold]  {network} for {camera}, {request}: {status}")
    sent = g.quantity(snap.shared_bytes, "B")
    console.print(
        f"latency so far [bold]{g.milliseconds(snap.latency_s)} ms[/bold]   sent {sent}   SSIM target {snap.ssim:g}   "
        f"limit Nf: {limit_text(snap)}   served {snap.served}, rejected {snap.rejected}"
    )


def _print_layers(console: Any, snap: Snapshot) -> None:
    from rich.markup import escape

    parts = []
    for index, layer in enumerate(snap.layers):
        if layer.time_s is None:
            break
        place = "camera" if layer.on_source else f"{len(layer.holders)}/{layer.segments}"
        text = f"{escape(layer.name)} {g.milliseconds(layer.time_s)} ms ({place})"
        parts.append(f"[bold]{text}[/bold]" if index == snap.current else text)
    console.print("layers: " + " > ".join(parts))


def _print_devices(console: Any, snap: Snapshot) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(caption="loads are parts of the period's budgets; next: may take the next map")
    table.add_column("#", justify="right")
    table.add_column("device", no_wrap=True)
    for name in ("M mult/s", "MB/s", "memory", "compute", "sending", "maps", "seen/Nf", "layer ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("next")
    limit = None if snap.layer is None else snap.layer.limit
    for index, slot in enumerate(snap.slots):
        number = "S" if index == snap.source else str(index)
        if not slot.present:
            table.add_row(number, escape(slot.name), "absent", style="dim")
            continue
        table.add_row(
            number,
            escape(slot.name),
            g.three_digits(slot.speed / 1e6),
            g.three_digits(slot.rate / 1e6),
            *(g.percent(load.fraction) for load in (slot.memory, slot.compute, slot.bandwidth)),
            str(slot.held),
            "-" if limit is None or index == snap.source else f"{slot.seen}/{limit}",
            g.milliseconds(slot.layer_time_s),
            "*" if slot.may_take else "",
        )
    console.print(table)
