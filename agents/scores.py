"""Scores of several policies on the same instances: the table that users read and the data behind it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from agents.evaluation import InstanceSet, Outcome, evaluate
from agents.optimality import gap_summary

RESAMPLES = 2000


@dataclass
class Scores:
    """Outcomes of several policies on one set of instances, the policy of interest first."""

    title: str
    outcomes: list[Outcome]
    folder: Path | None = None
    common_s: dict[str, float] = field(default_factory=dict)  # policy -> mean latency over requests that all served

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``summary.json`` and ``format=json``; times in seconds, data in bytes."""
        rows = []
        for outcome in self.outcomes:
            low, high = interval(outcome.latency_s)
            rows.append(
                {
                    "policy": outcome.policy,
                    "respects_privacy": outcome.respects_privacy,
                    "latency_s": outcome.mean_latency_s,
                    "latency_interval_s": [low, high],
                    "latency_common_s": self.common_s.get(outcome.policy),
                    "worst_latency_s": float(np.nanmax(outcome.latency_s))
                    if np.isfinite(outcome.latency_s).any()
                    else None,
                    "requests": int(outcome.requests.sum()),
                    "rejected": outcome.rejected,
                    "rejection_rate": outcome.rejection_rate,
                    "violations": int(outcome.violations.sum()),
                    "shared_bytes": outcome.mean_shared_bytes,
                    "decision_s": outcome.seconds,
                    "slower_than_greedy": self._slower_than_greedy(outcome),
                    **gap_summary(outcome.gap, outcome.solved),
                }
            )
        return {"title": self.title, "folder": None if self.folder is None else str(self.folder), "policies": rows}

    def _slower_than_greedy(self, outcome: Outcome) -> float | None:
        """Share of the instances that both serve whole in which greedy is faster (by more than 1e-9); None without any."""
        greedy = next((other for other in self.outcomes if other.policy == "greedy"), None)
        if greedy is None:
            return None
        mine, its = (np.nansum(one.latency_s, axis=1) for one in (outcome, greedy))
        both = np.logical_and(*(np.isfinite(o.latency_s).sum(axis=1) == o.requests for o in (outcome, greedy)))
        return float((mine[both] > its[both] * (1 + 1e-9)).mean()) if both.any() else None

    def table(self) -> Table:
        """A rich table, best policies first: fewest rejections, then lowest latency; rule-breakers last."""
        table = table_of_scores(self.title, _CAPTION)
        for name in ("policy", "latency ms", "vs greedy", "reject", "broken", "sent kB", "decide ms", "gap"):
            table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=name != "policy")
        greedy = self.common_s.get("greedy")
        order = sorted(self.outcomes, key=lambda o: (not o.respects_privacy, o.rejected, o.mean_latency_s))
        for outcome in order:
            low, high = interval(outcome.latency_s)
            relative = self.common_s.get(outcome.policy)
            versus = "" if greedy is None or relative is None else f"{100 * (relative / greedy - 1):+.1f} %"
            mine = outcome is self.outcomes[0]
            table.add_row(
                outcome.policy + ("" if outcome.respects_privacy else " *"),
                f"{short(1e3 * outcome.mean_latency_s)} \u00b1 {short(5e2 * (high - low), 2)}",
                versus,
                f"{100 * outcome.rejection_rate:.1f} %",
                f"{int(outcome.violations.sum())}",
                short(outcome.mean_shared_bytes / 1e3, 3),
                short(1e3 * outcome.seconds, 3),
                percent(gap_summary(outcome.gap, outcome.solved)["gap_mean"]),
                style="bold" if mine else None,
            )
        return table


_CAPTION = (
    "latency: mean per served request \u00b1 half its 95 % bootstrap interval over instances; vs greedy: on the requests "
    "that all policies served; broken: violated constraints, by replay; sent: data between devices per request; decide: "
    "time to decide a request; gap: mean excess over a proven lower bound, where one is known. * ignores privacy, so no valid "
    "answer."
)


def table_of_scores(title: str, caption: str) -> Table:
    """An empty rich table of policies, narrow enough for a terminal; what its columns mean stands below it."""
    return Table(
        title=title,
        caption=caption,
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
    )


def short(value: float, digits: int = 5) -> str:
    """``value`` with at most ``digits`` significant digits, whole from there on, never in powers of ten."""
    if not np.isfinite(value) or value == 0:
        return "-" if not np.isfinite(value) else "0"
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{min(places, 6)}f}"


def percent(share: float | None) -> str:
    """A share as a percentage with three significant digits; a dash for None and nan."""
    return "-" if share is None or share != share else f"{short(100 * share, 3)} %"


def interval(latency_s: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean latency, resampling instances (rows); seconds."""
    sums, counts = np.nansum(latency_s, axis=1), np.isfinite(latency_s).sum(axis=1)
    if not counts.any():
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    totals = np.maximum(counts[picks].sum(axis=1), 1)
    low, high = np.percentile(sums[picks].sum(axis=1) / totals, [2.5, 97.5])
    return float(low), float(high)


def _show(bar: Progress, task: TaskID, done: int) -> None:
    bar.update(task, completed=done)


def score_all(
    policies: Sequence[Any],
    instances: InstanceSet,
    title: str,
    *,
    keep_solutions: bool = False,
    progress: bool = True,
) -> Scores:
    """Evaluate every policy on ``instances``; a progress bar on standard error with ``progress``."""
    columns = (
        TextColumn("[bold]evaluating {task.description}"),
        BarColumn(),
        TextColumn("{task.completed}"),
        TimeElapsedColumn(),
    )
    outcomes = []
    console = Console(file=sys.stderr)
    shown = progress and console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        for policy in policies:
            task = bar.add_task(policy.name, total=len(instances))
            ticks = partial(_show, bar, task)
            outcomes.append(evaluate(policy, instances, keep_solutions=keep_solutions, progress=ticks))
            bar.remove_task(task)
    scores = Scores(title, outcomes)
    everyone = np.logical_and.reduce([np.isfinite(outcome.latency_s) for outcome in outcomes])
    if everyone.any():
        scores.common_s = {outcome.policy: float(outcome.latency_s[everyone].mean()) for outcome in outcomes}
    return scores
