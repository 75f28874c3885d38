"""Menus of actions for any number of exits: searches against every choice there is, the shipped menu, the road to an agent."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from early_exit_worlds import random_actions, random_table, random_world

from conf.curate_schema import CurateConfig
from envs.early_exit.build import SHIPPED
from envs.early_exit.costs import NetworkWork
from envs.early_exit.dynamics import R_USED
from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.table_file import load_table, save_table
from envs.early_exit.thresholds_file import load_thresholds
from envs.early_exit.types import ExitTable, Thresholds
from envs.early_exit.work_file import save_work
from optimal.early_exit import actions as curation
from optimal.early_exit.actions import Need, RowPrices
from optimal.early_exit.curate import run
from optimal.early_exit.episodes import Episodes
from optimal.early_exit.exit_choices import Choices, Search
from optimal.early_exit.levels import NAMES, by_exit, mass_aware
from optimal.early_exit.uses import uses_of

PRICES = RowPrices(1.0, 2.0, 0.4)
WORK = NetworkWork((928, 5_120, 81_920), (32, 128, 512), (64, 256, 0), 232)


def choices_of(table: ExitTable, levels: int = 4, rejects: int = 1) -> Choices:
    return Choices.of(by_exit(table, levels), rejects)


def least(table: ExitTable, choices: Choices, use: np.ndarray, wanted: list[Need]) -> np.ndarray:
    """What the best of all choices comes to for each need, each choice played row by row."""
    every = choices.every()
    parts = [choices.thresholds(part) for part in np.array_split(every, len(every) // 20_000 + 1)]
    found = np.concatenate([curation.shares(table, part, use) for part in parts])
    return curation.values(found, wanted, PRICES).min(axis=1)


def reached(table: ExitTable, choices: Choices, use: np.ndarray, wanted: list[Need]) -> np.ndarray:
    """What the choice that a search finds for each need comes to, played row by row."""
    index = curation.best_of_search(table, choices, use, wanted, PRICES)
    return np.diag(curation.values(curation.shares(table, choices.thresholds(index), use), wanted, PRICES))


# --- searches --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(4))
def test_with_two_exits_a_search_finds_the_best_of_all_choices(seed: int) -> None:
    table, wanted = random_table(seed, 300), curation.needs()
    choices = choices_of(table, 5, 2)
    assert len(choices.every()) == 9**2 * 5**2
    assert reached(table, choices, uses_of(2), wanted) == pytest.approx(least(table, choices, uses_of(2), wanted))


@pytest.mark.parametrize("use", [(0.0, 1.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.2, 1.0)])
def test_with_three_exits_a_search_is_the_best_of_all_choices_or_next_to_it(use: tuple[float, ...]) -> None:
    wanted, gaps = curation.needs(), []
    for seed in range(3):
        table = random_table(seed, 300, exits=3)
        choices = choices_of(table)
        best = least(table, choices, np.array(use), wanted)
        gaps.append(reached(table, choices, np.array(use), wanted) - best)
    assert np.min(gaps) > -1e-12
    assert (np.array(gaps) > 1e-9).mean() < 0.02 and np.mean(gaps) < 1e-4


def test_with_four_exits_as_well() -> None:
    wanted = curation.needs()[::7]
    table = random_table(3, 150, exits=4)
    choices = choices_of(table, 3)
    gaps = reached(table, choices, uses_of(4), wanted) - least(table, choices, uses_of(4), wanted)
    assert gaps.min() > -1e-12 and gaps.mean() < 1e-4


def test_no_search_is_worse_than_two_exits_alone() -> None:
    table, wanted = random_table(9, 600, exits=3), curation.needs()
    choices = choices_of(table, 5)
    for use in (np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])):
        found = reached(table, choices, use, wanted)
        for k, l in combinations(range(3), 2):  # noqa: E741
            part = ExitTable(table.label, table.predicted[[k, l]], table.certainty[[k, l]])
            own = Choices.of(choices.levels[2 * k : 2 * k + 2] + choices.levels[2 * l : 2 * l + 2], 1)
            assert (found <= least(part, own, use[[k, l]], wanted) + 1e-12).all()


def test_choices_are_the_thresholds_that_they_say() -> None:
    table = random_table(1, 400, exits=3)
    choices = choices_of(table, 6, 3)
    opening = choices.thresholds(choices.opening()[None])
    assert (routes(table, opening) == 2).all()
    cells = choices.cells(table)
    assert cells.rows.sum() == 400 and cells.rows.max() > 1
    ways = choices.thresholds(np.random.default_rng(0).integers(0, choices.count, (50, 3, 2)))
    assert (ways.reject[:, 2] == 0).all() and (ways.reject[:, :2] <= ways.accept[:, :2]).all()
    with pytest.raises(ValueError, match="number of levels to reject at is 0"):
        choices_of(table, 6, 0)


def test_a_search_counts_what_routes_decide() -> None:
    table = random_table(2, 500, exits=3)
    choices, use = choices_of(table, 7, 2), np.array([0.0, 0.3, 1.0])
    search = Search.of(table, choices, use)
    for need in (Need(0.1, 0.2), Need(0.0, 0.0, 0.15, 0.9)):
        cost, index = search.best(curation.aim_of(need, PRICES, len(table)))
        where = routes(table, choices.thresholds(index[None]))[0]
        at, rejected = where % REJECTED, where >= REJECTED
        wrong = ~rejected & (table.predicted[at, np.arange(500)] != table.label)
        price = np.where(table.label == 1, PRICES.false_negative, PRICES.false_positive)
        total = (wrong * price).sum() + (PRICES.rejection + need.reject) * rejected.sum() + need.send * use[at].sum()
        assert cost == pytest.approx(total)
        assert use[at].mean() <= need.most_sent + 1e-12 and (~rejected).mean() >= need.least_accepted - 1e-12


def test_levels_of_two_exits_are_the_first_of_those_of_any() -> None:
    table = random_table(0, exits=2)
    two, any_number = mass_aware(table, 7), by_exit(table, 7)
    assert all(np.array_equal(getattr(two, name), own) for name, own in zip(NAMES, any_number, strict=True))
    with pytest.raises(ValueError, match="number of levels is 1, expected at least 2"):
        by_exit(table, 1)


# --- what rows use ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("remote_from", "budget_of"), [(2, "rows"), (3, "rows"), (2, "joules"), (4, "joules")])
def test_rows_use_what_the_environment_says(remote_from: int, budget_of: str) -> None:
    world = random_world(
        actions=random_actions(0, 9, 3), exits=3, work=WORK, remote_from=remote_from, budget_of=budget_of
    )
    episodes = Episodes.draw(world, 1)
    use = uses_of(3, remote_from=remote_from, budget_of=budget_of, work=WORK)
    whole = ExitTable.joined(list(world.generator.months.tables))
    part = world.generator.layout.slices["rows"]
    for t in range(episodes.windows):
        rows = whole.rows(episodes.frames[0, t, part].astype(np.int64))
        sent = curation.shares(rows, world.actions, use)[:, 3]
        used = episodes.tables.reports[0, t, : len(world.actions), R_USED]
        assert sent * len(rows) * world.dynamics.most_use == pytest.approx(used)


def test_uses_that_cannot_be_are_one_sentence() -> None:
    assert uses_of(1).tolist() == [0.0] and uses_of(2).tolist() == [0.0, 1.0]
    assert uses_of(3, remote_from=3).tolist() == [0.0, 0.0, 1.0]
    with pytest.raises(ValueError, match=r"remote_from is 4 and budget_of is rows: .* in 2\.\.3"):
        uses_of(3, remote_from=4)
    with pytest.raises(ValueError, match="remote_from is 5, but the network has 3 exits"):
        uses_of(3, remote_from=5)
    with pytest.raises(ValueError, match="work has 3 exits, expected 2 as the tables"):
        uses_of(2, work=WORK)
    with pytest.raises(ValueError, match="work is None"):
        uses_of(3, budget_of="joules")
    with pytest.raises(ValueError, match="budget_of is 'bytes', expected one of rows, joules"):
        uses_of(3, budget_of="bytes")


# --- menus -----------------------------------------------------------------------------------------------------------
def test_the_shipped_menu_comes_out_byte_by_byte(tmp_path: Path) -> None:
    out = tmp_path / "actions.csv"
    tables = [str(SHIPPED / f"month_{month:02d}.csv.gz") for month in (2, 3, 4, 5)]
    run(CurateConfig(tables=tables, out=str(out), format="json"))
    assert out.read_bytes() == (SHIPPED / "actions.csv").read_bytes()


@pytest.mark.parametrize("remote_from", [2, 3])
def test_a_menu_of_three_exits_has_each_alone_early_rejects_and_serves_every_need(remote_from: int) -> None:
    tables = [random_table(seed, 1500, exits=3) for seed in (6, 7)]
    use = uses_of(3, remote_from=remote_from)
    menu = curation.curate(tables, 30, levels=6, rejects=3, use=use)
    whole = ExitTable.joined(tables)
    assert len(menu) == 30 == len(set(menu.names)) == len(curation.distinct(whole, menu))
    assert {"exit 1 alone", "exit 2 alone", "exit 3 alone"} <= set(menu.names)
    found = curation.shares(whole, menu, use)
    assert found[:, 3].min() == 0 and found[:, 3].max() == 1 and (np.diff(found[:, 3]) >= 0).all()
    assert (found[:, 3] == 0).sum() >= 4 and sum("early reject" in name for name in menu.names) >= 1
    assert ((menu.reject[:, :2] > 0).any(axis=(1, 2))).sum() >= 3
    inner = menu.accept[(menu.accept > 0) & (menu.accept < 2)]
    assert np.abs(inner[:, None] - whole.certainty.ravel()[None, :]).min() > 1e-9
    paid, wanted = RowPrices(), curation.needs()
    best = curation.best_of_search(whole, Choices.of(by_exit(whole, 6), 3), use, wanted, paid)
    ideal = curation.values(
        curation.shares(whole, Choices.of(by_exit(whole, 6), 3).thresholds(best), use), wanted, paid
    )
    missed = curation.values(found, wanted, paid).min(axis=1) - ideal.min(axis=1)
    assert missed.mean() < 0.01
    ends = curation.ended(whole, menu)
    assert ends.sum(axis=1) == pytest.approx(1) and ends[menu.names.index("exit 2 alone")].tolist() == [0, 1, 0]
    assert found[:, 3] == pytest.approx(ends @ use)


def test_a_menu_of_one_exit_is_thresholds_of_rejection() -> None:
    tables = [random_table(seed, 800, exits=1) for seed in (1, 2)]
    menu = curation.curate(tables, 12, levels=7, prices=PRICES)
    whole = ExitTable.joined(tables)
    assert len(menu) == 12 == len(set(menu.names)) and menu.exits == 1 and "exit 1 alone" in menu.names
    found = curation.shares(whole, menu)
    assert (found[:, 3] == 0).all() and (np.diff(found[:, 2]) >= 0).all() and found[-1, 2] == 1
    choices = Choices.of(by_exit(whole, 7), 1)
    assert len(choices.every()) == 49
    best = least(whole, choices, np.zeros(1), curation.needs())
    missed = curation.values(found, curation.needs(), PRICES).min(axis=1) - best
    assert missed.min() > -1e-12 and missed.mean() < 0.01


def test_rejecting_stops_at_an_exit() -> None:
    table, ways = random_table(4, 300, exits=3), random_actions(4, 6, 3)
    before = routes(table, ways)
    for stage in range(2):
        after = routes(table, curation.rejecting(ways, stage))
        went_on = (before % REJECTED) > stage
        assert (after[went_on] == stage + REJECTED).all() and (after[~went_on] == before[~went_on]).all()


def three(tmp_path: Path) -> list[str]:
    files = [str(tmp_path / f"month_{seed}.csv") for seed in (8, 9)]
    for seed, file in zip((8, 9), files, strict=True):
        save_table(random_table(seed, exits=3), file)
    save_work(WORK, tmp_path / "work.yaml")
    return files


@pytest.mark.parametrize("remote_from", [2, 3, 4])
def test_the_command_makes_a_menu_of_three_exits_that_the_environment_takes(tmp_path: Path, remote_from: int) -> None:
    files, out = three(tmp_path), str(tmp_path / "a.csv")
    config = CurateConfig(tables=files, actions=12, levels=5, rejects=2, remote_from=remote_from, out=out, format="json",
                          budget_of="joules" if remote_from == 4 else "rows", work=str(tmp_path / "work.yaml"))  # fmt: skip
    config.check()
    result, menu = run(config), load_thresholds(out)
    assert len(menu) == 12 == len(result["actions"]) and menu.exits == 3
    assert menu.names == tuple(row["name"] for row in result["actions"])
    assert all(len(row["ended"]) == 3 and 0 <= row["sent"] <= 1 for row in result["actions"])
    world = random_world(tables=files, actions=out, exits=3, work=str(tmp_path / "work.yaml"), remote_from=remote_from)
    assert len(world.actions) == 12


def test_wrong_input_is_one_sentence(tmp_path: Path) -> None:
    files, out = three(tmp_path), str(tmp_path / "a.csv")
    work = str(tmp_path / "work.yaml")
    two = str(tmp_path / "two.csv")
    save_table(random_table(8), two)
    for config, sentence in [
        (CurateConfig(tables=[two, files[0]], out=out), f"{files[0]}: number of exits is 3, expected 2 as in {two}"),
        (CurateConfig(tables=[two], work=work, out=out), f"{work}: field 'block_macs' has 3 entries, expected 2"),
        (
            CurateConfig(tables=files, actions=2, out=out),
            f"actions is 2, expected at least 3, one an exit of {files[0]}",
        ),
        (CurateConfig(tables=files, remote_from=4, out=out), "remote_from is 4 and budget_of is rows"),
    ]:
        with pytest.raises(ValueError) as error:
            run(config)
        assert str(error.value).startswith(sentence) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="work is null, expected a work file"):
        CurateConfig(tables=files, budget_of="joules").check()
    with pytest.raises(ValueError, match="number of actions is 2, expected at least 3"):
        curation.curate([load_table(files[0])], 2)
    assert not Path(out).exists()


def test_corners_answer_every_row_at_one_exit() -> None:
    for exits in (1, 2, 3):
        table = random_table(0, 100, exits=exits)
        ends: Thresholds = curation.corners(exits)
        assert [set(row) for row in routes(table, ends)] == [{k} for k in range(exits)]
        assert ends.names == tuple(f"exit {k} alone" for k in range(1, exits + 1))
