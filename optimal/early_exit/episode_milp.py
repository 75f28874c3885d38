"""The best that could have been done in an episode: one action a window, as an integer program with proof.

Minimise ``sum cost[t, a] x[t, a] + price s`` over binary x and s >= 0, with one column a window, ``sum use[t, a] x[t, a] <=
budget`` and ``sum accepted[t, a] x[t, a] + s >= least T W``: a multiple-choice knapsack (Kellerer, Pferschy, Pisinger, Knapsack
Problems, 2004, chapter 11). Columns are the actions and their fallbacks.

Why its optimum is that of the environment, where all is known:

- Whatever a policy plays is a solution. What is used adds up to no more than the budget, and a window that did not fit was
  played as a fallback, which is a column. So no policy earns more than minus the bound.
- A solution of actions alone can be played. Uses are never negative, so windows before t use no more than all of them, and each
  action fits into what is left when its turn comes.
- A column that is a fallback and no action is played only where one of its actions does not fit. Most solutions do without.
  Where one needs such a column too early, rows that say so are added and the program is solved again: the use before window t
  and the most that an action of the fallback f would use in it exceed the budget, ``sum of use before >= (budget - most[t, f])
  x[t, f]``, by at least one unit where uses are whole.

What is found is replayed through the physics before it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pulp
from numpy.typing import NDArray

from optimal.backends import minimise
from optimal.early_exit.episodes import Floats
from optimal.early_exit.knapsack import SLACK, Knapsack
from optimal.early_exit.playing import Choose, Game, Ints, Played, Script, play

AGREEMENT = 1e-9
"""Largest relative difference between an objective and minus the return of the replay."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """What a run proved about one episode."""

    status: str  # optimal, or feasible: stopped at the time limit
    actions: Ints  # (T,) to be played
    objective: float  # cost of the episode: minus its return
    bound: float  # no policy has a lower cost
    relaxation: float  # of the linear program, which bounds too

    @property
    def gap(self) -> float:
        """Relative difference between objective and bound."""
        return (self.objective - self.bound) / max(abs(self.objective), 1e-12)


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The linear program of an episode."""

    bound: float  # its optimum: no policy has a lower cost
    use_price: float  # of a unit of the budget
    accept_price: float  # of an accepted row
    reduced: Floats  # (T, A') what choosing a column costs more than the bound, at least


def solve(knapsack: Knapsack, *, solver: str = "highs", time_limit: float | None = None) -> Optimum:
    """The optimum of an episode; ``solver``: highs or cbc, ``time_limit`` in seconds of a run.

    A column whose reduced cost exceeds the difference between a solution and the bound is in no better solution (Kellerer et
    al., section 11.4.1), so a program of the few columns below a threshold is solved first, and again with the threshold that
    its solution proves to be enough.

    Where nothing is found in time, the linear program is rounded, and its bound is what is proven. Raises ``RuntimeError``
    where that fails too: actions alone need more than the budget.
    """
    relaxation = relaxed(knapsack)
    run = _Run(knapsack, relaxation, solver, time_limit)
    try:
        status, columns, bound = _searched(knapsack, run, relaxation)
    except _TooLate:
        status, columns, bound = "feasible", rounded(knapsack), relaxation.bound
    if status != "optimal":  # what a run has when its time is over may be worse
        columns = min((columns, _rounded_or(knapsack, columns)), key=knapsack.objective)
    objective = knapsack.objective(columns)
    bound = min(max(bound, relaxation.bound), objective)
    return Optimum(status, knapsack.actions_of(columns), objective, bound, relaxation.bound)


def _searched(knapsack: Knapsack, run: _Run, relaxation: Relaxation) -> tuple[str, Ints, float]:
    status, columns, bound = run.core(knapsack.kept(), ordered=False)
    if not knapsack.playable(columns):
        own = np.zeros_like(relaxation.reduced, np.bool_)
        own[:, : knapsack.actions] = True
        try:
            reached = knapsack.objective(run.core(own, ordered=False)[1])
        except _Infeasible:  # without fallbacks nothing keeps to the budget
            reached = np.inf
        wide = knapsack.able & (relaxation.reduced <= reached - relaxation.bound + run.step)
        status, columns, bound = run.solve(wide, ordered=True)
        if not knapsack.playable(columns):
            raise RuntimeError("the solution of an integer program cannot be played")
    return status, columns, bound


def _rounded_or(knapsack: Knapsack, columns: Ints) -> Ints:
    try:
        return rounded(knapsack)
    except RuntimeError:
        return columns


def rounded(knapsack: Knapsack) -> Ints:
    """Columns ``(T,)`` of actions near the linear program's: a window of two columns takes the one that uses less.

    What is found can be played: it uses no more than the linear program. Raises ``RuntimeError`` where actions alone need more
    than the budget.
    """
    own = np.zeros(knapsack.cost.shape, np.bool_)
    own[:, : knapsack.actions] = True
    problem, x = _build(knapsack, own, 1.0, whole=False, ordered=False)
    outcome = minimise(problem, "highs", None, lambda text: None)
    if outcome.objective is None:
        raise RuntimeError(f"the linear program of the actions of an episode is {outcome.status}")
    found = []
    for t, row in enumerate(x):
        taken = [a for a, variable in row.items() if (variable.varValue or 0.0) > 1e-7]
        found.append(min(taken, key=lambda a, t=t: float(knapsack.use[t, a])))  # type: ignore[misc]
    return np.array(found, np.int64)


def relaxed(knapsack: Knapsack) -> Relaxation:
    """The linear program: a bound on every policy, its prices, and what they say about each column."""
    problem, _ = _build(knapsack, knapsack.kept(), 1.0, whole=False, ordered=False)
    outcome = minimise(problem, "highs", None, lambda text: None)
    if outcome.objective is None:
        raise RuntimeError(f"the linear program of an episode is {outcome.status}")
    prices = {name: abs(float(problem.constraints[name].pi)) for name in _LIMITS if name in problem.constraints}
    use_price, accept_price = prices.get("budget", 0.0), min(prices.get("acceptance", 0.0), knapsack.price)
    priced = knapsack.cost + use_price * knapsack.use - accept_price * knapsack.accepted
    # the bound of these prices by Lagrange: sure, whatever the tolerances of the solver
    bound = float(priced.min(axis=1).sum()) + accept_price * knapsack.needed
    bound -= use_price * knapsack.budget if use_price > 0 else 0.0
    return Relaxation(bound, use_price, accept_price, priced - priced.min(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class _Run:
    knapsack: Knapsack
    relaxation: Relaxation
    solver: str
    time_limit: float | None

    @property
    def scale(self) -> float:
        """What makes costs whole numbers, where something small does: a solver rounds its bound up then."""
        scales = [float(self.knapsack.rows * ten) for ten in (1, 2, 10, 100, 1000)]
        every = np.append(self.knapsack.cost, self.knapsack.price)
        return next((one for one in scales if np.allclose(every * one, np.round(every * one), rtol=0, atol=1e-7)), 1.0)

    @property
    def step(self) -> float:
        """What is added to thresholds for rounding."""
        return 1e-9 * max(1.0, abs(self.relaxation.bound))

    def core(self, allowed: NDArray[np.bool_], *, ordered: bool) -> tuple[str, Ints, float]:
        """The optimum over allowed columns, by those of small reduced cost alone: status, columns and bound."""
        threshold = 1e-4 * max(1.0, abs(self.relaxation.bound))
        while True:
            least = np.where(allowed, self.relaxation.reduced, np.inf).min(axis=1, keepdims=True)
            chosen = allowed & (self.relaxation.reduced <= np.maximum(threshold, least))
            try:
                status, columns, bound = self.solve(chosen, ordered=ordered)
            except _Infeasible:
                if chosen.sum() == allowed.sum():
                    raise
                threshold *= 10.0
                continue
            reached = self.knapsack.objective(columns) - self.relaxation.bound + self.step
            if reached <= threshold or chosen.sum() == allowed.sum():
                return status, columns, min(bound, self.relaxation.bound + threshold)
            threshold = reached

    def solve(self, chosen: NDArray[np.bool_], *, ordered: bool) -> tuple[str, Ints, float]:
        """The optimum over chosen columns ``(T, A')``: status, columns ``(T,)`` and bound."""
        knapsack, scale = self.knapsack, self.scale
        problem, x = _build(knapsack, chosen, scale, whole=True, ordered=ordered)
        outcome = minimise(problem, self.solver, self.time_limit, lambda text: None)
        if outcome.objective is None:
            raise _Infeasible() if outcome.status == "infeasible" else _TooLate()
        columns = np.array([_chosen(row) for row in x], np.int64)
        if knapsack.use[np.arange(len(columns)), columns].sum() > knapsack.budget * (1.0 + SLACK):
            raise RuntimeError("the solution of an integer program exceeds the budget once its numbers are rounded")
        return outcome.status, columns, outcome.bound / scale


def _chosen(row: dict[int, pulp.LpVariable]) -> int:
    return max(row, key=lambda a: float(row[a].varValue or 0.0))


class _Infeasible(Exception):
    """A program of too few columns."""


class _TooLate(Exception):
    """No solution was found in time."""


_LIMITS = ("budget", "acceptance")
"""Names of the rows that have prices."""


def _build(
    knapsack: Knapsack, chosen: NDArray[np.bool_], scale: float, *, whole: bool, ordered: bool
) -> tuple[pulp.LpProblem, list[dict[int, pulp.LpVariable]]]:
    problem = pulp.LpProblem("episode", pulp.LpMinimize)
    kind = pulp.LpInteger if whole else pulp.LpContinuous
    x = [
        {int(a): pulp.LpVariable(f"x_{t}_{a}", 0, 1, kind) for a in np.flatnonzero(chosen[t])}
        for t in range(len(chosen))
    ]
    counted = knapsack.needed == np.round(knapsack.needed)
    lack = pulp.LpVariable("lack", 0, None, pulp.LpInteger if whole and counted else pulp.LpContinuous)

    def total(values: Floats, digits: int | None = None) -> pulp.LpAffineExpression:
        return pulp.LpAffineExpression(
            (x[t][a], float(values[t, a]) if digits is None else round(float(values[t, a]), digits))
            for t in range(len(x))
            for a in x[t]
        )

    exact = 6 if scale > 1.0 else None  # scaled costs are whole but for rounding
    problem += total(scale * knapsack.cost, exact) + round(scale * knapsack.price, exact or 12) * lack
    for row in x:
        problem += pulp.LpAffineExpression((one, 1) for one in row.values()) == 1
    if knapsack.price > 0 and knapsack.needed > 0:
        problem += total(knapsack.accepted) + lack >= knapsack.needed, "acceptance"
    if knapsack.budget < np.inf:
        problem += total(knapsack.use) <= knapsack.budget, "budget"
    if ordered:
        _order(problem, knapsack, x)
    return problem, x


def _order(problem: pulp.LpProblem, knapsack: Knapsack, x: list[dict[int, pulp.LpVariable]]) -> None:
    """Fallbacks that are no actions are played only where one of their actions does not fit."""
    # of whole uses, what does not fit exceeds what is left by one at least, or by what the budget lacks to a whole number
    more = float(np.floor(knapsack.budget)) + 1.0 - knapsack.budget if knapsack.whole else SLACK * knapsack.budget
    before: pulp.LpVariable | None = None
    for t, row in enumerate(x):
        for column in row:
            if column < knapsack.actions:
                continue
            own = np.flatnonzero(knapsack.fallback[: knapsack.actions] == column)
            least = knapsack.budget + more - float(knapsack.use[t, own].max())
            if least == np.inf or (before is None and least > 0):
                problem += row[column] == 0
            elif before is not None and least > 0:
                problem += before >= least * row[column]
        used = pulp.LpVariable(f"used_{t}", 0)
        own_use = pulp.LpAffineExpression((row[a], float(knapsack.use[t, a])) for a in row)
        problem += used == own_use + (0 if before is None else before)
        before = used


def optima(game: Game, *, solver: str = "highs", time_limit: float | None = None) -> list[Optimum]:
    """The optimum of each episode, confirmed by the physics.

    Raises ``RuntimeError`` where the return of the replay differs from the objective.
    """
    found = [solve(Knapsack.of(game, s), solver=solver, time_limit=time_limit) for s in range(len(game.episodes))]
    confirm(game, found)
    return found


def confirm(game: Game, found: list[Optimum]) -> Played:
    """Replay optima through the physics. Raises ``RuntimeError`` where it does not confirm them."""
    played = play(Script(np.stack([one.actions for one in found])), game)
    claimed = np.array([one.objective for one in found])
    wrong = np.flatnonzero(np.abs(played.returns + claimed) > AGREEMENT * np.maximum(1.0, np.abs(claimed)))
    if len(wrong):
        s = int(wrong[0])
        raise RuntimeError(f"an integer program says a cost of {claimed[s]!r}, the physics {-played.returns[s]!r}")
    return played


@dataclass(frozen=True)
class KnapsackPolicy:
    """Plays the optimum of each episode, all of which it knows."""

    time_limit: float | None = 10.0  # seconds of a run
    name: str = "knapsack"
    kind: str = "knows the future"

    def start(self, game: Game) -> Choose:
        """See ``Policy``."""
        actions = np.stack([one.actions for one in optima(game, time_limit=self.time_limit)])
        return lambda t, state: actions[:, t]
