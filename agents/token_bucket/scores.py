"""Policies on the same streams: losses, the share of the possible gain over the i.i.d. policy, and the table of both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from agents.aggregate import interval, means
from agents.scores import short, table_of_scores
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.streams import Streams, replay
from optimal.token_bucket.policy import Policy

BASE, HEADLINE = "iid-mdp", "belief"
"""Names of the references between which the score C runs from 0 to 1."""


@dataclass
class BucketOutcome:
    """What one policy did: one row a bucket, one column a stream."""

    policy: str
    kind: str  # learned, baseline, reference, clairvoyant
    loss: NDArray[np.float64]  # (buckets, streams) mean expected loss
    realised: NDArray[np.float64]  # (buckets, streams) mean realised loss; nan where unknown
    sends: NDArray[np.float64]  # (buckets, streams) share of the frames
    lost: NDArray[np.float64]  # (buckets, streams) share of the gained tokens that did not fit
    seconds: float  # decision time of a frame

    @property
    def mean_loss(self) -> float:
        """Mean over buckets and streams."""
        return float(self.loss.mean())


def outcome_of(
    name: str, kind: str, sent: NDArray[np.bool_], streams: Streams, buckets: Sequence[Bucket], seconds: float
) -> BucketOutcome:
    """The outcome of decisions ``(buckets, S, T)``. Raises ``RuntimeError`` for a send without a token."""
    shape = (len(buckets), len(streams))
    empty = [np.empty(shape) for _ in range(4)]
    result = BucketOutcome(name, kind, empty[0], empty[1], empty[2], empty[3], seconds / sent.size)
    for index, bucket in enumerate(buckets):
        done = replay(streams, bucket, sent[index])
        if done.violations.any():
            raise RuntimeError(f"policy {name} sent {done.violations.sum()} frames without a token at {bucket}")
        result.loss[index] = streams.losses(sent[index])
        result.realised[index] = streams.losses(sent[index], realised=True)
        result.sends[index] = sent[index].mean(axis=1)
        result.lost[index] = done.lost / (bucket.refill * streams.gap.sum(axis=1))
    return result


def play(name: str, policies: Sequence[Policy], streams: Streams, buckets: Sequence[Bucket]) -> BucketOutcome:
    """The outcome of one policy made for each bucket."""
    head = streams.head(1)
    policies[0].play(head, buckets[0])  # compiled before it is timed
    started = time.perf_counter()
    sent = np.stack([one.play(streams, bucket) for one, bucket in zip(policies, buckets, strict=True)])
    return outcome_of(name, policies[0].kind, sent, streams, buckets, time.perf_counter() - started)


def score_of(loss: float, base: float, headline: float) -> float:
    """C: share of the gain of the causal optimum over the i.i.d. policy; nan where there is next to none."""
    return (base - loss) / (base - headline) if base - headline > 1e-4 else float("nan")


@dataclass
class BucketScores:
    """Outcomes of several policies on the same streams, the policy of interest first."""

    title: str
    outcomes: list[BucketOutcome]
    folder: Path | None = None
    references: dict[str, float] = field(default_factory=dict)  # mean losses of BASE and HEADLINE, where known

    def score(self, outcome: BucketOutcome) -> float:
        """C of an outcome; nan where the references are not known or next to equal."""
        if not {BASE, HEADLINE} <= self.references.keys():
            return float("nan")
        return score_of(outcome.mean_loss, self.references[BASE], self.references[HEADLINE])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``summary.json`` and ``format=json``."""
        rows = []
        for outcome in self.outcomes:
            low, high = loss_interval(outcome)
            rows.append(
                {
                    "policy": outcome.policy,
                    "kind": outcome.kind,
                    "loss": outcome.mean_loss,
                    "loss_interval": [low, high],
                    "loss_realised": float(outcome.realised.mean()),
                    "offload_rate": float(outcome.sends.mean()),
                    "lost_tokens": float(outcome.lost.mean()),
                    "score": self.score(outcome),
                    "decision_s": outcome.seconds,
                }
            )
        folder = None if self.folder is None else str(self.folder)
        return {"title": self.title, "folder": folder, "references": dict(self.references), "policies": rows}

    def table(self) -> Table:
        """A rich table, lowest loss first; what knows the future last."""
        table = table_of_scores(self.title, _CAPTION)
        for name in ("policy", "loss", "realised", "C", "sent", "lost", "decide µs"):
            first = name == "policy"
            table.add_column(name, justify="left" if first else "right", no_wrap=not first, overflow="fold")
        for outcome in sorted(self.outcomes, key=lambda one: (one.kind == "clairvoyant", one.mean_loss)):
            low, high = loss_interval(outcome)
            score = self.score(outcome)
            table.add_row(
                outcome.policy + (" *" if outcome.kind == "clairvoyant" else ""),
                f"{outcome.mean_loss:.5f} ± {(high - low) / 2:.5f}",
                f"{outcome.realised.mean():.5f}" if np.isfinite(outcome.realised).all() else "-",
                "-" if score != score else f"{score:.3f}",
                f"{100 * outcome.sends.mean():.1f} %",
                f"{100 * outcome.lost.mean():.1f} %",
                short(1e6 * outcome.seconds, 3),
                style="bold" if outcome is self.outcomes[0] else None,
            )
        return table


_CAPTION = (
    "loss: mean expected loss of a frame ± half its 95 % bootstrap interval over streams; differences between policies are "
    "surer, since all play the same streams; realised: with the answers as they came; C: share of the gain of the causal "
    "optimum (belief) over the i.i.d. policy (iid-mdp); lost: tokens that did not fit. * knows the future."
)


def loss_interval(outcome: BucketOutcome) -> tuple[float, float]:
    """95 % bootstrap interval of the mean loss over streams."""
    return interval(outcome.loss.mean(axis=0, keepdims=True), means)
