"""NSGA-II over the thresholds of two exits, as published: a baseline, the exact front needs none of it.

Settings of the public early-exit intrusion detection system: population 100, offspring 80, 1000 generations, simulated
binary crossover (.9, eta 15), polynomial mutation (eta 20), random floats in [.5, 1], duplicates eliminated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import ExitTable
from optimal.early_exit.evaluator import Evaluator
from optimal.early_exit.exact_front import Front, least_accepted
from optimal.early_exit.levels import NAMES, Floats
from optimal.early_exit.pareto import dominated, hypervolume, non_dominated
from optimal.early_exit.row_costs import RowCost

POPULATION, OFFSPRING, GENERATIONS = 100, 80, 1_000
LOW, HIGH = 0.5, 1.0


@dataclass(frozen=True, eq=False)
class Nsga2Result:
    """What a run found: ``front`` without dominated points and with one of each; ``last``: all of the last generation."""

    front: Front
    last: Floats  # (P, 2) error and normalised cost
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """A front against the exact one."""

    hypervolume: float
    ratio: float  # to that of the exact front; nan where that is 0
    dominated: float  # share of its distinct points that the exact front strictly dominates


def compared(front: Front, exact: Front) -> Comparison:
    """Area and dominated share of ``front`` against ``exact``, in error and normalised cost."""
    own, best = hypervolume(front.points), hypervolume(exact.points)
    beaten = dominated(front.points, exact.points)
    return Comparison(own, own / best if best > 0 else float("nan"), float(beaten.mean()) if len(beaten) else 0.0)


def nsga2(
    table: ExitTable,
    cost: RowCost,
    tau: float,
    *,
    generations: int = GENERATIONS,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Nsga2Result:
    """Run NSGA-II with at least a share ``tau`` of the rows accepted.

    ``progress``: told of each generation and how many there are. Where nothing is accepted the error counts as 1, not as the
    published 0/0. Raises ``ValueError`` where pymoo is not installed, or as ``exact_front``.
    """
    parts = _pymoo()
    need = least_accepted(len(table), tau)
    evaluate = Evaluator.of(table, cost)

    def objectives(values: Floats) -> tuple[Floats, Floats]:
        counts, spent = evaluate(values)
        error = np.where(counts.accepted > 0, counts.wrong / np.maximum(counts.accepted, 1), 1.0)
        return np.stack([error, cost.share(spent)], axis=1), (need - counts.accepted[:, None]) / len(table)

    def evaluate_all(self: Any, x: Floats, out: dict[str, Floats], *args: Any, **kwargs: Any) -> None:
        out["F"], out["G"] = objectives(x)

    kind = type("ThresholdProblem", (parts["Problem"],), {"_evaluate": evaluate_all})
    problem = kind(n_var=len(NAMES), n_obj=2, n_ieq_constr=1, xl=LOW, xu=HIGH)
    algorithm = parts["NSGA2"](
        pop_size=POPULATION,
        n_offsprings=OFFSPRING,
        sampling=parts["FloatRandomSampling"](),
        crossover=parts["SBX"](prob=0.9, eta=15),
        mutation=parts["PM"](eta=20),
        eliminate_duplicates=True,
    )
    started = time.perf_counter()
    algorithm.setup(problem, termination=("n_gen", generations), seed=seed, verbose=False)
    while algorithm.has_next():
        algorithm.next()
        if progress is not None:
            progress(algorithm.n_gen - 1, generations)
    spent = time.perf_counter() - started
    last: Floats = algorithm.pop.get("X")
    points, excess = objectives(last)
    feasible = np.flatnonzero(excess[:, 0] <= 0)
    kept = feasible[non_dominated(points[feasible])]
    return Nsga2Result(
        front_of(table, cost, evaluate, last[kept]), points[feasible], int(algorithm.evaluator.n_eval), spent
    )


def front_of(table: ExitTable, cost: RowCost, evaluate: Evaluator, values: Floats) -> Front:
    """Thresholds ``(F, 4)`` with their counts, by rising cost as given."""
    counts, spent = evaluate(values)
    return Front(
        values,
        np.zeros((len(values), 2)),
        counts.accepted.astype(np.int64),
        counts.wrong.astype(np.int64),
        counts.offloaded.astype(np.int64),
        cost.value(spent),
        cost.share(spent),
        len(table),
        0,
        0,
    )


def published_filter(points: Floats) -> NDArray[np.int64]:
    """What the public system keeps of points ``(M, 2)``: none that another is as good as, so equal ones delete each other."""
    kept = []
    for at, point in enumerate(points):
        no_worse = (np.delete(points, at, axis=0) <= point).all(axis=1)
        if not no_worse.any():
            kept.append(at)
    return np.array(kept, np.int64)


def _pymoo() -> dict[str, Any]:
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.sampling.rnd import FloatRandomSampling
    except ImportError:
        raise ValueError("NSGA-II needs pymoo, which is not installed, expected: pip install offramp[nsga2]") from None
    return {"NSGA2": NSGA2, "Problem": Problem, "SBX": SBX, "PM": PM, "FloatRandomSampling": FloatRandomSampling}
