"""Plots of a benchmark as SVG text, with the data of the result alone; no display and no network."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from agents.benchmark_result import BenchmarkResult, Played

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999", "#f0e442")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
MARKERS = "osD^vPX*<>"


def plots(result: BenchmarkResult) -> dict[str, tuple[str, str]]:
    """Name -> (SVG, caption) of every plot that the result has data for."""
    drawn = {
        "latency": (
            _intervals(result, "latency_s", 1e3, "latency of a request, ms"),
            "Mean (dot) and interquartile mean (ring) latency of the served requests, with 95 % intervals over seeds and "
            "instances. * ignores privacy.",
        ),
        "latency_data": (
            _latency_against_data(result),
            "Mean latency against mean data sent for a request; left and low is better.",
        ),
    }
    if np.isfinite(result.bound_s).any():
        drawn["gap"] = (
            _intervals(result, "gap", 100, "optimality gap, %"),
            "Excess over the proven lower bound: mean (dot), interquartile mean (ring), 95 % intervals.",
        )
        drawn["gap_profile"] = (
            _profile(result),
            "Share of the instances (over all seeds) that a policy solves within a gap; the higher, the better.",
        )
        drawn["gap_time"] = (
            _gap_against_time(result),
            "Mean gap against the time to decide one request asked alone; for proven placements, the solver's time.",
        )
    return drawn


def svg(figure: Figure) -> str:
    """A figure as SVG; equal figures give equal text."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "offramp", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return text.getvalue()


def style(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of every name, the same in all plots of a report."""
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]} for i, name in enumerate(names)
    }


def _intervals(result: BenchmarkResult, key: str, scale: float, label: str) -> str:
    rows = [row for row in result.rows if np.isfinite(row[key]["mean"])]
    figure, axes = intervals([(_shown(row), colour_of(row["kind"]), row[key]) for row in rows], scale, label)
    if key == "gap":
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(left=-0.1)
        return svg(figure)
    _logarithmic(axes, [scale * row[key]["mean"] for row in rows], "x")
    return svg(figure)


def intervals(rows: Sequence[tuple[str, str, Mapping[str, Any]]], scale: float, label: str) -> tuple[Figure, Any]:
    """Mean (dot) and interquartile mean (ring), a line for each row: name, colour, what ``aggregate`` returns."""
    figure = Figure(figsize=(7, 0.9 + 0.38 * len(rows)))
    axes = figure.add_subplot()
    for at, (_, colour, values) in enumerate(reversed(rows)):
        for name, band, offset, fill in (("mean", "interval", 0.12, colour), ("iqm", "iqm_interval", -0.12, "white")):
            axes.plot([scale * bound for bound in values[band]], [at + offset] * 2, color=colour, linewidth=2)
            axes.plot(scale * values[name], at + offset, "o", color=colour, markerfacecolor=fill)
    axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    return figure, axes


def against_time(figure: Figure, axes: Any, what: str, label: str) -> str:
    """Finish a plot over the time to decide a ``what``, logarithmic, with ``label`` on the other axis, as SVG."""
    axes.set_xscale("log")
    axes.set_xlabel(f"time to decide a {what}, µs")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return svg(figure)


def colour_of(kind: str) -> str:
    """The colour of learned policies, of references (what knows the future among them) and of baselines."""
    if kind == "learned":
        return COLOURS[0]
    return COLOURS[2] if kind in ("reference", "clairvoyant") else COLOURS[7]


def _logarithmic(axes: Any, values: Sequence[float], which: str) -> None:
    """A logarithmic axis where the values span more than a decade and all are positive."""
    if min(values, default=0.0) > 0 and max(values) > 10 * min(values):
        axes.set(**{f"{which}scale": "log"})


def _shown(row: dict[str, Any]) -> str:
    seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return f"{row['policy']}{seeds}{'' if row['respects_privacy'] else ' *'}"


def _points(result: BenchmarkResult, figure: Figure) -> tuple[Any, dict[str, dict[str, Any]]]:
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return axes, style([row["policy"] for row in result.rows])


def _latency_against_data(result: BenchmarkResult) -> str:
    figure = Figure(figsize=(7, 4.2))
    axes, styles = _points(result, figure)
    rows = [row for row in result.rows if np.isfinite(row["latency_s"]["mean"])]
    for row in rows:
        x, y = 1e-3 * row["shared_bytes"]["mean"], 1e3 * row["latency_s"]["mean"]
        axes.plot(x, y, linestyle="", label=_shown(row), **styles[row["policy"]])
    axes.set_xlabel("data sent for a request, kB")
    axes.set_ylabel("latency of a request, ms")
    _logarithmic(axes, [row["latency_s"]["mean"] for row in rows], "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return svg(figure)


def _gap_against_time(result: BenchmarkResult) -> str:
    figure = Figure(figsize=(7, 4.2))
    axes, styles = _points(result, figure)
    for row in result.rows:
        if np.isfinite(row["gap"]["mean"]):
            seconds = max(row["decision_s"], 1e-7)
            axes.plot(1e3 * seconds, 100 * row["gap"]["mean"], linestyle="", label=_shown(row), **styles[row["policy"]])
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1.0)
    worst = max(row["gap"]["mean"] for row in result.rows if np.isfinite(row["gap"]["mean"]))
    axes.set_ylim(-0.1, max(1.0, 200 * worst))
    axes.set_xlabel("time to decide a request, ms")
    axes.set_ylabel("mean optimality gap, %")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return svg(figure)


def _profile(result: BenchmarkResult) -> str:
    figure = Figure(figsize=(7, 4.2))
    axes, styles = _points(result, figure)
    known = [one for one in result.played if np.isfinite(one.gap).any()]
    most = max((float(np.nanmax(one.gap)) for one in known), default=1.0)
    names = list(styles)
    for one in known:
        gaps, shares = _steps(one, most)
        dashed = "--" if names.index(one.name) >= len(COLOURS) else "-"
        axes.step(100 * gaps, shares, dashed, where="post", label=one.name, color=styles[one.name]["color"])
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlim(left=0.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("optimality gap, %")
    axes.set_ylabel("share of instances within it")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return svg(figure)


def _steps(one: Played, most: float) -> tuple[Any, Any]:
    """Gaps and the share of all plays within them; plays without a gap (rejected, violating) never count as solved."""
    gaps = np.sort(one.gap[np.isfinite(one.gap)])
    shares = np.arange(1, len(gaps) + 1) / one.gap.size
    return np.append(gaps, most), np.append(shares, shares[-1])
