"""A menu of actions: few sets of thresholds that serve many needs, from calibration tables.

A *need* is a price of sending a row and one of rejecting it, or a limit of the rows sent and of those accepted. The best choice
of levels for each need on each table is found, among all of them for one exit or two, by descent over pairs of exits for more;
from these the menu is picked greedily, each time the one that lowers the summed cost of all needs most (within 1 - 1/e of the
best menu of that size: Nemhauser, Wolsey and Fisher, 1978).
Levels respect mass points (``levels.mass_aware``), so shares in between that no threshold reaches are not pretended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from envs.early_exit.outcomes import FATES, fates
from envs.early_exit.types import N_CLASSES, ExitTable, Thresholds
from optimal.early_exit.action_grid import Grid, Ints
from optimal.early_exit.episodes import Floats
from optimal.early_exit.exit_choices import Aim, Choices, Search
from optimal.early_exit.levels import ALL, EXITS, NONE, by_exit, mass_aware
from optimal.early_exit.uses import uses_of

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


def shares(table: ExitTable, thresholds: Thresholds, use: Floats | None = None) -> Floats:
    """Shares of the rows of a table by action ``(A, 4)``: false positives, false negatives, accepted, sent.

    ``use`` ``(E,)``: what a row counts as sent that ends at each exit; none: 1 past exit 1.
    """
    counts = _counted(table, thresholds)
    numbers = np.arange(counts.shape[1])
    answered, attack, says = (numbers & 8) == 0, (numbers & 1) > 0, (numbers & 2) > 0
    used = (uses_of(table.exits) if use is None else use)[numbers // FATES]
    columns = (answered & says & ~attack, answered & ~says & attack, answered, used)
    return np.stack([(counts * column).sum(axis=1) for column in columns], axis=1) / len(table)


def ended(table: ExitTable, thresholds: Thresholds) -> Floats:
    """Share of the rows that end at each exit, answered or rejected, by action ``(A, E)``."""
    counts = _counted(table, thresholds).reshape(len(thresholds), table.exits, FATES).sum(axis=2)
    return np.asarray(counts / len(table), np.float64)


def _counted(table: ExitTable, thresholds: Thresholds) -> Ints:
    """Rows by fate and action ``(A, FATES * E)``."""
    return np.stack([np.bincount(one, minlength=FATES * table.exits) for one in fates(table, thresholds)])


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


def best_of_search(table: ExitTable, choices: Choices, use: Floats, wanted: Sequence[Need], prices: RowPrices) -> Ints:
    """For each need that can be met the options ``(E, 2)`` of the best choice that a search finds on a table.

    What is best for one need is a start for the others that it serves better than their own, until there is none.
    """
    search, rows = Search.of(table, choices, use), len(table)
    found = [search.best(aim_of(need, prices, rows)) for need in wanted]
    better = True
    while better:
        index, better = np.stack([one for _, one in found]), False
        value = values(shares(table, choices.thresholds(index), use), wanted, prices)
        for number, (cost, _) in enumerate(found):
            start = int(value[number].argmin())
            if value[number, start] < cost / rows - 1e-9:
                again = search.best(aim_of(wanted[number], prices, rows), [index[start]])
                if again[0] < cost:
                    found[number], better = again, True
    return np.stack([one for cost, one in found if np.isfinite(cost)])


def aim_of(need: Need, prices: RowPrices, rows: int) -> Aim:
    """What a need asks of a search on a table of so many rows."""
    slack = 5e-13  # of both limits together as much as in ``values``
    return Aim(
        prices.false_positive,
        prices.false_negative,
        prices.rejection + need.reject,
        need.send,
        (need.most_sent + slack) * rows,
        (need.least_accepted - slack) * rows,
    )


def corners(exits: int) -> Thresholds:
    """What is on every menu: each exit alone, which answers every row."""
    accept = np.full((exits, exits, N_CLASSES), NONE)
    for k in range(exits):
        accept[k, k:] = ALL
    return Thresholds(accept, np.zeros_like(accept), tuple(f"exit {k} alone" for k in range(1, exits + 1)))


def rejecting(thresholds: Thresholds, stage: int = 0) -> Thresholds:
    """The same, but what would go past exit ``stage`` (from 0) is rejected there."""
    accept, reject = thresholds.accept.copy(), thresholds.reject.copy()
    reject[:, stage], reject[:, stage + 1 :] = NONE, 0.0
    accept[:, stage + 1 :] = ALL
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
    use: Floats | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Thresholds:
    """At most ``count`` actions from calibration tables, named by what they do there, by the rows that they send.

    ``levels``, ``rejects``: thresholds of each exit and class to choose from, and those of rejecting before the last exit.
    ``reject_share``: of the menu that is kept for actions that send nothing. ``use`` ``(E,)``: what a row counts as sent that
    ends at each exit; none: 1 past exit 1. Raises ``ValueError`` for tables that do not fit, or a menu of less than 2 or less
    than there are exits.
    """
    whole = ExitTable.joined(list(tables))
    if count < max(2, whole.exits):
        raise ValueError(f"number of actions is {count}, expected at least {max(2, whole.exits)}")
    paid, wanted = prices or RowPrices(), needs()
    used = uses_of(whole.exits) if use is None else use
    every = [whole, *tables] if len(tables) > 1 else [whole]
    found = list(_candidates(every, levels, rejects, wanted, paid, used, say))
    variants = [rejecting(stacked(found), stage) for stage in range(whole.exits - 1)]
    pool = stacked([corners(whole.exits), *found, *variants])
    kept = distinct(whole, pool)
    pool = Thresholds(pool.accept[kept], pool.reject[kept])
    value = np.concatenate([values(shares(table, pool, used), wanted, paid) for table in every])
    quiet = np.flatnonzero(shares(whole, pool, used)[:, 3] == 0.0)
    must = _must(pool, quiet, value, max(1, round(reject_share * count)))[:count]
    order = np.array(must + [i for i in range(len(pool)) if i not in set(must)], np.int64)
    chosen = order[pick(len(must), value[:, order], count)]
    return _named(whole, Thresholds(pool.accept[chosen], pool.reject[chosen]), used)


def _candidates(
    tables: Sequence[ExitTable],
    levels: int,
    rejects: int,
    wanted: Sequence[Need],
    paid: RowPrices,
    use: Floats,
    say: Callable[[str], None],
) -> Iterator[Thresholds]:
    """What is best for some need on each table; ``tables``: the first one gives the levels."""
    exits = tables[0].exits
    if exits == EXITS:
        grid = Grid.of(mass_aware(tables[0], levels), rejects)
        for number, table in enumerate(tables, start=1):
            say(f"table {number} of {len(tables)}: {np.prod(grid.shape):,} choices")
            yield grid.thresholds(np.unique(best_of_grid(table, grid, wanted, paid)))
        return
    choices = Choices.of(by_exit(tables[0], levels), rejects)
    if exits == 1:
        yield choices.thresholds(choices.every())
        return
    for number, table in enumerate(tables, start=1):
        say(f"table {number} of {len(tables)}: {len(wanted)} searches")
        yield choices.thresholds(np.unique(best_of_search(table, choices, use, wanted, paid), axis=0))


def _must(pool: Thresholds, quiet: Ints, value: Floats, count: int) -> list[int]:
    """All corners, and ``count`` actions that send nothing, the best for all needs first."""
    ends = corners(pool.exits)
    found = []
    for a in range(len(ends)):
        same = ((pool.accept == ends.accept[a]) & (pool.reject == ends.reject[a])).all(axis=(1, 2))
        found += np.flatnonzero(same).tolist()
    others = np.array([q for q in quiet if q not in found], np.int64)
    if len(others):
        found += others[pick(0, value[:, others], count)].tolist()
    return found


def _named(table: ExitTable, menu: Thresholds, use: Floats) -> Thresholds:
    """Sorted by the share sent and accepted, with names that say these, and with over two exits where rows end."""
    fp, fn, accepted, sent = shares(table, menu, use).T
    at = ended(table, menu)
    ends, names = corners(menu.exits), []
    for a in range(len(menu)):
        text = f"accept {100 * accepted[a]:.1f} % wrong {100 * (fp[a] + fn[a]):.1f} %"
        if menu.exits > 1:
            text = f"send {100 * sent[a]:.1f} % {text}"
        if menu.exits > EXITS:
            text += f" ends {'/'.join(f'{100 * share:.0f}' for share in at[a])} %"
        for e, name in enumerate(ends.names):
            if (menu.accept[a] == ends.accept[e]).all() and (menu.reject[a] == ends.reject[e]).all():
                text = name
        names.append(text + (" early reject" if at[a, 0] < 1 and (menu.reject[a, :-1] > 0).any() else ""))
    order = np.lexsort((accepted, sent))
    seen: dict[str, int] = {}
    unique = []
    for a in order:
        seen[names[a]] = seen.get(names[a], 0) + 1
        unique.append(names[a] + (f" ({seen[names[a]]})" if seen[names[a]] > 1 else ""))
    return Thresholds(menu.accept[order], menu.reject[order], tuple(unique))
