"""Rows answered from a cache of results, compiled."""

from __future__ import annotations

from envs._jit import kernel
from envs.early_exit.outcomes import FATES


@kernel
def play_rows(rows, fate, fallback, point, known, limit, actions, counts):  # type: ignore[no-untyped-def]
    """Play windows of rows ``(S, T, W)``, each episode with one of ``actions`` ``(S,)``.

    ``fate`` ``(A', rows)``: of ``outcomes.fates``. ``point`` ``(rows,)``: look of each row. ``known``: scratch by look.
    ``counts`` ``(S, 5)``, added to: false positives, false negatives, rejected, sent, windows whose new looks did not fit.
    """
    for s in range(len(rows)):
        known[:] = -1
        left = limit
        for t in range(rows.shape[1]):
            first = fate[actions[s]]
            sends = 0
            for i in range(rows.shape[2]):
                row = int(rows[s, t, i])
                if first[row] >= FATES and known[point[row]] == -1:
                    known[point[row]] = -2 - row  # to be sent, and by which row
                    sends += 1
            over = sends > left
            if over:
                counts[s, 4] += 1
            for i in range(rows.shape[2]):
                row = int(rows[s, t, i])
                own = first[row]
                if own >= FATES:
                    entry = known[point[row]]
                    if entry >= 0:
                        own = (first[entry] & 254) | (own & 1)
                    elif over:
                        own = fate[fallback[actions[s]], row]
                    else:
                        own = (first[-2 - entry] & 254) | (own & 1)
                if own & 8:
                    counts[s, 2] += 1
                elif own & 2 and not own & 1:
                    counts[s, 0] += 1
                elif own & 1 and not own & 2:
                    counts[s, 1] += 1
            for i in range(rows.shape[2]):
                place = point[int(rows[s, t, i])]
                if known[place] < -1:
                    known[place] = -1 if over else -2 - known[place]
            if not over:
                left -= sends
                counts[s, 3] += sends
