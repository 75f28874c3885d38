"""One picture a scenario: a panel for each published panel, our references solid, the published curves dashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

# own curve, published curve, name of both, colour of Okabe and Ito's palette
PAIRS = (
    ("threshold", "baseline", "one threshold", "#e69f00"),
    ("iid-MDP", "mdp", "iid-MDP (blind to correlation)", "#0072b2"),
    ("belief", None, "belief (exact filter, no training)", "#009e73"),
    (None, "dqn", "the paper's DQN", "#d55e00"),
    ("bound", "bound", "bound without a bucket", "#555555"),
)


def plot(rows: list[dict[str, Any]], scenario: int, path: Path) -> None:
    """Write the picture of the rows of one scenario to ``path`` (.png or .svg)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    from envs.atomic import atomic_path

    panels = list(dict.fromkeys(row["panel"] for row in rows))
    columns = 3
    lines = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4.1 * columns, 3.3 * lines), squeeze=False)
    flat = list(axes.ravel())
    for axis in flat[len(panels) :]:
        axis.set_axis_off()
    for axis, panel in zip(flat, panels, strict=False):
        own = [row for row in rows if row["panel"] == panel]
        x = np.array([row["x"] for row in own])
        for ours, published, _, colour in PAIRS:
            thin = 1.0 if ours == "bound" else 1.7
            if ours is not None:
                marker = "" if ours == "bound" else "o"
                axis.plot(x, [row[ours] for row in own], "-", marker=marker, ms=4, lw=thin, color=colour)
            if published is not None:
                y = [row[f"published {published}"] for row in own]
                axis.plot(x, y, "--", marker="" if ours == "bound" else "s", mfc="white", ms=4, lw=thin, color=colour)
        axis.set_title(panel, fontsize=10)
        axis.set_xlabel(own[0]["axis"], fontsize=9)
        if len(x) < 6 and "depth" in own[0]["axis"]:
            axis.set_xticks(x)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    for row_of_axes in axes:
        row_of_axes[0].set_ylabel("mean top-5 loss", fontsize=9)
    handles = [
        Line2D([], [], color=colour, lw=2, ls="-" if ours else "--", label=name) for ours, _, name, colour in PAIRS
    ]
    handles += [
        Line2D([], [], color="black", marker="o", ms=4, label="solid: ours, synthetic metrics"),
        Line2D([], [], color="black", ls="--", marker="s", mfc="white", ms=4, label="dashed: published, ImageNet"),
    ]
    title = {
        1: "Scenario 1: correlated metrics, a frame every unit",
        2: "Scenario 2: two regimes of arrivals, independent metrics",
    }
    meaning = "r: tokens a time unit, b: depth of the bucket in tokens; dashed: read off the figures of Qiu et al."
    figure.suptitle(f"{title[scenario]}; lower is better\n{meaning}", fontsize=11)
    if len(panels) < len(flat):
        flat[len(panels)].legend(handles=handles, loc="center", frameon=False, fontsize=9)
        figure.tight_layout(rect=(0.0, 0.0, 1.0, 0.99))
    else:
        figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False, fontsize=9)
        figure.tight_layout(rect=(0.0, 0.4 / figure.get_figheight(), 1.0, 0.99))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
    pyplot.close(figure)
