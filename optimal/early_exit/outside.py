"""Policies outside the action space: how they are played beside the others, and what their counts of rows come to."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from envs.early_exit.dynamics import COST, N_REPORT, R_FN, R_FP, R_OVER, R_REJECTED, R_SENT, R_SHORTFALL, R_USED
from optimal.early_exit.episodes import Floats
from optimal.early_exit.playing import OUTSIDE, Game, Ints, Played, Policy, play


class Outside(ABC):
    """A policy that answers rows itself, instead of choosing actions that the environment plays."""

    name: str
    kind: str

    @abstractmethod
    def play(self, game: Game) -> Played:
        """What it does in the episodes of a game."""


def play_any(policy: Policy | Outside, game: Game) -> Played:
    """What a policy of either kind does in the episodes of a game."""
    if not isinstance(policy, Outside):
        return play(policy, game)
    started = time.perf_counter()
    played = policy.play(game)
    return replace(played, seconds=time.perf_counter() - started)


def played_by_counts(name: str, game: Game, actions: Ints, counts: Floats) -> Played:
    """What rows came to that cost nothing but errors, rejections and being sent.

    ``actions`` ``(S, T)``; ``counts`` ``(S, 5)``: false positives, false negatives, rejected rows, sent ones, windows that did
    not fit into the budget, which counts rows.
    """
    prices, size = game.world.dynamics.prices, game.world.generator.rows
    rows = size * game.episodes.windows
    fp, fn, rejected, sent, over = counts.T
    lack = np.maximum(0.0, game.needed - (rows - rejected))
    cost = prices.false_positive * fp + prices.false_negative * fn + prices.rejection * rejected + prices.send * sent
    totals = np.zeros((len(counts), N_REPORT))
    for at, values in (
        (COST, cost / size), (R_FP, fp), (R_FN, fn), (R_REJECTED, rejected), (R_SENT, sent), (R_USED, sent),
        (R_OVER, over), (R_SHORTFALL, lack),
    ):  # fmt: skip
        totals[:, at] = values
    return Played(name, OUTSIDE, actions, -cost / size - game.price * lack, totals, game.limit, game.least, rows)
