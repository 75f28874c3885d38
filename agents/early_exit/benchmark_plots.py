"""Plots of a benchmark of early exit as SVG text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.benchmark_plots import against_time, colour_of, style, svg
from agents.early_exit.benchmark_result import LEARNED, ExitBenchmark, ExitPlayed, budget_text, shown_name
from agents.early_exit.timeline import draw_timeline
from agents.scores import short
from optimal.early_exit.episode_gaps import BASE, BEST
from optimal.early_exit.playing import FUTURE, HEURISTIC, OUTSIDE

WIDE = 1.3
"""Costs above the base's by this factor are off the axis; an arrow stands for them."""
SHOWN = ("adaptive-price", BASE)
"""References of the timeline, besides the optimum."""
Interval = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def plots(result: ExitBenchmark) -> dict[str, tuple[str, str]]:
    """Name -> (SVG, caption) of every plot that the result has data for."""
    marks = "+ knows labels of the past, * the future, ^ does what no action can."
    drawn = {
        "cost": (
            _panels(result, lambda row: row["cost"], "cost of a row", highest=WIDE),
            "Cost of a row with 95 % intervals over seeds and episodes; arrows stand for what is off the axis. All policies "
            f"play the same episodes, so differences are surer than the intervals suggest. {marks}",
        ),
        "difference": (
            _panels(
                result, lambda row: row["difference"][BASE], f"cost of a row less that of {BASE}", highest=WIDE - 1
            ),
            f"The same less the cost of {BASE} on the same episodes, with 95 % intervals: left of the dashed line is better.",
        ),
    }
    if any(np.isfinite(row["closed"]["mean"]) for row in result.rows):
        drawn["gap"] = (
            _panels(
                result,
                lambda row: _percent(row["closed"]),
                f"share of the way from {BASE} to {_best(result)}, %",
                -50.0,
            ),
            f"Share of the gap in cost from {BASE} (0) to {_best(result)} (100) that is closed, with 95 % intervals over "
            "seeds and episodes, resampled together.",
        )
    if len(result.budgets) > 1:
        drawn["budgets"] = (
            _budgets(result),
            f"Cost of a row by budget; policies far above {BASE} are left out. {marks}",
        )
    drawn["cost_time"] = (
        _against_time(result),
        "Mean cost of a row against the time to decide a window of one episode; low and left is better.",
    )
    chosen = _chosen(result)
    if chosen:
        caption = (
            f"The first episode, {_budget(result.budgets[0])}. Rows sent: means of five windows; behind: hidden months."
        )
        if len(chosen[0].played) > 1:
            caption += f" {chosen[0].name} is its first training seed."
        actions = {one.name: one.played[0][0].actions[0] for one in chosen}
        colours = {row["policy"]: look["color"] for row, look in _looks(result)}
        base = BASE if BASE in actions else chosen[-1].name
        drawn["timeline"] = (draw_timeline(result.games[0], actions, base, colours), caption)
    return drawn


def _best(result: ExitBenchmark) -> str:
    return f"the {BEST}" if result.best == BEST else "the bound of the linear program"


def _budget(budget: float) -> str:
    return "no budget" if budget == np.inf else f"budget {budget_text(budget)}"


def _percent(closed: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": 100 * closed["mean"], "interval": [100 * bound for bound in closed["interval"]]}


def _shown(row: Mapping[str, Any]) -> str:
    return shown_name(row) + (f", {row['seeds']} seeds" if row["seeds"] > 1 else "")


def _colour(kind: str) -> str:
    return colour_of("reference" if kind in (FUTURE, OUTSIDE) else kind)


def _looks(result: ExitBenchmark) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The rows with colour and marker of each."""
    looks = style([row["policy"] for row in result.rows])
    return [(row, looks[row["policy"]]) for row in result.rows]


def _panels(
    result: ExitBenchmark, of: Interval, label: str, lowest: float | None = None, highest: float | None = None
) -> str:
    """A panel for each budget, a line for each policy. ``highest``: of what the base costs; ``lowest``: of the axis itself."""
    rows = list(reversed(result.rows))
    figure = Figure(figsize=(2.0 + 2.9 * max(len(result.budgets), 1.6), 0.9 + 0.3 * len(rows)))
    every = figure.subplots(1, len(result.budgets), sharey=True, squeeze=False)[0]
    for at, axes in enumerate(every):
        values = [of(row["budgets"][at]) for row in rows]
        ends = np.array([one["interval"] for one in values])
        base = float(result.references[BASE][at].mean())
        top = np.inf if highest is None else highest * base
        bottom = -np.inf if lowest is None else lowest
        inside = np.array([bottom <= one["mean"] <= top for one in values])
        low, high = max(bottom, float(np.nanmin(ends[inside]))), min(top, float(np.nanmax(ends[inside])))
        margin = 0.06 * (high - low) or 1e-3
        for place, (row, one) in enumerate(zip(rows, values, strict=True)):
            colour = _colour(row["kind"])
            if not inside[place]:
                right = one["mean"] > top
                edge = high + margin if right else low - margin
                axes.plot(edge, place, ">" if right else "<", color=colour)
                text, beside = short(one["mean"], 3), 1.5 * margin * (-1 if right else 1)
                axes.text(edge + beside / 2, place, text, ha="right" if right else "left", va="center", fontsize=8)
                continue
            axes.plot(one["interval"], [place, place], color=colour, linewidth=2)
            axes.plot(one["mean"], place, "o", color=colour, markersize=5)
        if label != "cost of a row":
            axes.axvline(0.0, color="#888888", linewidth=0.8, linestyle="--", zorder=0)
        axes.set_xlim(low - 2 * margin, high + 2 * margin)
        axes.set_title(_budget(result.budgets[at]), fontsize=10)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel(label if len(every) < 3 or at == len(every) // 2 else "")
    every[0].set_yticks(range(len(rows)), [_shown(row) for row in rows])
    figure.tight_layout()
    return svg(figure)


def _budgets(result: ExitBenchmark) -> str:
    figure = Figure(figsize=(7.5, 4.6))
    axes = figure.add_subplot()
    top = WIDE * max(float(values.mean()) for values in result.references[BASE])
    order = np.argsort(result.budgets)
    lowest, highest = np.inf, 0.0
    for row, look in _looks(result):
        costs = np.array([one["cost"]["mean"] for one in row["budgets"]])
        if (costs > top).all():
            continue
        wide = 2.2 if row["kind"] == LEARNED else 1.0
        axes.plot(range(len(costs)), costs[order], linewidth=wide, label=_shown(row), markersize=4 + wide, **look)
        lowest, highest = min(lowest, float(costs.min())), max(highest, float(costs[costs <= top].max()))
    axes.set_xticks(range(len(order)), [budget_text(result.budgets[at]) for at in order])
    axes.set_ylim(lowest - 0.05 * (highest - lowest), highest + 0.05 * (highest - lowest))
    axes.set_xlabel("budget: share of the rows that may be sent")
    axes.set_ylabel("cost of a row")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return svg(figure)


def _against_time(result: ExitBenchmark) -> str:
    figure = Figure(figsize=(7, 4.2))
    axes = figure.add_subplot()
    highest = WIDE * float(result.references[BASE].mean())
    for row, look in _looks(result):
        if row["cost"]["mean"] <= highest and np.isfinite(row["decision_s"]):
            place = (1e6 * max(row["decision_s"], 1e-9), row["cost"]["mean"])
            axes.plot(*place, linestyle="", label=_shown(row), markersize=7, **look)
    return against_time(figure, axes, "window", "cost of a row")


def _chosen(result: ExitBenchmark) -> Sequence[ExitPlayed]:
    """The best learned policy, or the best that knows no more than it, and those of its references that were played."""
    able = [one for one in result.played if one.kind == LEARNED] or [
        one for one in result.played if one.kind == HEURISTIC
    ]
    first = able[:1]
    return first + [one for name in (*SHOWN, BEST) for one in result.played if one.name == name and one not in first]
