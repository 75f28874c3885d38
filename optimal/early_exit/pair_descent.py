"""Descent over pairs of exits, compiled: the thresholds of two exits are chosen jointly and exactly, those of the others stay.

Rows that look alike are a *cell*. With all but exits k < l fixed, a row leaves by its class and rank at k and by those at l,
so the counts of a choice are sums of small tables, and what no bound rules out is tried. Where a cell goes is asked of
``routing.route``: ranks take the place of certainties.
"""

from __future__ import annotations

import numpy as np

from envs._jit import allocating_kernel, inlined_kernel
from envs.early_exit.routing import REJECTED, route
from envs.early_exit.types import ATTACK

VALUE, USED, ACCEPTED, N_SUMS = range(4)
"""What is summed over rows: what they cost, what they use, and whether they get an answer."""
ANSWERED, TURNED_AWAY, GOES_ON, N_WAYS = range(4)
"""What an exit may do with a row."""
FALSE_POSITIVE, FALSE_NEGATIVE, REJECTION, USE, MOST_USED, LEAST_ACCEPTED = range(6)
"""Entries of ``terms``: four prices and two limits, of all rows together."""
ANYTHING, NOTHING = 0.0, 1e9
"""Ranks that every row reaches, and none."""
LESS = 1e-9
"""A choice is better if it costs less by more than this; a rounded sum is no reason to go on."""


@inlined_kernel
def _add(sums, says, label, number, where, terms, use):  # type: ignore[no-untyped-def]
    """Add a cell that ends at ``where`` to ``sums`` ``(N_SUMS,)``; ``says``: its class at each exit."""
    rejected = where >= REJECTED
    at = where - REJECTED if rejected else where
    price = terms[USE] * use[at]
    if rejected:
        price += terms[REJECTION]
    else:
        sums[ACCEPTED] += number
        if says[at] != label:
            price += terms[FALSE_NEGATIVE] if label == ATTACK else terms[FALSE_POSITIVE]
    sums[VALUE] += number * price
    sums[USED] += number * use[at]


@inlined_kernel
def _set(accept, reject, k, lowest, below):  # type: ignore[no-untyped-def]
    for c in range(2):
        accept[k, c], reject[k, c] = lowest, below


@inlined_kernel
def _fill(cells, terms, use, now, k, l, base, first, second):  # type: ignore[no-untyped-def]  # noqa: E741
    """Sums by what is decided at exits k < l, the others as ``now`` says.

    Args:
        cells: classes ``(E, M)``, ranks ``(E, M)``, true classes ``(M,)`` and numbers of rows ``(M,)``.
        terms, use: as of ``descend``.
        now: accept and reject ``(E, 2)`` as ranks; those of k and l are overwritten.
        k, l: the exits.
        base: ``(N_SUMS,)`` out, of cells that never reach k.
        first: ``(2, R, N_WAYS, N_SUMS)`` out, by class and rank at k: if k answers or rejects, or they go on and end before l.
        second: ``(2, 2, R, R, N_WAYS, N_SUMS)`` out, by classes and ranks at k and l: if l answers, rejects or lets them go on.
    """
    says, ranks, label, number = cells
    accept, reject = now
    base[:], first[:], second[:] = 0.0, 0.0, 0.0
    for m in range(len(label)):
        own, c, r, d, s = says[:, m], says[k, m], int(ranks[k, m]), says[l, m], int(ranks[l, m])
        _set(accept, reject, k, ANYTHING, ANYTHING)
        where = route(says, ranks, m, accept, reject)
        if where != k:
            _add(base, own, label[m], number[m], where, terms, use)
            continue
        _add(first[c, r, ANSWERED], own, label[m], number[m], k, terms, use)
        _add(first[c, r, TURNED_AWAY], own, label[m], number[m], k + REJECTED, terms, use)
        _set(accept, reject, k, NOTHING, ANYTHING)
        _set(accept, reject, l, ANYTHING, ANYTHING)
        where = route(says, ranks, m, accept, reject)
        if where != l:
            _add(first[c, r, GOES_ON], own, label[m], number[m], where, terms, use)
            continue
        _add(second[c, d, r, s, ANSWERED], own, label[m], number[m], l, terms, use)
        _add(second[c, d, r, s, TURNED_AWAY], own, label[m], number[m], l + REJECTED, terms, use)
        _set(accept, reject, l, NOTHING, ANYTHING)
        _add(second[c, d, r, s, GOES_ON], own, label[m], number[m], route(says, ranks, m, accept, reject), terms, use)


@inlined_kernel
def _below(sums):  # type: ignore[no-untyped-def]
    """Turn sums by rank ``(R, Q)`` into those of all lower ranks."""
    for q in range(sums.shape[1]):
        total = 0.0
        for r in range(len(sums)):
            own = sums[r, q]
            sums[r, q] = total
            total += own


@inlined_kernel
def _between(below, first, stop, out):  # type: ignore[no-untyped-def]
    """``out`` ``(R, Q)``: sums by the second rank of rows whose first one is ``first`` .. ``stop`` - 1."""
    for r in range(len(out)):
        for q in range(out.shape[1]):
            out[r, q] = below[stop, r, q] - below[first, r, q]


@inlined_kernel
def _of_option(below, accept, reject, out):  # type: ignore[no-untyped-def]
    """``out`` ``(N_SUMS,)`` of an option, from sums ``(R, N_WAYS * N_SUMS)`` of lower ranks."""
    top = len(below) - 1
    for q in range(N_SUMS):
        answered, rejected, passed = ANSWERED * N_SUMS + q, TURNED_AWAY * N_SUMS + q, GOES_ON * N_SUMS + q
        out[q] = (
            below[top, answered]
            - below[accept, answered]
            + below[reject, rejected]
            + below[accept, passed]
            - below[reject, passed]
        )


@inlined_kernel
def _tabulate(options, k, l, first, second, line, one, both, least):  # type: ignore[no-untyped-def]  # noqa: E741
    """Sums by option, from those of ``_fill``.

    Args:
        options: as of ``descend``.
        k, l: the exits.
        first: ``(2, R, Q)``, and second: ``(2, 2, R, R, Q)``, Q: the last two axes of ``_fill``; overwritten.
        line: ``(R, Q)``, overwritten.
        one: ``(2, O, N_SUMS)`` out, by class and option at k.
        both: ``(2, 2, O, O, N_SUMS)`` out, by classes and options at k and l, of rows that reach l.
        least: ``(2, 2, O)`` out, the least value of the latter over the options at l.
    """
    accepts, rejects, count = options
    ranks, wide = second.shape[2], second.shape[4]
    for c in range(2):
        _below(first[c])
        for o in range(count[k, c]):
            _of_option(first[c], accepts[k, c, o], rejects[k, c, o], one[c, o])
        for d in range(2):
            for r in range(1, ranks):  # in place: of ranks up to r at k
                for s in range(ranks):
                    for q in range(wide):
                        second[c, d, r, s, q] += second[c, d, r - 1, s, q]
            for o in range(count[k, c]):
                _between(second[c, d], rejects[k, c, o] - 1, accepts[k, c, o] - 1, line)
                _below(line)
                least[c, d, o] = np.inf
                for p in range(count[l, d]):
                    _of_option(line, accepts[l, d, p], rejects[l, d, p], both[c, d, o, p])
                    least[c, d, o] = min(least[c, d, o], both[c, d, o, p, VALUE])


@inlined_kernel
def _choose(counts, terms, base, one, both, least, ceiling, chosen):  # type: ignore[no-untyped-def]
    """The least cost of options at two exits within the limits, or ``ceiling`` where nothing costs less.

    Args:
        counts: options of each class ``(2,)`` at k, and at l.
        terms: as of ``descend``.
        base, one, both, least: as of ``_tabulate``.
        ceiling: what it must cost less than.
        chosen: ``(2, 2)`` out where something does: options at k and l of each class.
    """
    best = ceiling
    at_k, at_l = counts
    for i in range(at_k[0]):
        for j in range(at_k[1]):
            start = base[VALUE] + one[0, i, VALUE] + one[1, j, VALUE]
            used = base[USED] + one[0, i, USED] + one[1, j, USED]
            rest = least[0, 0, i] + least[1, 0, j] + least[0, 1, i] + least[1, 1, j]
            if start + rest > best - LESS or used > terms[MOST_USED]:
                continue
            accepted = base[ACCEPTED] + one[0, i, ACCEPTED] + one[1, j, ACCEPTED]
            least_p, at_p, least_q, at_q, fewest, most = np.inf, 0, np.inf, 0, np.inf, 0.0
            for p in range(at_l[0]):
                value = both[0, 0, i, p, VALUE] + both[1, 0, j, p, VALUE]
                if value < least_p:
                    least_p, at_p = value, p
            for q in range(at_l[1]):
                value = both[0, 1, i, q, VALUE] + both[1, 1, j, q, VALUE]
                if value < least_q:
                    least_q, at_q = value, q
                fewest = min(fewest, both[0, 1, i, q, USED] + both[1, 1, j, q, USED])
                most = max(most, both[0, 1, i, q, ACCEPTED] + both[1, 1, j, q, ACCEPTED])
            if start + least_p + least_q > best - LESS:
                continue
            some = both[0, 0, i, at_p, USED] + both[1, 0, j, at_p, USED]
            more = both[0, 1, i, at_q, USED] + both[1, 1, j, at_q, USED]
            got = both[0, 0, i, at_p, ACCEPTED] + both[1, 0, j, at_p, ACCEPTED]
            rest = both[0, 1, i, at_q, ACCEPTED] + both[1, 1, j, at_q, ACCEPTED]
            if used + some + more <= terms[MOST_USED] and accepted + got + rest >= terms[LEAST_ACCEPTED]:
                best = start + least_p + least_q
                chosen[0, 0], chosen[0, 1], chosen[1, 0], chosen[1, 1] = i, j, at_p, at_q
                continue  # what is best without limits keeps to them
            for p in range(at_l[0]):
                value = start + both[0, 0, i, p, VALUE] + both[1, 0, j, p, VALUE]
                some = used + both[0, 0, i, p, USED] + both[1, 0, j, p, USED]
                got = accepted + both[0, 0, i, p, ACCEPTED] + both[1, 0, j, p, ACCEPTED]
                if value + least_q > best - LESS:
                    continue
                if some + fewest > terms[MOST_USED] or got + most < terms[LEAST_ACCEPTED]:
                    continue
                for q in range(at_l[1]):
                    cost = value + both[0, 1, i, q, VALUE] + both[1, 1, j, q, VALUE]
                    if cost > best - LESS:
                        continue
                    if some + both[0, 1, i, q, USED] + both[1, 1, j, q, USED] > terms[MOST_USED]:
                        continue
                    if got + both[0, 1, i, q, ACCEPTED] + both[1, 1, j, q, ACCEPTED] < terms[LEAST_ACCEPTED]:
                        continue
                    best = cost
                    chosen[0, 0], chosen[0, 1], chosen[1, 0], chosen[1, 1] = i, j, p, q
    return best


@allocating_kernel
def descend(cells, options, terms, use, pairs, index):  # type: ignore[no-untyped-def]
    """Better ``index`` by one pair of exits after the other, until no pair betters it; returns what it costs.

    Ranks count the levels that a row reaches: 1 .. R - 2. An option answers from one rank on and rejects below another one.

    Args:
        cells: as of ``_fill``; ranks as floats.
        options: accept and reject ``(E, 2, O)`` as ranks, and how many there are ``(E, 2)``.
        terms: prices and limits, see ``FALSE_POSITIVE``.
        use: ``(E,)`` what a row uses that ends at each exit.
        pairs: ``(P, 2)`` exits k < l, from 0.
        index: ``(E, 2)`` option of each exit and class; written. It need not keep to the limits.

    Returns:
        What all rows cost, inf where nothing that was tried keeps to the limits.
    """
    accepts, rejects, count = options
    exits, widest = len(accepts), accepts.shape[2]
    ranks, wide = int(accepts.max()) + 2, N_WAYS * N_SUMS  # a rank more, for the sum of all
    now = (np.empty((exits, 2)), np.empty((exits, 2)))
    base, line = np.empty(N_SUMS), np.empty((ranks, wide))
    first, second = np.empty((2, ranks, N_WAYS, N_SUMS)), np.empty((2, 2, ranks, ranks, N_WAYS, N_SUMS))
    first_flat, second_flat = first.reshape(2, ranks, wide), second.reshape(2, 2, ranks, ranks, wide)
    one, both = np.empty((2, widest, N_SUMS)), np.empty((2, 2, widest, widest, N_SUMS))
    least, chosen = np.empty((2, 2, widest)), np.empty((2, 2), np.int64)
    best, idle, turn = np.inf, 0, 0
    while idle < len(pairs):
        k, l = pairs[turn, 0], pairs[turn, 1]  # noqa: E741
        turn = (turn + 1) % len(pairs)
        for e in range(exits):
            for c in range(2):
                now[0][e, c], now[1][e, c] = accepts[e, c, index[e, c]], rejects[e, c, index[e, c]]
        _fill(cells, terms, use, now, k, l, base, first, second)
        _tabulate(options, k, l, first_flat, second_flat, line, one, both, least)
        cost = _choose((count[k], count[l]), terms, base, one, both, least, best, chosen)
        idle += 1
        if cost < best:
            best, idle = cost, 1  # this pair is at its best
            index[k, 0], index[k, 1], index[l, 0], index[l, 1] = chosen[0, 0], chosen[0, 1], chosen[1, 0], chosen[1, 1]
    return best
