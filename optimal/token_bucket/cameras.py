"""``python -m optimal.token_bucket.cameras``: what cameras gain by sharing one bucket, in three schemes.

*isolated*: each camera has the fair share (rate, depth) to itself. *hierarchical*: a switch has N times the fair share and the
cameras have larger buckets of their own, found by a grid search on training streams. *shared* ("smart switch"): all frames
come to one device with the rate of the switch and its depth; no scheme of these cameras can do better. All decide by the
exact thresholds of ``iid_mdp``. (Chakrabarti et al., arXiv 2010.13737.)
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket, Number, exact
from envs.token_bucket.cameras import Outcome, as_one_device, draw_metrics, simulate
from envs.token_bucket.metrics import IidMetrics, distribution

if TYPE_CHECKING:
    from conf.cameras_schema import CamerasConfig
    from optimal.token_bucket.iid_mdp import IidMdp

SCHEMES = ("isolated", "hierarchical", "shared")
MOST_RATE, MOST_DEPTH = Fraction(1, 2), Fraction(10)
"""Upper ends of the grid of the cameras' own buckets."""


@dataclass(frozen=True)
class Row:
    """One scheme at one number of cameras and one fair share of the depth."""

    scheme: str  # isolated, hierarchical, shared
    cameras: int
    depth: float  # tokens, fair share
    loss: float  # mean over all frames of the test streams
    standard_error: float
    gain: float  # loss of the isolated scheme minus this one, on the same frames
    gain_error: float  # its standard error
    exact_loss: float | None  # of the average-reward program; None: not known
    own_rate: float  # tokens a slot that a camera may send at; shared: a turn
    own_depth: float  # tokens
    dropped: float  # share of the sends that the switch drops
    published: float | None  # read off a figure, +-.0003


_LEVELS = {
    ("isolated", 1): (0.0892,) * 5,
    ("hierarchical", 1): (0.0837, 0.0818, 0.0812, 0.0803, 0.0798),
    ("shared", 1): (0.0830, 0.0808, 0.0798, 0.0790, 0.0788),
    ("isolated", 2): (0.0831,) * 5,
    ("hierarchical", 2): (0.0811, 0.0800, 0.0796, 0.0791, 0.0789),
    ("shared", 2): (0.0798, 0.0790, 0.0788, 0.0785, 0.0785),
}
"""Losses of Chakrabarti et al. at a rate of 0.1 by scheme and depth, for 2, 3, 4, 6 and 8 cameras."""


def published(scheme: str, cameras: int, rate: float, depth: float, name: str) -> float | None:
    """The published loss of a scheme, where there is one."""
    levels = _LEVELS.get((scheme, int(depth))) if (rate, name) == (0.1, "strong-pair") and depth == int(depth) else None
    return levels[(2, 3, 4, 6, 8).index(cameras)] if levels and cameras in (2, 3, 4, 6, 8) else None


@lru_cache(maxsize=4096)
def solved(rate: Number, depth: Number, name: str) -> IidMdp:
    """The best policy for independent frames of a distribution, one a tick, and its exact gain."""
    from optimal.token_bucket.gaps import GapLaw
    from optimal.token_bucket.iid_mdp import iid_mdp
    from optimal.token_bucket.laws import MetricLaws

    return iid_mdp(
        Bucket.of(rate, depth), GapLaw.of_samples(np.ones(1, np.int64)), MetricLaws.of_distribution(distribution(name))
    )


def play(
    metrics: NDArray[np.float64], rate: Fraction, depth: Fraction, name: str, switch: Bucket | None = None
) -> Outcome:
    """Metrics ``(S, T, N)`` with the same bucket and the best policy for it in every camera."""
    found, cameras = solved(rate, depth, name), metrics.shape[2]
    return simulate(metrics, [found.bucket] * cameras, [found.thresholds] * cameras, switch)


def grid(config: CamerasConfig, depth: Fraction) -> Iterator[tuple[Fraction, Fraction]]:
    """Rates and depths of the cameras' own buckets, from the fair share up."""
    rates, depths = exact("rates_step", config.rates_step), exact("depths_step", config.depths_step)
    fair = exact("rate", config.rate)
    rows = [rates * k for k in range(1, int(MOST_RATE / rates) + 1)]
    for rate in sorted({fair} | {rate for rate in rows if rate >= fair}):
        for k in range(int((MOST_DEPTH - 1) / depths) + 1):
            if 1 + depths * k >= depth:
                yield rate, 1 + depths * k


def search(config: CamerasConfig, cameras: int, depth: Fraction) -> tuple[Fraction, Fraction]:
    """Rate and depth of the cameras' own buckets with which most comes through the switch on the training streams."""
    metrics = _metrics(config, cameras, training=True)
    switch = Bucket.of(exact("rate", config.rate), depth * cameras)

    def value(own: tuple[Fraction, Fraction]) -> float:
        return float(play(metrics, *own, config.distribution, switch).value.mean())

    return max(grid(config, depth), key=value, default=(exact("rate", config.rate), depth))


def _metrics(config: CamerasConfig, cameras: int, *, training: bool) -> NDArray[np.float64]:
    count, length = (config.training_streams, config.training_length) if training else (config.streams, config.length)
    return draw_metrics(
        IidMetrics(), distribution(config.distribution), cameras, count, length, 2 * config.seed + training
    )


def measure(config: CamerasConfig, say: Callable[[str], None] = lambda text: None) -> list[Row]:
    """All schemes, numbers of cameras and depths, on the same test streams."""
    rows: list[Row] = []
    name, rate = config.distribution, exact("rate", config.rate)
    weak = distribution(name).weak_loss
    for fair in config.depths:
        depth = exact("depths", fair)
        for cameras in config.cameras:
            say(f"depth {fair:g}, {cameras} cameras: grid search")
            own = search(config, cameras, depth)
            metrics = _metrics(config, cameras, training=False)
            switch = Bucket.of(rate, depth * cameras)
            schemes = {
                "isolated": ((rate, depth), play(metrics, rate, depth, name)),
                "hierarchical": (own, play(metrics, *own, name, switch)),
                "shared": ((rate, depth * cameras), play(as_one_device(metrics), rate, depth * cameras, name)),
            }
            base = schemes["isolated"][1].value
            for scheme in SCHEMES:
                (own_rate, own_depth), outcome = schemes[scheme]
                exact_loss = None if scheme == "hierarchical" else weak - solved(own_rate, own_depth, name).gain
                rows.append(
                    Row(
                        scheme,
                        cameras,
                        fair,
                        weak - float(outcome.value.mean()),
                        _error(outcome.value),
                        float((outcome.value - base).mean()),
                        _error(outcome.value - base),
                        exact_loss,
                        float(own_rate),
                        float(own_depth),
                        float(outcome.dropped.sum() / max(outcome.sent.sum(), 1)),
                        published(scheme, cameras, config.rate, fair, name),
                    )
                )
    return rows


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def run(config: CamerasConfig) -> dict[str, Any]:
    """Measure, and write cameras.csv and cameras.png into ``config.out``; returns the rows and the paths."""
    from envs.atomic import write_text_atomic
    from optimal.progress import status_line
    from optimal.token_bucket.cameras_plot import plot, print_table

    with status_line() as say:
        rows = measure(config, say)
    folder = Path(config.out)
    text = io.StringIO()
    table = csv.DictWriter(text, [*Row.__dataclass_fields__], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_text_atomic(folder / "cameras.csv", text.getvalue())
    plot(rows, folder / "cameras.png")
    if config.format == "text":
        print_table(rows)
    return {
        "rows": [asdict(row) for row in rows],
        "csv": str(folder / "cameras.csv"),
        "plot": str(folder / "cameras.png"),
    }


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.cameras_schema import CamerasConfig

    raise SystemExit(main("cameras", CamerasConfig, run, ("out",)))
