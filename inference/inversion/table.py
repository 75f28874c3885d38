"""A measured table as files: the privacy table of the environment, and every figure behind it as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from envs.distprivacy.privacy import published_tables
from inference.inversion.measure import CellResult, Measurement

ENTRIES = ("mean", "high", "worst")
"""What of a cell goes into the table: the mean, the upper end of its interval, the mean of the choice that tells most."""
COLUMNS = (
    "network", "layer", "also", "maps", "colluders", "seen", "ssim", "low", "high", "worst", "linear", "floor",
    "choices", "pictures", "train_pictures", "steps", "paper",
)  # fmt: skip
DIGITS = 4


def table_of(measured: Measurement, entry: str = "mean") -> dict[str, dict[int, float | None]]:
    """Layer -> maps on a device -> SSIM, as env=distprivacy reads it; ``entry``: one of ``ENTRIES``."""
    return {
        layer: {one.cell.maps: round(getattr(one.ssim, entry), DIGITS) for one in measured.of(layer)}
        for layer in measured.layers
    }


def comment_of(measured: Measurement, about: Mapping[str, object], entry: str = "mean") -> str:
    """What stands above the table: where it comes from; ``about``: further facts, by name."""
    first = measured.results[0]
    held = "maps of the layer on a device"
    if first.also is not None:
        held = f"maps of the layer on a device, which sees as many others of {first.also}"
    if first.cell.colluders > 1:
        held += f"; {first.cell.colluders} devices pool them: read this table with colluders=1"
    choices = max(len(one.cell.held) for one in measured.results)
    lines = [
        "SSIM of black-box inversion, measured by python -m inference.invert.",
        f"Network -> layer -> {held} -> SSIM ({_MEANING[entry]}).",
        f"{measured.test_pictures:,} test pictures, {choices} choices of maps, {measured.steps:,} steps an attack, "
        f"window of {measured.window} pixels, data range 1.",
        f"Without any map (the mean picture): {measured.floor.mean:.{DIGITS}f}.",
        *(f"{name}: {value}" for name, value in about.items()),
    ]
    return "\n".join(lines)


_MEANING = {
    "mean": "mean over choices and pictures",
    "high": "upper end of the interval at 95 % of the mean over choices and pictures",
    "worst": "mean over pictures, of the choice of maps that tells most",
}


def published(network: str, result: CellResult) -> float | None:
    """What the paper's Table 2 says of a cell; None where it says nothing, or speaks of something else."""
    if result.also is not None or result.cell.colluders > 1:
        return None
    return published_tables().get(network, {}).get(result.cell.layer, {}).get(result.cell.maps)


def as_csv(measured: Measurement) -> str:
    """One line a cell, the columns ``COLUMNS``; an empty field where there is nothing to say."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for layer in measured.layers:
        for one in measured.of(layer):
            known = published(measured.network.name, one)
            figures = (one.ssim.mean, one.ssim.low, one.ssim.high, one.ssim.worst, one.linear.mean, measured.floor.mean)
            writer.writerow(
                (
                    measured.network.name,
                    layer,
                    one.also or "",
                    one.cell.maps,
                    one.cell.colluders,
                    one.cell.pooled,
                    *(f"{figure:.{DIGITS}f}" for figure in figures),
                    len(one.cell.held),
                    measured.test_pictures,
                    measured.train_pictures[layer],
                    one.steps,
                    "" if known is None else f"{known:g}",
                )
            )
    return text.getvalue()
