"""Exact fronts of early-exit thresholds: every count is that of ``routes``, every front that of plain enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_exits import exit_table, month, tables

from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.types import ExitTable, Thresholds
from optimal.early_exit.exact_front import Front, exact_front, exit_two_only, least_accepted, useful_levels
from optimal.early_exit.levels import Levels, all_distinct, at_certainties, mass_aware, thresholds, uniform
from optimal.early_exit.pair_tables import Counts, pair_tables
from optimal.early_exit.pareto import dominated, hypervolume, non_dominated
from optimal.early_exit.row_costs import RowCost, measured_cost, offload_cost, stage_cost

TAUS = st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9, 1.0])
COSTS: list[Callable[[ExitTable], RowCost]] = [
    offload_cost,
    measured_cost,
    lambda table: stage_cost(table, np.array([0.25, 0.5]), "energy", "J"),
]


def counted(table: ExitTable, ways: Thresholds) -> Counts:
    """Counts of each way, by sending every row through ``routes``."""
    where = routes(table, ways)
    out = np.zeros((4, len(ways)), np.int32)
    for a, route in enumerate(where):
        for row, place in enumerate(route):
            answered = int(place) < REJECTED
            predicted, label = table.predicted[int(place) % REJECTED, row], table.label[row]
            out[0, a] += answered
            out[1, a] += answered and predicted == 1 and label == 0
            out[2, a] += answered and predicted == 0 and label == 1
            out[3, a] += int(place) % REJECTED > 0
    return Counts(*out)


def spent(table: ExitTable, cost: RowCost, ways: Thresholds) -> np.ndarray:
    """Sum of ``extra`` of the rows that go on, for each way."""
    return ((routes(table, ways) % REJECTED > 0) * cost.extra).sum(axis=1)


def enumerated(table: ExitTable, cost: RowCost, ways: Thresholds, tau: float) -> list[tuple[float, float]]:
    """The front of ``ways``, error and cost, by enumeration."""
    where = routes(table, ways)
    answered = where < REJECTED
    said = np.take_along_axis(table.predicted[None], (where % REJECTED)[:, None, :].astype(np.int64), axis=1)[:, 0]
    accepted = answered.sum(axis=1)
    wrong = (answered & (said != table.label)).sum(axis=1)
    good = (accepted >= tau * len(table) - 1e-9) & (accepted > 0)
    points = np.stack([wrong[good] / accepted[good], spent(table, cost, ways)[good]], axis=1)
    front = points[non_dominated(points)]
    return [(float(error), float(cost.value(np.int64(total)))) for error, total in front]


def every(levels: Levels) -> np.ndarray:
    """All threshold vectors of ``levels``."""
    return np.array(list(itertools.product(levels.n1, levels.a1, levels.n2, levels.a2)))


def listed(front: Front) -> list[tuple[float, float]]:
    return [(float(error), float(cost)) for error, cost in zip(front.error, front.cost, strict=True)]


# --- counts ----------------------------------------------------------------------------------------------------------
@settings(max_examples=25, deadline=None)
@given(tables, st.integers(2, 4))
def test_pair_tables_count_what_routes_decide(table: ExitTable, count: int) -> None:
    for levels in (uniform(count), mass_aware(table, count)):
        made = pair_tables(table, levels)
        index = np.array(list(itertools.product(*(range(k) for k in levels.shape))))
        expected = counted(table, thresholds(every(levels)))
        direct, grid = made.counts(index), made.grid()
        for name in ("accepted", "false_positives", "false_negatives", "offloaded", "wrong", "correct"):
            assert (getattr(direct, name) == getattr(expected, name)).all(), name
            assert (np.broadcast_to(getattr(grid, name), levels.shape).ravel() == getattr(expected, name)).all(), name
        assert np.array_equal(np.isnan(direct.error), expected.accepted == 0)


@settings(max_examples=25, deadline=None)
@given(tables, st.integers(0, 1000))
def test_every_threshold_vector_is_in_the_tables_of_all_certainties(table: ExitTable, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.uniform(0, 1.1, (20, 4)), rng.choice(table.certainty.ravel(), (20, 4))])
    values[0], values[1] = 0, 2
    made = pair_tables(table, at_certainties(table))
    found, expected = made.counts(made.index(values)), counted(table, thresholds(values))
    for name in ("accepted", "false_positives", "false_negatives", "offloaded"):
        assert (getattr(found, name) == getattr(expected, name)).all(), name


@settings(max_examples=25, deadline=None)
@given(tables)
def test_levels_part_the_rows_in_every_way_and_no_certainty_is_a_level(table: ExitTable) -> None:
    every_way, few = all_distinct(table), mass_aware(table, 4)
    for stage, label in itertools.product((0, 1), repeat=2):
        own = np.unique(table.certainty[stage, table.predicted[stage] == label])
        levels = every_way.of(stage, label)
        assert (levels[0], levels[-1], len(levels)) == (0.0, 2.0, max(len(own), 1) + 1)
        assert not set(levels) & (set(own) - {0.0})
        assert set(few.of(stage, label)) <= set(levels) and len(few.of(stage, label)) <= 4
        full = mass_aware(table, 100).of(stage, label)
        assert np.array_equal(full, levels)


def test_a_common_certainty_has_a_level_on_either_side() -> None:
    certainty = np.concatenate([np.linspace(0.5, 0.69, 20), np.full(60, 0.7), np.linspace(0.71, 0.9, 20)])
    label = np.zeros(100, np.int8)
    table = ExitTable(label, np.zeros((2, 100), np.int8), np.stack([certainty, certainty]))
    assert mass_aware(table, 4).n1 == pytest.approx([0, 0.695, 0.705, 2])
    assert mass_aware(table, 4).a1.tolist() == [0, 2]


# --- fronts ----------------------------------------------------------------------------------------------------------
@settings(max_examples=80, deadline=None)
@given(tables, TAUS, st.sampled_from(COSTS))
def test_the_front_is_that_of_enumeration(table: ExitTable, tau: float, make: Callable[[ExitTable], RowCost]) -> None:
    levels, cost = all_distinct(table), make(table)
    front = exact_front(table, levels, cost, tau)
    assert listed(front) == enumerated(table, cost, thresholds(every(levels)), tau)
    confirm(table, cost, front, tau)


def confirm(table: ExitTable, cost: RowCost, front: Front, tau: float) -> None:
    """What a front says about its points is what ``routes`` decides with their thresholds."""
    if not len(front):
        return
    found = counted(table, front.thresholds)
    assert (found.accepted == front.accepted).all() and (found.wrong == front.wrong).all()
    assert (found.offloaded == front.offloaded).all()
    assert (cost.value(spent(table, cost, front.thresholds)) == front.cost).all()
    assert (front.acceptance >= tau - 1e-9).all() and (front.accepted > 0).all()
    assert (np.diff(front.error) < 0).all() and (np.diff(front.cost) > 0).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), TAUS)
def test_the_front_with_rejects_at_exit_1_is_that_of_enumeration(seed: int, tau: float) -> None:
    table = exit_table(seed, 25, 3)
    levels, cost = all_distinct(table), offload_cost(table)
    pairs = [
        [(accept, reject) for accept in values for reject in (0.0, *values) if reject <= accept]
        for values in (levels.n1, levels.a1)
    ]
    combined = list(itertools.product(pairs[0], pairs[1], levels.n2, levels.a2))
    values = np.array([(n[0], a[0], n2, a2) for n, a, n2, a2 in combined])
    rejects = np.array([(n[1], a[1]) for n, a, _, _ in combined])
    one = (levels.n1[1:2], levels.a1[1:2])
    below = np.stack([np.isin(rejects[:, c], one[c]) for c in (0, 1)], axis=1)
    for action, some, which in (
        ("both", None, np.ones(len(values), np.bool_)),
        ("both", one, (below | (rejects == 0) | (rejects == values[:, :2])).all(axis=1)),
        ("reject", None, (rejects == values[:, :2]).all(axis=1)),
        ("pass", None, (rejects == 0).all(axis=1)),
    ):
        front = exact_front(table, levels, cost, tau, action=action, rejects=some)
        assert listed(front) == enumerated(table, cost, thresholds(values[which], rejects[which]), tau), action
        confirm(table, cost, front, tau)


@settings(max_examples=10, deadline=None)
@given(tables, TAUS)
def test_without_exit_1_all_rows_go_on(table: ExitTable, tau: float) -> None:
    levels = exit_two_only(table, all_distinct(table))
    front = exact_front(table, levels, offload_cost(table), tau)
    assert listed(front) == enumerated(table, offload_cost(table), thresholds(every(levels)), tau)
    assert (front.share == 1).all() and len(front) == 1


def test_a_month_is_solved_through_the_bounds_and_beats_any_grid() -> None:
    table = month(rows=1_000, distinct=400)
    cost = offload_cost(table)
    front = exact_front(table, all_distinct(table), cost, 0.9)
    assert front.searched < front.pairs / 2
    confirm(table, cost, front, 0.9)
    area = hypervolume(front.points)
    for levels, least in ((mass_aware(table, 31), 0.98), (mass_aware(table, 11), 0.93), (uniform(21), 0.7)):
        few = exact_front(table, levels, cost, 0.9)
        assert least * area < hypervolume(few.points) <= area
        assert not dominated(front.points, few.points).any()
        confirm(table, cost, few, 0.9)


@settings(max_examples=40, deadline=None)
@given(tables, TAUS, st.sampled_from(COSTS))
def test_levels_that_are_left_out_would_change_nothing(
    table: ExitTable, tau: float, make: Callable[[ExitTable], RowCost]
) -> None:
    levels, cost = all_distinct(table), make(table)
    useful = useful_levels(table, levels, cost)
    assert all(set(useful.of(k, c)) <= set(levels.of(k, c)) for k in (0, 1) for c in (0, 1))
    whole, part = (enumerated(table, cost, thresholds(every(some)), tau) for some in (levels, useful))
    assert whole == part


def test_the_walk_tells_how_far_it_is() -> None:
    table, told = month(rows=1_000, distinct=600), list[tuple[int, int]]()
    levels, cost = all_distinct(table), offload_cost(table)
    front = exact_front(table, levels, cost, 0.9, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (front.pairs, front.pairs) and front.searched < front.pairs


# --- costs and areas -------------------------------------------------------------------------------------------------
def test_costs_are_those_of_the_paper_and_of_the_stages() -> None:
    table = exit_table(3, 30, 4)
    assert table.block_time is not None and table.exit_time is not None
    block, head = table.block_time, table.exit_time
    ways = thresholds(np.array([[0, 0, 1, 1], [2, 2, 0, 0], [0.7, 0.8, 0.6, 0.6]]))
    left = routes(table, ways) == 0
    seconds = np.where(left, block[0] + head[0], block[0] + block[1] + head[1]).mean(axis=1)
    cost = measured_cost(table)
    expected = (seconds - seconds[0]) / (seconds[1] - seconds[0])
    assert cost.value(spent(table, cost, ways)) == pytest.approx(expected, abs=1e-9)
    joules = stage_cost(table, np.array([2.0, 3.0]), "energy", "J")
    assert joules.value(spent(table, joules, ways)) == pytest.approx(2.0 + 3.0 * (~left).mean(axis=1))
    assert joules.share(spent(table, joules, ways)) == pytest.approx((~left).mean(axis=1))


def test_areas_and_filters_on_known_points() -> None:
    points = np.array([[0.1, 0.5], [0.05, 0.75], [0.1, 0.5], [0.12, 0.6], [0.3, 0.0], [np.nan, 0.0]])
    assert non_dominated(points).tolist() == [4, 0, 1]  # of the two equal ones the first stays
    assert hypervolume(points) == pytest.approx(0.1 * 0.25 + 0.15 * 0.25)
    assert hypervolume(np.empty((0, 2))) == 0.0 == hypervolume(np.array([[0.2, 0.1]]))
    assert dominated(points[:5], points[:5]).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda table: uniform(1), "number of levels is 1, expected at least 2"),
        (lambda table: mass_aware(table, 1), "number of levels is 1, expected at least 2"),
        (lambda table: least_accepted(10, 1.5), "tau is 1.5, expected a share of the rows in 0..1"),
        (lambda table: exact_front(table, uniform(3), offload_cost(table), 0.9, action="x"), "action is 'x', expected"),
        (lambda table: all_distinct(three(table)), "the table has 3 exits, expected 2"),
        (lambda table: Levels(*[np.array([0.5, 0.5])] * 4), "levels of n1 are array.*ascending order"),
        (
            lambda table: stage_cost(table, np.array([1.0, -1.0]), "", ""),
            "costs of the stages are .*expected 2 numbers",
        ),
        (lambda table: measured_cost(untimed(table)), "the table has no measured times, expected the columns"),
        (
            lambda table: measured_cost(swapped(table)),
            "the measured times of exit 2 exceed .* by -.*: take cost=offload",
        ),
    ],
)
def test_wrong_input_is_one_sentence(wrong: Callable[[ExitTable], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        wrong(exit_table(0, 20, 3))


def three(table: ExitTable) -> ExitTable:
    return ExitTable(table.label, table.predicted[[0, 1, 1]], table.certainty[[0, 1, 1]])


def untimed(table: ExitTable) -> ExitTable:
    return ExitTable(table.label, table.predicted, table.certainty)


def swapped(table: ExitTable) -> ExitTable:
    zero = np.zeros(table.certainty.shape)
    return ExitTable(table.label, table.predicted, table.certainty, zero, zero + np.array([[1.0], [0.5]]))
