"""The panels around the current layer: title and facts, latency, chain of layers, devices, legend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs import drawing as g
from envs.distprivacy.colours import KIND_COLOURS, STATUS_COLOURS
from envs.distprivacy.snapshot import PLACING, SERVED, LayerState, Load, SlotState, Snapshot
from envs.drawing import Canvas, Colour

PAD = 16
DEVICES_WIDTH = 564
_BODY_TOP = 248
_HEAD = 36
_LEGEND = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of the panels in pixels; they follow from the number of slots alone, so all frames of an episode agree."""

    width: int
    height: int
    row: int  # height of a device's row
    size: int  # of the text in a row
    compact: bool

    @classmethod
    def of(cls, slots: int) -> Layout:
        """The layout for ``slots`` devices and source."""
        row, size, compact = (30, 12, False) if slots <= 13 else (22, 11, False) if slots <= 21 else (11, 9, True)
        height = max(_BODY_TOP + _HEAD + slots * row + 10 + _LEGEND, 700)
        return cls(1520 if compact else 1280, height + height % 2, row, size, compact)

    @property
    def body(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of what lies between the chain of layers and the legend."""
        return PAD, _BODY_TOP, self.width - PAD, self.height - _LEGEND


def draw_title(canvas: Canvas, snap: Snapshot) -> None:
    """Title, state of the request, and the facts of request and period, each with its name above it."""
    end = canvas.text(PAD, 24, "Offramp", 20, g.INK, bold=True)
    canvas.text(end + 12, 25, "Where does each feature map of this CNN run?", 16, g.MUTED)
    status, layer = snap.status.upper(), snap.layer
    if snap.status == PLACING and layer is not None:
        status += f" map {len(layer.holders) + 1} of {layer.segments} of {layer.name}"
    elif snap.status == SERVED:
        status += f" in {g.milliseconds(snap.latency_s)} ms"
    else:
        status += f": {snap.reason}"
    status = g.fit(status, 13, 560)
    width = g.text_width(status, 13) + 24
    canvas.box(canvas.width - PAD - width, 10, canvas.width - PAD, 38, STATUS_COLOURS[snap.status])
    canvas.text(canvas.width - PAD - width / 2, 24, status, 13, g.PAPER, "center")
    source = snap.slots[snap.source]
    facts = (
        ("REQUEST OF THIS PERIOD", f"{snap.request + 1} of {snap.requests}"),
        ("NETWORK", g.fit(snap.network, 14, 180)),
        ("CAMERA (SOURCE)", g.fit(source.name, 14, 180)),
        ("PRIVACY TARGET", f"SSIM at most {snap.ssim:g}"),
        ("LIMIT Nf IN THIS LAYER", limit_text(snap)),
        ("SENT FOR THIS REQUEST", g.quantity(snap.shared_bytes, "B")),
        ("SERVED / REJECTED", f"{snap.served} / {snap.rejected}"),
        ("LATENCY OF THE SERVED", f"{g.milliseconds(snap.period_latency_s)} ms"),
    )
    widths = [max(g.text_width(name, 9), g.text_width(value, 14)) for name, value in facts]
    gap = (canvas.width - 2 * PAD - sum(widths)) / (len(facts) - 1)
    x = float(PAD)
    for (name, value), wide in zip(facts, widths, strict=True):
        canvas.text(x, 58, name, 9, g.MUTED)
        canvas.text(x, 75, value, 14)
        x += wide + gap


def limit_text(snap: Snapshot) -> str:
    """The privacy limit of the current layer in words."""
    layer = snap.layer
    if layer is None:
        return "-"
    if layer.on_source:
        return "runs on the camera"
    if layer.limit is None:
        return "none (safe depth)"
    who = "a device" if snap.colluders == 1 else f"on {snap.colluders} devices together"
    return f"{layer.limit} map{'' if layer.limit == 1 else 's'} {who}"


def draw_latency(canvas: Canvas, snap: Snapshot) -> None:
    """Latency so far as one bar, stacked by layer, over an axis in milliseconds."""
    top, left, right = 96, PAD + 150, canvas.width - PAD - 8
    canvas.text(PAD, top + 8, "LATENCY SO FAR", 9, g.MUTED)
    canvas.text(PAD, top + 26, f"{g.milliseconds(snap.latency_s)} ms", 18, bold=True)
    full = g.round_up(1e3 * max(snap.latency_s, 1.5 * snap.scale_s))
    canvas.box(left, top, right, top + 26, g.PANEL, g.RULE)
    x = float(left)
    for index, layer in enumerate(snap.layers):
        if not layer.time_s:
            continue
        wide = 1e3 * layer.time_s / full * (right - left)
        colour = KIND_COLOURS[layer.kind]
        canvas.box(x, top, x + wide, top + 26, colour)
        if x > left:
            canvas.box(x, top, x + 1, top + 26, g.PAPER)
        if index == snap.current and snap.status == PLACING:
            canvas.box(x, top + 22, x + max(wide, 2), top + 26, g.ALERT)
        if g.text_width(layer.name, 11) <= wide - 6:
            canvas.text(x + wide / 2, top + 12, layer.name, 11, g.ink_on(colour), "center")
        x += wide
    for tick in range(6):
        at = left + tick / 5 * (right - left)
        canvas.box(at, top + 26, at + 1, top + 30, g.MUTED)
        label = f"{full * tick / 5:g}" + (" ms" if tick == 5 else "")
        canvas.text(at + (8 if tick == 5 else 0), top + 38, label, 10, g.MUTED, "right" if tick == 5 else "center")


def draw_chain(canvas: Canvas, snap: Snapshot, colours: tuple[Colour, ...]) -> None:
    """All layers in order: name and maps, which devices hold them, and their part of the latency."""
    top, left, right = 152, PAD, canvas.width - PAD
    title = "LAYERS IN ORDER: NAME, MAPS, WHO HOLDS THEM, MILLISECONDS (S: KEPT ON THE CAMERA)"
    canvas.text(left, top + 4, title, 9, g.MUTED)
    step = (right - left) / len(snap.layers)
    gap = 2 if step < 40 else 4
    size = 11 if step >= 60 else 9
    for index, layer in enumerate(snap.layers):
        x0, x1 = left + index * step, left + (index + 1) * step - gap
        colour = KIND_COLOURS[layer.kind]
        middle = (x0 + x1) / 2
        canvas.box(x0, top + 14, x1, top + 30, colour)
        canvas.text(middle, top + 22, g.fit(layer.name, size, x1 - x0), size, g.ink_on(colour), "center")
        number = "S" if layer.on_source else str(layer.segments)
        if g.text_width(number, size) <= step:
            canvas.text(middle, top + 38, number, size, g.INK, "center", bold=layer.on_source)
        _draw_shares(canvas, layer, colours, x0, top + 46, x1, top + 58)
        number = "" if layer.time_s is None else g.milliseconds(layer.time_s)
        if g.text_width(number, size) <= step:
            canvas.text(middle, top + 66, number, size, g.MUTED, "center")
        if index == snap.current:
            canvas.box(x0 - 2, top + 11, x1 + 2, top + 75, None, g.ALERT, 2)


def _draw_shares(
    canvas: Canvas, layer: LayerState, colours: tuple[Colour, ...], x0: float, y0: float, x1: float, y1: float
) -> None:
    canvas.box(x0, y0, x1, y1, g.PAPER, g.RULE)
    counts = np.bincount(layer.holders, minlength=len(colours))
    done = 0
    for slot in np.flatnonzero(counts):
        left = x0 + done / layer.segments * (x1 - x0)
        done += int(counts[slot])
        canvas.box(left, y0, x0 + done / layer.segments * (x1 - x0), y1, colours[slot])


_COLUMNS = (
    # title, unit, left, width
    ("device", "number, name", 14, 120),
    ("speed", "M mult/s", 138, 48),
    ("rate", "MB/s", 192, 38),
    ("memory", "of budget", 244, 54),
    ("compute", "of budget", 304, 54),
    ("sending", "of budget", 364, 54),
    ("privacy", "seen / Nf", 428, 54),
    ("this layer", "ms", 496, 68),
)


def draw_devices(canvas: Canvas, snap: Snapshot, colours: tuple[Colour, ...], layout: Layout) -> None:
    """One row a device and one for the source: speed, rate, loads of the period, privacy, time in this layer."""
    left, top, _, _ = layout.body
    for title, unit, x, width in _COLUMNS:
        middle = x in (138, 192)
        at, align = (left + x + width, "right") if middle else (left + x, "left")
        canvas.text(at, top + 6, title, 11, g.INK, align)
        canvas.text(at, top + 20, unit, 9, g.MUTED, align)
    canvas.box(left, top + _HEAD - 5, left + DEVICES_WIDTH, top + _HEAD - 4, g.RULE)
    slowest = max(slot.layer_time_s for slot in snap.slots)
    for index, slot in enumerate(snap.slots):
        y = top + _HEAD + index * layout.row
        if index % 2 == 1:
            canvas.box(left, y, left + DEVICES_WIDTH, y + layout.row, g.PANEL)
        _draw_row(canvas, snap, slot, index, colours[index], layout, y + layout.row / 2, slowest)


def _draw_row(
    canvas: Canvas,
    snap: Snapshot,
    slot: SlotState,
    index: int,
    colour: Colour,
    layout: Layout,
    y: float,
    slowest: float,
) -> None:
    left, size = layout.body[0], layout.size
    high = min(layout.row - (2 if layout.compact else 6), 20)
    number = "S" if index == snap.source else str(index)
    if not slot.present:
        canvas.text(left + 25, y, number, size, g.GHOST, "center")
        canvas.text(left + 40, y, f"{slot.name}: absent", size, g.GHOST, width=DEVICES_WIDTH - 60)
        return
    if slot.may_take:
        canvas.marker(left + 6, y, min(high - 2, 10), g.INK)
    canvas.box(left + 14, y - high / 2, left + 36, y + high / 2, colour)
    canvas.text(left + 25, y, number, size, g.ink_on(colour), "center")
    canvas.text(left + 40, y, slot.name, size, width=94)
    canvas.text(left + 186, y, g.three_digits(slot.speed / 1e6), size, g.INK, "right")
    canvas.text(left + 230, y, g.three_digits(slot.rate / 1e6), size, g.INK, "right")
    for x, load in ((244, slot.memory), (304, slot.compute), (364, slot.bandwidth)):
        _draw_load(canvas, load, left + x, y, layout)
    layer = snap.layer
    if layer is not None and index != snap.source:
        limit = None if layer.on_source else layer.limit
        text = f"{slot.seen}/{limit}" if limit is not None else str(slot.held)
        if limit is not None or slot.held:
            fitting = size if g.text_width(text, size) <= 40 else 9
            canvas.text(left + 428, y, text, fitting, g.INK if slot.seen or slot.held else g.GHOST)
        if limit:
            colour = g.ALERT if slot.seen >= limit else g.LOAD
            canvas.bar(left + 469, y, 20, high / 2, slot.seen / limit, colour)
    if slot.layer_time_s > 0.0:
        worst = slot.layer_time_s == slowest
        shade = g.ALERT if worst else g.LOAD
        canvas.bar(left + 496, y, 26, high / 2, slot.layer_time_s / slowest, shade)
        canvas.text(
            left + DEVICES_WIDTH, y, g.milliseconds(slot.layer_time_s), size, shade if worst else g.INK, "right"
        )


def _draw_load(canvas: Canvas, load: Load, x: float, y: float, layout: Layout) -> None:
    high = 4 if layout.compact else 8
    canvas.bar(x, y, 26, high, load.fraction, g.ALERT if load.fraction > 0.9 else g.LOAD)
    canvas.text(x + 30, y, g.percent(load.fraction), layout.size, g.INK if load.used else g.GHOST)


def draw_legend(canvas: Canvas, snap: Snapshot, layout: Layout) -> None:
    """What the colours and marks mean."""
    top, x = layout.height - _LEGEND + 14, float(PAD)
    canvas.box(PAD, top - 8, canvas.width - PAD, top - 7, g.RULE)
    for kind, colour in KIND_COLOURS.items():
        canvas.box(x, top + 4, x + 14, top + 16, colour)
        x = canvas.text(x + 19, top + 10, {"act": "activation"}.get(kind, kind), 11) + 16
    for name, colour, draw in (
        ("current layer; slowest device; at a limit", g.ALERT, "fill"),
        ("may take the next map", g.INK, "marker"),
        ("map not yet placed", g.GHOST, "open"),
        ("next map", g.INK, "thick"),
    ):
        if draw == "marker":
            canvas.marker(x + 7, top + 10, 10, colour)
        else:
            line = {"fill": 1, "open": 1, "thick": 3}[draw]
            canvas.box(x, top + 4, x + 14, top + 16, colour if draw == "fill" else g.PAPER, colour, line)
        x = canvas.text(x + 19, top + 10, name, 11) + 16
    group = (
        "distinct maps that a device has held in all layers that carry the same maps"
        if snap.grouped
        else "the maps of a layer that a device holds"
    )
    lower = (
        f"Privacy counts {group}: beyond Nf it could rebuild the picture. "
        "Budgets hold for one period. Every camera runs its own first and last layer."
    )
    canvas.text(PAD, top + 31, lower, 11, g.MUTED, width=canvas.width - 2 * PAD)
