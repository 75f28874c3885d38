"""Fronts as a CSV file, as a file of actions, and as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.early_exit.types import Thresholds
from optimal.early_exit.levels import NAMES
from optimal.early_exit.methods import Found
from optimal.early_exit.pareto import hypervolume
from optimal.early_exit.row_costs import RowCost

COLUMNS = ("method", *NAMES, "r_n1", "r_a1", "error", "cost", "share", "acceptance", "offloaded", "chosen")
"""Of the CSV file. r_*: reject thresholds of exit 1; cost in the cost's unit, share: the same normalised (F2)."""

Row = dict[str, Any]


def points(found: Found, chosen: int | None) -> list[Row]:
    """One row a point of a front, by ``COLUMNS``; ``chosen``: index of the operating point, if it is here."""
    front = found.front
    rows = []
    for at in range(len(front)):
        cells = [
            found.method,
            *map(float, front.values[at]),
            *map(float, front.rejects[at]),
            float(front.error[at]),
            float(front.cost[at]),
            float(front.share[at]),
            float(front.acceptance[at]),
            float(front.offloaded[at] / front.rows),
            int(at == chosen),
        ]
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def as_csv(rows: Sequence[Row]) -> str:
    """The text of the CSV file; numbers by their shortest repr, so thresholds part rows exactly as counted."""
    lines = [",".join(str(row[name]) for name in COLUMNS) for row in rows]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"


def as_actions(found: Found, chosen: int) -> Thresholds:
    """The operating point, then the whole front, as named thresholds."""
    every = found.front.thresholds
    order = np.array([chosen, *range(len(found.front))])
    names = [f"{found.method} {100 * error:.2f} % wrong" for error in found.front.error]
    texts = (f"chosen: {names[chosen]}", *names)
    return Thresholds(every.accept[order], every.reject[order], texts)


def summary(found: Found) -> Row:
    """What the table says of one method."""
    front, against = found.front, found.against
    return {
        "method": found.method,
        "points": len(front),
        "seconds": found.seconds,
        "hypervolume": hypervolume(front.points),
        "ratio": None if against is None else against.ratio,
        "dominated": None if against is None else against.dominated,
        "first_error": float(front.error[0]) if len(front) else None,
        "first_cost": float(front.cost[0]) if len(front) else None,
        "last_error": float(front.error[-1]) if len(front) else None,
        "last_cost": float(front.cost[-1]) if len(front) else None,
    }


def print_fronts(title: str, every: Sequence[Found], cost: RowCost, chosen: Row, rule: str) -> None:
    """Print one line a method, and the operating point."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    heads = [
        "method",
        "points",
        "cheapest: error %",
        "cost",
        "surest: error %",
        "cost",
        "hypervolume",
        "ratio",
        "dominated",
    ]
    for head in [*heads, "seconds"]:
        table.add_column(head, justify="left" if head == "method" else "right", no_wrap=head == "method")
    for found in every:
        row = summary(found)
        texts = [row["method"], f"{row['points']:,}"]
        for end in ("first", "last"):
            texts += [_text(row[f"{end}_error"], 100, ".2f"), _text(row[f"{end}_cost"], 1, ".4g")]
        texts += [_text(row["hypervolume"], 1, ".6f"), _text(row["ratio"], 1, ".4f")]
        texts += [_text(row["dominated"], 100, ".0f", " %"), _text(row["seconds"], 1, ".3f")]
        table.add_row(*texts)
    console = Console()
    if console.width < 120:
        console = Console(width=120, soft_wrap=True)
    console.print(table)
    unit = f" {cost.unit}" if cost.unit else ""
    console.print(f"cost: {cost.name}{unit and ',' + unit}, mean of a row; hypervolume from error .20 and F2 1")
    where = ", ".join(f"{name} {chosen[name]:.7g}" for name in NAMES)
    rejects = "".join(f", {name} {chosen[name]:.7g}" for name in ("r_n1", "r_a1") if chosen[name] > 0)
    console.print(
        f"chosen ({chosen['method']}, {rule}): {where}{rejects}; error {100 * chosen['error']:.2f} %, "
        f"cost {chosen['cost']:.4g}{unit}, accepted {100 * chosen['acceptance']:.1f} %, "
        f"offloaded {100 * chosen['offloaded']:.1f} %"
    )


def _text(value: float | None, factor: float, form: str, unit: str = "") -> str:
    return "" if value is None else f"{factor * value:{form}}{unit}"
