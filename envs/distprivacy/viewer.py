"""Rendering of segment allocation: a picture, a window, a text table."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from envs.distprivacy import drawing as g
from envs.distprivacy.layer_panel import draw_layer
from envs.distprivacy.panels import Layout, draw_chain, draw_devices, draw_latency, draw_legend, draw_title, limit_text
from envs.distprivacy.snapshot import PLACING, REJECTED, SERVED, Snapshot, take_snapshot

if TYPE_CHECKING:
    from envs.distprivacy.env import DistPrivacyEnv

Frame = NDArray[np.uint8]
TEXT_WIDTH = 110


def draw_snapshot(snap: Snapshot) -> Frame:
    """The picture of a snapshot, uint8 ``(height, width, 3)``, sized by the number of device slots alone."""
    layout = Layout.of(len(snap.slots))
    colours = g.device_colours(snap.source)
    canvas = g.Canvas(layout.width, layout.height)
    draw_title(canvas, snap)
    draw_latency(canvas, snap)
    draw_chain(canvas, snap, colours)
    draw_devices(canvas, snap, colours, layout)
    draw_layer(canvas, snap, colours, layout)
    draw_legend(canvas, snap, layout)
    return canvas.array()


class Viewer:
    """Draws an environment, and shows frames in a window (pygame, loaded when the first frame is shown)."""

    def __init__(self) -> None:
        self._pygame: Any = None
        self._screen: Any = None
        self._clock: Any = None
        self._dismissed = False  # the user closed the window; the episode goes on without it

    def draw(self, env: DistPrivacyEnv) -> Frame:
        """The present state of ``env`` (unwrapped) as uint8 ``(height, width, 3)``.

        Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``.
        """
        return draw_snapshot(take_snapshot(env))

    def show(self, frame: Frame, fps: float) -> None:
        """Show a frame in the window and wait so that at most ``fps`` frames a second are shown.

        Raises ``gymnasium.error.DependencyNotInstalled`` where pygame is missing.
        """
        if self._dismissed:
            return
        if self._screen is None:
            self._open(frame.shape[1], frame.shape[0])
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                self.close()
                self._dismissed = True
                return
        self._screen.blit(self._pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        self._pygame.display.flip()
        self._clock.tick(fps)

    def close(self) -> None:
        """Close the window, if there is one; the next ``show`` opens a new one."""
        if self._screen is not None:
            self._pygame.display.quit()
        self._screen = self._clock = None
        self._dismissed = False

    def _open(self, width: int, height: int) -> None:
        try:
            import pygame
        except ImportError as error:
            raise DependencyNotInstalled(
                "render_mode 'human' needs pygame, which is not installed: pip install 'offramp[human]'"
            ) from error
        self._pygame = pygame
        pygame.display.init()  # not pygame.init(), which opens the sound device too
        pygame.display.set_caption("Offramp: segment allocation")
        self._screen = pygame.display.set_mode((width, height))
        self._clock = pygame.time.Clock()


def to_text(env: DistPrivacyEnv, *, colour: bool = False) -> str:
    """The present state of ``env`` as text: facts, time of each layer, a table of the devices.

    ``colour``: with ANSI escape codes. Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``.
    """
    from rich.console import Console

    stream = StringIO()
    # legacy_windows=False: the text may go to a file or a log, not to the console that happens to be there
    console = Console(
        file=stream,
        width=TEXT_WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        highlight=False,
        emoji=False,
    )
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
