"""What several policies send of one trace, over time: one static picture for a figure or for a trace of one's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agents.benchmark_plots import COLOURS, svg
from envs.atomic import write_bytes_atomic
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.streams import Replay, Streams, replay
from envs.token_bucket.types import Trace

Sent = NDArray[np.bool_]

KEPT = "kept"
_GROUNDS = ("#dbe9f6", "#fdf0cf", "#dcf1e4", "#f3e3ef", "#ececec")
_EVERYBODY, _SOME = "#222222", "#888888"
_MOST_POLICIES = len(COLOURS)


def shares(sent: Mapping[str, Sent]) -> dict[str, Sent]:
    """Which frames are sent by whom, in words: ``"A only"``, ``"both"`` or ``"all"``, ``"some"``, and last ``KEPT``.

    Every frame is in exactly one of the masks ``(T,)``. One policy's are ``"A"`` and ``KEPT``.
    """
    names = list(sent)
    table = np.stack([np.asarray(sent[name], np.bool_) for name in names])
    senders = table.sum(axis=0)
    if len(names) == 1:
        return {names[0]: table[0], KEPT: ~table[0]}
    groups = {f"{name} only": row & (senders == 1) for name, row in zip(names, table, strict=True)}
    groups["both" if len(names) == 2 else "all"] = senders == len(names)
    if len(names) > 2:
        groups["some"] = (senders > 1) & (senders < len(names))
    return groups | {KEPT: senders == 0}


def draw_timeline(
    streams: Streams | Trace,
    bucket: Bucket,
    policies: Mapping[str, Sent],
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    count: int | None = None,
    stream: int = 0,
    title: str = "",
) -> dict[str, int]:
    """Draw ``count`` frames from ``start`` on (None: all) of one stream into an ``.svg`` or ``.png`` file.

    From top to bottom: the metric of each frame, marked by who sends it; the gaps between frames, unless all are equal; the
    tokens of each policy. Hidden regimes are bands behind all of them, where they are known.

    ``streams``: a trace, or streams of which number ``stream`` is drawn. ``policies``: name -> what it decides, bool
    ``(T,)``, from the first frame of the stream on, as many as its decisions (of a trace, one less than its frames, or all).
    A bucket that starts full is replayed; a send without a token counts as kept.

    Returns the numbers of frames in the picture, by the words of ``shares``. Raises ``ValueError`` for a window outside
    the stream, decisions of another length, no policies or more than there are colours, or another ending of the file.
    """
    end = Path(path).suffix.lower()
    if end not in (".svg", ".png"):
        raise ValueError(f"path is {os.fspath(path)!r}, expected a file that ends in .svg or .png")
    if not 1 <= len(policies) <= _MOST_POLICIES:
        raise ValueError(f"{len(policies)} policies were given, expected 1 to {_MOST_POLICIES}")
    one = _as_streams(streams, stream)
    count = one.length - start if count is None else count
    if not (0 <= start < one.length and 1 <= count <= one.length - start):
        raise ValueError(f"the window is {count} frames from {start} on, expected one within the {one.length} frames")
    window = slice(start, start + count)
    replays, sent = _replays(one, bucket, policies)
    groups = {name: mask[window] for name, mask in shares(sent).items()}
    counts = {name: int(mask.sum()) for name, mask in groups.items()}
    figure = _draw(one, bucket, replays, sent, groups, window, title)
    if end == ".svg":
        write_bytes_atomic(path, svg(figure).encode())
    else:
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        write_bytes_atomic(path, buffer.getvalue())
    return counts


def _as_streams(given: Streams | Trace, stream: int) -> Streams:
    """One stream of ``given``; the last frame of a trace gets a gap too, which nothing follows."""
    if isinstance(given, Streams):
        if not 0 <= stream < len(given):
            raise ValueError(f"stream is {stream}, expected one of the {len(given)}, from 0 on")
        part = slice(stream, stream + 1)
        return Streams(
            given.metric[part],
            given.reward[part],
            given.gap[part],
            given.regime[part],
            given.location[part],
            given.weak_loss,
            given.ticks_per_unit,
        )
    unknown = np.full(len(given), np.nan)
    columns = [unknown if one is None else np.asarray(one, np.float64) for one in (given.reward, given.regime)]
    return Streams(
        given.metric[None],
        columns[0][None],
        np.append(given.gap, 1)[None],
        columns[1][None],
        unknown[None],
        0.0,
        given.ticks_per_unit,
    )


def _replays(one: Streams, bucket: Bucket, policies: Mapping[str, Sent]) -> tuple[dict[str, Replay], dict[str, Sent]]:
    """The bucket of each policy, and which frames it really sent."""
    replays, sent = {}, {}
    for name, decisions in policies.items():
        asked = np.zeros(one.length, np.bool_)
        if np.shape(decisions) not in ((one.length,), (one.length - 1,)):
            raise ValueError(f"{name} has decisions of shape {np.shape(decisions)}, expected ({one.length},)")
        asked[: len(decisions)] = decisions
        replays[name] = replay(one, bucket, asked[None])
        sent[name] = asked & (replays[name].tokens[0] >= bucket.cost)
    return replays, sent


def _draw(
    one: Streams,
    bucket: Bucket,
    replays: Mapping[str, Replay],
    sent: Mapping[str, Sent],
    groups: Mapping[str, Sent],
    window: slice,
    title: str,
) -> Figure:
    gaps = one.gap[0][window]
    times = (np.cumsum(one.gap[0]) - one.gap[0])[window] / one.ticks_per_unit
    varied = len(np.unique(gaps[:-1])) > 1
    heights = [2.6, *([0.7] if varied else []), *([1.0] * len(replays))]
    figure = Figure(figsize=(11, sum(heights) + 0.9))
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    colours = dict(zip(sent, COLOURS, strict=False))
    _draw_metrics(rows[0], times, one.metric[0][window], groups, colours)
    _draw_regimes(rows, times, one.regime[0][window])
    rows[0].set_title(title)
    if varied:
        rows[1].step(times[1:], gaps[:-1] / one.ticks_per_unit, where="pre", color="#555555", linewidth=1)
        rows[1].set_ylabel("gap,\ntime units")
        rows[1].set_ylim(0, 1.2 * float(gaps[:-1].max()) / one.ticks_per_unit)
    for axes, (name, played) in zip(rows[-len(replays) :], replays.items(), strict=True):
        values = one.metric[0][window][sent[name][window]]
        mean = f", of mean metric {values.mean():.3f}" if len(values) else ""
        _draw_tokens(axes, times, one, bucket, played.tokens[0], sent[name], window, colours[name])
        axes.set_title(f"{name}: sends {len(values)}{mean}", loc="left", fontsize=9, pad=3)
    rows[-1].set_xlabel("time since the first frame, time units")
    margin = max(0.01 * float(times[-1] - times[0]), 0.5 / one.ticks_per_unit)
    rows[-1].set_xlim(float(times[0]) - margin, float(times[-1]) + margin)
    figure.tight_layout(h_pad=0.4)
    return figure


def _draw_metrics(
    axes: Any,
    times: NDArray[np.float64],
    metric: NDArray[np.float64],
    groups: Mapping[str, Sent],
    colours: Mapping[str, str],
) -> None:
    markers = iter("o^svDPX*d")
    looks = [(name, colours.get(name.removesuffix(" only"))) for name in groups if name != KEPT]
    axes.scatter(
        times[groups[KEPT]], metric[groups[KEPT]], s=9, facecolor="none", edgecolor="#9a9a9a", linewidth=0.6,
        label=f"{KEPT} {groups[KEPT].sum()}", zorder=2,
    )  # fmt: skip
    for name, colour in looks:
        mask = groups[name]
        axes.scatter(
            times[mask], metric[mask], s=30, color=colour or (_SOME if name == "some" else _EVERYBODY), zorder=3,
            marker=next(markers), label=f"{name} {mask.sum()}", linewidth=0,
        )  # fmt: skip
    axes.set_ylabel("metric: expected\nreduction of the loss")
    axes.grid(axis="y", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[1:] + handles[:1], labels[1:] + labels[:1], title="frames sent by", loc="upper left",
        bbox_to_anchor=(1.0, 1.0), frameon=False, alignment="left",
    )  # fmt: skip


def _draw_regimes(rows: Any, times: NDArray[np.float64], regime: NDArray[np.float64]) -> None:
    """Bands behind all rows; one begins at the first frame that comes in it."""
    if not np.isfinite(regime).all() or (regime == regime[0]).all():
        return
    starts = np.flatnonzero(np.append(True, np.diff(regime) != 0))
    ends = np.append(times[starts[1:]], times[-1])
    seen: dict[int, Any] = {}
    for first, end in zip(starts, ends, strict=True):
        number = int(regime[first])
        for axes in rows:
            band = axes.axvspan(times[first], end, color=_GROUNDS[number % len(_GROUNDS)], linewidth=0, zorder=0)
        seen.setdefault(number, band)
    rows[-1].legend(
        [seen[number] for number in sorted(seen)], [f"regime {number + 1} (hidden)" for number in sorted(seen)],
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False,
    )  # fmt: skip


def _draw_tokens(
    axes: Any,
    times: NDArray[np.float64],
    one: Streams,
    bucket: Bucket,
    tokens: NDArray[np.int64],
    sent: Sent,
    window: slice,
    colour: str,
) -> None:
    """The level of the bucket: down by one token at a send, up with the rate, level when full."""
    before = tokens[window] / bucket.cost
    after = (tokens[window] - bucket.cost * sent[window]) / bucket.cost
    depth, rate = float(bucket.depth), float(bucket.rate)
    gap = one.gap[0][window] / one.ticks_per_unit
    full = times + np.minimum((depth - after) / rate, gap)
    level = np.minimum(after + rate * gap, depth)
    x = np.stack([times, times, full], axis=1).ravel()[:-1]
    y = np.stack([before, after, level], axis=1).ravel()[:-1]
    # paler by mixing with white, not by transparency, so that bands do not change the colour
    axes.fill_between(x, y, color=[0.75 + 0.25 * part for part in to_rgb(colour)], linewidth=0)
    axes.plot(x, y, color=colour, linewidth=1)
    axes.axhline(1.0, color="#c83c14", linestyle="--", linewidth=0.8)
    axes.set_ylim(0, depth * 1.04)
    axes.set_yticks(sorted({0.0, 1.0, depth}))
    axes.set_ylabel("tokens")
