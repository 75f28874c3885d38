"""The plots of ``agents.figure``: panels of cells, a front of latency against data, latency over training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from agents.benchmark_plots import style
from agents.figure_data import Cell, measured
from agents.run_folder import RunFolder

AXES = {
    "latency": "latency of a request, ms",
    "data": "data sent for a request, kB",
    "served": "requests served, %",
    "gap": "optimality gap, %",
}
_NOTE = "points: means over the served requests; vertical lines: 95 % intervals (none where they are narrower than the point)"
_SPREAD = 8.0
"""A panel whose values differ by more than this factor has a logarithmic axis."""


def panels(cells: Sequence[Cell], measures: Sequence[str], title: str = "") -> Figure:
    """One row a measure, one column a panel of the cells: bars for shares, else points with intervals, by policy.

    Policies lie side by side at every place along a panel. An axis is logarithmic where its values differ much.
    """
    names = list(dict.fromkeys(cell.panel for cell in cells))
    policies = _policies(cells)
    styles = style(list(policies))
    widest = max(sum(cell.panel == name for cell in cells) for name in names)
    place = 0.75 if _of_levels(cells) else 1.05  # inches; fleets have long names
    figure = Figure(
        figsize=(max(7.5, (1.2 + place * widest) * len(names)), 0.9 + 2.7 * len(measures)), layout="constrained"
    )
    grid = figure.subplots(len(measures), len(names), squeeze=False)
    for row, measure in enumerate(measures):
        for column, name in enumerate(names):
            axes, own = grid[row, column], [cell for cell in cells if cell.panel == name]
            (_bars if measure == "served" else _points)(axes, own, measure, list(policies), styles)
            axes.set_title(name if row == 0 else "", fontsize=10)
            axes.set_ylabel(AXES[measure] if column == 0 else "")
            _places(axes, own, last=row == len(measures) - 1)
    if set(measures) == {"served"}:
        styles = {name: {**look, "marker": "s"} for name, look in styles.items()}  # the legend of bars
    handles = [
        axes.plot([], [], linestyle="", label=shown, **styles[name], markersize=8)[0]
        for name, shown in policies.items()
    ]
    figure.legend(handles=handles, loc="outside right center", frameon=False)
    figure.suptitle(title)
    notes = [] if set(measures) == {"served"} else [_NOTE]
    notes += ["* ignores privacy, so no valid answer"] if any(text.endswith("*") for text in policies.values()) else []
    figure.supxlabel("; ".join(notes), fontsize=8, color="#555555")
    return figure


def _policies(cells: Sequence[Cell]) -> dict[str, str]:
    """Names of the policies of all cells, with what the legend calls them; learned ones first, else by name, so that figures of
    the same policies have the same colours."""
    rows = [row for cell in cells for row in cell.result.rows]
    order = sorted(rows, key=lambda row: (("learned", "baseline", "reference").index(row["kind"]), row["policy"]))
    return {row["policy"]: row["policy"] + ("" if row["respects_privacy"] else " *") for row in order}


def _values(cell: Cell, policy: str, measure: str) -> tuple[float, float, float]:
    rows = {row["policy"]: row for row in cell.result.rows}
    return measured(rows[policy], measure) if policy in rows else (float("nan"),) * 3


def _bars(axes: Any, cells: Sequence[Cell], measure: str, policies: Sequence[str], styles: dict[str, Any]) -> None:
    """Bars from 0 to 100 %, with their height in numbers where there is room."""
    width = 0.84 / len(policies)
    for index, policy in enumerate(policies):
        x = np.arange(len(cells)) + (index - (len(policies) - 1) / 2) * width
        heights = [_values(cell, policy, measure)[0] for cell in cells]
        bars = axes.bar(x, heights, 0.92 * width, color=styles[policy]["color"])
        axes.bar_label(bars, [f"{height:.0f}" if np.isfinite(height) else "" for height in heights], fontsize=7)
    axes.set_ylim(0, 109)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _points(axes: Any, cells: Sequence[Cell], measure: str, policies: Sequence[str], styles: dict[str, Any]) -> None:
    """Points with their intervals; the axis begins at 0 unless it is logarithmic."""
    known: list[float] = []
    for index, policy in enumerate(policies):
        x = np.arange(len(cells)) + (index - (len(policies) - 1) / 2) * 0.6 / len(policies)
        values = np.array([_values(cell, policy, measure) for cell in cells])
        axes.vlines(x, values[:, 1], values[:, 2], color=styles[policy]["color"], linewidth=1.5)
        axes.plot(x, values[:, 0], linestyle="", markersize=6, **styles[policy])
        known += values[np.isfinite(values)].tolist()  # the ends of the intervals too
    axes.grid(axis="y", alpha=0.3)
    if min(known, default=0.0) > 0 and max(known) > _SPREAD * min(known):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title("log axis", loc="right", fontsize=7, color="#555555")
        return
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.set_ylim(0, 1.08 * max(known, default=1.0) or 1.0)


def _plain(value: float, _: Any = None) -> str:
    """A number without a power of ten."""
    return f"{value:,.10g}"


def _of_levels(cells: Sequence[Cell]) -> bool:
    """Whether the places along the panels are privacy levels, not fleets."""
    return all(cell.label.startswith("SSIM ") for cell in cells)


def _places(axes: Any, cells: Sequence[Cell], *, last: bool) -> None:
    """Ticks at the places along a panel: privacy levels, or fleets with their counts by type."""
    levels = _of_levels(cells)
    texts = [cell.label.removeprefix("SSIM ") for cell in cells]
    if not levels:
        texts = ["\n".join(" ".join(part.split("=")[::-1]) for part in text.split()) for text in texts]
    axes.set_xticks(range(len(cells)), texts if last else [""] * len(cells), fontsize=9 if levels else 8)
    axes.set_xlim(-0.6, len(cells) - 0.4)
    if last:
        axes.set_xlabel("SSIM allowed (less: more private)" if levels else "devices of the fleet", fontsize=9)


def front(cells: Sequence[Cell], title: str = "") -> Figure:
    """Mean latency against mean data of the policies of one cell, with intervals; a line joins the learned on the front."""
    (cell,) = cells
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    rivals = [row["policy"] for row in cell.result.rows if row["kind"] != "learned"]
    styles = style(["learned", *rivals])
    learned = []
    for row in cell.result.rows:
        latency, data = measured(row, "latency"), measured(row, "data")
        look = styles["learned" if row["kind"] == "learned" else row["policy"]]
        axes.plot(data[1:], [latency[0]] * 2, color=look["color"], linewidth=1)
        axes.plot([data[0]] * 2, latency[1:], color=look["color"], linewidth=1)
        if row["kind"] == "learned":
            learned.append((data[0], latency[0]))
            text = row["policy"].rpartition(", ")[2]
            axes.annotate(text, learned[-1], (5, 6), textcoords="offset points", fontsize=8)
        shown = row["policy"] + ("" if row["respects_privacy"] else " *")
        axes.plot(data[0], latency[0], linestyle="", label=None if row["kind"] == "learned" else shown, **look)
    undominated = [at for at in learned if not any(x <= at[0] and y <= at[1] and (x, y) != at for x, y in learned)]
    axes.plot(*np.array(sorted(undominated)).T, color="grey", linewidth=1, zorder=0)
    axes.set(xlabel=AXES["data"], ylabel=AXES["latency"], xlim=(0, None), ylim=(0, None), title=title)
    axes.legend(loc="lower left", fontsize=9)
    axes.grid(alpha=0.3)
    note = f"{cell.panel}, {cell.label}. Round dots: trained at this price of traffic; crosses: 95 % intervals"
    private = all(row["respects_privacy"] for row in cell.result.rows)
    figure.supxlabel(note + ("" if private else "; * ignores privacy"), fontsize=8, color="#555555")
    return figure


def curves(folders: Sequence[RunFolder], leave_after: Sequence[int], title: str = "") -> Figure:
    """Mean latency of the episodes of training over the episodes so far; a broken line marks where devices leave.

    Not the return: its scale follows from the fleet, so that it jumps when devices leave.
    """
    figure = Figure(figsize=(7.5, 0.6 + 2.6 * len(leave_after)), layout="constrained")
    grid = figure.subplots(len(leave_after), 1, squeeze=False, sharex=True, sharey=True)
    each = len(folders) // len(leave_after)
    for index, after in enumerate(leave_after):
        axes = grid[index, 0]
        for folder in folders[index * each : (index + 1) * each]:
            rows = _rows(folder)
            at = [row["episodes"] for row in rows]
            axes.plot(at, [row["latency_ms"] for row in rows], label=f"training seed {folder.config.seed}")
            left = axes.axvline(_episodes_at(rows, after), color="grey", linestyle="--")
        left.set_label(f"devices leave, after {after:,} steps")
        axes.set_ylabel(AXES["latency"])
        axes.legend(loc="upper right", fontsize=8)
        axes.grid(alpha=0.3)
    grid[-1, 0].set_xlabel("episodes (requests) of training so far")
    figure.suptitle(title)
    return figure


def _rows(folder: RunFolder) -> list[dict[str, float]]:
    """The rows of metrics.csv that have a latency."""
    with open(folder.metrics, newline="", encoding="utf-8") as file:
        rows = [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if np.isfinite(row["latency_ms"])]


def _episodes_at(rows: Sequence[dict[str, float]], step: int) -> float:
    """Episodes so far at a step, between the rows on a straight line."""
    return float(np.interp(step, [row["step"] for row in rows], [row["episodes"] for row in rows]))
