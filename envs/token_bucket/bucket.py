"""The token bucket in integers: rate and depth as exact fractions, tokens counted in micro-tokens."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

Number = int | float | str | Fraction

MOST_CAPACITY = 10_000_000
"""Largest capacity in micro-tokens: more would overflow nothing yet, but no dynamic program could enumerate it."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of ``depth`` tokens that gains ``rate`` tokens a time unit; one send takes one token.

    In micro-tokens: a tick adds ``refill`` (q), a send takes ``cost`` (p), ``capacity`` (m) is the most that fits; what does
    not fit is lost. ``ticks_per_unit``: clock ticks in one time unit. The three integers are the smallest that are exact.
    """

    rate: Fraction
    depth: Fraction
    ticks_per_unit: int
    refill: int
    cost: int
    capacity: int

    @classmethod
    def of(cls, rate: Number, depth: Number, ticks_per_unit: int = 1) -> Bucket:
        """The bucket of a rate in (0, 1] tokens a time unit and a depth of at least one token.

        A float counts as the decimal number that it prints as, so that 0.29 is 29/100. Raises ``ValueError`` for a bucket
        that is impossible, or whose integers would be too large.
        """
        r, b = exact("rate", rate), exact("depth", depth)
        if r <= 0:
            raise ValueError(f"rate is {rate}, expected more than 0 tokens a time unit")
        if r > 1:
            raise ValueError(f"rate is {rate}, expected at most 1 token a time unit")
        if b < 1:
            raise ValueError(f"depth is {depth}, expected at least 1: a send takes a whole token")
        if ticks_per_unit < 1:
            raise ValueError(f"ticks_per_unit is {ticks_per_unit}, expected a whole number >= 1")
        per_tick = r / ticks_per_unit
        cost = lcm(per_tick.denominator, b.denominator)
        capacity = int(b * cost)
        if capacity > MOST_CAPACITY:
            raise ValueError(
                f"rate {rate} and depth {depth} need {capacity:,} micro-tokens, expected at most {MOST_CAPACITY:,} "
                "(rounder numbers, or a coarser clock)"
            )
        return cls(r, b, ticks_per_unit, int(per_tick * cost), cost, capacity)

    @property
    def levels(self) -> int:
        """Number of levels that a decision can meet after the first refill: refill..capacity."""
        return self.capacity - self.refill + 1

    def __str__(self) -> str:
        return f"r {float(self.rate):g}, b {float(self.depth):g}"


def exact(name: str, value: Number) -> Fraction:
    """A number as a fraction; floats by the decimal number that they print as. Raises ``ValueError`` naming ``name``."""
    if isinstance(value, bool):
        raise ValueError(f"{name} is {value}, expected a number")
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{name} is {value!r}, expected a finite number such as 0.1 or 1/3") from error
