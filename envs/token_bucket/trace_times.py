"""Arrival times as exact fractions: from texts to whole ticks of the coarsest clock, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MOST_TICKS_PER_UNIT = 1_000_000
"""Finest clock: ticks in a time unit."""
MOST_TICKS = 2**53
"""Most ticks between the first frame and the last: gaps stay exact as floats."""
_PLAIN = re.compile(r"[0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30}")
_ANY = re.compile(r"[-+]?(([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,2})?|[0-9]{1,30}/[0-9]{1,30})")
_EXPECTED = "a time such as 12, 0.25 or 7/3"

Refuse = Callable[[int, str], ValueError]
"""Makes the error that the time in a row is not what was expected."""


def exact_times(texts: Sequence[str], refuse: Refuse) -> tuple[NDArray[np.int64], int]:
    """Gaps ``(N - 1,)`` in ticks of the coarsest clock, and its ticks per time unit, from N >= 2 times.

    Raises ``refuse(row, expected)`` for what is no number, a time that is not later than the one before, and a clock or a
    number of ticks beyond the limits.
    """
    numerators, base = _common(texts, refuse)
    steps = [after - before for before, after in pairwise(numerators)]
    if min(steps) <= 0:
        row = next(row for row, step in enumerate(steps, start=1) if step <= 0)
        raise refuse(row, f"later than the frame before, {texts[row - 1].strip()}")
    tick = math.gcd(base, *steps)
    ticks_per_unit = base // tick
    first = numerators[0]
    if ticks_per_unit > MOST_TICKS_PER_UNIT:
        row = _first_too_fine([numerator - first for numerator in numerators], base)
        expected = (
            f"times since the first frame that are whole multiples of 1/n time units, n <= {MOST_TICKS_PER_UNIT:,}"
        )
        raise refuse(row, expected)
    if numerators[-1] - first > MOST_TICKS * tick:
        row = next(row for row, numerator in enumerate(numerators) if numerator - first > MOST_TICKS * tick)
        raise refuse(row, f"at most {MOST_TICKS:,} ticks of 1/{ticks_per_unit} time units after the first frame")
    return np.array([step // tick for step in steps], np.int64), ticks_per_unit


def _common(texts: Sequence[str], refuse: Refuse) -> tuple[list[int], int]:
    """The times as numerators over one denominator."""
    if all(map(_PLAIN.fullmatch, texts)):
        parts = [text.partition(".") for text in texts]
        rests = [rest.rstrip("0") for _, _, rest in parts]
        places = max(map(len, rests))
        if not places:
            return [int(whole or "0") for whole, _, _ in parts], 1
        return [
            int(whole + rest.ljust(places, "0")) for (whole, _, _), rest in zip(parts, rests, strict=True)
        ], 10**places
    times: list[Fraction] = []
    base = 1
    for row, text in enumerate(texts):
        if not _ANY.fullmatch(text.strip()):
            raise refuse(row, _EXPECTED)
        try:
            times.append(Fraction(text.strip()))
        except ZeroDivisionError:
            raise refuse(row, _EXPECTED) from None
        base = math.lcm(base, times[-1].denominator)
        if base.bit_length() > 1000:  # far beyond the limit of the clock, wherever the first frame is
            raise refuse(row, f"times with a common denominator, at most {MOST_TICKS_PER_UNIT:,}")
    return [time.numerator * (base // time.denominator) for time in times], base


def _first_too_fine(since_first: list[int], base: int) -> int:
    ticks = 1
    for row, numerator in enumerate(since_first):
        ticks = math.lcm(ticks, base // math.gcd(base, numerator))
        if ticks > MOST_TICKS_PER_UNIT:
            return row
    return len(since_first) - 1


def time_texts(gap: NDArray[np.int64], ticks_per_unit: int) -> list[str]:
    """N times from 0 on, of N - 1 gaps in ticks: decimals where the clock has them, else fractions such as 7/3."""
    ticks = [0, *np.cumsum(gap).tolist()]
    places = next((k for k in range(20) if 10**k % ticks_per_unit == 0), None)
    if ticks_per_unit == 1:
        return list(map(str, ticks))
    if places is None:
        return [str(Fraction(tick, ticks_per_unit)) for tick in ticks]
    scale = 10**places // ticks_per_unit
    wholes = [divmod(tick * scale, 10**places) for tick in ticks]
    return [f"{whole}.{rest:0{places}d}".rstrip("0").rstrip(".") for whole, rest in wholes]
