"""The walk that finds the exact front: pairs of exit-1 choices by rising cost, each asked whether it beats the best so far.

All counts are whole numbers and errors are compared as fractions, crosswise multiplied: nothing is rounded.
"""

from __future__ import annotations

from envs._jit import kernel

SCALE = 256
"""Prices of an answer in the bounds are multiples of 1 / SCALE."""


@kernel
def bound_parts(prices, accepted, wrong, passed_n, wrong_n, passed_a, wrong_a, out):  # type: ignore[no-untyped-def]
    """``out[i, m]``: least wrong - price * accepted (times SCALE) of the rows of one exit-1 class with choice i.

    ``prices`` ``(M,)``; ``accepted``, ``wrong`` ``(I,)`` at exit 1; the others ``(I, K)`` at exit 2, by its class.
    """
    for i in range(len(accepted)):
        for m in range(len(prices)):
            price = prices[m]
            least = SCALE * wrong_n[i, 0] - price * passed_n[i, 0]
            for k in range(passed_n.shape[1]):
                least = min(least, SCALE * wrong_n[i, k] - price * passed_n[i, k])
            other = SCALE * wrong_a[i, 0] - price * passed_a[i, 0]
            for k in range(passed_a.shape[1]):
                other = min(other, SCALE * wrong_a[i, k] - price * passed_a[i, k])
            out[i, m] = SCALE * wrong[i] - price * accepted[i] + least + other


@kernel
def walk(  # type: ignore[no-untyped-def]
    order, start, stop, need, prices, costs, accepted, wrong, bounds, normal, attack, scratch, state, found
):
    """Walk the pairs ``order[start:stop]`` (index of the normal choice * number of attack choices + the other).

    Args:
        order: ``(I * J,)`` pairs by rising cost.
        start, stop: which of them.
        need: rows that must be accepted, at least 1.
        prices: ``(M,)`` ascending, of ``bound_parts``.
        costs, accepted, wrong, bounds: pairs (normal, attack) of ``(I,)`` and ``(J,)``; of bounds ``(I, M)``, ``(J, M)``.
        normal, attack: accepted at exit 2 with that answer, and wrong: ``(I, K), (J, K), (I, K), (J, K)``.
        scratch: ``(3, K)`` whole numbers, K that of ``attack``.
        state: wrong and accepted of the best so far, points found, cost of the last one, pairs that were searched.
        found: ``(F, 6)`` out: normal choice, attack choice, levels at exit 2 by class, wrong, accepted.
    """
    columns = len(accepted[1])
    normal_i, normal_j, normal_wi, normal_wj = normal
    attack_i, attack_j, attack_wi, attack_wj = attack
    best, best_at, reach = scratch[0], scratch[1], scratch[2]
    levels_n, levels_a = normal_i.shape[1], attack_i.shape[1]
    for at in range(start, stop):
        i, j = order[at] // columns, order[at] % columns
        w, a = state[0], state[1]
        beaten = False
        for m in range(len(prices)):
            over = prices[m] * a - SCALE * w
            # wrong - e * accepted >= (wrong - price * accepted) + (price - e) * need, for every price above e
            if over >= 0 and a * (bounds[0][i, m] + bounds[1][j, m]) + over * need >= 0:
                beaten = True
                break
        if beaten:
            continue
        state[4] += 1
        taken = accepted[0][i] + accepted[1][j]
        false = wrong[0][i] + wrong[1][j]
        improved, level_n, level_a = False, 0, 0
        while True:  # Dinkelbach: the error of what beats the last error, until nothing does
            least, k = 1 << 62, 0
            for level in range(levels_a):
                reach[level] = attack_i[i, level] + attack_j[j, level]
                value = (attack_wi[i, level] + attack_wj[j, level]) * a - reach[level] * w
                if value < least:
                    least, k = value, level
                best[level], best_at[level] = least, k
            last = levels_a - 1
            total, at_n, at_a = 1 << 62, -1, -1
            for level in range(levels_n):
                more = normal_i[i, level] + normal_j[j, level]
                while last >= 0 and taken + more + reach[last] < need:
                    last -= 1  # higher thresholds accept less, here as there
                if last < 0:
                    break
                value = (normal_wi[i, level] + normal_wj[j, level]) * a - more * w + best[last]
                if value < total:
                    total, at_n, at_a = value, level, best_at[last]
            if at_n < 0 or total + false * a - taken * w >= 0:
                break
            w = false + normal_wi[i, at_n] + normal_wj[j, at_n] + attack_wi[i, at_a] + attack_wj[j, at_a]
            a = taken + normal_i[i, at_n] + normal_j[j, at_n] + attack_i[i, at_a] + attack_j[j, at_a]
            level_n, level_a, improved = at_n, at_a, True
        if not improved:
            continue
        cost = costs[0][i] + costs[1][j]
        if state[2] > 0 and state[3] == cost:
            state[2] -= 1  # the one before costs the same
        point = found[state[2]]
        point[0], point[1], point[2], point[3], point[4], point[5] = i, j, level_n, level_a, w, a
        state[0], state[1], state[3] = w, a, cost
        state[2] += 1
