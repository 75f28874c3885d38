"""The optimality gap: how far above a proven lower bound a policy's latency lies, instance by instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from agents.evaluation import Outcome
    from optimal.reference import Reference

SLACK = 1e-9
"""How far below a proven bound a latency may lie, relative: rounding. More is a defect of solver or physics."""
OPTIMAL = 1e-6
"""Largest gap that counts as solved to optimality; solvers call an instance optimal by the same number."""


@dataclass(frozen=True)
class Bounds:
    """What is proven about a list of instances, one entry each; nan and -1: nothing."""

    bound_s: NDArray[np.float64]  # least summed latency when no request is rejected, seconds
    optimum_s: NDArray[np.float64]  # proven optimal summed latency, seconds
    rejections: NDArray[np.int64]  # proven least number of rejections

    @classmethod
    def of(cls, references: Sequence[Reference | None]) -> Bounds:
        """The bounds of references, in order. Where rejections cannot be avoided there is no bound on the latency."""
        count = len(references)
        bounds = cls(np.full(count, np.nan), np.full(count, np.nan), np.full(count, -1))
        for index, reference in enumerate(references):
            if reference is None:
                continue
            bounds.rejections[index] = reference.rejections_bound
            if reference.rejections_bound == 0 and reference.bound_s is not None:
                bounds.bound_s[index] = reference.bound_s
                if reference.status == "optimal" and reference.objective_s is not None:
                    bounds.optimum_s[index] = reference.objective_s
        return bounds

    @property
    def known(self) -> int:
        """Instances with a bound on the latency."""
        return int(np.isfinite(self.bound_s).sum())


def gaps(outcome: Outcome, bounds: Bounds) -> NDArray[np.float64]:
    """Summed latency over the proven bound, minus 1, float64 ``(instances,)``.

    nan where no bound is known, and where the policy rejected a request or broke a constraint: it has then solved
    another problem. Less than ``SLACK`` is 0.

    Raises:
        RuntimeError: a run without violations is better than what is proven possible; the environment or the solver is
            wrong.
    """
    served = np.isfinite(outcome.latency_s).sum(axis=1)
    rejected = outcome.requests - served
    total = np.nansum(outcome.latency_s, axis=1)
    valid = outcome.violations == 0
    for index in np.flatnonzero(valid & (rejected < bounds.rejections)):
        raise RuntimeError(
            f"policy {outcome.policy}, instance {index}: {rejected[index]} requests rejected without a violation, but "
            f"{bounds.rejections[index]} rejections are proven to be unavoidable"
        )
    with np.errstate(invalid="ignore"):
        gap = np.where(valid & (rejected == 0), total / bounds.bound_s - 1.0, np.nan)
    for index in np.flatnonzero(gap < -SLACK):
        raise RuntimeError(
            f"policy {outcome.policy}, instance {index}: {total[index]} s without a violation, but {bounds.bound_s[index]} s "
            "is a proven lower bound"
        )
    return np.where(gap < SLACK, 0.0, gap)


def is_solved(outcome: Outcome, bounds: Bounds) -> NDArray[np.bool_]:
    """Which instances were solved to optimality, bool ``(instances,)``: at the bound, or at a proven optimum above it."""
    total = np.nansum(outcome.latency_s, axis=1)
    with np.errstate(invalid="ignore"):
        at_optimum = np.isfinite(outcome.gap) & (total <= bounds.optimum_s * (1.0 + SLACK))
        return np.asarray(at_optimum | (outcome.gap <= OPTIMAL))


def gap_summary(gap: NDArray[np.float64], solved: NDArray[np.bool_]) -> dict[str, Any]:
    """Mean, 95th percentile, worst, share solved to optimality and number of the gaps that are known; None for none."""
    known = gap[np.isfinite(gap)]
    if not len(known):
        return {"gap_mean": None, "gap_p95": None, "gap_worst": None, "optimal_share": None, "gap_instances": 0}
    return {
        "gap_mean": float(known.mean()),
        "gap_p95": float(np.percentile(known, 95)),
        "gap_worst": float(known.max()),
        "optimal_share": float(solved[np.isfinite(gap)].mean()),
        "gap_instances": len(known),
    }
