"""Reliability diagrams: accuracy against certainty, exit by exit, with the rows behind each point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.atomic import atomic_path
from envs.strict_json import FilePath
from inference.early_exit.calibration import Reliability


def save_plot(path: FilePath, curves: Sequence[Sequence[Reliability]], title: str) -> None:
    """Draw two rows of panels, before and after calibration, a column an exit: diagram above, rows of each bin below it.

    Args:
        path: .png or .svg, written atomically.
        curves: ``[before, after][exit]``.
        title: over everything.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    exits = len(curves[0])
    figure = Figure(figsize=(4.2 * exits, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, exits, sharex=True, squeeze=False, height_ratios=(3, 1))
    figure.suptitle(title)
    for k in range(exits):
        above, below = axes[:, k]
        above.plot((0.5, 1), (0.5, 1), color="0.6", linestyle=":", label="perfectly calibrated")
        for name, colour, curve in zip(("before", "after"), ("tab:orange", "tab:blue"), curves, strict=True):
            one = curve[k]
            known = one.count > 0
            label = f"{name}, ECE {one.ece:.3f}"
            above.plot(one.certainty[known], one.accuracy[known], marker="o", color=colour, label=label)
            middle = (one.edges[1:] + one.edges[:-1]) / 2
            shift = -0.01 if name == "before" else 0.01
            below.bar(middle + shift, one.count, width=0.02, color=colour)
        above.set(title=f"exit {k + 1}", ylabel="accuracy" if k == 0 else "", xlim=(0.49, 1.01))
        above.legend(loc="lower right", fontsize=8)
        below.set(xlabel="certainty", ylabel="rows" if k == 0 else "")
        below.set_xticks(np.linspace(0.5, 1.0, 6))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=Path(path).suffix[1:].lower())
