"""Generators from names of scenarios and presets, or from trace files, changed where wanted; and the buckets they bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.token_bucket.arrivals import ArrivalProcess, Bernoulli, Geometric, MarkovModulated, Periodic
from envs.token_bucket.bucket import Number
from envs.token_bucket.generator import Generator, TraceGenerator, TraceList
from envs.token_bucket.metrics import LocalReset, distribution
from envs.token_bucket.presets import DEPTH, PRESETS, RATE, Preset, such_as
from envs.token_bucket.presets import SCENARIOS as SCENARIOS
from envs.token_bucket.types import Trace


def named(name: str) -> Preset:
    """The scenario or preset of that name. Raises ``ValueError`` for an unknown one."""
    found = SCENARIOS.get(name) or PRESETS.get(name)
    if found is None:
        known = ", ".join(SCENARIOS)
        raise ValueError(f"scenario is {name!r}, expected one of {known}, {such_as(name)}, or the path of a .csv file")
    return found


def rates_and_depths(
    source: str | Path | Trace | Generator,
    *,
    rate: Number | None = None,
    depth: Number | None = None,
    rates: Sequence[Number] = (),
    depths: Sequence[Number] = (),
) -> tuple[list[Number], list[Number]]:
    """Rates and depths of the buckets that ``source`` is played with, each rate with each depth.

    Those of the lists, else the one that is given, else what belongs to a named scenario or preset; 0.1 and 4 where
    ``source`` is no name. Raises ``ValueError`` for an unknown name.
    """
    is_name = isinstance(source, str) and not source.endswith(".csv")
    own = named(str(source)) if is_name else None
    usual = (RATE, DEPTH) if own is None else (own.rate, own.depth)
    one_rate, one_depth = usual[0] if rate is None else rate, usual[1] if depth is None else depth
    return list(rates) or [one_rate], list(depths) or [one_depth]


def scenario(
    name: str,
    *,
    distribution_name: str = "standard",
    spread: float | None = None,
    reset: float | None = None,
    arrivals: str | None = None,
    gaps: tuple[int, ...] | None = None,
    leave: tuple[float, ...] | None = None,
    mean_gap: float | None = None,
) -> TraceGenerator:
    """The generator of a named scenario or preset, changed where a keyword is given.

    ``spread``, ``reset``: correlated metrics of that band and reset probability. ``arrivals``: ``periodic``, ``bernoulli``,
    ``geometric`` or ``markov`` in place of the scenario's. ``gaps``: the gap of periodic arrivals, or those of the regimes;
    ``leave``: probabilities that the regimes end; ``mean_gap``: of Bernoulli and geometric arrivals.
    Raises ``ValueError`` for an unknown name or a keyword that does not apply.
    """
    base = named(name)
    metrics = base.metrics
    if spread is not None or reset is not None:
        known = metrics if isinstance(metrics, LocalReset) else LocalReset()
        metrics = LocalReset(known.spread if spread is None else spread, known.reset if reset is None else reset)
    return TraceGenerator(
        metrics, _arrivals(base.arrivals, arrivals, gaps, leave, mean_gap), distribution(distribution_name)
    )


ARRIVALS = ("periodic", "bernoulli", "geometric", "markov")
"""Kinds of arrivals by name."""


def _arrivals(
    base: ArrivalProcess,
    kind: str | None,
    gaps: tuple[int, ...] | None,
    leave: tuple[float, ...] | None,
    mean_gap: float | None,
) -> ArrivalProcess:
    own = {Periodic: "periodic", Bernoulli: "bernoulli", Geometric: "geometric", MarkovModulated: "markov"}[type(base)]
    kind = own if kind is None else kind
    given: dict[str, Any] = {
        name: value for name, value in (("gaps", gaps), ("leave", leave), ("mean_gap", mean_gap)) if value is not None
    }
    takes = {"periodic": {"gaps"}, "bernoulli": {"mean_gap"}, "geometric": {"mean_gap"}, "markov": {"gaps", "leave"}}
    if kind not in takes:
        raise ValueError(f"arrivals is {kind!r}, expected one of {', '.join(ARRIVALS)}")
    for name in sorted(set(given) - takes[kind]):
        expected = f"only {' and '.join(sorted(takes[kind]))}"
        raise ValueError(f"{name} is {given[name]}, but arrivals are {kind}, which take {expected}")
    if kind == "periodic":
        if gaps is not None and len(gaps) != 1:
            raise ValueError(f"gaps is {list(gaps)}, but arrivals are periodic, expected one gap")
        return base if isinstance(base, Periodic) and gaps is None else Periodic(1 if gaps is None else gaps[0])
    if kind == "bernoulli":
        if mean_gap is not None and not 1 <= mean_gap < float("inf"):
            raise ValueError(f"mean_gap is {mean_gap}, expected at least 1 time unit")
        known = base if isinstance(base, Bernoulli) else Bernoulli(0.5)
        return known if mean_gap is None else Bernoulli(1.0 / mean_gap)
    if kind == "geometric":
        return Geometric(2.0 if mean_gap is None else mean_gap)
    modulated = base if isinstance(base, MarkovModulated) else MarkovModulated()
    return replace(
        modulated, gaps=modulated.gaps if gaps is None else gaps, leave=modulated.leave if leave is None else leave
    )


def as_generator(
    source: str | Path | Trace | Generator, *, weak_loss: float | None = None, **changes: Any
) -> Generator:
    """A generator from a scenario's name, the path of a trace file (.csv), a trace, or a generator.

    ``changes``: keywords of ``scenario``, for names alone. ``weak_loss``: of given traces (0 where None: losses are then
    minus the gain). Raises ``ValueError`` for bad input.
    """
    _check_kind(source)
    given = {name: value for name, value in changes.items() if value is not None}
    if isinstance(source, str) and not source.endswith(".csv"):
        if weak_loss is not None:
            raise ValueError(f"weak_loss is {weak_loss}, but scenario {source} brings its own, expected None")
        return scenario(source, **given)
    if set(given) - {"distribution_name"} or given.get("distribution_name", "standard") != "standard":
        name = sorted(given)[0]
        raise ValueError(f"{name} is {given[name]}, but the trace brings its own, expected None")
    if isinstance(source, Generator):
        return source
    loss = 0.0 if weak_loss is None else float(weak_loss)
    if isinstance(source, Trace):
        return TraceList([source], loss)
    from envs.token_bucket.trace_file import load_trace

    trace = load_trace(source)
    try:
        return TraceList([trace], loss)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _check_kind(source: object) -> None:
    if not isinstance(source, str | Path | Trace | Generator):
        kind = type(source).__name__
        raise ValueError(f"scenario is a {kind}, expected a name, a path, a Trace or a Generator")
