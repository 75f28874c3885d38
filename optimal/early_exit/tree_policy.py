"""A decision tree on the raw features, which is no network with exits: it answers every row at the edge or rejects it.

It sends nothing, uses nothing of a budget, is never late, and its energy counts as nought: a row is asked a few comparisons,
where exit 1 takes thousands of multiplications. What it says stands in tables of ``python -m inference.tree``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.early_exit.build import SHIPPED, World
from envs.early_exit.dynamics import Prices
from envs.early_exit.table_file import load_table
from envs.early_exit.types import ATTACK, N_CLASSES, NORMAL, ExitTable
from optimal.early_exit.episodes import Episodes, Floats
from optimal.early_exit.limits import DEFAULT_MARGIN, Margin
from optimal.early_exit.outside import Outside, played_by_counts
from optimal.early_exit.playing import OUTSIDE, ROUNDING, Game, Ints, Played

FOLDER = "tree"
"""Where the tree's tables lie, beside those of the network and by the same names."""
ALL, NONE = 0.0, 2.0
"""Thresholds that every certainty reaches, and none."""
NO_ACTION = -1
"""What is noted as chosen: no action of the menu."""
RIGHT, FALSE_POSITIVE, FALSE_NEGATIVE, REJECTED, N_FATES = range(5)
"""What becomes of a row."""


@dataclass(frozen=True, eq=False)
class Tree(Outside):
    """One least certainty for each class, the best pair on the rows of training episodes."""

    training: Episodes
    margin: Margin = DEFAULT_MARGIN
    name: str = "tree"
    kind: str = OUTSIDE

    def thresholds(self, game: Game) -> Floats:
        """Least certainty to answer normal and attack ``(2,)``, for the least acceptance of a game less the margin."""
        world, less = self.training.world, self.margin.game(self.training, game)
        table = tree_table(world)
        weight = np.bincount(rows_of(self.training).ravel(), minlength=len(table))
        return best_thresholds(table, weight, less.aim, world.dynamics.prices)

    def play(self, game: Game) -> Played:
        """See ``Outside``."""
        fate = fates_of(tree_table(game.world), self.thresholds(game))
        counts = np.stack([np.bincount(fate[rows.ravel()], minlength=N_FATES) for rows in rows_of(game.episodes)])
        nothing = np.zeros(len(counts))
        kinds = (counts[:, FALSE_POSITIVE], counts[:, FALSE_NEGATIVE], counts[:, REJECTED], nothing, nothing)
        chosen = np.full((len(counts), game.episodes.windows), NO_ACTION, np.int64)
        return played_by_counts(self.name, game, chosen, np.stack(kinds, axis=1).astype(np.float64))


def rows_of(episodes: Episodes) -> Ints:
    """Rows of all windows ``(S, T, W)``, by number over all months."""
    part = episodes.world.generator.layout.slices["rows"]
    return episodes.frames[:, :-1, part].astype(np.int64)


def fates_of(table: ExitTable, least: Floats) -> Ints:
    """What becomes of each row ``(N,)`` of a table of one exit that answers from ``least`` ``(2,)`` on."""
    answer = table.predicted[0]
    wrong = np.where(answer == ATTACK, FALSE_POSITIVE, FALSE_NEGATIVE)
    fate = np.where(answer == table.label, RIGHT, wrong)
    return np.asarray(np.where(table.certainty[0] >= least[answer], fate, REJECTED), np.int64)


def best_thresholds(table: ExitTable, weight: Ints, share: float, prices: Prices) -> Floats:
    """The pair of thresholds of least cost that answers at least a ``share`` of the rows: all pairs are tried.

    ``table``: of one exit. ``weight`` ``(N,)``: how often each row comes. Of equal pairs the first answers most rows that are
    called normal, then most that are called attacks. To answer everything is always possible, so there is a pair.
    """
    levels, accepted, wrong = zip(*(_levels(table, weight, label) for label in (NORMAL, ATTACK)), strict=True)
    answered, total = accepted[NORMAL][:, None] + accepted[ATTACK], int(weight.sum())
    cost = prices.false_negative * wrong[NORMAL][:, None] + prices.false_positive * wrong[ATTACK]
    cost = cost + prices.rejection * (total - answered)
    enough = answered >= share * total * (1.0 - ROUNDING)
    best = np.unravel_index(np.where(enough, cost, np.inf).argmin(), cost.shape)
    return np.array([levels[label][best[label]] for label in range(N_CLASSES)])


def _levels(table: ExitTable, weight: Ints, label: int) -> tuple[Floats, Ints, Ints]:
    """Thresholds for rows that are called ``label``, each the least certainty that it accepts; rows answered, wrong ones."""
    own = (table.predicted[0] == label) & (weight > 0)
    values, which = np.unique(table.certainty[0, own], return_inverse=True)
    counts = np.zeros((2, len(values) + 1), np.int64)
    np.add.at(counts[0], which, weight[own])
    np.add.at(counts[1], which, weight[own] * (table.label[own] != label))
    answered, wrong = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.array([ALL, *values[1:], NONE])[: len(answered)], answered, wrong


def tree_table(world: World) -> ExitTable:
    """What the tree says of all rows of a world's months, one month after the other.

    Raises ``ValueError``, one sentence: there is no such table, it is wrong, or it is of other rows.
    """
    months = world.generator.months
    return ExitTable.joined([_one(name, table) for name, table in zip(months.names, months.tables, strict=True)])


def tree_file(name: str) -> Path:
    """Where the tree's table lies, by the name of a month. Raises ``ValueError`` for a table that is no file."""
    if shipped := re.fullmatch(r"month (\d+)", name):
        return SHIPPED / FOLDER / f"month_{int(shipped[1]):02d}.csv.gz"
    if re.fullmatch(r"table \d+", name):
        raise ValueError(
            f"tree: {name} is no file, expected tables from files, as the tree's lie in a folder beside them"
        )
    return Path(name).parent / FOLDER / Path(name).name


def _one(name: str, table: ExitTable) -> ExitTable:
    path = tree_file(name)
    if not path.exists():
        raise ValueError(
            f"tree: there is no {path}, expected what a tree says of {name} (python -m inference.tree makes it)"
        )
    found = load_table(path)
    if found.exits != 1:
        raise ValueError(f"{path}: has {found.exits} exits, expected 1, that of a tree (python -m inference.tree)")
    if len(found) != len(table):
        raise ValueError(f"{path}: has {len(found)} rows, expected {len(table)} as {name}")
    other = np.flatnonzero(found.label != table.label)
    if len(other):
        at = int(other[0])
        raise ValueError(
            f"{path}: row {at + 1} has the class {found.label[at]}, expected {table.label[at]} as {name}, for the same rows"
        )
    return found
