"""The best decisions for a trace that is known in advance: what no policy can beat on that trace.

A dynamic program over tokens, backwards in time, O(frames x capacity): U(n) = V(tokens after n), V(n) = max(U(n), value +
U(n - cost)). Decisions are kept as one bit a level, two rows of values are all else that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import tokens_after
from envs.token_bucket.streams import Streams
from optimal.token_bucket.average_reward import after_table, fill_time
from optimal.token_bucket.policy import Sent, check, numbers

_WORD = 32  # levels whose decisions share a word
_BLOCK = 250_000_000
"""Most bits of decisions that are held at once."""


@kernel
def _backward(value, gap, after, cost, later, now, bits):  # type: ignore[no-untyped-def]
    levels = len(later)
    for t in range(len(value) - 1, -1, -1):
        worth = value[t]
        row = after[min(gap[t], after.shape[0]) - 1]
        for n in range(levels):
            now[n] = later[row[n]]
        for n in range(cost):
            later[n] = now[n]
        for w in range(bits.shape[1]):
            word = np.uint32(0)
            for b in range(min(_WORD, levels - w * _WORD)):
                n = w * _WORD + b
                if n >= cost:
                    sent = now[n - cost] + worth
                    word |= np.uint32(sent > now[n]) << np.uint32(b)
                    later[n] = max(sent, now[n])
            bits[t, w] = word


@kernel
def _forward(gap, bits, refill, cost, capacity, tokens, sent):  # type: ignore[no-untyped-def]
    n = tokens
    for t in range(len(sent)):
        go = n >= cost and (bits[t, n // _WORD] >> np.uint32(n % _WORD)) & np.uint32(1) != 0
        sent[t] = go
        n = tokens_after(n, refill, cost, capacity, gap[t], go)
    return n


def best_sends(value: NDArray[np.float64], gap: NDArray[np.int64], bucket: Bucket) -> tuple[float, Sent]:
    """Largest sum of ``value`` ``(T,)`` that a bucket which starts full can pay for, and the frames ``(T,)`` to send.

    ``gap`` ``(T,)``: ticks from frame t to t + 1; the last one does not matter.
    """
    count, levels = len(value), bucket.capacity + 1
    if len(gap) != count or count < 1:
        raise ValueError(f"value has {count} entries and gap {len(gap)}, expected as many, at least one")
    longest = int(min(gap.max(), fill_time(bucket)))
    after = after_table(bucket, longest)
    words = -(-levels // _WORD)
    step = max(1, _BLOCK // (words * _WORD))
    starts = list(range(0, count, step))
    later, now, bits = np.zeros(levels), np.zeros(levels), np.empty((min(step, count), words), np.uint32)
    values_at = {}  # those after each block, so that a block's decisions can be found again
    for start in reversed(starts):
        stop = min(start + step, count)
        values_at[start] = later.copy()
        _backward(value[start:stop], gap[start:stop], after, bucket.cost, later, now, bits[: stop - start])
    total, tokens, sent = float(later[-1]), bucket.capacity, np.empty(count, np.bool_)
    for start in starts:
        stop = min(start + step, count)
        if start > 0:  # the first block's bits are still there
            _backward(
                value[start:stop], gap[start:stop], after, bucket.cost, values_at[start], now, bits[: stop - start]
            )
        tokens = _forward(gap[start:stop], bits[: stop - start], *numbers(bucket), tokens, sent[start:stop])
    return total, sent


@dataclass(frozen=True)
class Clairvoyant:
    """The best decisions with the trace known. ``realised``: its realised rewards, else its metrics.

    With realised rewards it also knows every coin that has yet to fall; no policy should be measured against that.
    """

    realised: bool = False

    kind: str = "clairvoyant"

    @property
    def name(self) -> str:
        """See ``Policy``."""
        return "clairvoyant R" if self.realised else "clairvoyant m"

    def play(self, streams: Streams, bucket: Bucket) -> Sent:
        """See ``Policy``. Raises ``ValueError`` where realised rewards are not known."""
        check(bucket, bucket, streams)
        value = streams.reward if self.realised else streams.metric
        if np.isnan(value).any():
            raise ValueError("the streams do not tell realised rewards, expected realised=False")
        return np.stack([best_sends(row, gap, bucket)[1] for row, gap in zip(value, streams.gap, strict=True)])
