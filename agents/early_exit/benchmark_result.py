"""The result of a benchmark of early exit: figures of every policy over seeds, budgets and episodes; as data, rows, a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from agents.aggregate import aggregate, half, interval, mean, means, share_of_gain
from agents.early_exit.scores import MARKS
from agents.scores import short
from optimal.early_exit.episode_gaps import BASE, BEST
from optimal.early_exit.playing import FUTURE, OUTSIDE, Game, Played

Values = NDArray[np.float64]

BASES = (BASE, "mixture", "adaptive-price")
"""Policies that others are compared with, episode by episode."""
LEARNED = "learned"
FIGURES = {
    "errors": "errors",
    "rejected": "rejected",
    "sent": "sent",
    "used": "used",
    "over_windows": "over",
    "missed": "violated",
}
"""Figure -> what ``Played`` calls it; means over seeds and episodes."""
COLUMNS = ("policy", "kind", "run", "budget", "episode", "cost", *FIGURES)
"""Columns of ``episodes.csv``."""


@dataclass
class ExitPlayed:
    """What one policy did in the same episodes, for each training seed and each budget."""

    name: str
    kind: str  # learned, or one of optimal.early_exit.playing
    labels: list[str]  # run folder of each seed, or the name again
    played: list[list[Played]]  # seeds x budgets
    decision_s: float  # of a window, when one episode is played alone

    def of(self, name: str) -> Values:
        """``(seeds, budgets, episodes)`` of a property of ``Played``."""
        return np.array([[getattr(one, name) for one in row] for row in self.played], np.float64)


class ExitBenchmark:
    """Policies on the same episodes, lowest cost first, what knows the future or does more than any action last.

    ``references``: name -> cost ``(budgets, episodes)`` of the policies that differences and shares are relative to, whether
    they are among ``played`` or not. ``games``: one for each budget.
    """

    def __init__(
        self,
        title: str,
        played: Sequence[ExitPlayed],
        references: Mapping[str, Values],
        games: Sequence[Game],
        seed: int = 0,
    ) -> None:
        self.title, self.references, self.games, self._seed = title, dict(references), list(games), seed
        self.budgets = [game.budget for game in games]
        self.best = BEST if BEST in references else "bound"
        self.played = sorted(played, key=lambda one: (_last(one.kind), float(one.of("cost_per_row").mean())))
        self.rows = [self._row(one) for one in self.played]

    def _row(self, one: ExitPlayed) -> dict[str, Any]:
        return {
            "policy": one.name,
            "kind": one.kind,
            "seeds": len(one.played),
            "runs": one.labels,
            **self._figures(one, slice(None)),
            "decision_s": one.decision_s,
            "budgets": [
                {"budget": _limit(budget), **self._figures(one, slice(at, at + 1))}
                for at, budget in enumerate(self.budgets)
            ],
        }

    def _figures(self, one: ExitPlayed, which: slice) -> dict[str, Any]:
        """Figures over some of the budgets; those of an episode are means over them."""
        cost = one.of("cost_per_row")[:, which].mean(axis=1)
        known = {name: values[which].mean(axis=0) for name, values in self.references.items()}
        return {
            "cost": aggregate(cost, self._seed),
            "difference": {
                name: {
                    "mean": float((cost - known[name]).mean()),
                    "interval": list(interval(cost - known[name], means, self._seed)),
                }
                for name in BASES
            },
            "closed": share_of_gain(cost, known[BASE], known[self.best], self._seed),
            **{name: mean(one.of(own)[:, which]) for name, own in FIGURES.items()},
        }

    def ordered(self, at: int) -> list[dict[str, Any]]:
        """The rows by their cost within the budget number ``at``."""
        return sorted(self.rows, key=lambda row: (_last(row["kind"]), row["budgets"][at]["cost"]["mean"]))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for benchmark.json and ``format=json``; cost of a row, shares, seconds."""
        game = self.games[0]
        return {
            "title": self.title,
            "episodes": len(game.episodes),
            "windows": game.episodes.windows,
            "rows": game.world.generator.rows,
            "least_acceptance": game.least,
            "budgets": [_limit(budget) for budget in self.budgets],
            "references": {name: values.mean(axis=1).tolist() for name, values in self.references.items()},
            "policies": self.rows,
        }

    def csv(self) -> str:
        """One row for each policy, seed, budget and episode; an empty cell for no budget."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in self.played:
            for label, of_seed in zip(one.labels, one.played, strict=True):
                for budget, played in zip(self.budgets, of_seed, strict=True):
                    numbers = [played.cost_per_row, *(getattr(played, own) for own in FIGURES.values())]
                    for episode, values in enumerate(np.array(numbers, np.float64).T.tolist()):
                        writer.writerow((one.name, one.kind, label, _limit(budget), episode, *map(repr, values)))
        return text.getvalue()

    def table(self) -> Table:
        """A rich table of the main figures, a section for each budget."""
        table = Table(title=self.title, caption=CAPTION, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        table.title_justify = table.caption_justify = "left"
        table.add_column("b", justify="right", no_wrap=True)
        for number, name in enumerate(HEADINGS):
            table.add_column(name, justify="right" if number else "left", no_wrap=number > 0)
        for at, budget in enumerate(self.budgets):
            for number, row in enumerate(self.ordered(at)):
                style = "bold" if row["kind"] == LEARNED else None
                table.add_row("" if number else budget_text(budget), *cells(row, at), style=style)
            for bound in self.bound_cells(at):
                table.add_row("", *bound)
            table.add_section()
        return table

    def bound_cells(self, at: int) -> list[list[str]]:
        """The line on the bound within the budget number ``at``, where it stands in for the knapsack."""
        if self.best != "bound":
            return []
        return [["bound *", "", f"{self.references['bound'][at].mean():.4f}", *[""] * (len(HEADINGS) - 3)]]


def _last(kind: str) -> bool:
    return kind in (FUTURE, OUTSIDE)


def _limit(budget: float) -> float | None:
    return None if budget == np.inf else float(budget)


def budget_text(budget: float) -> str:
    """A budget as tables show it."""
    return "none" if budget == np.inf else f"{budget:g}"


HEADINGS = ("policy", "seeds", "cost", "vs static", "vs mixture", "vs price", "gap", "missed", "over", "µs")
"""Columns of the printed table and of the report, besides the budget b."""
CAPTION = (
    "b: share of the rows that may be sent; cost: of a row, the charge for lacking acceptance included, ± half its 95 % "
    "interval over seeds and episodes; vs: difference on the same episodes to static, mixture, adaptive-price, ± half its "
    "interval; "
    "gap: share, percent, of the way from static to knapsack (to the bound of the linear program where that was not played) ± "
    "half its interval; missed: percent of the episodes that accept less than they must; over: windows of an episode whose "
    "action did not fit into the budget; µs: to decide a window of one episode. + knows labels of the past, * the future, "
    "^ does what no action can."
)


def shown_name(row: Mapping[str, Any]) -> str:
    """The name of a policy with the mark of what it knows."""
    return str(row["policy"]) + MARKS.get(row["kind"], "")


def cells(row: Mapping[str, Any], at: int) -> list[str]:
    """The cells of one policy within the budget number ``at``, in order of ``HEADINGS``."""
    one = row["budgets"][at]
    cost, closed = one["cost"], one["closed"]
    return [
        shown_name(row),
        str(row["seeds"]),
        f"{cost['mean']:.4f}±{_point(half(cost['interval']))}",
        *("-" if name == row["policy"] else _signed(one["difference"][name]) for name in BASES),
        "-" if np.isnan(closed["mean"]) else f"{100 * closed['mean']:.0f}±{100 * half(closed['interval']):.0f}",
        f"{100 * one['missed']:.0f}",
        f"{one['over_windows']:.1f}",
        short(1e6 * row["decision_s"], 3),
    ]


def _signed(difference: Mapping[str, Any]) -> str:
    sign = "-" if difference["mean"] < 0 else "+"
    return f"{sign}{_point(abs(difference['mean']))}±{_point(half(difference['interval']))}"


def _point(value: float) -> str:
    """Four decimals, without the zero before the point."""
    return f"{value:.4f}".removeprefix("0")
