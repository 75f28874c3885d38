"""What a measurement leaves: files, a result for JSON, and a table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.atomic import write_text_atomic
from envs.distprivacy.table_file import save_tables
from inference.images.image_set import Splits
from inference.inversion.measure import CellResult, Measurement
from inference.inversion.shape import departures
from inference.inversion.table import as_csv, comment_of, published, table_of


def write(measured: Measurement, out: Path, entry: str, about: Mapping[str, object]) -> dict[str, str]:
    """Write table, CSV, curves and pictures, each atomically; returns what -> path.

    Args:
        measured: what is written.
        out: path of the table; the others get its name.
        entry: what of a cell goes into the table, see ``table_of``.
        about: facts that stand above the table, by name.

    Raises:
        ValueError: the table cannot be written.
        OSError: another file cannot.
    """
    from inference.inversion.curves import save_curves
    from inference.inversion.gallery import save_gallery

    files = {
        "table": out,
        "csv": out.with_suffix(".csv"),
        "curves": out.with_name(f"{out.stem}_curves.png"),
        "pictures": out.with_name(f"{out.stem}_pictures.png"),
    }
    name = measured.network.name
    title = f"{name}: black-box inversion, {measured.test_pictures:,} test pictures, mean and 95 % interval"
    save_tables({name: table_of(measured, entry)}, out, comment_of(measured, about, entry))
    write_text_atomic(files["csv"], as_csv(measured))
    save_curves(measured, files["curves"], title)
    save_gallery(measured, files["pictures"], f"{name}: test pictures and what was rebuilt, mean SSIM of each row")
    return {what: str(path) for what, path in files.items()}


def as_data(
    measured: Measurement, files: Mapping[str, str], notes: Mapping[str, Any], splits: Splits
) -> dict[str, Any]:
    """The result of the command. ``notes``: of the network; ``splits``: the pictures."""
    return {
        "network": measured.network.name,
        "accuracy": notes.get("test_accuracy"),
        "trained_on": notes.get("dataset"),
        "dataset": splits.name,
        "notice": splits.notice,
        "steps": measured.steps,
        "seconds": measured.seconds,
        "window": measured.window,
        "test_pictures": measured.test_pictures,
        "train_pictures": measured.train_pictures,
        "floor": measured.floor.mean,
        "cells": [_cell(measured, one) for layer in measured.layers for one in measured.of(layer)],
        "departures": departures(measured),
        "files": dict(files),
    }


def _cell(measured: Measurement, one: CellResult) -> dict[str, Any]:
    return {
        "layer": one.cell.layer,
        "also": one.also,
        "maps": one.cell.maps,
        "colluders": one.cell.colluders,
        "seen": one.cell.pooled,
        "ssim": one.ssim.mean,
        "interval": [one.ssim.low, one.ssim.high],
        "worst": one.ssim.worst,
        "linear": one.linear.mean,
        "choices": len(one.cell.held),
        "steps": one.steps,
        "seconds": one.seconds,
        "paper": published(measured.network.name, one),
    }


def print_measured(measured: Measurement, result: Mapping[str, Any]) -> None:
    """Print a row a cell, what departs from the expected shape, and where the files are."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{measured.network.name}: SSIM of rebuilt pictures")
    for heading in ("layer", "maps", "SSIM", "low", "high", "worst", "linear", "paper", "steps", "s"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    for cell in result["cells"]:
        paper = "-" if cell["paper"] is None else f"{cell['paper']:.2f}"
        figures = [f"{figure:.3f}" for figure in (cell["ssim"], *cell["interval"], cell["worst"], cell["linear"])]
        table.add_row(cell["layer"], str(cell["maps"]), *figures, paper, f"{cell['steps']:,}", f"{cell['seconds']:.1f}")
    console = Console()
    console.print(table)
    first = measured.results[0]
    if first.cell.colluders > 1 or first.also is not None:
        many = f"{first.cell.colluders} devices pool theirs" if first.cell.colluders > 1 else ""
        second = "" if first.also is None else f"as many others of {first.also} are seen too"
        console.print(f"maps: of the layer, on one device; {'; '.join(filter(None, (many, second)))}.", soft_wrap=True)
    console.print(
        f"SSIM: mean over choices of maps and {measured.test_pictures:,} test pictures, its interval at 95 % from low to high; "
        f"{measured.floor.mean:.3f} without any map; worst: the choice that tells most; linear: the linear inverse alone; "
        "steps: of an attack; s: processor seconds of the cell.",
        soft_wrap=True,
    )
    if result["notice"]:
        console.print(f"{result['dataset']}: {result['notice']}", soft_wrap=True)
    for sentence in result["departures"]:
        console.print(f"Not as expected: {sentence}.", soft_wrap=True)
    console.print(
        f"{measured.seconds / 60:.1f} minutes of the processor, steps={measured.steps}; the table: {result['files']['table']}",
        soft_wrap=True,
    )
