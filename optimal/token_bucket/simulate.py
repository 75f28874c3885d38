"""Compiled simulators: thresholds on the metric, by tokens, by hidden state, or averaged over what is believed of it.

Every one of them moves the bucket by ``envs.token_bucket.dynamics.tokens_after`` and sends only where a token is there.
"""

from __future__ import annotations

from envs._jit import kernel
from envs.token_bucket.dynamics import tokens_after


@kernel
def play_levels(metric, gap, thresholds, refill, cost, capacity, sent):  # type: ignore[no-untyped-def]
    """Send where the metric is at least ``thresholds[n]`` ``(capacity + 1,)``; fills ``sent`` ``(S, T)``."""
    for s in range(metric.shape[0]):
        n = capacity
        for t in range(metric.shape[1]):
            go = n >= cost and metric[s, t] >= thresholds[n]
            sent[s, t] = go
            n = tokens_after(n, refill, cost, capacity, gap[s, t], go)


@kernel
def play_allowed(allowed, gap, refill, cost, capacity, sent):  # type: ignore[no-untyped-def]
    """Send every frame of ``allowed`` ``(S, T)`` that meets a token; fills ``sent`` ``(S, T)``."""
    for s in range(allowed.shape[0]):
        n = capacity
        for t in range(allowed.shape[1]):
            go = n >= cost and allowed[s, t]
            sent[s, t] = go
            n = tokens_after(n, refill, cost, capacity, gap[s, t], go)


@kernel
def play_hidden(metric, gap, regime, cell, thresholds, refill, cost, capacity, sent):  # type: ignore[no-untyped-def]
    """Send by ``thresholds[k, n, i]`` of the true regime k and location cell i of each frame ``(S, T)``."""
    for s in range(metric.shape[0]):
        n = capacity
        for t in range(metric.shape[1]):
            go = n >= cost and metric[s, t] >= thresholds[regime[s, t], n, cell[s, t]]
            sent[s, t] = go
            n = tokens_after(n, refill, cost, capacity, gap[s, t], go)


@kernel
def _locate(share, spread, reset, belief, old, fresh):  # type: ignore[no-untyped-def]
    """Bayes' rule: mix ``belief`` ``(cells,)`` by resets, weigh it by how much of each cell can show ``share``.

    ``old``: first cell and number of the cells that are not 0; becomes those of the new belief.
    """
    cells = len(belief)
    # a location that shows the share lies in (share - spread, share] mod 1; all counted in cells, one turn ahead
    bottom, top = (share - spread + 1.0) * cells, (share + 1.0) * cells
    last = min(int(top), 2 * cells - 1)
    first = last if spread <= 0.0 else int(bottom)
    count = last - first + 1
    start = first - cells if first >= cells else first
    total, floor = 0.0, reset / cells
    i = start
    for j in range(count):
        overlap = 1.0
        if count > 1 and j == 0:
            overlap = first + 1.0 - bottom
        elif count > 1 and j == count - 1:
            overlap = top - last
        fresh[j] = overlap * ((1.0 - reset) * belief[i] + floor)
        total += fresh[j]
        i = i + 1 if i + 1 < cells else 0
    i = old[0]
    for _ in range(old[1]):
        belief[i] = 0.0
        i = i + 1 if i + 1 < cells else 0
    i = start
    for j in range(count):
        belief[i] += fresh[j] / total
        i = i + 1 if i + 1 < cells else 0
    old[0], old[1] = start, count


@kernel
def _infer(gap, joint, start, regimes, scratch):  # type: ignore[no-untyped-def]
    """Bayes' rule over regimes ``(K,)`` after a gap; back to ``start`` where the law rules the gap out."""
    k = len(regimes)
    g = min(gap, joint.shape[1]) - 1
    total = 0.0
    for j in range(k):
        scratch[j] = 0.0
        for i in range(k):
            scratch[j] += regimes[i] * joint[i, g, j]
        total += scratch[j]
    for j in range(k):
        regimes[j] = scratch[j] / total if total > 0.0 else start[j]


@kernel
def play_belief(metric, share, gap, thresholds, spread, reset, joint, start, work, old, refill, cost, capacity, sent):  # type: ignore[no-untyped-def]
    """Send by ``thresholds[k, n, i]`` averaged over a posterior of regimes and location cells.

    ``share`` ``(S, T)``: cumulative shares of the metrics. ``joint``, ``start``: law of gap and regime. ``work``
    ``(4, cells + K + 1)`` and ``old`` ``(2,)``: scratch.
    """
    cells, k = thresholds.shape[2], thresholds.shape[0]
    belief, fresh, regimes, scratch = work[0, :cells], work[1], work[2, :k], work[3, :k]
    for s in range(metric.shape[0]):
        n = capacity
        belief[:] = 1.0 / cells
        for i in range(k):
            regimes[i] = start[i]
        old[0], old[1] = 0, cells
        for t in range(metric.shape[1]):
            if cells > 1:
                _locate(share[s, t], spread, reset, belief, old, fresh)
            go = False
            if n >= cost:
                theta = 0.0
                # a window that laps itself names its first cell twice, which must count once
                for i in range(k):
                    part, c = 0.0, old[0]
                    for _ in range(min(old[1], cells)):
                        part += belief[c] * thresholds[i, n, c]
                        c = c + 1 if c + 1 < cells else 0
                    theta += regimes[i] * part
                go = metric[s, t] >= theta
            sent[s, t] = go
            n = tokens_after(n, refill, cost, capacity, gap[s, t], go)
            if k > 1:
                _infer(gap[s, t], joint, start, regimes, scratch)
