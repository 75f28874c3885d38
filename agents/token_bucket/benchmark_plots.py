"""Plots of a token-bucket benchmark as SVG text."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.benchmark_plots import against_time, colour_of, intervals, style, svg
from agents.token_bucket.benchmark_result import BucketBenchmark, BucketPlayed, with_half
from agents.token_bucket.scores import BASE, HEADLINE
from agents.token_bucket.timeline import draw_timeline

SHOWN = 300
"""Frames of the timeline."""
LEFT = -1.0
"""Where the axis of C ends; an arrow there stands for what lies below."""
LINEAR = 0.01
"""Differences of loss up to which the axis of ``buckets.svg`` is linear."""
TICKS = (-0.5, -0.2, -0.1, -0.05, -0.02, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def plots(result: BucketBenchmark) -> dict[str, tuple[str, str]]:
    """Name -> (SVG, caption) of every plot that the result has data for."""
    drawn = {
        "loss": (
            _loss(result),
            "Expected loss of a frame: mean (dot) and interquartile mean (ring) with 95 % intervals over seeds and streams. "
            "All policies play the same streams, so differences are surer than the intervals suggest. * knows the future.",
        )
    }
    if any(np.isfinite(row["score"]["mean"]) for row in result.rows):
        drawn["score"] = (
            _score(result),
            f"C: share of the gain of the causal optimum ({HEADLINE}, 1) over {BASE} (0), with 95 % intervals over seeds and "
            "streams, resampled together for all three, written at the right; small dots: training seeds. * knows the future.",
        )
    if len(result.buckets) > 1:
        drawn["buckets"] = (
            _buckets(result),
            f"Mean expected loss of a frame less that of {BASE}, for each bucket; lower is better. Linear up to {LINEAR:g}, "
            "logarithmic beyond.",
        )
    drawn["loss_time"] = (
        _loss_against_time(result),
        "Mean expected loss against the time to decide a frame when one stream is played alone; low and left is better.",
    )
    chosen = _timeline_policies(result)
    if chosen:
        picture, start, count = _timeline(result, chosen)
        caption = f"Frames {start:,} to {start + count - 1:,} of the first stream, with {result.buckets[0]}."
        if len(chosen[0].outcomes) > 1:
            caption += f" {chosen[0].name} is its first training seed."
        drawn["timeline"] = (picture, caption)
    return drawn


def _shown(row: dict[str, Any]) -> str:
    seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return f"{row['policy']}{seeds}{' *' if row['kind'] == 'clairvoyant' else ''}"


def _loss(result: BucketBenchmark) -> str:
    rows = [(_shown(row), colour_of(row["kind"]), row["loss"]) for row in result.rows]
    return svg(intervals(rows, 1.0, "expected loss of a frame")[0])


def _score(result: BucketBenchmark) -> str:
    rows = [row for row in result.rows if np.isfinite(row["score"]["mean"])]
    figure = Figure(figsize=(7, 0.9 + 0.38 * len(rows)))
    axes = figure.add_subplot()
    for at, row in enumerate(reversed(rows)):
        score, colour = row["score"], colour_of(row["kind"])
        # most intervals are narrower than a dot
        axes.text(1.02, at, with_half(score, " ± "), transform=axes.get_yaxis_transform(), va="center")
        if score["mean"] < LEFT:
            axes.plot(LEFT, at, "<", color=colour)
            continue
        axes.plot(score["interval"], [at, at], color=colour, linewidth=2)
        axes.plot(score["mean"], at, "o", color=colour)
        if len(score["seeds"]) > 1:
            axes.plot(score["seeds"], [at - 0.25] * len(score["seeds"]), ".", color=colour, markersize=4)
    for place in (0.0, 1.0):
        axes.axvline(place, color="#888888", linewidth=0.8, linestyle="--", zorder=0)
    highest = max(row["score"]["interval"][1] for row in rows)
    axes.set_xlim(max(LEFT, min(row["score"]["interval"][0] for row in rows)) - 0.05, max(1.0, highest) + 0.05)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [_shown(row) for row in reversed(rows)])
    axes.set_xlabel("C, share of the possible gain")
    axes.grid(axis="x", alpha=0.3)
    return svg(figure)


def _buckets(result: BucketBenchmark) -> str:
    """A group of places for each bucket, a marker for each policy."""
    figure = Figure(figsize=(max(7.0, 0.8 * len(result.buckets)), 4.2))
    axes = figure.add_subplot()
    base = result.references[BASE].mean(axis=1)
    low = high = 0.0
    for name, look in style([row["policy"] for row in result.rows]).items():
        (row,) = [row for row in result.rows if row["policy"] == name]
        gains = np.array([one["loss"]["mean"] for one in row["buckets"]]) - base
        axes.plot(np.arange(len(gains)), gains, linestyle=":", linewidth=0.8, label=_shown(row), **look)
        low, high = min(low, gains.min()), max(high, gains.max())
    axes.set_xticks(range(len(result.buckets)), [str(bucket).replace(", ", "\n") for bucket in result.buckets])
    axes.set_ylabel(f"expected loss less that of {BASE}")
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.set_ylim(1.2 * low - 0.0005, 1.2 * high + 0.0005)  # no marker is cut
    axes.set_yticks(
        ticks := [tick for tick in TICKS if 1.2 * low <= tick <= 1.2 * high], [f"{tick:g}" for tick in ticks]
    )
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return svg(figure)


def _loss_against_time(result: BucketBenchmark) -> str:
    figure = Figure(figsize=(7, 4.2))
    axes = figure.add_subplot()
    looks = style([row["policy"] for row in result.rows])
    for row in result.rows:
        place = (1e6 * max(row["decision_s"], 1e-9), row["loss"]["mean"])
        axes.plot(*place, linestyle="", label=_shown(row), **looks[row["policy"]])
    return against_time(figure, axes, "frame", "expected loss of a frame")


def _timeline_policies(result: BucketBenchmark) -> list[BucketPlayed]:
    """The best learned policy, or the causal optimum where nothing was learned, and the i.i.d. policy, where played."""
    learned = [one for one in result.played if one.kind == "learned"]
    best = learned[:1] or [one for one in result.played if one.name == HEADLINE]
    return best + [one for one in result.played if one.name == BASE]


def _timeline(result: BucketBenchmark, chosen: list[BucketPlayed]) -> tuple[str, int, int]:
    """The picture, its first frame and their number; not from the start on, where the bucket is full for everybody."""
    length = result.first.length
    count = min(SHOWN, length)
    start = min(SHOWN, length - count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "timeline.svg"
        sent = {one.name: one.alone for one in chosen}
        draw_timeline(result.first, result.buckets[0], sent, path, start=start, count=count)
        return path.read_text(encoding="utf-8"), start, count
