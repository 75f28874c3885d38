"""Fronts for any number of exits: against every choice there is, row by row, and the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from early_exit_worlds import random_table
from tiny_exits import month

from agents.cli import main
from conf.exits_front_schema import ExitsFrontConfig
from envs.early_exit.costs import Deployment, NetworkWork, stage_costs
from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.table_file import load_table, save_table
from envs.early_exit.thresholds_file import load_thresholds
from envs.early_exit.types import ExitTable
from envs.early_exit.work_file import save_work
from optimal.early_exit import searched_front as searching
from optimal.early_exit.actions import shares
from optimal.early_exit.exact_front import exact_front, least_accepted
from optimal.early_exit.exit_choices import Choices
from optimal.early_exit.front import run
from optimal.early_exit.levels import all_distinct, by_exit
from optimal.early_exit.pareto import hypervolume
from optimal.early_exit.row_costs import offload_cost
from optimal.early_exit.searched_front import ExitCost, SearchedFront, searched_front

WORK = NetworkWork((928, 5_120, 81_920), (32, 128, 512), (64, 256, 0), 232)
PATHS = ("table", "work", "out", "actions")


def enumerated(table: ExitTable, choices: Choices, cost: ExitCost, tau: float, limits: np.ndarray) -> np.ndarray:
    """The least error of all choices within each limit of the normalised cost, each choice played row by row."""
    every = choices.every()
    parts = [choices.thresholds(part) for part in np.array_split(every, len(every) // 20_000 + 1)]
    fp, fn, accepted, share = np.concatenate([shares(table, part, cost.use) for part in parts]).T
    good = accepted * len(table) >= least_accepted(len(table), tau) - 1e-9
    error, share = ((fp + fn)[good] / accepted[good]), share[good]
    return np.array([error[share <= limit + 1e-12].min() for limit in limits])


@pytest.mark.parametrize(("exits", "levels"), [(2, 6), (3, 4)])
def test_points_are_the_least_errors_of_all_choices_or_next_to_them(exits: int, levels: int) -> None:
    gaps = []
    for seed, tau in ((0, 0.9), (1, 0.7), (2, 0.0)):
        table, cost = random_table(seed, 200, exits=exits), ExitCost.of("offload", exits)
        front = searched_front(table, cost, tau, levels=levels, rejects=1, step=0.02)
        best = enumerated(table, Choices.of(by_exit(table, levels), 1), cost, tau, front.share)
        gaps += (front.error - best).tolist()
        assert front.share[0] == 0 and (np.diff(front.share) > 0).all() and (np.diff(front.error) < 0).all()
    assert min(gaps) > -1e-12
    assert max(gaps) < (1e-12 if exits == 2 else 0.01) and np.mean(gaps) < 5e-4


def test_counts_are_those_of_routes() -> None:
    table = random_table(5, 800, exits=3)
    costs = stage_costs(WORK, Deployment(remote_from=3))
    for kind, each in (("energy", costs.joules), ("latency", costs.seconds(Deployment(remote_from=3)))):
        front = searched_front(table, ExitCost.of(kind, 3, remote_from=3, work=WORK), 0.8, levels=6, step=0.05)
        for a, where in enumerate(routes(table, front.thresholds)):
            at, answered = where % REJECTED, where < REJECTED
            wrong = answered & (table.predicted[at, np.arange(800)] != table.label)
            assert front.error[a] == pytest.approx(wrong.sum() / answered.sum())
            assert front.acceptance[a] == pytest.approx(answered.mean()) and answered.mean() >= 0.8
            assert front.cost[a] == pytest.approx(np.cumsum(each)[at].mean())
            assert front.ended[a] == pytest.approx(np.bincount(at, minlength=3) / 800)


def test_with_two_exits_it_is_near_the_exact_front() -> None:
    table = month(rows=2_000)
    exact = exact_front(table, all_distinct(table), offload_cost(table), 0.9)
    front = searched_front(table, ExitCost.of("offload", 2), 0.9)
    points = np.stack([front.error, front.share], axis=1)
    assert hypervolume(points) > 0.98 * hypervolume(exact.points)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: ExitCost.of("money", 3), "cost is 'money', expected one of offload, energy, latency"),
        (lambda: ExitCost.of("offload", 1), "the table has 1 exit, expected at least 2"),
        (lambda: ExitCost.of("energy", 3), "work is None, expected the work of the network, because cost is energy"),
        (lambda: ExitCost.of("energy", 2, work=WORK), "work has 3 exits, expected 2 as the table"),
        (lambda: ExitCost.of("offload", 3, remote_from=4), "remote_from is 4 and cost is offload: going past exit 1"),
        (lambda: front_of(step=0.0), "step is 0.0, expected a number in 0"),
        (lambda: front_of(tau=1.5), "tau is 1.5, expected a share of the rows"),
        (lambda: front_of(exits=2), "the cost is of 2 exits, but the table has 3"),
    ],
)
def test_wrong_input_is_one_sentence(wrong: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        wrong()
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


def front_of(tau: float = 0.9, exits: int = 3, **options: Any) -> SearchedFront:
    return searched_front(random_table(0, 50, exits=3), ExitCost.of("offload", exits), tau, **options)


# --- the command -----------------------------------------------------------------------------------------------------
def front(*arguments: str) -> int:
    return main("exits_front", ExitsFrontConfig, run, PATHS, argv=list(arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a", "b")):
        save_table(random_table(seed, 400, exits=3), f"{name}.csv")
    save_table(random_table(0, 50, exits=1), "one.csv")
    save_work(WORK, "work.yaml")
    return tmp_path


def test_the_files_hold_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        "table=[a.csv,b.csv]",
        "remote_from=3",
        "levels=6",
        "step=0.05",
        "margin=0.02",
        "rule=budget",
        "budget=0.3",
    ]
    assert front(*given, "out=out/f.csv", "actions=actions.csv", "format=json") == 0
    found = json.loads(capsys.readouterr().out)
    with open("out/f.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["points"]) and found["rows"] == 800 and found["exits"] == 3
    assert [float(row["error"]) for row in rows] == [row["error"] for row in found["points"]]
    actions = load_thresholds("actions.csv")
    assert len(actions) == len(rows) + 1 and actions.names[0].startswith("chosen: search ")
    where = routes(ExitTable.joined([load_table("a.csv"), load_table("b.csv")]), actions)
    assert (where % REJECTED == 2).mean(axis=1)[1:] == pytest.approx([float(row["cost"]) for row in rows])
    assert (where < REJECTED).mean(axis=1).min() >= 0.92
    assert found["chosen"]["cost"] <= 0.3 and sum(int(row["chosen"]) for row in rows) == 1
    assert front(*given) == 0
    said = capsys.readouterr().out
    assert "800 rows of 3 exits, at least 92 % accepted" in said and "exit 3 answers normal from" in said
    assert f"chosen (budget 0.3): error {100 * found['chosen']['error']:.2f} %" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "table is [], expected at least one evaluation table"),
        (["table=one.csv"], "the table has 1 exit, expected at least 2"),
        (["table=[a.csv,one.csv]"], "one.csv: number of exits is 1, expected 3 as in a.csv"),
        (["table=a.csv", "cost=energy"], "work is null, expected a work file (.yaml), because cost is energy"),
        (["table=a.csv", "remote_from=5"], "remote_from is 5, but the network has 3 exits"),
        (["table=a.csv", "levels=31", "rejects=31"], "levels is 31 and rejects is 31, expected a product of at most"),
        (["table=a.csv", "tau=0.9", "margin=0.2"], "tau is 0.9 and margin is 0.2, expected a sum of at most 1"),
    ],
)
def test_wrong_keys_are_one_sentence(
    arguments: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front(*arguments, "out=f.csv") == 2
    said = capsys.readouterr()
    assert said.err.startswith(sentence) and said.err.count("\n") == 1 and said.out == ""
    assert not (folder / "f.csv").exists()


def test_costs_are_those_that_the_command_knows() -> None:
    from conf.exits_front_schema import COSTS

    assert COSTS == searching.COSTS
