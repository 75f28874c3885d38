"""The comparison of camera schemes as a table on the screen and as a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimal.token_bucket.cameras import Row

COLOURS = {"isolated": "#999999", "hierarchical": "#d55e00", "shared": "#0072b2"}
"""Of the schemes, from Okabe and Ito's palette."""


def print_table(rows: Sequence[Row]) -> None:
    """A line a scheme, with intervals of two standard errors."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    title = "Mean loss of a frame, ± two standard errors in units of the last digit"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("depth", "N", "scheme", "loss", "exact", "published", "own r, b", "dropped"):
        table.add_column(heading, justify="left" if heading == "scheme" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.depth:g}",
            str(row.cameras),
            row.scheme,
            f"{row.loss:.5f} ±{2e5 * row.standard_error:.0f}",
            "" if row.exact_loss is None else f"{row.exact_loss:.5f}",
            "" if row.published is None else f"{row.published:.4f}",
            f"{row.own_rate:g}, {row.own_depth:g}",
            f"{100 * row.dropped:.1f} %",
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def plot(rows: Sequence[Row], path: Path) -> None:
    """One panel a depth: loss over the number of cameras, one line a scheme; dotted: as published."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    from envs.atomic import atomic_path

    depths = list(dict.fromkeys(row.depth for row in rows))
    figure, axes = pyplot.subplots(1, len(depths), figsize=(4.6 * len(depths), 3.6), squeeze=False, sharey=True)
    for axis, depth in zip(axes[0], depths, strict=True):
        for scheme, colour in COLOURS.items():
            own = [row for row in rows if (row.scheme, row.depth) == (scheme, depth)]
            x, y = [row.cameras for row in own], [row.loss for row in own]
            axis.errorbar(
                x, y, [2 * row.standard_error for row in own], fmt="o-", ms=4, capsize=3, color=colour, label=scheme
            )
            known = [row for row in own if row.published is not None]
            if known:
                levels = [row.published for row in known]
                axis.plot([row.cameras for row in known], levels, ":", marker="x", color=colour, linewidth=1)
        axis.set(title=f"depth {depth:g} token{'s' * (depth != 1)} a camera", xlabel="cameras behind the switch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("mean loss of a frame (top-5 error)")
    if any(row.published is not None for row in rows):
        axes[0][0].plot([], [], ":x", color="black", linewidth=1, label="published (read off, ±.0003)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: labels[k].startswith("published"))
    figure.legend(
        [handles[k] for k in order], [labels[k] for k in order], loc="upper center", ncols=len(labels), frameon=False
    )
    figure.text(
        0.99, 0.005, "bars of two standard errors, mostly smaller than the dots", ha="right", fontsize=7, color="grey"
    )
    figure.tight_layout(rect=(0.0, 0.02, 1.0, 0.92))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)
