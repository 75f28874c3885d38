"""SSIM against maps held, layer by layer, with intervals, the floor and the paper's values."""

from __future__ import annotations

from pathlib import Path

from envs.atomic import atomic_path
from envs.strict_json import FilePath
from inference.inversion.measure import Measurement
from inference.inversion.table import published


def save_curves(measured: Measurement, path: FilePath, title: str) -> None:
    """Draw ``measured`` into ``path`` (.png or .svg), atomically. Raises ``OSError``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    counts: set[int] = set()
    for number, layer in enumerate(measured.layers):
        row, colour = measured.of(layer), f"C{number}"
        maps = [one.cell.maps for one in row]
        means = [one.ssim.mean for one in row]
        below = [one.ssim.mean - one.ssim.low for one in row]
        above = [one.ssim.high - one.ssim.mean for one in row]
        axes.errorbar(maps, means, (below, above), marker="o", capsize=3, color=colour, label=layer)
        known = [(one.cell.maps, published(measured.network.name, one)) for one in row]
        stated = [(count, value) for count, value in known if value is not None]
        if stated:
            axes.plot(*zip(*stated, strict=True), "x", linestyle=":", color=colour, label=f"{layer}, paper's Table 2")
        counts.update(maps)
    axes.axhline(measured.floor.mean, color="0.5", linestyle="--", label="no map: the mean picture")
    first = measured.results[0]
    held = (
        "maps held" if first.cell.colluders == 1 else f"maps on each of {first.cell.colluders} devices that pool them"
    )
    held += "" if first.also is None else f", and as many of {first.also}"
    axes.set(
        xscale="log", xlabel=f"{held} (number)", ylabel="SSIM of the rebuilt picture", title=title, ylim=(None, 1.02)
    )
    axes.xaxis.set_major_locator(FixedLocator(sorted(counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(count) for count in sorted(counts)])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=Path(path).suffix[1:].lower())
