"""The policy tree against plain loops, the tables that it needs, and references that are refused before anything is trained."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from early_exit_worlds import random_actions, random_table, random_world
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_exit_runs import TINY, TRAIN_PATHS, benchmark, evaluate, roll_out

from agents.cli import main
from agents.train import run as train_command
from conf.schema import TrainConfig
from envs.early_exit.build import SHIPPED, World, make_world
from envs.early_exit.costs import NetworkWork
from envs.early_exit.dynamics import R_JOULES, R_LATE, R_USED, Prices
from envs.early_exit.table_file import load_table, save_table
from envs.early_exit.thresholds_file import save_thresholds
from envs.early_exit.types import ExitTable
from envs.early_exit.work_file import save_work
from optimal.early_exit.episode_gaps import REFERENCES, check_references, compare, references
from optimal.early_exit.episodes import TUNING_SEED, Episodes
from optimal.early_exit.playing import OUTSIDE, Game
from optimal.early_exit.tree_policy import NO_ACTION, Tree, best_thresholds, tree_file, tree_table


def save_months(folder: Path, count: int = 3, packed: bool = False) -> list[str]:
    """Tables of a network and of a tree beside them, and what else a world needs."""
    files = []
    for number in range(count):
        name = f"m{number}.csv{'.gz' * packed}"
        network, tree = random_table(number, rows=300), random_table(50 + number, rows=300, exits=1, points=12)
        save_table(network, folder / name)
        save_table(ExitTable(network.label, tree.predicted, tree.certainty), folder / "tree" / name)
        files.append(str(folder / name))
    save_thresholds(random_actions(0, 6), folder / "actions.csv")
    save_work(NetworkWork((100, 100), (10, 10), (20, 0), 232), folder / "work.yaml")
    return files


def world_of(folder: Path, files: list[str], **options: Any) -> World:
    given = {"months": [], "actions": folder / "actions.csv", "work": folder / "work.yaml", "rows": 40, "windows": 10}
    return make_world(tables=files, **(given | options))


# --- thresholds ------------------------------------------------------------------------------------------------------
def cost_of(table: ExitTable, weight: Any, least: Any, prices: Prices) -> tuple[float, int]:
    """Cost and answered rows of a pair of thresholds, row by row."""
    cost, answered = 0.0, 0
    for answer, sure, true, times in zip(table.predicted[0], table.certainty[0], table.label, weight, strict=True):
        if sure < least[answer]:
            cost += prices.rejection * times
        else:
            answered += times
            cost += times * (prices.false_positive * (answer > true) + prices.false_negative * (answer < true))
    return cost, answered


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 7), st.floats(0, 1), st.booleans())
def test_thresholds_are_the_best_of_all_pairs(seed: int, rows: int, points: int, share: float, one_class: bool) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(seed, rows, 1, points)
    if one_class:
        table = ExitTable(table.label, np.zeros_like(table.predicted), table.certainty)
    weight = rng.integers(0, 4, rows)
    weight[0] += 1
    prices = Prices(*rng.choice([0.0, 0.3, 1.0, 2.5], 3).tolist())
    found = best_thresholds(table, weight, share, prices)
    cost, answered = cost_of(table, weight, found, prices)
    assert answered >= share * weight.sum() * (1 - 1e-9)
    every = [0.0, *np.unique(table.certainty[0]).tolist(), 2.0]
    tried = [cost_of(table, weight, pair, prices) for pair in itertools.product(every, every)]
    possible = [one for one in tried if one[1] >= share * weight.sum() * (1 - 1e-9)]
    assert cost == pytest.approx(min(one[0] for one in possible), abs=1e-9)
    if one_class:
        assert found[1] == 0.0, "nothing is known of a class that the tree never answered"
    if share == 1.0:
        assert answered == weight.sum()


def test_what_costs_the_same_is_answered_and_what_is_out_of_reach_is_not() -> None:
    label, answer = np.array([0, 0, 1, 1, 0], np.int8), np.array([[0, 0, 0, 1, 1]], np.int8)
    table = ExitTable(label, answer, np.array([[0.9, 0.6, 0.7, 0.8, 0.8]]))
    ones = np.ones(5, np.int64)
    assert best_thresholds(table, ones, 0.0, Prices(rejection=0.5)).tolist() == [0.0, 0.0]
    assert best_thresholds(table, ones, 0.0, Prices(rejection=0.4)).tolist() == [0.9, 2.0]
    assert best_thresholds(table, ones, 0.3, Prices(rejection=0.4)).tolist() == [0.0, 2.0], "as good as .9 and 0"
    assert best_thresholds(table, ones, 0.7, Prices(rejection=0.1)).tolist() == [0.0, 0.0]


# --- playing ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("constraint", ["terminal", "none"])
def test_what_is_played_is_what_a_loop_over_the_rows_counts(tmp_path: Path, packed: bool, constraint: str) -> None:
    files = save_months(tmp_path, packed=packed)
    options: dict[str, Any] = {
        "rejection": 0.2,
        "false_negative": 2.0,
        "late": 0.4,
        "joule": 3.0,
        "least_acceptance": 0.8,
    }
    options |= {"margin": 0.05, "budget": 0.1, "send": 0.5, "constraint": constraint}
    training = Episodes.draw(world_of(tmp_path, files[:2], **options), 4, TUNING_SEED)
    test = Episodes.draw(world_of(tmp_path, files[2:], **options), 3)
    policy, game = Tree(training), Game.of(test)
    least = policy.thresholds(game)
    played = policy.play(game)
    whole = [ExitTable.joined([load_table(tmp_path / "tree" / Path(name).name) for name in names])
             for names in (files[:2], files[2:])]  # fmt: skip

    def rows_of(episodes: Episodes) -> Any:
        return episodes.frames[:, :-1, episodes.world.generator.layout.slices["rows"]].astype(int)

    weight = np.zeros(600, np.int64)
    for row in rows_of(training).ravel():
        weight[row] += 1
    prices = training.world.dynamics.prices
    assert least.tolist() == best_thresholds(whole[0], weight, 0.8 + 0.05 + 0.002, prices).tolist()
    mine, answered = cost_of(whole[0], weight, least, prices)
    assert answered >= 0.852 * weight.sum()
    for s, windows in enumerate(rows_of(test)):
        wrong = rejected = 0
        cost = 0.0
        for row in windows.ravel():
            answer, true = int(whole[1].predicted[0, row]), int(whole[1].label[row])
            if whole[1].certainty[0, row] < least[answer]:
                rejected += 1
                cost += 0.2
            else:
                wrong += answer != true
                cost += (answer > true) + 2.0 * (answer < true)
        lack = max(0.0, 0.85 * 400 - (400 - rejected))
        charge = 0.0 if constraint == "none" else prices.shortfall * lack
        assert played.returns[s] == pytest.approx(-(cost + charge) / 40)
        assert played.errors[s] * 400 == pytest.approx(wrong) and played.rejected[s] * 400 == pytest.approx(rejected)
        assert played.violated[s] == (400 - rejected < 0.8 * 400)
    assert not played.sent.any() and not played.over.any() and not played.totals[:, [R_LATE, R_JOULES, R_USED]].any()
    assert (played.name, played.kind) == ("tree", OUTSIDE) and (played.actions == NO_ACTION).all()
    assert played.actions.shape == (3, 10) and 0 < rejected < 400 and mine > 0


def test_the_tree_of_the_shipped_months_needs_no_budget() -> None:
    limits = {"windows": 20, "rows": 100}
    training = Episodes.draw(make_world("mixed", **limits), 8, TUNING_SEED)
    test = Episodes.draw(make_world("mixed", months=[6, 7, 8], **limits), 6)
    found = [compare(references(training, ["static", "tree"]), test, budget) for budget in (0.0, 0.04, 1.0)]
    costs = [one.played[1].cost_per_row.mean() for one in found]
    assert costs[0] == costs[1] == costs[2] < found[1].played[0].cost_per_row.mean()
    assert found[0].played[1].seconds > 0 and not found[0].played[1].violated.all()


# --- its tables ------------------------------------------------------------------------------------------------------
def test_where_tables_of_a_tree_lie(tmp_path: Path) -> None:
    assert tree_file("tables/2016_03.csv") == Path("tables/tree/2016_03.csv")
    assert tree_file("2016_03.csv.gz") == Path("tree/2016_03.csv.gz")
    assert tree_file("month 3") == SHIPPED / "tree" / "month_03.csv.gz"
    world = make_world(months=[8, 1])
    table = tree_table(world)
    assert np.array_equal(table.label, np.concatenate([one.label for one in world.generator.months.tables]))
    one = load_table(SHIPPED / "tree" / "month_01.csv.gz")
    assert np.array_equal(table.certainty[:, 5_000:], one.certainty)


def test_wrong_tables_of_a_tree_are_told_in_one_sentence(tmp_path: Path) -> None:
    files = save_months(tmp_path)
    world, path = world_of(tmp_path, files), tmp_path / "tree" / "m1.csv"
    good, network = load_table(path), load_table(files[1])
    check_references(world, REFERENCES)

    def told() -> str:
        with pytest.raises(ValueError) as caught:
            references(Episodes.draw(world, 1), ["static", "tree"])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    label = good.label.copy()
    label[6] = 1 - label[6]
    save_table(ExitTable(label, good.predicted, good.certainty), path)
    assert told() == f"{path}: row 7 has the class {label[6]}, expected {1 - label[6]} as {files[1]}, for the same rows"
    save_table(good.rows(np.arange(299)), path)
    assert told() == f"{path}: has 299 rows, expected 300 as {files[1]}"
    save_table(network, path)
    assert told() == f"{path}: has 2 exits, expected 1, that of a tree (python -m inference.tree)"
    path.write_text("y\n")
    assert told().startswith(f"{path}, line 1: column 'y_exit_1' is missing")
    path.unlink()
    assert (
        told()
        == f"tree: there is no {path}, expected what a tree says of {files[1]} (python -m inference.tree makes it)"
    )
    with pytest.raises(
        ValueError, match=r"^tree: table 1 is no file, expected tables from files, as the tree's lie in a"
    ):
        check_references(random_world(), ["tree"])


# --- references that cannot be played ----------------------------------------------------------------------------------
def test_references_that_cannot_be_played_are_told() -> None:
    check_references(random_world(), [name for name in REFERENCES if name != "tree"])
    with pytest.raises(ValueError, match="oracle is no reference of early exit, expected out of all-edge"):
        check_references(random_world(), ["static", "oracle"])
    for options in ({"late": 0.1}, {"joule": 0.1}, {"budget_of": "joules"}, {"remote_from": 3}):
        with pytest.raises(ValueError, match="the cache counts rows alone"):
            check_references(random_world(**options), ["cache"])
        check_references(random_world(**options), ["static"])
    with pytest.raises(ValueError, match="the cache takes rows that go past exit 1 for sent"):
        check_references(random_world(exits=3, remote_from=3), ["cache"])
    check_references(random_world(exits=3), ["cache"])
    with pytest.raises(ValueError, match="the menu has no action by which the last exit accepts everything"):
        check_references(random_world(actions=1), ["all-edge", "all-cloud"])


REFUSED = [
    (["env.scenario=mixed", "baselines=[cache]"], "the cache counts rows alone, expected no price"),
    (["baselines=[static,tree]", "env.months=[1]", "FILES"], "/tree/m2.csv, expected what a tree says of"),
    (
        ["baselines=[all-cloud]", "env.months=[1]", "FILES", "env.actions=FOLDER/one.csv"],
        "the menu has no action by which",
    ),
    (["baselines=[static]", "env.test_months=[9]"], "env.test_months has the entry 9, expected numbers in 1..8"),
]
"""Keys, and the sentence: each is fine for training itself. FILES: tables of which the last one has no tree beside it."""


@pytest.mark.parametrize("command", ["train", "benchmark"])
@pytest.mark.parametrize(("argv", "sentence"), REFUSED)
def test_nothing_is_trained_for_references_that_cannot_be_played(
    command: str, argv: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    data, runs = tmp_path / "data", tmp_path / "runs"
    runs.mkdir()
    files = save_months(data)
    (data / "tree" / "m2.csv").unlink()
    save_thresholds(random_actions(0, 1), data / "one.csv")
    tables = [f"env.tables=[{','.join(files)}]", "env.test_months=[2,3]", f"env.actions={data}/actions.csv"]
    asked = list(itertools.chain.from_iterable(tables if one == "FILES" else [one] for one in argv))
    asked = [one.replace("FOLDER", str(data)) for one in asked]
    monkeypatch.setattr("agents.dqn.MaskableDQN.learn", lambda *_, **__: pytest.fail("it was trained"))
    if command == "train":
        keys = [*TINY, "steps=400", f"run_root={runs}", "name=run", *asked]
        assert main("train", TrainConfig, train_command, TRAIN_PATHS, argv=keys) == 2
    else:
        assert benchmark(runs, "train_seeds=[0]", "name=b", *asked) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.strip().count("\n") == 0 and sentence in err
    assert not list(runs.iterdir())


def test_the_tree_in_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("baselines=[static,tree]", "scenario=early_exit/mixed", "instances=2", "format=json") == 0
    (one,) = json.loads(capsys.readouterr().out)["budgets"]
    rows = {row["policy"]: row for row in one["policies"]}
    assert rows["tree"]["sent"] == 0 and rows["tree"]["kind"] == OUTSIDE and rows["tree"]["seconds"] > 0
    assert benchmark(tmp_path, "train_seeds=[]", "baselines=[tree,static]", "optimum=false", "name=b") == 0
    stored = json.loads((tmp_path / "b" / "benchmark.json").read_text())
    found = {row["policy"]: row for row in stored["policies"]}
    assert found["tree"]["decision_s"] is None and len({one["cost"]["mean"] for one in found["tree"]["budgets"]}) == 1
    assert evaluate("baselines=[cache]", "scenario=early_exit/mixed", "instances=2") == 2
    assert "the cache counts rows alone" in capsys.readouterr().err
    for name in ("tree", "cache"):
        assert roll_out(f"baseline={name}", "scenario=early_exit/mixed", f"out={tmp_path}/a.gif") == 2
        assert f"baseline is {name}, which does what no action can" in capsys.readouterr().err
