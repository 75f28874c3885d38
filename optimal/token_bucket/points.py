"""The points of the published sweeps of token-bucket offloading, as cases with the losses that were published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from envs.token_bucket.arrivals import MarkovModulated
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.metrics import LocalReset
from envs.token_bucket.scenarios import scenario
from optimal.token_bucket.cases import Case

CURVES = ("dqn", "mdp", "baseline", "bound")
"""Curves that were published."""


@dataclass(frozen=True)
class Point:
    """One point: ``x`` on the axis ``axis`` of the panel ``panel`` of a scenario; published losses by curve."""

    scenario: int
    panel: str
    axis: str
    x: float
    case: Case
    published: dict[str, float]


def load() -> dict[str, Any]:
    """The published losses, from ``published.yaml``."""
    known: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return known


def points() -> Iterator[Point]:
    """All points of scenarios 1 and 2, then those of scenario 3."""
    known = load()
    plain, buckets = scenario("iid"), "bucket depth, tokens"
    fig = known["spread"]
    bucket = Bucket.of(fig["rate"], fig["depth"])
    for reset, rows in fig["resets"].items():
        for spread, *losses in rows:
            generator = replace(plain, metrics=LocalReset(spread, reset))
            panel = f"figure 5: reset {reset:g}, r .1, b 4"
            published = dict(zip(CURVES, [*losses, fig["bound"]], strict=True))
            yield Point(1, panel, "spread of the metric's band", spread, Case(panel, generator, bucket), published)
    fig = known["depth_1"]
    generator = replace(plain, metrics=LocalReset(fig["spread"], fig["reset"]))
    for rate, row in fig["rates"].items():
        for i, depth in enumerate(fig["depths"]):
            panel = f"figure 6: r {rate:g}, spread .1, reset .1"
            yield Point(1, panel, buckets, depth, Case(panel, generator, Bucket.of(rate, depth)), _at(row, i))
    fig = known["leave"]
    bucket = Bucket.of(fig["rate"], fig["depth"])
    for gap, row in fig["gaps"].items():
        for i, exponent in enumerate(fig["exponents"]):
            leave = 10.0 ** float(exponent)
            arrivals = MarkovModulated((1, gap), (leave, leave / row["second"]))
            panel, axis = f"figure 8: gaps 1 and {gap}, r .1, b 4", "log10(probability that the fast regime ends)"
            yield Point(2, panel, axis, exponent, Case(panel, replace(plain, arrivals=arrivals), bucket), _at(row, i))
    fig = known["depth_2"]
    for rate, row in fig["rates"].items():
        for i, depth in enumerate(fig["depths"]):
            panel, bucket = f"figure 9: r {rate:g}, gaps 1 and 3", Bucket.of(rate, depth)
            yield Point(2, panel, buckets, depth, Case(panel, scenario("s2"), bucket), _at(row, i))
    fig = known["depth_3"]
    generator = replace(scenario("s3"), metrics=LocalReset(fig["spread"], fig["reset"]))
    for rate in fig["rates"]:
        for depth in fig["depths"]:
            panel = f"scenario 3: r {rate:g}"
            yield Point(3, panel, buckets, depth, Case(panel, generator, Bucket.of(rate, depth)), {})


def _at(row: dict[str, Any], index: int) -> dict[str, float]:
    """The losses of a point: an entry of each list, or the one number of the panel."""
    return {name: row[name][index] if isinstance(row[name], list) else row[name] for name in CURVES}
