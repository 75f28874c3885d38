"""The panel of the current layer: who held the layer before, what they send to whom, and the layer's maps by holder."""

from __future__ import annotations

import numpy as np

from envs import drawing as g
from envs.distprivacy.panels import DEVICES_WIDTH, Layout
from envs.distprivacy.snapshot import PLACING, LayerState, Snapshot
from envs.drawing import Canvas, Colour

MOST_LINES = 400
"""More lines than this are neither quick nor legible: an even sample is drawn, and the panel says so."""
_CHIP = 22
_LINKS = {False: 116, True: 190}
"""Height of the transfers, compact layout or not."""
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
    if before is not None:
        title = f"Before: {g.fit(before.name, 12, 200)} ({before.kind}), number of maps on each device"
        canvas.text(left, top + 6, title, 12)
    upper = top + 18
    _draw_chips(canvas, [slot.held_before for slot in snap.slots], colours, centers, step, upper)
    high = upper + _CHIP + 14
    low = high + _LINKS[layout.compact]
    drawn, links = _draw_links(canvas, snap, colours, centers, (left, high, right, low))
    _draw_chips(canvas, [slot.held for slot in snap.slots], colours, centers, step, low)
    where = "one device runs it whole" if layer.kind == "fc" else "a cell is a map, its number the device"
    title = f"Now: {g.fit(layer.name, 12, 200)} ({layer.kind}), {'on the camera' if layer.on_source else where}"
    at = low + _CHIP + 28
    end = canvas.text(left, at, title, 12)
    if links:
        text = f"thickest line {g.quantity(float(snap.sent.max()), 'B')}"
        text += f", a sample of {drawn} of {links} lines" if drawn < links else ""
        canvas.text(right, at, text, 11, g.MUTED, "right", right - end - 12)
    else:
        canvas.text((left + right) / 2, (high + low) / 2, "nothing sent into this layer yet", 12, g.GHOST, "center")
    end = _draw_maps(canvas, snap, layer, colours, (left, at + 16, right, bottom - 6), layout)
    _draw_history(canvas, snap, colours, (left, end + 20, right, bottom))


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
        canvas.text(x, top + (_CHIP + 7), str(count), size, g.MUTED, "center")


def _draw_links(
    canvas: Canvas, snap: Snapshot, colours: tuple[Colour, ...], centers: list[float], area: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Lines from senders to receivers, as thick as their bytes; returns how many were drawn and how many there are."""
    senders, receivers = np.nonzero(snap.sent)
    count = len(senders)
    # a key of the pair alone, so that the sample hardly changes from frame to frame
    sample = np.argsort((senders * 0.618034 + receivers * 0.414214) % 1.0, kind="stable")[:MOST_LINES]
    amounts = snap.sent[senders, receivers]
    thick = 6.0 if count <= 40 else 4.0 if count <= 80 else 2.5 if count <= 200 else 1.5
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


def grid(maps: int, width: float, height: float, most: tuple[float, float]) -> tuple[int, float, float]:
    """Columns, cell width and cell height for ``maps`` cells in an area; rows of 8, 16, 32 or 64 are easy to count.

    ``most``: the largest width and height of a cell.
    """
    best = (1, 0.0, 0.0)
    for columns in (maps,) if maps <= 16 else (8, 16, 32, 64):
        rows = -(-maps // columns)
        wide, high = min(width / columns, most[0]), min(height / rows, most[1])
        if min(wide, high) > min(best[1:]):
            best = columns, wide, high
    return best


def _draw_maps(
    canvas: Canvas,
    snap: Snapshot,
    layer: LayerState,
    colours: tuple[Colour, ...],
    area: tuple[float, float, float, float],
    layout: Layout,
) -> float:
    """The maps as cells in rows, each row with the number of its first map; returns the height where they end."""
    left, top, right, bottom = area
    before = snap.before.holders if snap.before is not None and snap.keeps_maps else None
    room = bottom - top - (14 if before is not None else 0)
    columns, wide, high = grid(layer.segments, right - left - LABEL, room, (96, 76) if layout.compact else (74, 54))
    side = min(wide, high)
    gap = 3 if side > 24 else 1
    size = 16 if side >= 40 else 13 if side >= 28 else 9
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
    if before is not None:
        end += 8
        canvas.text(
            left + LABEL, end, "strip on top of a map: the device that held it in the layer before", 10, g.MUTED
        )
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


def _draw_history(
    canvas: Canvas, snap: Snapshot, colours: tuple[Colour, ...], area: tuple[float, float, float, float]
) -> None:
    """All distributed layers begun so far, a row each, a column a map; left out where it does not fit."""
    left, top, right, bottom = area
    indent = 52
    layers = [layer for layer in snap.layers[1:-1] if layer.kind != "fc"]
    if not layers:
        return
    high = min((bottom - top - 12) / len(layers), 28.0)
    wide = min((right - left - indent) / max(layer.segments for layer in layers), 1.7 * high)
    if high < 9.0:
        return
    size = 0 if wide < 14.0 or high < 14.0 else 9 if high < 22.0 else 12
    table = np.array(colours, np.uint8)
    canvas.text(left, top, "So far: a row for each layer, a column for each map", 12)
    for row, layer in enumerate(layers):
        y = top + 12 + row * high
        if not len(layer.holders):
            return
        canvas.text(left + indent - 8, y + high / 2, layer.name, 10 if high >= 14 else 9, g.MUTED, "right", indent - 10)
        if wide < 6.0:
            canvas.box(left + indent, y, left + indent + layer.segments * wide, y + high - 1, g.PAPER, g.RULE)
            canvas.strip(left + indent, y, len(layer.holders) * wide, high - 1, table[layer.holders])
            continue
        for p in range(layer.segments):
            x = left + indent + p * wide
            slot = int(layer.holders[p]) if p < len(layer.holders) else None
            _draw_cell(canvas, slot, colours, (x, y, x + wide - 1, y + high - 2), size)
