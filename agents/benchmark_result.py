"""The result of a benchmark: figures of every policy over seeds and instances; as data, as rows, as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from agents.aggregate import aggregate, mean
from agents.evaluation import Outcome
from agents.scores import percent, short

COLUMNS = (
    "policy",
    "kind",
    "run",
    "instance",
    "sha256",
    "requests",
    "served",
    "violations",
    "latency_s",
    "bound_s",
    "gap",
    "solved",
    "shared_bytes",
)
"""Columns of ``instances.csv``; latency and data are sums over the served requests of the instance."""


@dataclass
class Played:
    """One policy's outcomes on the same instances, one for each training seed."""

    name: str
    kind: str  # learned, baseline, reference
    labels: list[str]
    outcomes: list[Outcome]
    decision_s: float  # to decide one request, when asked for one at a time

    @property
    def respects_privacy(self) -> bool:
        """Whether the policy obeys the privacy limits by design."""
        return all(outcome.respects_privacy for outcome in self.outcomes)

    @cached_property
    def latency_s(self) -> NDArray[np.float64]:
        """``(seeds, instances, requests)``; nan: rejected, or no such request."""
        return np.stack([outcome.latency_s for outcome in self.outcomes])

    @cached_property
    def shared_bytes(self) -> NDArray[np.float64]:
        """Like ``latency_s``: bytes sent for each request."""
        return np.stack([outcome.shared_bytes for outcome in self.outcomes])

    @cached_property
    def gap(self) -> NDArray[np.float64]:
        """``(seeds, instances)``; nan where nothing can be compared."""
        none = np.full(self.latency_s.shape[1], np.nan)
        return np.stack([outcome.gap if len(outcome.gap) else none for outcome in self.outcomes])

    @cached_property
    def solved(self) -> NDArray[np.bool_]:
        """``(seeds, instances)``: solved to optimality."""
        none = np.zeros(self.latency_s.shape[1], np.bool_)
        return np.stack([outcome.solved if len(outcome.solved) else none for outcome in self.outcomes])

    @property
    def requests(self) -> int:
        """Requests over all seeds and instances."""
        return int(sum(outcome.requests.sum() for outcome in self.outcomes))

    @property
    def rejected(self) -> int:
        """Rejected ones among them."""
        return sum(outcome.rejected for outcome in self.outcomes)

    def to_dict(self, common: NDArray[np.bool_], seed: int) -> dict[str, Any]:
        """Figures as plain data; ``common`` ``(instances, requests)``: requests that every valid policy served."""
        return {
            "policy": self.name,
            "kind": self.kind,
            "respects_privacy": self.respects_privacy,
            "seeds": len(self.outcomes),
            "runs": self.labels,
            "requests": self.requests,
            "rejected": self.rejected,
            "rejection_rate": self.rejected / self.requests,
            "violations": int(sum(outcome.violations.sum() for outcome in self.outcomes)),
            "latency_s": aggregate(self.latency_s, seed),
            "latency_common_s": mean(np.where(common, self.latency_s, np.nan)),
            "gap": aggregate(self.gap, seed),
            "gap_instances": int(np.isfinite(self.gap).sum()),
            "optimal_share": mean(np.where(np.isfinite(self.gap), self.solved, np.nan)),
            "shared_bytes": aggregate(self.shared_bytes, seed),
            "decision_s": self.decision_s,
        }


class BenchmarkResult:
    """Policies on the same instances, best first: those that respect privacy, fewest rejections, lowest mean latency."""

    def __init__(
        self, title: str, played: Sequence[Played], hashes: Sequence[str], bound_s: NDArray[np.float64], seed: int = 0
    ) -> None:
        self.title, self.hashes, self.bound_s = title, list(hashes), bound_s
        self.played = sorted(played, key=_rank)
        served = [np.isfinite(one.latency_s).all(axis=0) for one in self.played if one.respects_privacy]
        served = served or [np.isfinite(one.latency_s).all(axis=0) for one in self.played]
        self.rows = [one.to_dict(np.logical_and.reduce(served), seed) for one in self.played]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for benchmark.json and ``format=json``; seconds, bytes, gaps as shares."""
        return {
            "title": self.title,
            "instances": len(self.hashes),
            "bounds": int(np.isfinite(self.bound_s).sum()),
            "policies": self.rows,
        }

    def csv(self) -> str:
        """One row for each policy, seed and instance; empty cells where nothing is known."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in self.played:
            for label, outcome, gap, solved in zip(one.labels, one.outcomes, one.gap, one.solved, strict=True):
                served = np.isfinite(outcome.latency_s).sum(axis=1)
                for index, digest in enumerate(self.hashes):
                    known = np.isfinite(gap[index])
                    writer.writerow(
                        (
                            one.name,
                            one.kind,
                            label,
                            index,
                            digest,
                            int(outcome.requests[index]),
                            int(served[index]),
                            int(outcome.violations[index]),
                            repr(float(np.nansum(outcome.latency_s[index]))) if served[index] else "",
                            repr(float(self.bound_s[index])) if np.isfinite(self.bound_s[index]) else "",
                            repr(float(gap[index])) if known else "",
                            int(solved[index]) if known else "",
                            repr(float(np.nansum(outcome.shared_bytes[index]))) if served[index] else "",
                        )
                    )
        return text.getvalue()

    def table(self) -> Table:
        """A rich table of the main figures."""
        table = Table(title=self.title, caption=CAPTION, box=box.SIMPLE_HEAD, padding=0)
        table.title_justify = table.caption_justify = "left"
        for number, name in enumerate(HEADINGS):
            table.add_column(name, justify="right" if number else "left", no_wrap=number > 0)
        for row in self.rows:
            table.add_row(*cells(row), style="bold" if row["kind"] == "learned" else None)
        return table


def _rank(one: Played) -> tuple[bool, float, float, bool]:
    """Lowest first; means that differ by rounding alone are a tie, in which proven placements come first."""
    return (
        not one.respects_privacy,
        one.rejected / one.requests,
        float(f"{mean(one.latency_s):.9e}"),
        one.kind != "reference",
    )


HEADINGS = (
    "policy",
    "seeds",
    "latency ms",
    "IQM ms",
    "gap",
    "p95",
    "worst",
    "solved",
    "reject",
    "broken",
    "kB",
    "decide ms",
)
"""Columns of the printed table and of the report."""
CAPTION = (
    "latency: mean per served request, 95 % interval over seeds and instances; IQM: mean of the middle half; gap: mean excess "
    "over the proven bound, with 95th percentile and worst; solved: share solved to optimality; broken: violated constraints; "
    "kB: sent for a request; decide: time for one request asked alone. * ignores privacy, so no valid answer."
)


def cells(row: dict[str, Any]) -> list[str]:
    """The cells of one policy, in order of ``HEADINGS``."""
    latency, gap = row["latency_s"], row["gap"]
    low, high = latency["interval"]
    return [
        row["policy"] + ("" if row["respects_privacy"] else " *"),
        str(row["seeds"]),
        f"{short(1e3 * latency['mean'])} [{short(1e3 * low, 4)}, {short(1e3 * high, 4)}]",
        short(1e3 * latency["iqm"]),
        percent(gap["mean"]),
        percent(gap["p95"]),
        percent(gap["worst"]),
        percent(row["optimal_share"]),
        percent(row["rejection_rate"]),
        str(row["violations"]),
        short(row["shared_bytes"]["mean"] / 1e3, 3),
        short(1e3 * row["decision_s"], 3),
    ]
