"""Integer programs to their end: HiGHS or CBC through PuLP, with what each of them truly proves.

PuLP calls a run "Optimal" that merely hit its time limit, and HiGHS states its bound without the objective's constant; CBC
2.10.3 returns false optima with its preprocessing. All three are seen to here.
"""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import highspy
import pulp

from optimal.progress import Say

GAP = 1e-7
"""Relative gap at which a solver may stop."""
TOLERANCE = 1e-9
"""Of whole numbers and rows; objectives are about 1000."""


@dataclass(frozen=True)
class Outcome:
    """What a run proved. ``status``: optimal, feasible (a solution, not proven), infeasible, or unknown."""

    status: str
    objective: float | None
    bound: float  # proven lower bound, -inf where none


def version(solver: str) -> str:
    """Name and version of a solver. Raises ValueError for an unknown name."""
    if solver == "highs":
        return f"highs {metadata.version('highspy')}"
    if solver == "cbc":
        return "cbc 2.10.3"
    raise ValueError(f"solver is {solver!r}, expected highs or cbc")


def minimise(problem: pulp.LpProblem, solver: str, time_limit: float | None, say: Say, scale: float = 1.0) -> Outcome:
    """Minimise ``problem``, whose variables hold the best solution afterwards. Raises ValueError for an unknown solver.

    ``scale``: what one of the objective is worth when ``say`` is told of it.
    """
    if solver == "highs":
        return _highs(problem, time_limit, say, scale)
    if solver == "cbc":
        return _cbc(problem, time_limit)
    raise ValueError(f"solver is {solver!r}, expected highs or cbc")


def settle(problem: pulp.LpProblem) -> float:
    """Fix all whole numbers at their rounded values and minimise what is left; returns the objective.

    Raises:
        RuntimeError: the rounded values allow no solution: a solver's tolerance has hidden a violated row.
    """
    for variable in problem.variables():
        if variable.cat == pulp.LpInteger:
            variable.lowBound = variable.upBound = round(variable.varValue or 0.0)
    outcome = _highs(problem, None, lambda text: None)
    if outcome.status != "optimal" or outcome.objective is None:
        raise RuntimeError(f"the solution of {problem.name} does not stand when its whole numbers are rounded")
    return outcome.objective


def _highs(problem: pulp.LpProblem, time_limit: float | None, say: Say, scale: float = 1.0) -> Outcome:
    constant = float(problem.objective.constant)

    shown = 0.0

    def log(kind: Any, message: str, out: Any, into: Any, data: Any) -> None:
        nonlocal shown
        if out.running_time >= shown + 0.5:  # it is called far more often
            shown = out.running_time
            best, least = ((bound + constant) * scale for bound in (out.mip_primal_bound, out.mip_dual_bound))
            say(f"{problem.name}: best {best:.6g}, at least {least:.6g}, {out.mip_node_count} nodes")

    backend = pulp.HiGHS(
        msg=False,
        timeLimit=time_limit,
        gapRel=GAP,
        threads=1,
        mip_feasibility_tolerance=TOLERANCE,
        primal_feasibility_tolerance=TOLERANCE,
        callbackTuple=(log, None),
        callbacksToActivate=[highspy.cb.HighsCallbackType.kCallbackMipInterrupt],
    )
    problem.solve(backend)
    highs = problem.solverModel
    status, info = highs.getModelStatus(), highs.getInfo()
    if status == highspy.HighsModelStatus.kInfeasible:
        return Outcome("infeasible", None, math.inf)
    found = info.primal_solution_status == 2  # kSolutionStatusFeasible
    objective = float(info.objective_function_value) + constant if found else None
    whole = problem.isMIP()
    if status == highspy.HighsModelStatus.kOptimal and objective is not None:
        bound = float(info.mip_dual_bound) + constant if whole else objective
        return Outcome("optimal", objective, min(bound, objective))
    bound = float(info.mip_dual_bound) + constant if whole else -math.inf
    return Outcome("unknown" if objective is None else "feasible", objective, bound)


def _cbc(problem: pulp.LpProblem, time_limit: float | None) -> Outcome:
    # Preprocessing makes this version call solutions optimal that are not, by several percent; without cuts it is harmless.
    # On a few tiny programs either of the two crashes.
    for options in (["preprocess off"], ["cuts off"]):
        try:
            text = _run_cbc(problem, time_limit, options)
            break
        except pulp.PulpSolverError:
            continue
    else:
        return Outcome("unknown", None, -math.inf)
    if problem.sol_status == pulp.LpSolutionInfeasible:
        return Outcome("infeasible", None, math.inf)
    found = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    objective = float(pulp.value(problem.objective)) if found else None
    stopped = "Stopped on" in text or (time_limit is not None and "time limit" in text)
    if objective is not None and problem.sol_status == pulp.LpSolutionOptimal and not stopped:
        return Outcome("optimal", objective, objective * (1.0 - GAP))
    stated = re.search(r"Lower bound:\s+(-?[\d.e+]+)", text)
    # It is printed with three decimals, and without the constant.
    bound = float(stated.group(1)) - 1e-3 + float(problem.objective.constant) if stated else -math.inf
    return Outcome("unknown" if objective is None else "feasible", objective, bound)


def _run_cbc(problem: pulp.LpProblem, time_limit: float | None, options: list[str]) -> str:
    """Run CBC and return its log. Raises pulp.PulpSolverError where it crashes."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "cbc.log"
        problem.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=time_limit, gapRel=0.0, options=options, logPath=str(log)))
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
