"""Fronts of error and cost in one picture, with the operating point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from optimal.early_exit.methods import BASELINES, Found
from optimal.early_exit.row_costs import RowCost

# colours of Okabe and Ito's palette
STYLES = {
    "exact": ("#000000", "-", "exact: all thresholds"),
    "mass-aware": ("#0072b2", "-", "mass-aware levels"),
    "grid": ("#e69f00", "-", "even grid"),
    "nsga2": ("#d55e00", "", "NSGA-II, as published"),
    "reject-at-exit-1": ("#009e73", "--", "exit 1 may reject, too"),
    "exit 1 only": ("#cc79a7", "", "exit 1 only, rejects"),
    "exit 2 only": ("#56b4e9", "", "exit 2 only, rejects"),
}


def plot(title: str, every: Sequence[Found], cost: RowCost, chosen: tuple[Found, int], path: Path) -> None:
    """Write the picture (.png or .svg) of all fronts; ``chosen``: whose point is marked, and its index."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from envs.atomic import atomic_path

    figure, axis = pyplot.subplots(figsize=(7.6, 5.0))
    ends = [found.front.cost[-1] for found in every if found.method not in BASELINES and len(found.front)]
    end = max(ends, default=1.0)
    for found in every:
        front = found.front
        colour, line, name = STYLES[found.method]
        if not line:
            marker = "x" if found.method == "nsga2" else "D"
            axis.plot(front.cost, 100 * front.error, marker, ms=5, mew=1.2, color=colour, label=name)
            continue
        # a step: between two points nothing better can be had
        x, y = np.append(front.cost, end), np.append(front.error, front.error[-1:])
        wide = 2.2 if found.method == "exact" else 1.3
        axis.step(x[: len(y)], 100 * y, where="post", ls=line, lw=wide, color=colour, label=name)
    found, at = chosen
    label = f"chosen: {100 * found.front.error[at]:.2f} %, {found.front.cost[at]:.3g}{cost.unit and ' ' + cost.unit}"
    axis.plot(
        found.front.cost[at],
        100 * found.front.error[at],
        "*",
        ms=15,
        color="#f0e442",
        mec="black",
        label=label,
        zorder=5,
    )
    axis.set_xlabel(f"{cost.name}, mean of a row{cost.unit and f' [{cost.unit}]'}")
    axis.set_ylabel("wrong among the answered rows [%]")
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)
