"""Scenarios by name, as data: a few to begin with, and every point of the published sweeps, each with its bucket.

The sweeps are figures 5, 6, 8 and 9 of J. Qiu et al., A Deep Q-Network approach to edge ML offloading under token-bucket
constraints (arXiv 2208.00485). Of its scenario 3 no loss was published; its grid of buckets is played here all the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from envs.token_bucket.arrivals import ArrivalProcess, Bernoulli, MarkovModulated, Periodic
from envs.token_bucket.metrics import IidMetrics, LocalReset, MetricProcess

RATE, DEPTH = 0.1, 4.0
"""The usual bucket: tokens a time unit, and tokens."""


@dataclass(frozen=True)
class Preset:
    """Processes of a scenario by name, and the bucket that it is played with unless another one is given."""

    meaning: str
    metrics: MetricProcess
    arrivals: ArrivalProcess
    rate: float = RATE  # tokens a time unit
    depth: float = DEPTH  # tokens


SCENARIOS: dict[str, Preset] = {
    "iid": Preset("independent metrics, a frame every unit", IidMetrics(), Periodic()),
    "s1": Preset("scenario 1: correlated metrics, some ten frames a band", LocalReset(0.1, 0.1), Periodic()),
    "s1-slow": Preset("scenario 1: correlated metrics, some hundred frames a band", LocalReset(0.1, 0.01), Periodic()),
    "s2": Preset("scenario 2: arrivals in two regimes of some thousand units", IidMetrics(), MarkovModulated()),
    "s3": Preset("scenario 3: correlated metrics and two regimes", LocalReset(0.1, 0.01), MarkovModulated()),
    "bernoulli": Preset("independent metrics, a frame in every other unit at random", IidMetrics(), Bernoulli(0.5)),
    "bursts": Preset(
        "correlated metrics, random arrivals in three regimes",
        LocalReset(0.1, 0.01),
        MarkovModulated((1, 4, 16), (0.01, 0.005, 0.002), random=True),
    ),
}
"""Name -> scenario, with the usual bucket."""


@dataclass(frozen=True)
class Sweep:
    """The points of a figure: a few panels, in each of which one quantity goes up.

    ``axes``: what tells the panels apart, and what goes up; they stand in the names. ``values``: value of the panel -> values
    of the points. ``at``: processes and bucket of a point, from both values.
    """

    figure: str  # first part of the names
    title: str
    scenario: int  # of the paper
    axes: tuple[str, str]
    values: dict[float, tuple[float, ...]]
    at: Callable[[float, float], Preset]

    def name(self, panel: float, x: float) -> str:
        """Name of the preset of a point."""
        return f"{self.figure}-{self.axes[0]}{panel:g}-{self.axes[1]}{x:g}"

    def presets(self) -> dict[str, Preset]:
        """All points by name, panel by panel."""
        return {
            self.name(panel, x): replace(self.at(panel, x), meaning=self._meaning(panel, x))
            for panel, along in self.values.items()
            for x in along
        }

    def _meaning(self, panel: float, x: float) -> str:
        return f"{self.title} of Qiu et al. (scenario {self.scenario}): {self.axes[0]} {panel:g}, {self.axes[1]} {x:g}"


def _grid(panels: tuple[float, ...], along: tuple[float, ...]) -> dict[float, tuple[float, ...]]:
    return dict.fromkeys(panels, along)


_RATES, _DEPTHS = (0.05, 0.1, 0.25), (1.0, 2.0, 4.0, 10.0, 20.0)
_SECOND = {3.0: 2.0, 6.0: 4.0}
"""Figure 8: gap of the slow regime -> how many times longer than the fast one it lasts (inferred from gaps and levels)."""


def _two_regimes(gap: float, exponent: float) -> Preset:
    """A point of figure 8: the fast regime ends with a probability of 10 to the ``exponent``."""
    leave = 10.0**exponent
    return replace(SCENARIOS["s2"], arrivals=MarkovModulated((1, int(gap)), (leave, leave / _SECOND[gap])))


SWEEPS: tuple[Sweep, ...] = (
    Sweep(
        "fig5", "figure 5", 1, ("reset", "spread"),
        {0.1: (0.0, 0.1, 0.2, 0.5, 1.0), 0.01: (0.0, 0.1, 0.2, 0.5), 0.001: (0.0, 0.1, 0.2, 0.5)},
        lambda reset, spread: replace(SCENARIOS["s1"], metrics=LocalReset(spread, reset)),
    ),
    # spread .1 and reset .1 are inferred: its point of rate .1, depth 4 is that of figure 5
    Sweep(
        "fig6", "figure 6", 1, ("rate", "depth"), _grid(_RATES, _DEPTHS),
        lambda rate, depth: replace(SCENARIOS["s1"], rate=rate, depth=depth),
    ),
    Sweep(
        "fig8", "figure 8", 2, ("gap", "leave"), _grid((3.0, 6.0), (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5)), _two_regimes,
    ),
    Sweep(
        "fig9", "figure 9", 2, ("rate", "depth"), _grid(_RATES, _DEPTHS),
        lambda rate, depth: replace(SCENARIOS["s2"], rate=rate, depth=depth),
    ),
    Sweep(
        "s3", "the traces", 3, ("rate", "depth"), _grid(_RATES, _DEPTHS[:4]),
        lambda rate, depth: replace(SCENARIOS["s3"], rate=rate, depth=depth),
    ),
)  # fmt: skip
"""The published sweeps: 13, 15, 12 and 15 points, and 12 of scenario 3."""

PRESETS: dict[str, Preset] = {name: preset for sweep in SWEEPS for name, preset in sweep.presets().items()}
"""Name -> point of a published sweep, such as ``fig6-rate0.05-depth10`` or ``fig8-gap6-leave-1.5``."""


def such_as(name: str) -> str:
    """Presets with names like a mistyped one, in words for an error message: "a preset such as A, B or C"."""
    typed = name.lower()
    near = [known for known in PRESETS if typed and known.startswith(typed)][:3]
    near = near or difflib.get_close_matches(typed, list(PRESETS), 3) or ["fig6-rate0.05-depth10"]
    return f"a preset such as {' or '.join(filter(None, (', '.join(near[:-1]), near[-1])))}"
