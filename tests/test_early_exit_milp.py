"""Thresholds by integer programs, by NSGA-II, and the rule for one point: each agrees with enumeration or the exact front."""

from __future__ import annotations

import builtins
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_exits import exit_table, month

from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.types import ExitTable
from optimal.early_exit.exact_front import exact_front
from optimal.early_exit.levels import all_distinct, mass_aware, thresholds, uniform
from optimal.early_exit.nsga2 import compared, nsga2, published_filter
from optimal.early_exit.operating_point import Rule, choose, with_margin
from optimal.early_exit.pair_tables import PairTables, pair_tables
from optimal.early_exit.pareto import hypervolume, non_dominated
from optimal.early_exit.row_costs import offload_cost
from optimal.early_exit.row_milp import best_routes
from optimal.early_exit.threshold_milp import Prices, best_levels

PRICES = Prices(1.0, 2.0, 0.3, 0.05)


def enumerated(tables: PairTables, tau: float, budget: float, prices: Prices | None) -> float:
    """The least error or price on the whole grid; inf where the limits leave nothing."""
    grid = tables.grid()
    allowed = (grid.accepted >= max(1, tau * tables.rows - 1e-9)) & (grid.offloaded <= budget * tables.rows + 1e-9)
    if prices is None:
        values = grid.wrong / np.maximum(grid.accepted, 1)
    else:
        values = (
            prices.false_positive * grid.false_positives
            + prices.false_negative * grid.false_negatives
            + prices.rejection * (tables.rows - grid.accepted)
            + prices.offload * grid.offloaded
        )
    return float(np.where(allowed, values, np.inf).min())


# --- programs --------------------------------------------------------------------------------------------------------
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.sampled_from([0.0, 0.2, 1.0]), st.booleans())
def test_both_programs_find_what_enumeration_finds(seed: int, tau: float, budget: float, priced: bool) -> None:
    table = exit_table(seed, 18, 4)
    tables, prices = pair_tables(table, all_distinct(table)), PRICES if priced else None
    expected = enumerated(tables, tau, budget, prices)
    best, rows = best_levels(tables, tau, budget, prices), best_routes(table, tau, budget, prices)
    assert best.objective == pytest.approx(expected, abs=1e-6) and rows.objective == pytest.approx(expected, abs=1e-6)
    found = tables.counts(best.index[None])
    for name in ("accepted", "false_positives", "false_negatives", "offloaded"):
        assert getattr(best.totals, name) == getattr(found, name)[0], name
    assert (rows.totals.accepted, rows.totals.offloaded) == ((rows.exit < 2).sum(), (rows.exit > 0).sum())
    assert routes(table, thresholds(best.values[None])).shape == (1, 18)


@pytest.mark.parametrize("solver", ["highs", "cbc"])
@pytest.mark.parametrize("prices", [None, PRICES])
def test_a_month_agrees_with_enumeration(solver: str, prices: Prices | None) -> None:
    table = month(rows=2_000, distinct=500)
    tables = pair_tables(table, mass_aware(table, 11))
    best = best_levels(tables, 0.7, 0.15, prices, solver)
    assert best.objective == pytest.approx(enumerated(tables, 0.7, 0.15, prices), abs=1e-6)
    assert (best.variables, best.constraints) == (4 * 11 + 4 * 121, 4 + 4 * 22 + 2)
    where = routes(table, thresholds(best.values[None]))[0]
    assert (where < REJECTED).sum() == best.totals.accepted and (where % REJECTED > 0).sum() == best.totals.offloaded


def test_the_program_agrees_with_the_front() -> None:
    table = month(rows=1_000, distinct=300)
    levels = mass_aware(table, 16)
    front = exact_front(table, levels, offload_cost(table), 0.9)
    for budget in (0.05, 0.3, 1.0):
        at = choose(front, Rule("budget", budget))
        best = best_levels(pair_tables(table, levels), 0.9, budget)
        assert best.objective == pytest.approx(front.error[at], abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((1.2,), "tau is 1.2, expected"),
        ((0.5, 2.0), "budget is 2.0, expected a share of the rows in 0..1"),
        ((0.5, 1.0, None, "best"), "solver is 'best', expected highs or cbc"),
        ((1.0, 0.0), "no choice of levels accepts 30 of 30 rows with at most a share of 0 offloaded"),
    ],
)
def test_limits_that_cannot_be_are_told(arguments: tuple[Any, ...], sentence: str) -> None:
    table = exit_table(1, 30, 6)
    low = ExitTable(table.label, table.predicted, table.certainty / 2)  # no level accepts what is below .5
    with pytest.raises(ValueError, match=sentence):
        best_levels(pair_tables(low, uniform(4)), *arguments)
    with pytest.raises(ValueError, match="the table has 31 rows, expected at most 30"):
        best_routes(exit_table(1, 31, 4), 0.5)
    with pytest.raises(ValueError, match="price of rejection is nan"):
        Prices(rejection=float("nan"))


# --- NSGA-II ---------------------------------------------------------------------------------------------------------
def test_nsga2_finds_real_points_that_never_beat_the_exact_front() -> None:
    table = month(rows=1_000, distinct=300)
    cost = offload_cost(table)
    exact = exact_front(table, all_distinct(table), cost, 0.9)
    told: list[int] = []
    found = nsga2(table, cost, 0.9, generations=30, seed=1, progress=lambda done, of: told.append(done))
    assert told[-1] == 30 and found.evaluations == 100 + 29 * 80
    where = routes(table, found.front.thresholds)
    assert ((where < REJECTED).sum(axis=1) == found.front.accepted).all()
    assert ((where % REJECTED > 0).sum(axis=1) == found.front.offloaded).all()
    assert (found.front.acceptance >= 0.9).all() and (np.diff(found.front.error) < 0).all()
    against = compared(found.front, exact)
    assert 0.8 < against.ratio <= 1.0 and 0 < against.dominated <= 1
    assert against.hypervolume == pytest.approx(hypervolume(found.last))
    assert compared(exact, exact).ratio == 1.0 and compared(exact, exact).dominated == 0.0
    again = nsga2(table, cost, 0.9, generations=30, seed=1)
    assert np.array_equal(found.last, again.last)
    assert not np.array_equal(found.last, nsga2(table, cost, 0.9, generations=30, seed=2).last)


def test_the_published_filter_deletes_what_is_there_twice() -> None:
    points = np.array([[0.1, 0.5], [0.05, 0.75], [0.1, 0.5], [0.12, 0.6]])
    assert published_filter(points).tolist() == [1]
    assert non_dominated(points).tolist() == [0, 1]


def test_without_pymoo_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("pymoo"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    table = exit_table(0, 20, 3)
    with pytest.raises(ValueError, match=r"not installed, expected: pip install offramp\[nsga2\]"):
        nsga2(table, offload_cost(table), 0.9)


# --- the rule for one point ------------------------------------------------------------------------------------------
def test_a_point_is_chosen_by_budget_or_weight() -> None:
    table = month(rows=1_000, distinct=300)
    front = exact_front(table, all_distinct(table), offload_cost(table), with_margin(0.88, 0.02))
    at = choose(front, Rule("budget", 0.1))
    assert front.cost[at] <= 0.1 < front.cost[at + 1]
    assert choose(front, Rule("budget", 0.0)) == 0 and choose(front, Rule("weight", 0.0)) == len(front) - 1
    best = choose(front, Rule("weight", 0.1))
    assert (front.error + 0.1 * front.cost >= front.error[best] + 0.1 * front.cost[best]).all()
    assert choose(front, Rule("weight", 1e6)) == 0
    assert choose(front, Rule("budget", float(front.cost[3]))) == 3


def test_rules_that_cannot_be_are_told() -> None:
    table = month(rows=200, distinct=100)
    front = exact_front(table, all_distinct(table), offload_cost(table), 0.9)
    for wrong, sentence in (
        (lambda: Rule("index", 55), "rule is 'index', expected one of budget, weight"),
        (lambda: Rule("budget", -1.0), "budget is -1.0, expected a number >= 0"),
        (lambda: with_margin(0.9, 0.2), "tau is 0.9 and margin is 0.2, expected numbers >= 0 that add up to at most 1"),
        (lambda: choose(_part(front, slice(3, None)), Rule("budget", 0.0)), "budget is 0, expected at least 0.0"),
        (lambda: choose(_part(front, slice(0, 0)), Rule("weight", 0.0)), "the front has no point"),
    ):
        with pytest.raises(ValueError, match=sentence):
            wrong()  # type: ignore[no-untyped-call]


def _part(front: Any, which: slice) -> Any:
    names = ("values", "rejects", "accepted", "wrong", "offloaded", "cost", "share")
    return type(front)(*(getattr(front, name)[which] for name in names), front.rows, front.pairs, front.searched)


def test_31_levels_are_solved_in_time() -> None:
    table = month()
    tables = pair_tables(table, mass_aware(table, 31))
    started = time.perf_counter()
    best = best_levels(tables, 0.7, 0.15)
    spent = time.perf_counter() - started
    assert best.objective == pytest.approx(enumerated(tables, 0.7, 0.15, None), abs=1e-6)
    assert spent < 10, "seconds of a program that takes one"
