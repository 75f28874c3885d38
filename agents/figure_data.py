"""What a figure shows: cells (a panel and a place along it) with the result of a benchmark each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from agents.benchmark_result import BenchmarkResult
from agents.scores import percent, short

HEADINGS = ("panel", "at", "policy", "latency ms", "sent kB", "served", "gap")


@dataclass(frozen=True)
class Cell:
    """All policies at one place of a figure."""

    panel: str
    label: str
    result: BenchmarkResult

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for figure.json."""
        return {"panel": self.panel, "label": self.label, **self.result.to_dict()}


def measured(row: dict[str, Any], measure: str) -> tuple[float, float, float]:
    """A measure of a policy with its 95 % interval: milliseconds, kilobytes, or percent; nan where there is none.

    ``served``: share of the requests that were served, times the share of them without violation where privacy is respected:
    no violation ever occurs there. Its interval is not known.
    """
    if measure == "served":
        share = 100 * (1 - row["rejection_rate"])
        return share, float("nan"), float("nan")
    key, scale = {"latency": ("latency_s", 1e3), "data": ("shared_bytes", 1e-3), "gap": ("gap", 1e2)}[measure]
    low, high = row[key]["interval"]
    return scale * row[key]["mean"], scale * low, scale * high


def cell_rows(cells: Sequence[Cell]) -> list[list[str]]:
    """The cells of a table, by ``HEADINGS``."""
    return [
        [
            cell.panel,
            cell.label,
            row["policy"] + ("" if row["respects_privacy"] else " *"),
            short(measured(row, "latency")[0]),
            short(measured(row, "data")[0], 4),
            percent(1 - row["rejection_rate"]),
            percent(row["gap"]["mean"]),
        ]
        for cell in cells
        for row in cell.result.rows
    ]


def cell_table(cells: Sequence[Cell]) -> Table:
    """A rich table of all cells."""
    table = Table(box=box.SIMPLE_HEAD, caption="means per served request. * ignores privacy", caption_justify="left")
    for number, name in enumerate(HEADINGS):
        table.add_column(name, justify="right" if number > 2 else "left")
    for row in cell_rows(cells):
        table.add_row(*row)
    return table


def cells_csv(cells: Sequence[Cell]) -> str:
    """One row for each cell and policy; empty cells where nothing is known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("latency_ms", "latency_low", "latency_high", "data_kb", "data_low", "data_high")
    writer.writerow(
        ("panel", "at", "policy", "kind", "seeds", "requests", "rejection_rate", "violations", "gap", *names)
    )
    for cell in cells:
        for row in cell.result.rows:
            values = [*measured(row, "latency"), *measured(row, "data")]
            counts = (row["kind"], row["seeds"], row["requests"], row["rejection_rate"], row["violations"])
            known = ["" if value != value else repr(float(value)) for value in (row["gap"]["mean"], *values)]
            writer.writerow((cell.panel, cell.label, row["policy"], *counts, *known))
    return text.getvalue()
