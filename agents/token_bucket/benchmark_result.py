"""The result of a token-bucket benchmark: figures of every policy over seeds, buckets and streams; as data, rows, a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from agents.aggregate import aggregate, half, mean, share_of_gain
from agents.scores import short
from agents.token_bucket.scores import BASE, HEADLINE, BucketOutcome
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.streams import Streams

Values = NDArray[np.float64]

SCORES = {"score": (BASE, HEADLINE), "score_clairvoyant": ("fixed", "clairvoyant")}
"""Name of a score -> the policies that it is 0 and 1 for: C and C'."""
COLUMNS = (
    "policy",
    "kind",
    "run",
    "rate",
    "depth",
    "stream",
    "frames",
    "loss",
    "loss_realised",
    "offload_rate",
    "lost_tokens",
)
"""Columns of ``streams.csv``."""


@dataclass
class BucketPlayed:
    """One policy's outcomes on the same streams, one for each training seed."""

    name: str
    kind: str  # learned, baseline, reference, clairvoyant
    labels: list[str]  # run folder of each seed, or the name again
    outcomes: list[BucketOutcome]
    decision_s: float  # of a frame, when one stream is played alone
    alone: NDArray[np.bool_]  # (frames,) what the first seed sends of the first stream with the first bucket

    @cached_property
    def loss(self) -> Values:
        """``(seeds, buckets, streams)``: mean expected loss of a frame."""
        return np.stack([outcome.loss for outcome in self.outcomes])

    def of(self, name: str) -> Values:
        """``(seeds, buckets, streams)`` of another array of the outcomes: realised, sends or lost."""
        return np.stack([getattr(outcome, name) for outcome in self.outcomes])


class BucketBenchmark:
    """Policies on the same streams, lowest loss first, what knows the future last.

    ``references``: name -> loss ``(buckets, streams)`` of the policies that scores are relative to, where they can be had,
    whether they are among ``played`` or not. ``first``: the one stream that ``BucketPlayed.alone`` is about.
    """

    def __init__(
        self,
        title: str,
        played: Sequence[BucketPlayed],
        references: Mapping[str, Values],
        buckets: Sequence[Bucket],
        first: Streams,
        frames: int,
        seed: int = 0,
    ) -> None:
        self.title, self.references, self.first = title, dict(references), first
        self.buckets, self.frames, self._seed = list(buckets), frames, seed
        self.played = sorted(played, key=lambda one: (one.kind == "clairvoyant", float(one.loss.mean())))
        self.rows = [self._row(one) for one in self.played]

    def _row(self, one: BucketPlayed) -> dict[str, Any]:
        return {
            "policy": one.name,
            "kind": one.kind,
            "seeds": len(one.outcomes),
            "runs": one.labels,
            **self._figures(one, slice(None)),
            "decision_s": one.decision_s,
            "buckets": [
                {"rate": float(bucket.rate), "depth": float(bucket.depth), **self._figures(one, slice(at, at + 1))}
                for at, bucket in enumerate(self.buckets)
            ],
        }

    def _figures(self, one: BucketPlayed, which: slice) -> dict[str, Any]:
        """Figures over some of the buckets; those of a stream are means over them."""
        loss = one.loss[:, which].mean(axis=1)
        known = {name: values[which].mean(axis=0) for name, values in self.references.items()}
        scores = {
            score: share_of_gain(loss, known[low], known[high], self._seed)
            if low in known and high in known
            else {"mean": float("nan"), "interval": [float("nan")] * 2, "seeds": [float("nan")] * len(loss)}
            for score, (low, high) in SCORES.items()
        }
        return {
            "loss": aggregate(loss, self._seed),
            "loss_realised": mean(one.of("realised")[:, which]),
            **scores,
            "offload_rate": mean(one.of("sends")[:, which]),
            "lost_tokens": mean(one.of("lost")[:, which]),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for benchmark.json and ``format=json``; losses of a frame, rates as shares, seconds."""
        return {
            "title": self.title,
            "streams": int(self.played[0].loss.shape[2]),
            "frames": self.frames,
            "references": {name: float(values.mean()) for name, values in self.references.items()},
            "policies": self.rows,
        }

    def csv(self) -> str:
        """One row for each policy, seed, bucket and stream; empty cells where nothing is known."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in self.played:
            for label, outcome in zip(one.labels, one.outcomes, strict=True):
                for at, bucket in enumerate(self.buckets):
                    for stream in range(outcome.loss.shape[1]):
                        figures = (outcome.loss, outcome.realised, outcome.sends, outcome.lost)
                        cells = [_text(values[at, stream]) for values in figures]
                        place = (float(bucket.rate), float(bucket.depth), stream, self.frames)
                        writer.writerow((one.name, one.kind, label, *place, *cells))
        return text.getvalue()

    def table(self) -> Table:
        """A rich table of the main figures."""
        table = Table(title=self.title, caption=CAPTION, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        table.title_justify = table.caption_justify = "left"
        for number, name in enumerate(HEADINGS):
            table.add_column(name, justify="right" if number else "left", no_wrap=number > 0)
        for row in self.rows:
            table.add_row(*cells(row), style="bold" if row["kind"] == "learned" else None)
        return table

    def by_bucket(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows of the report's second table: mean loss and C, a row for each policy, a column for each bucket."""
        headings = ["policy", *(f"{bucket}: loss (C)" for bucket in self.buckets)]
        rows = [[cells(row)[0], *(_loss_and_score(one) for one in row["buckets"])] for row in self.rows]
        return headings, rows


def _loss_and_score(figures: dict[str, Any]) -> str:
    score = figures["score"]["mean"]
    return f"{figures['loss']['mean']:.5f}" + ("" if np.isnan(score) else f" ({score:.3f})")


def _text(value: float) -> str:
    return repr(float(value)) if np.isfinite(value) else ""


HEADINGS = ("policy", "seeds", "loss", "IQM", "worst", "realised", "C", "C'", "sent", "lost", "µs")
"""Columns of the printed table and of the report."""
CAPTION = (
    "loss: mean expected loss of a frame ± half its 95 % interval over seeds and streams; differences between policies are "
    "surer, since all play the same streams; IQM: mean of the middle half of the streams; worst: worst stream; realised: with "
    "the answers as they came; C: share of the gain of the causal optimum (belief) over iid-mdp ± half its interval; C': of "
    "that of clairvoyant over fixed; sent: frames; lost: tokens that did not fit; µs: to decide a frame of a single stream. "
    "* knows the future."
)


def cells(row: dict[str, Any]) -> list[str]:
    """The cells of one policy, in order of ``HEADINGS``."""
    loss, score, other = row["loss"], row["score"], row["score_clairvoyant"]["mean"]
    realised = row["loss_realised"]
    return [
        row["policy"] + (" *" if row["kind"] == "clairvoyant" else ""),
        str(row["seeds"]),
        f"{loss['mean']:.5f}±{half(loss['interval']):.5f}",
        f"{loss['iqm']:.5f}",
        f"{loss['worst']:.5f}",
        "-" if np.isnan(realised) else f"{realised:.5f}",
        "-" if np.isnan(score["mean"]) else with_half(score, "±"),
        "-" if np.isnan(other) else f"{other:.3f}",
        f"{100 * row['offload_rate']:.1f}%",
        f"{100 * row['lost_tokens']:.1f}%",
        short(1e6 * row["decision_s"], 3),
    ]


def with_half(score: Mapping[str, Any], between: str) -> str:
    """A score and half its interval, both with three decimals, or two where it is large."""
    decimals = 3 if abs(score["mean"]) < 10 else 2
    return f"{score['mean']:.{decimals}f}{between}{half(score['interval']):.{decimals}f}"
