"""The result of an evaluation of early exit: policies on the same episodes, one comparison for each budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from agents.scores import table_of_scores
from optimal.early_exit.episode_gaps import BASE, BEST, Comparison
from optimal.early_exit.playing import FUTURE, HEURISTIC, OUTSIDE, PAST_LABELS

MARKS = {HEURISTIC: "", PAST_LABELS: " +", FUTURE: " *", OUTSIDE: " ^"}
"""What stands behind the name of a policy that knows or does more than the agent."""


@dataclass
class ExitScores:
    """Comparisons of several policies, the policy of interest first."""

    title: str
    comparisons: list[Comparison]
    folder: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``summary.json`` and ``format=json``."""
        folder = None if self.folder is None else str(self.folder)
        of_budget = []
        for one in self.comparisons:
            rows = one.rows()
            for row in rows:
                row["budget"] = None if row["budget"] == np.inf else row["budget"]
            limit = None if one.budget == np.inf else one.budget
            bound = None if one.bound is None else float(one.bound.mean())
            of_budget.append({"budget": limit, "least_acceptance": one.least, "bound": bound, "policies": rows})
        return {"title": self.title, "folder": folder, "budgets": of_budget}

    def table(self) -> Table:
        """A rich table, lowest cost first within each budget; what knows the future last."""
        table = table_of_scores(self.title, _CAPTION)
        for name in ("b", "policy", "cost", f"vs {BASE}", "gap", "wrong", "rej.", "sent", "missed"):
            table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
        for one in self.comparisons:
            rows = one.rows()
            mine = rows[0]["policy"]
            order = sorted(rows, key=lambda row: (row["kind"] in (FUTURE, OUTSIDE), row["cost"]))
            for number, row in enumerate(order):
                table.add_row(
                    "" if number else ("none" if one.budget == np.inf else f"{one.budget:g}"),
                    row["policy"] + MARKS[row["kind"]],
                    f"{row['cost']:.4f}±{np.diff(row['cost_interval'])[0] / 2:.4f}",
                    _difference(row),
                    "-" if row["closed"] != row["closed"] else f"{100 * row['closed']:.0f}",
                    *(f"{100 * row[name]:.1f}" for name in ("errors", "rejected", "sent")),
                    f"{100 * row['violated']:.0f}",
                    style="bold" if row["policy"] == mine else None,
                    end_section=one.bound is None and number == len(order) - 1,
                )
            if one.bound is not None:
                table.add_row("", "bound *", f"{one.bound.mean():.4f}", end_section=True)
        return table


def _difference(row: dict[str, Any]) -> str:
    if "difference" not in row or row["policy"] == BASE:
        return "-"
    low, high = row["difference_interval"]
    return f"{row['difference']:+.4f}±{(high - low) / 2:.4f}"


_CAPTION = (
    "cost: of a row, the charge for lacking acceptance included, ± half its 95 % bootstrap interval over episodes; vs: "
    f"difference on the same episodes; gap: share of the way from {BASE} to {BEST}, or to the bound; percent, as are rows "
    "wrong, rejected and sent, and episodes that accept less than they must (missed). + knows labels of the past, * the "
    "future, ^ does what no action can."
)
