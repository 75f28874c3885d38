"""The plots of ``agents.figure``: panels of cells, a front of latency against data, returns over training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.benchmark_plots import style, svg
from agents.figure_data import Cell, measured
from agents.run_folder import RunFolder

AXES = {
    "latency": "latency of a request, ms",
    "data": "data sent for a request, kB",
    "served": "requests served, %",
    "gap": "optimality gap, %",
}


def panels(cells: Sequence[Cell], measures: Sequence[str]) -> str:
    """One row a measure, one column a panel of the cells, bars by policy at every place along it."""
    names = list(dict.fromkeys(cell.panel for cell in cells))
    policies = list(dict.fromkeys(row["policy"] for cell in cells for row in cell.result.rows))
    colours = style(policies)
    widest = max(sum(cell.panel == name for cell in cells) for name in names)
    figure = Figure(figsize=((1.6 + 1.0 * widest) * len(names) + 1.5, 2.9 * len(measures)))
    grid = figure.subplots(len(measures), len(names), squeeze=False)
    for row, measure in enumerate(measures):
        for column, name in enumerate(names):
            own = [cell for cell in cells if cell.panel == name]
            _bars(grid[row, column], own, measure, policies, colours)
            grid[row, column].set_title(name if row == 0 else "")
            grid[row, column].set_ylabel(AXES[measure] if column == 0 else "")
    handles = [figure.axes[0].bar(0, 0, color=colours[name]["color"], label=name) for name in policies]
    figure.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    return svg(figure)


def _bars(axes: Any, cells: Sequence[Cell], measure: str, policies: Sequence[str], colours: dict[str, Any]) -> None:
    width = 0.8 / len(policies)
    for at, cell in enumerate(cells):
        rows = {row["policy"]: row for row in cell.result.rows}
        for index, policy in enumerate(policies):
            value, low, high = measured(rows[policy], measure) if policy in rows else (np.nan,) * 3
            if np.isfinite(value):
                x = at + (index - (len(policies) - 1) / 2) * width
                axes.bar(x, value, width, color=colours[policy]["color"])
                if np.isfinite(low):
                    axes.plot([x, x], [low, high], color="black", linewidth=1)
    axes.set_xticks(range(len(cells)), [cell.label.replace(" ", "\n") for cell in cells])
    axes.grid(axis="y", alpha=0.3)
    axes.set_ylim(bottom=0)


def front(cells: Sequence[Cell]) -> str:
    """Mean latency against mean data of the policies of one cell, with intervals; learned ones are joined by a line."""
    (cell,) = cells
    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot()
    styles = style([row["policy"] for row in cell.result.rows])
    learned = []
    for row in cell.result.rows:
        latency, data = measured(row, "latency"), measured(row, "data")
        look = styles[row["policy"]]
        axes.plot(data[1:], [latency[0]] * 2, color=look["color"], linewidth=1)
        axes.plot([data[0]] * 2, latency[1:], color=look["color"], linewidth=1)
        axes.plot(data[0], latency[0], linestyle="", label=row["policy"], **look)
        if row["kind"] == "learned":
            learned.append((data[0], latency[0]))
    axes.plot(*np.array(sorted(learned)).T, color="grey", linewidth=1, zorder=0)
    axes.set_xlabel(AXES["data"])
    axes.set_ylabel(AXES["latency"])
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return svg(figure)


def curves(folders: Sequence[RunFolder], leave_after: Sequence[int]) -> str:
    """Mean return of the episodes of training over the episodes so far; a broken line marks where devices leave."""
    figure = Figure(figsize=(7, 2.8 * len(leave_after)))
    grid = figure.subplots(len(leave_after), 1, squeeze=False)
    each = len(folders) // len(leave_after)
    for index, after in enumerate(leave_after):
        axes = grid[index, 0]
        for folder in folders[index * each : (index + 1) * each]:
            rows = _rows(folder)
            axes.plot([row["episodes"] for row in rows], [row["return"] for row in rows], label=folder.path.name)
            axes.axvline(_episodes_at(rows, after), color="grey", linestyle="--")
        axes.set_title(f"devices leave after {after:,} steps")
        axes.set_ylabel("return of an episode")
        axes.grid(alpha=0.3)
    grid[-1, 0].set_xlabel("episodes")
    figure.tight_layout()
    return svg(figure)


def _rows(folder: RunFolder) -> list[dict[str, float]]:
    """The rows of metrics.csv that have a return."""
    with open(folder.metrics, newline="", encoding="utf-8") as file:
        rows = [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if np.isfinite(row["return"])]


def _episodes_at(rows: Sequence[dict[str, float]], step: int) -> float:
    """Episodes so far at a step, between the rows on a straight line."""
    return float(np.interp(step, [row["step"] for row in rows], [row["episodes"] for row in rows]))
