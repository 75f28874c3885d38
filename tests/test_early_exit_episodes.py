"""Episodes of early exit: tables of windows, the integer program of an episode, menus of actions."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from early_exit_worlds import random_table, random_world

from conf.curate_schema import CurateConfig
from envs.early_exit.dynamics import R_FN, R_FP, R_REJECTED, R_SENT, R_USED
from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.state import LEFT
from envs.early_exit.table_file import save_table
from envs.early_exit.thresholds_file import load_thresholds
from envs.early_exit.types import ATTACK, NORMAL, ExitTable, Thresholds
from optimal.early_exit import actions as curation
from optimal.early_exit.action_grid import Grid
from optimal.early_exit.curate import run
from optimal.early_exit.episode_dp import budget_dp, cost_of, enumerated, lagrange_bound, totals
from optimal.early_exit.episode_milp import confirm, optima, relaxed, rounded, solve
from optimal.early_exit.episodes import Episodes
from optimal.early_exit.knapsack import Knapsack
from optimal.early_exit.levels import mass_aware
from optimal.early_exit.playing import Game, Script, play


def test_episodes_are_the_same_for_a_seed_and_begin_with_those_of_fewer() -> None:
    world = random_world()
    some, more = Episodes.draw(world, 2, 5), Episodes.draw(world, 4, 5)
    assert np.array_equal(some.frames, more.frames[:2])
    assert not np.array_equal(some.frames, Episodes.draw(world, 2, 6).frames)
    assert len(more) == 4 and more.windows == 12 and len(more.head(3)) == 3
    with pytest.raises(ValueError, match="number of episodes is 0"):
        Episodes.draw(world, 0)


@pytest.mark.parametrize("exits", [2, 3])
def test_tables_of_windows_count_row_by_row(exits: int) -> None:
    world = random_world(exits=exits)
    episodes = Episodes.draw(world, 2)
    tables, months = episodes.tables, world.generator.months
    every = months.thresholds
    whole = ExitTable.joined(list(months.tables))
    where = routes(whole, every)
    part = world.generator.layout.slices["rows"]
    for s, t, a in [(0, 0, 0), (0, 3, 2), (1, 11, len(every) - 1), (1, 5, 1), (0, 7, 5)]:
        rows = episodes.frames[s, t, part].astype(int)
        at = where[a, rows]
        rejected = at >= REJECTED
        exit_ = np.where(rejected, at - REJECTED, at).astype(int)
        answer = whole.predicted[exit_, rows]
        label = whole.label[rows]
        wrong = ~rejected & (answer != label)
        report = tables.reports[s, t, a]
        assert report[R_REJECTED] == rejected.sum() == 40 - tables.accepted[s, t, a]
        assert report[R_FP] == (wrong & (answer == ATTACK)).sum() == tables.false_positives[s, t, a]
        assert report[R_FN] == (wrong & (answer == NORMAL)).sum() == tables.false_negatives[s, t, a]
        assert report[R_USED] == report[R_SENT] == (exit_ > 0).sum() == tables.use[s, t, a]
        assert tables.cost[s, t, a] == pytest.approx((wrong.sum() + 0.3 * rejected.sum()) / 40)


@pytest.mark.parametrize(
    "options", [{}, {"constraint": "incremental"}, {"constraint": "none"}, {"budget_of": "joules"}]
)
def test_tables_and_fallbacks_say_what_an_episode_comes_to(options: dict[str, Any]) -> None:
    game = Game.of(Episodes.draw(random_world(least_acceptance=0.95, **options), 5), 0.2)
    plan = np.random.default_rng(1).integers(0, 8, (5, 12))
    played = play(Script(plan), game)
    assert played.over.sum() > 0
    for s in range(5):
        knapsack = Knapsack.of(game, s)
        assert cost_of(knapsack, plan[s]) == pytest.approx(-played.returns[s], abs=1e-9)
    assert (played.used <= 1).all() and played.cost_per_row == pytest.approx(-played.returns / 12)


@pytest.mark.parametrize("budget", [0.0, 0.1, 0.3, 1.0, np.inf])
@pytest.mark.parametrize("least", [0.0, 0.9])
def test_the_integer_program_agrees_with_trying_everything(budget: float, least: float) -> None:
    for seed in range(4):
        world = random_world(seed, actions=4, windows=4, rows=30, least_acceptance=least)
        game = Game.of(Episodes.draw(world, 2, seed), budget)
        for s, optimum in enumerate(optima(game)):
            knapsack = Knapsack.of(game, s)
            best, _ = enumerated(knapsack)
            assert optimum.status == "optimal"
            assert optimum.objective == pytest.approx(best, abs=1e-9)
            assert optimum.relaxation <= optimum.bound + 1e-9 <= optimum.objective + 2e-9
            assert cost_of(knapsack, optimum.actions) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("options", [{"budget_of": "joules"}, {"constraint": "none"}, {"exits": 3, "remote_from": 3}])
def test_other_budgets_and_constraints(options: dict[str, Any]) -> None:
    world = random_world(3, actions=4, windows=4, rows=30, **options)
    game = Game.of(Episodes.draw(world, 3), 0.25)
    for s, optimum in enumerate(optima(game)):
        assert optimum.objective == pytest.approx(enumerated(Knapsack.of(game, s))[0], abs=1e-9)


def test_a_fallback_is_played_only_where_an_action_does_not_fit() -> None:
    # the second action is free of cost once it is a fallback, but the budget that it needs to be one is never used up
    cost = np.array([[1.0, 1.0, 0.0]] * 3)
    use = np.array([[0.0, 4.0, 0.0]] * 3)
    accepted, fallback = np.zeros((3, 3)), np.array([0, 2, 2])
    knapsack = Knapsack(cost, use, accepted, 10.0, 0.0, 0.0, 2, 1, fallback)
    assert solve(knapsack).objective == pytest.approx(enumerated(knapsack)[0]) == 2.0
    assert relaxed(knapsack).bound == pytest.approx(0.0)
    tight = dataclasses.replace(knapsack, budget=3.0)
    assert solve(tight).objective == pytest.approx(0.0)
    assert solve(tight).actions.tolist() == [1, 1, 1]


def test_the_integer_program_agrees_with_dynamic_programming() -> None:
    world = random_world(1, actions=8, windows=16, least_acceptance=0.0)
    game = Game.of(Episodes.draw(world, 3), 0.15)
    for s in range(3):
        knapsack = Knapsack.of(game, s)
        value, columns = budget_dp(knapsack)
        assert totals(knapsack, columns)[0] == pytest.approx(value)
        assert totals(knapsack, columns)[1] <= knapsack.budget
        optimum = solve(knapsack)
        assert optimum.objective >= value - 1e-9
        if knapsack.playable(columns):
            assert optimum.objective == pytest.approx(value, abs=1e-9)
        limited = dataclasses.replace(knapsack, needed=0.9 * 16 * 40, price=3.0 / 40)
        bound = lagrange_bound(limited)
        assert relaxed(limited).bound - 1e-6 <= bound <= solve(limited).objective + 1e-9


def test_a_menu_that_only_sends_is_solved_by_its_fallbacks() -> None:
    world = random_world(5, actions=4, windows=4, rows=30)
    sending = Thresholds(world.actions.accept[1:], world.actions.reject[1:])
    world = random_world(5, actions=sending, windows=4, rows=30)
    for budget in (0.0, 0.05, 0.3):
        game = Game.of(Episodes.draw(world, 2), budget)
        for s, optimum in enumerate(optima(game)):
            assert optimum.objective == pytest.approx(enumerated(Knapsack.of(game, s))[0], abs=1e-9)


def test_a_rounded_linear_program_can_be_played() -> None:
    game = Game.of(Episodes.draw(random_world(4), 3), 0.2)
    for s in range(3):
        knapsack = Knapsack.of(game, s)
        columns = rounded(knapsack)
        assert knapsack.playable(columns) and knapsack.objective(columns) >= relaxed(knapsack).bound - 1e-9


def test_columns_that_are_left_out_do_not_matter() -> None:
    game = Game.of(Episodes.draw(random_world(2), 1), 0.2)
    knapsack = Knapsack.of(game, 0)
    kept = knapsack.kept()
    for t, a in itertools.product(range(12), range(kept.shape[1])):
        others = np.flatnonzero(kept[t])
        assert (
            (knapsack.cost[t, others] <= knapsack.cost[t, a])
            & (knapsack.use[t, others] <= knapsack.use[t, a])
            & (knapsack.accepted[t, others] >= knapsack.accepted[t, a])
        ).any()


def test_solutions_are_confirmed_by_the_physics() -> None:
    game = Game.of(Episodes.draw(random_world(2), 2), 0.2)
    found = optima(game)
    assert (confirm(game, found).returns == pytest.approx([-one.objective for one in found], abs=1e-9)) is True
    assert (game.first[:, LEFT] == game.limit).all()
    found[0] = dataclasses.replace(found[0], objective=found[0].objective - 0.1)
    with pytest.raises(RuntimeError, match="the physics"):
        confirm(game, found)


def test_bad_games_and_scripts() -> None:
    episodes = Episodes.draw(random_world(), 1)
    with pytest.raises(ValueError, match="budget is -1"):
        Game.of(episodes, -1.0)
    with pytest.raises(ValueError, match="least acceptance is 2"):
        Game.of(episodes, 0.1, 2.0)
    with pytest.raises(RuntimeError, match="chose what does not exist"):
        play(Script(np.array(8)), Game.of(episodes))
    with pytest.raises(ValueError, match="not whole numbers"):
        budget_dp(dataclasses.replace(Knapsack.of(Game.of(episodes), 0), use=np.full((12, 8), 0.5)))


# --- menus -----------------------------------------------------------------------------------------------------------
def test_the_grid_counts_as_the_environment_does() -> None:
    table = random_table(4)
    grid = Grid.of(mass_aware(table, 6), 3)
    every = np.arange(int(np.prod(grid.shape)))
    picked = np.random.default_rng(0).choice(every, 200, replace=False)
    found = np.full((len(every), 4), np.nan)
    for part in grid.parts(table):
        shape = (part.accepted.shape[0], *grid.shape[1:])
        start = part.first * int(np.prod(grid.shape[1:]))
        columns = [np.broadcast_to(one, shape).ravel() for one in (part.false_positives, part.false_negatives)]
        columns += [np.broadcast_to(one, shape).ravel() for one in (part.accepted, part.sent)]
        found[start : start + len(columns[0])] = np.stack(columns, axis=1)
    assert found[picked] == pytest.approx(curation.shares(table, grid.thresholds(picked)))


def test_the_best_of_a_grid_is_the_best_of_all_choices() -> None:
    table = random_table(5)
    grid = Grid.of(mass_aware(table, 5), 2)
    prices = curation.RowPrices(1.0, 2.0, 0.4)
    wanted = [curation.Need(0.1, 0.2), curation.Need(0.0, 0.0, 0.2, 0.9), curation.Need(0.5, 0.0, 0.3, 0.0)]
    all_of_them = curation.shares(table, grid.thresholds(np.arange(int(np.prod(grid.shape)))))
    best = curation.values(all_of_them, wanted, prices).min(axis=1)
    found = curation.shares(table, grid.thresholds(curation.best_of_grid(table, grid, wanted, prices)))
    assert np.diag(curation.values(found, wanted, prices)) == pytest.approx(best)


def test_a_menu_has_the_corners_no_duplicates_and_serves_every_need() -> None:
    tables = [random_table(6, 2000), random_table(7, 2000)]
    menu = curation.curate(tables, 24, levels=7, rejects=3)
    whole = ExitTable.joined(tables)
    assert len(menu) == 24 == len(set(menu.names)) == len(curation.distinct(whole, menu))
    assert {"exit 1 alone", "exit 2 alone"} <= set(menu.names)
    found = curation.shares(whole, menu)
    assert found[:, 3].min() == 0 and found[:, 3].max() == 1 and (np.diff(found[:, 3]) >= 0).all()
    assert (found[:, 3] == 0).sum() >= 3 and ((menu.reject[:, 0] > 0).any(axis=1)).sum() >= 3
    # thresholds lie between certainties, so no sum that is rounded otherwise decides otherwise
    inner = menu.accept[(menu.accept > 0) & (menu.accept < 2)]
    assert np.abs(inner[:, None] - whole.certainty.ravel()[None, :]).min() > 1e-9
    grid = Grid.of(mass_aware(whole, 7), 3)
    best = curation.shares(
        whole, grid.thresholds(curation.best_of_grid(whole, grid, curation.needs(), curation.RowPrices()))
    )
    reached = curation.values(found, curation.needs(), curation.RowPrices()).min(axis=1)
    ideal = curation.values(best, curation.needs(), curation.RowPrices()).min(axis=1)
    assert (reached - ideal).mean() < 0.01
    with pytest.raises(ValueError, match="number of actions is 1"):
        curation.curate(tables, 1)


def test_the_command_writes_a_menu_that_the_environment_takes(tmp_path: Path) -> None:
    files = [tmp_path / f"month_{seed}.csv" for seed in (8, 9)]
    for seed, file in zip((8, 9), files, strict=True):
        save_table(random_table(seed), file)
    config = CurateConfig(
        tables=[str(file) for file in files],
        actions=12,
        levels=5,
        rejects=2,
        out=str(tmp_path / "a.csv"),
        format="json",
    )
    config.check()
    result = run(config)
    menu = load_thresholds(result["out"])
    assert len(menu) == 12 == len(result["actions"]) and menu.names == tuple(row["name"] for row in result["actions"])
    world = random_world(tables=[str(file) for file in files], actions=str(tmp_path / "a.csv"))
    assert len(world.actions) == 12
    save_table(random_table(8, exits=3), files[0])
    with pytest.raises(ValueError, match=r"month_9\.csv: number of exits is 2, expected 3 as in "):
        run(config)
    with pytest.raises(ValueError, match="tables is"):
        CurateConfig().check()
    with pytest.raises(ValueError, match="expected a product of at most"):
        CurateConfig(tables=["a"], levels=31, rejects=31).check()
