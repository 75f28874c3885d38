"""The points of the published sweeps of token-bucket offloading, as cases with the losses that were published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.presets import PRESETS, SWEEPS
from envs.token_bucket.scenarios import scenario
from optimal.token_bucket.cases import Case

CURVES = ("dqn", "mdp", "baseline", "bound")
"""Curves that were published."""
_DEPTH = "bucket depth, tokens"
_PANELS = {
    "fig5": ("figure 5: reset {:g}, r .1, b 4", "spread of the metric's band"),
    "fig6": ("figure 6: r {:g}, spread .1, reset .1", _DEPTH),
    "fig8": ("figure 8: gaps 1 and {:g}, r .1, b 4", "log10(probability that the fast regime ends)"),
    "fig9": ("figure 9: r {:g}, gaps 1 and 3", _DEPTH),
    "s3": ("scenario 3: r {:g}", _DEPTH),
}
"""Title of a panel, and what goes up in it, by sweep."""


@dataclass(frozen=True)
class Point:
    """One point: ``x`` on the axis ``axis`` of the panel ``panel`` of a scenario; published losses by curve.

    ``name``: of its preset (``envs.token_bucket.presets``), from which the case is made.
    """

    name: str
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
    for sweep in SWEEPS:
        title, axis = _PANELS[sweep.figure]
        for value, along in sweep.values.items():
            panel, losses = title.format(value), known[sweep.figure][value] if sweep.figure in known else None
            for index, x in enumerate(along):
                name = sweep.name(value, x)
                bucket = Bucket.of(PRESETS[name].rate, PRESETS[name].depth)
                published = {} if losses is None else _at(losses, index, len(along))
                case = Case(panel, scenario(name), bucket)
                yield Point(name, sweep.scenario, panel, axis, x, case, published)


def _at(losses: dict[str, Any], index: int, count: int) -> dict[str, float]:
    """The losses of one of ``count`` points: an entry of each list, or the one number of the panel."""
    found = {}
    for name in CURVES:
        values = losses[name] if isinstance(losses[name], list) else [losses[name]] * count
        if len(values) != count:
            raise ValueError(f"published.yaml has {len(values)} values of {name} in a panel, expected {count}")
        found[name] = values[index]
    return found
