"""Policies for token-bucket offloading that need no training, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conf.schema import TOKEN_BASELINES
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import Generator, TraceGenerator, TraceList
from envs.token_bucket.metrics import LocalReset
from optimal.token_bucket.baselines import Chance, Greedy, Never, fixed_threshold, send_share
from optimal.token_bucket.belief import belief
from optimal.token_bucket.clairvoyant import Clairvoyant
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.iid_mdp import iid_mdp_of, iid_mdp_of_traces
from optimal.token_bucket.policy import LevelThresholds, Policy
from optimal.token_bucket.published_mdp import published_mdp_of
from optimal.token_bucket.regime_mdp import regime_mdp

MEANINGS: dict[str, str] = {
    "belief": "Bayes filter on what is hidden, thresholds of the full-information program: nearly the causal optimum",
    "regime-mdp": "thresholds by level and inferred regime; optimal where metrics are independent",
    "iid-mdp": "thresholds by level; optimal where metrics and arrivals are independent",
    "published-mdp": "the same with the defects of the public implementation",
    "fixed": "one threshold: what is among the best images that the rate can pay for",
    "greedy": "send whenever there is a token",
    "random": "send at random, as often as the rate can pay for",
    "never": "the weak classifier alone",
    "clairvoyant": "knows all metrics to come; no causal policy can be better",
}
"""Name -> meaning, strongest first."""
NEEDS_PROCESSES = ("belief", "regime-mdp", "published-mdp")
"""Those that must know the processes behind a trace: not to be had for trace files."""


def baseline(name: str, generator: Generator, bucket: Bucket, seed: int = 0) -> Policy:
    """A policy by name, made for a bucket; ``seed``: of chance.

    Raises ``ValueError`` for an unknown name, and for one that must know the processes where traces are given.
    """
    if isinstance(generator, TraceGenerator):
        return _of_processes(name, generator, bucket, seed)
    if isinstance(generator, TraceList):
        return _of_traces(name, generator, bucket, seed)
    raise ValueError(f"the generator is a {type(generator).__name__}, expected TraceGenerator or TraceList")


def available(names: list[str], generator: Generator) -> list[str]:
    """Those of ``names`` that can be made for a generator."""
    if not isinstance(generator, TraceGenerator):
        return [name for name in names if name not in NEEDS_PROCESSES]
    for_ever = isinstance(generator.metrics, LocalReset) and not generator.metrics.reset
    # a band that never changes makes every location a problem of its own
    return [name for name in names if not (for_ever and name == "belief")]


def _of_processes(name: str, generator: TraceGenerator, bucket: Bucket, seed: int) -> Policy:
    makers: dict[str, Callable[[], Policy]] = {
        "belief": lambda: belief(generator, bucket),
        "regime-mdp": lambda: regime_mdp(generator, bucket),
        "iid-mdp": lambda: iid_mdp_of(generator, bucket),
        "published-mdp": lambda: published_mdp_of(generator, bucket),
        "fixed": lambda: fixed_threshold(generator, bucket),
        "random": lambda: Chance(send_share(bucket, GapLaw.of(generator.arrivals)), seed),
    }
    return makers[name]() if name in makers else _plain(name)


def _of_traces(name: str, generator: TraceList, bucket: Bucket, seed: int) -> Policy:
    if name in NEEDS_PROCESSES:
        known = ", ".join(one for one in TOKEN_BASELINES if one not in NEEDS_PROCESSES)
        raise ValueError(f"baseline is {name}, which must know the processes behind a trace, expected one of {known}")
    metrics = np.concatenate([trace.metric for trace in generator.traces])
    units = sum(trace.units for trace in generator.traces) / sum(len(trace) - 1 for trace in generator.traces)
    share = min(1.0, float(bucket.rate) * units)
    if name == "iid-mdp":
        return iid_mdp_of_traces(list(generator.traces), bucket)
    if name == "fixed":
        theta = float(np.quantile(metrics, 1.0 - share))
        return LevelThresholds("threshold", "baseline", bucket, np.full(bucket.capacity + 1, theta))
    return Chance(share, seed) if name == "random" else _plain(name)


def _plain(name: str) -> Policy:
    plain: dict[str, Callable[[], Policy]] = {"greedy": Greedy, "never": Never, "clairvoyant": Clairvoyant}
    if name not in plain:
        raise ValueError(f"baseline is {name!r}, expected one of {', '.join(TOKEN_BASELINES)}")
    return plain[name]()
