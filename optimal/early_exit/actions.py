"""A menu of actions: few sets of thresholds that serve many needs, from calibration tables.

A *need* is a price of sending a row and one of rejecting it, or a limit of the rows sent and of those accepted. The best choice
of levels for each need on each table is found exactly among all; from these the menu is picked greedily, each time the one that
lowers the summed cost of all needs most (within 1 - 1/e of the best menu of that size: Nemhauser, Wolsey and Fisher, 1978).
Levels respect mass points (``levels.mass_aware``), so shares in between that no threshold reaches are not pretended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from envs.early_exit.outcomes import FATES, fates
from envs.early_exit.types import N_CLASSES, ExitTable, Thresholds
from optimal.early_exit.action_grid import Grid, Ints
from optimal.early_exit.episodes import Floats
from optimal.early_exit.levels import ALL, NONE, mass_aware

SEND_PRICES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
REJECT_PRICES = (0.0, 0.1, 0.3, 0.7, 3.0)
"""Prices of needs, on top of what a row costs."""
SENT_LIMITS = (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
ACCEPT_LIMITS = (0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 1.0)
"""Limits of needs: shares of the rows sent at most, accepted at least."""
VIOLATION = 3.0
"""What it counts, per row, that a menu has nothing within a limit."""


@dataclass(frozen=True)
class Need:
    """Minimise cost + ``send`` * sent + ``reject`` * rejected, with at most ``most_sent`` and at least ``least_accepted``."""

    send: float = 0.0
    reject: float = 0.0
    most_sent: float = 1.0
    least_accepted: float = 0.0


@dataclass(frozen=True)
class RowPrices:
    """What a row costs: a normal one that is answered attack, an attack that is answered normal, one that is rejected."""

    false_positive: float = 1.0
    false_negative: float = 1.0
    rejection: float = 0.3


def needs() -> list[Need]:
    """All needs that a menu is made for."""
    priced = [Need(send, reject) for send in SEND_PRICES for reject in REJECT_PRICES]
    return priced + [Need(0.0, 0.0, sent, accepted) for sent in SENT_LIMITS for accepted in ACCEPT_LIMITS]


def shares(table: ExitTable, thresholds: Thresholds) -> Floats:
    """Shares of the rows of a table by action ``(A, 4)``: false positives, false negatives, accepted, past exit 1."""
    fate = fates(table, thresholds)
    counts = np.stack([np.bincount(one, minlength=FATES * table.exits) for one in fate])
    numbers = np.arange(counts.shape[1])
    answered, attack, says = (numbers & 8) == 0, (numbers & 1) > 0, (numbers & 2) > 0
    masks = (answered & says & ~attack, answered & ~says & attack, answered, numbers >= FATES)
    return np.stack([counts[:, mask].sum(axis=1) for mask in masks], axis=1) / len(table)


def values(found: Floats, wanted: Sequence[Need], prices: RowPrices) -> Floats:
    """What needs come to with shares ``(A, 4)``: ``(needs, A)``; ``VIOLATION`` and more where a limit is not kept."""
    fp, fn, accepted, sent = found.T
    cost = prices.false_positive * fp + prices.false_negative * fn + prices.rejection * (1.0 - accepted)
    rows = []
    for need in wanted:
        excess = np.maximum(sent - need.most_sent, 0.0) + np.maximum(need.least_accepted - accepted, 0.0)
        priced = cost + need.send * sent + need.reject * (1.0 - accepted)
        rows.append(np.where(excess > 1e-12, VIOLATION * (1.0 + excess), priced))
    return np.stack(rows)


def best_of_grid(table: ExitTable, grid: Grid, wanted: Sequence[Need], prices: RowPrices) -> Ints:
    """For each need that can be met the flat index of the best choice of a grid on a table, all of them counted."""
    best, found = np.full(len(wanted), np.inf), np.full(len(wanted), -1, np.int64)
    cells = int(np.prod(grid.shape[1:]))
    for part in grid.parts(table):
        cost = (
            prices.false_positive * part.false_positives
            + prices.false_negative * part.false_negatives
            + prices.rejection * (1.0 - part.accepted)
        )
        shape = cost.shape
        sent = np.broadcast_to(part.sent, shape)
        for number, need in enumerate(wanted):
            value = cost + need.send * sent + need.reject * (1.0 - part.accepted)
            if need.most_sent < 1.0:
                value = np.where(sent <= need.most_sent + 1e-12, value, np.inf)
            if need.least_accepted > 0.0:
                value = np.where(part.accepted >= need.least_accepted - 1e-12, value, np.inf)
            at = int(np.argmin(value))
            if value.flat[at] < best[number]:
                best[number], found[number] = value.flat[at], part.first * cells + at
    return found[found >= 0]


def corners(exits: int) -> Thresholds:
    """What is on every menu: exit 1 alone, and the last exit alone (every row goes on to it)."""
    accept = np.full((2, exits, N_CLASSES), NONE)
    accept[0, 0], accept[:, -1] = ALL, ALL
    return Thresholds(accept, np.zeros_like(accept), ("exit 1 alone", f"exit {exits} alone"))


def rejecting(thresholds: Thresholds) -> Thresholds:
    """The same, but what would go past exit 1 is rejected there."""
    accept, reject = thresholds.accept.copy(), np.zeros_like(thresholds.reject)
    reject[:, 0] = NONE
    accept[:, 1:] = ALL
    return Thresholds(accept, reject)


def stacked(parts: Sequence[Thresholds]) -> Thresholds:
    """All of several thresholds; names are dropped."""
    return Thresholds(np.concatenate([one.accept for one in parts]), np.concatenate([one.reject for one in parts]))


def distinct(table: ExitTable, thresholds: Thresholds) -> Ints:
    """The first of all actions that do the same to every row of a table, in their order."""
    _, first = np.unique(fates(table, thresholds), axis=0, return_index=True)
    return np.sort(first)


def pick(first: int, value: Floats, count: int, add: Callable[[int, Floats], list[int]] | None = None) -> list[int]:
    """Greedy choice of ``count`` columns of ``value`` ``(needs, candidates)``, of which the ``first`` are given."""
    chosen = list(range(first))
    best = value[:, :first].min(axis=1) if first else np.full(len(value), np.inf)
    while len(chosen) < min(count, value.shape[1]):
        gain = np.maximum(best[:, None] - value, 0.0).sum(axis=0) if chosen else -value.sum(axis=0)
        gain[chosen] = -np.inf
        one = int(np.argmax(gain))
        chosen.append(one)
        best = np.minimum(best, value[:, one])
    return chosen


def curate(
    tables: Sequence[ExitTable],
    count: int = 52,
    *,
    levels: int = 15,
    rejects: int = 5,
    reject_share: float = 0.15,
    prices: RowPrices | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Thresholds:
    """At most ``count`` actions from calibration tables, named by what they do there, by the rows that they send.

    ``levels``, ``rejects``: thresholds of each exit and class to choose from, and those of rejecting at exit 1.
    ``reject_share``: of the menu that is kept for actions that send nothing. Raises ``ValueError`` for tables that do not fit,
    or a menu of less than 2.
    """
    if count < 2:
        raise ValueError(f"number of actions is {count}, expected at least 2")
    whole = ExitTable.joined(list(tables))
    paid, wanted = prices or RowPrices(), needs()
    candidates = [corners(whole.exits)]
    grid = Grid.of(mass_aware(whole, levels), rejects)
    every = [whole, *tables] if len(tables) > 1 else [whole]
    for number, table in enumerate(every, start=1):
        say(f"table {number} of {len(every)}: {np.prod(grid.shape):,} choices")
        candidates.append(grid.thresholds(np.unique(best_of_grid(table, grid, wanted, paid))))
    candidates.append(rejecting(stacked(candidates[1:])))
    pool = stacked(candidates)
    kept = distinct(whole, pool)
    pool = Thresholds(pool.accept[kept], pool.reject[kept])
    value = np.concatenate([values(shares(table, pool), wanted, paid) for table in every])
    quiet = np.flatnonzero(shares(whole, pool)[:, 3] == 0.0)
    must = _must(pool, quiet, value, max(1, round(reject_share * count)))
    order = np.array(must + [i for i in range(len(pool)) if i not in set(must)], np.int64)
    chosen = order[pick(len(must), value[:, order], count)]
    return _named(whole, Thresholds(pool.accept[chosen], pool.reject[chosen]))


def _must(pool: Thresholds, quiet: Ints, value: Floats, count: int) -> list[int]:
    """Both corners, and ``count`` actions that send nothing, the best for all needs first."""
    ends = corners(pool.exits)
    found = []
    for a in range(2):
        same = ((pool.accept == ends.accept[a]) & (pool.reject == ends.reject[a])).all(axis=(1, 2))
        found += np.flatnonzero(same).tolist()
    others = np.array([q for q in quiet if q not in found], np.int64)
    if len(others):
        found += others[pick(0, value[:, others], count)].tolist()
    return found


def _named(table: ExitTable, menu: Thresholds) -> Thresholds:
    """Sorted by the share sent and accepted, with names that say these."""
    fp, fn, accepted, sent = shares(table, menu).T
    ends, names = corners(menu.exits), []
    for a in range(len(menu)):
        text = f"send {100 * sent[a]:.1f} % accept {100 * accepted[a]:.1f} % wrong {100 * (fp[a] + fn[a]):.1f} %"
        for e, name in enumerate(ends.names):
            if (menu.accept[a] == ends.accept[e]).all() and (menu.reject[a] == ends.reject[e]).all():
                text = name
        names.append(text + (" early reject" if sent[a] > 0 and (menu.reject[a, 0] > 0).any() else ""))
    order = np.lexsort((accepted, sent))
    seen: dict[str, int] = {}
    unique = []
    for a in order:
        seen[names[a]] = seen.get(names[a], 0) + 1
        unique.append(names[a] + (f" ({seen[names[a]]})" if seen[names[a]] > 1 else ""))
    return Thresholds(menu.accept[order], menu.reject[order], tuple(unique))
