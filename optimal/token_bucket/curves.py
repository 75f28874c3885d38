"""``python -m optimal.token_bucket.curves``: the references on every point of the published sweeps, and plots of both."""

from __future__ import annotations

import csv
import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimal.token_bucket import baselines
from optimal.token_bucket.belief import belief
from optimal.token_bucket.cases import play
from optimal.token_bucket.iid_mdp import iid_mdp_of
from optimal.token_bucket.points import CURVES, Point, points
from optimal.token_bucket.policy import Policy
from optimal.token_bucket.published_mdp import published_mdp_of
from optimal.token_bucket.regime_mdp import regime_mdp

if TYPE_CHECKING:
    from conf.token_bucket_schema import TokenBucketCurvesConfig

OURS = ("bound", "threshold", "iid-MDP as published", "iid-MDP", "regime-MDP", "belief")
"""Curves that are played; the bound is for the mean gaps of the same streams."""

Row = dict[str, Any]


def run(config: TokenBucketCurvesConfig) -> dict[str, Any]:
    """Measure, and write curves.csv and a plot of each published scenario into ``config.out``; returns rows and paths."""
    from envs.atomic import write_text_atomic
    from optimal.progress import status_line
    from optimal.token_bucket.curves_plot import plot

    started, rows = time.perf_counter(), list[Row]()
    todo = list(points())
    with status_line() as say:
        for number, point in enumerate(todo, start=1):
            say(f"point {number} of {len(todo)}: {point.panel}, {point.axis} {point.x:g}")
            rows.append(measure(point, config.streams, config.length, config.seed))
    folder = Path(config.out)
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text_atomic(folder / "curves.csv", text.getvalue())
    plots = []
    for number in (1, 2):
        path = folder / f"scenario{number}.png"
        plot([row for row in rows if row["scenario"] == number], number, path)
        plots.append(str(path))
    if config.format == "text":
        _print(rows)
    return {
        "streams": config.streams,
        "length": config.length,
        "seed": config.seed,
        "seconds": time.perf_counter() - started,
        "rows": rows,
        "csv": str(folder / "curves.csv"),
        "plots": plots,
    }


def measure(point: Point, streams: int, length: int, seed: int) -> Row:
    """Published losses of a point, and ours with their standard errors."""
    generator, bucket = point.case.generator, point.case.bucket
    policies: list[Policy] = [
        baselines.fixed_threshold(generator, bucket),
        published_mdp_of(generator, bucket),
        iid_mdp_of(generator, bucket),
        regime_mdp(generator, bucket),
        belief(generator, bucket),
    ]
    levels, bound = play(point.case, policies, streams, length, seed)
    row: Row = {
        "preset": point.name,
        "scenario": point.scenario,
        "panel": point.panel,
        "axis": point.axis,
        "x": float(point.x),
        "rate": float(bucket.rate),
        "depth": float(bucket.depth),
    }
    for name in CURVES:
        row[f"published {name}"] = point.published.get(name)
    for name, level in (("bound", bound), *levels.items()):
        row[name], row[f"{name} error"] = level.loss, level.error
    return row


def markdown(rows: list[Row]) -> list[str]:
    """Published and own losses as rows of Markdown."""
    heads = [f"published {name}" for name in CURVES] + list(OURS)
    lines = ["| panel | x | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for row in rows:
        lines.append(f"| {row['panel']} | {row['x']:g} | " + " | ".join(_text(row[name]) for name in heads) + " |")
    return lines


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}".lstrip("0")


def _print(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Mean loss: published, then ours", title_justify="left")
    shown = ("baseline", "mdp", "dqn")
    for heading in ("panel", "x", *shown, *OURS):
        table.add_column(heading, justify="left" if heading == "panel" else "right")
    for row in rows:
        cells = [_text(row[f"published {name}"]) for name in shown] + [_text(row[name]) for name in OURS]
        table.add_row(row["panel"], f"{row['x']:g}", *cells)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.token_bucket_schema import TokenBucketCurvesConfig

    raise SystemExit(main("token_bucket_curves", TokenBucketCurvesConfig, run, ("out",)))
