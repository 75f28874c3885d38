"""The panel of the current layer: who held the layer before, what they send to whom, and the layer's maps by holder."""

from __future__ import annotations

import numpy as np

from envs.distprivacy import drawing as g
from envs.distprivacy.drawing import Canvas, Colour
from envs.distprivacy.panels import DEVICES_WIDTH, PAD, Layout
from envs.distprivacy.snapshot import PLACING, LayerState, Snapshot

MOST_LINES = 400
"""More lines than this are neither quick nor legible: an even sample is drawn, and the panel says so."""
_CHIP = 22
_LINKS = {False: 116, True: 190}
"""Height of the transfers, compact layout or not."""
_HISTORY_ROW = 16
LABEL = 30
"""Width left of the maps for their numbers."""


def draw_layer(canvas: Canvas, snap: Snapshot, colours: tuple[Colour, ...], layout: Layout) -> None:
    """Holders before, transfers, holders now, and below them the maps of the current layer."""
    left, top, right, bottom = layout.body
    left += DEVICES_WIDTH + 28
    layer = snap.layer
    if layer is None:
        canvas.text((left + right) / 2, (top + bottom) / 2, "Nothing was placed.", 14, g.MUTED, "center")
        return
    step = (right - left) / len(snap.slots)
    centers = [left + (slot + 0.5) * step for slot in range(len(snap.slots))]
    before = snap.before
    title = "The camera takes the picture" if before is None else f"Before: {before.name} ({before.kind}), maps held by each device"
    canvas.text(left, top + 6, title, 12)
    upper = top + 18
    _draw_chips(canvas, [slot.held_before for slot in snap.slots], colours, centers, step, upper)
    high = upper + _CHIP + 14
    low = high + _LINKS[layout.compact]
    drawn, links = _draw_links(canvas, snap, colours, centers, (left, high, right, low))
    _draw_chips(canvas, [slot.held for slot in snap.slots], colours, centers, step, low)
    title = f"Now: {layer.name} ({layer.kind}), " + ("runs on the camera" if layer.on_source else "maps placed on each device")
    at = low + _CHIP + 28
    end = canvas.text(left, at, title, 12)
    if links:
        text = f"thickest line {g.quantity(float(snap.sent.max()), 'B')}"
        text += f", a sample of {drawn} of {links} lines" if drawn < links else ""
        canvas.text(right, at, text, 11, g.MUTED, "right", right - end - 12)
    end = _draw_maps(canvas, snap, layer, colours, (left, at + 16, right, bottom - 6))
    _draw_history(canvas, snap, colours, (left, end + 18, right, bottom))


def _draw_chips(
    canvas: Canvas, counts: list[int], colours: tuple[Colour, ...], centers: list[float], step: float, top: float
) -> None:
    """One chip for every holder at its own place, its number inside, its maps beside it."""
    source = len(counts) - 1
    half = min(step - 2, 36) / 2
    size = 11 if step >= 18 else 9
    for slot, count in enumerate(counts):
        x = centers[slot]
        if not count:
            canvas.box(x - 1, top + _CHIP / 2 - 1, x + 2, top + _CHIP / 2 + 2, g.RULE)
            continue
        canvas.box(x - half, top, x + half, top + _CHIP, colours[slot])
        canvas.text(x, top + _CHIP / 2, "S" if slot == source else str(slot), size, g.ink_on(colours[slot]), "center")
        canvas.text(x, top + (_CHIP + 7), g.fit(str(count), size, step), size, g.MUTED, "center")


def _draw_links(
    canvas: Canvas, snap: Snapshot, colours: tuple[Colour, ...], centers: list[float], area: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Lines from senders to receivers, as thick as their bytes; returns how many were drawn and how many there are."""
    senders, receivers = np.nonzero(snap.sent)
    count = len(senders)
    # a key of the pair alone, so that the sample hardly changes from frame to frame
    sample = np.argsort((senders * 0.618034 + receivers * 0.414214) % 1.0, kind="stable")[:MOST_LINES]
    amounts = snap.sent[senders, receivers]
    thick = 6.0 if count <= 60 else 3.0 if count <= 200 else 1.5
    # the heaviest first, so that no thick line hides a thin one
    lines = [
        (
            centers[senders[k]],
            area[1] + 2,
            centers[receivers[k]],
            area[3] - 2,
            0.5 + (thick - 0.5) * float(amounts[k] / amounts.max()),
            colours[senders[k]],
        )
        for k in sample[np.argsort(-amounts[sample], kind="stable")]
    ]
    canvas.lines(area, lines)
    return len(lines), count


def grid(maps: int, width: float, height: float) -> tuple[int, float, float]:
    """Columns, cell width and cell height for ``maps`` cells in an area; rows of 8, 16, 32 or 64 line up with map numbers."""
    best = (1, 0.0, 0.0)
    for columns in (maps,) if maps <= 16 else (8, 16, 32, 64):
        rows = -(-maps // columns)
        wide, high = min(width / columns, 74.0), min(height / rows, 54.0)
        if min(wide, high) > min(best[1:]):
            best = columns, wide, high
    return best


def _draw_maps(
    canvas: Canvas, snap: Snapshot, layer: LayerState, colours: tuple[Colour, ...], area: tuple[float, float, float, float]
) -> float:
    """The maps as cells in rows, each row with the number of its first map; returns the height where they end."""
    left, top, right, bottom = area
    columns, wide, high = grid(layer.segments, right - left - LABEL, bottom - top)
    side = min(wide, high)
    gap = 3 if side > 24 else 1
    size = 16 if side >= 40 else 13 if side >= 28 else 9
    before = snap.before.holders if snap.before is not None and snap.keeps_maps else None
    for p in range(layer.segments):
        x, y = left + LABEL + p % columns * wide, top + p // columns * high
        if p % columns == 0 and layer.segments > 16:
            canvas.text(left + LABEL - 8, y + high / 2, str(p + 1), 10, g.MUTED, "right")
        x1, y1 = x + wide - gap, y + high - gap
        slot = int(layer.holders[p]) if p < len(layer.holders) else None
        _draw_cell(canvas, slot, colours, (x, y, x1, y1), size if side >= 12 else 0)
        if before is not None:
            strip = max(3, round(high / 6))
            canvas.box(x, y, x1, y + strip, colours[before[p]])
            canvas.box(x, y + strip, x1, y + strip + 1, g.PAPER)
        if p == len(layer.holders) and snap.status == PLACING:
            canvas.box(x - 1, y - 1, x1 + 1, y1 + 1, None, g.INK, 3 if side > 20 else 2)
    end = top - (-layer.segments // columns) * high
    if before is not None and end + 12 < bottom:
        end += 8
        canvas.text(left + LABEL, end, "strip on top of a map: the device that held it in the layer before", 10, g.MUTED)
    return end


def _draw_cell(
    canvas: Canvas, slot: int | None, colours: tuple[Colour, ...], box: tuple[float, float, float, float], size: int
) -> None:
    """One map: in the colour of its holder with its number, or hollow. ``size`` 0: no number."""
    x, y, x1, y1 = box
    if slot is None:
        canvas.box(x, y, x1, y1, g.PAPER, g.GHOST)
        return
    canvas.box(x, y, x1, y1, colours[slot])
    if size:
        name = "S" if slot == len(colours) - 1 else str(slot)
        canvas.text((x + x1) / 2, (y + y1) / 2 + (1 if size > 9 else 0), name, size, g.ink_on(colours[slot]), "center")


def _draw_history(canvas: Canvas, snap: Snapshot, colours: tuple[Colour, ...], area: tuple[float, float, float, float]) -> None:
    """All distributed layers begun so far, a row each, a column a map; left out where it does not fit."""
    left, top, right, bottom = area
    indent = 52
    layers = [layer for layer in snap.layers[1:-1] if layer.time_s is not None and layer.kind != "fc"]
    cell = min((right - left - indent) / max((layer.segments for layer in layers), default=1), 26.0)
    room = sum(layer.kind != "fc" for layer in snap.layers[1:-1])
    if cell < 6.0 or top + 12 + room * _HISTORY_ROW > bottom:
        return
    canvas.text(left, top, "So far: a row for each layer, a column for each map", 12)
    for row, layer in enumerate(layers):
        y = top + 12 + row * _HISTORY_ROW
        canvas.text(left + indent - 8, y + _HISTORY_ROW / 2, layer.name, 10, g.MUTED, "right", indent - 10)
        for p in range(layer.segments):
            x = left + indent + p * cell
            slot = int(layer.holders[p]) if p < len(layer.holders) else None
            _draw_cell(canvas, slot, colours, (x, y, x + cell - 1, y + _HISTORY_ROW - 2), 9 if cell >= 14 else 0)
