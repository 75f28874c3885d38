"""How an instance is solved: solver, time, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optimal.progress import Say


def _silent(text: str) -> None:
    """No progress."""


@dataclass
class Method:
    """What one call of ``solve`` works with."""

    solver: str = "highs"  # of the integer programs: highs or cbc
    chain: bool = True  # single requests by the chain method first
    time_limit: float | None = None  # seconds; None: none
    say: Say = _silent
    clock: Callable[[], float] = time.perf_counter
    used: list[str] = field(default_factory=list)  # names of the methods that had a say, in order
    start: float = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.clock()

    def seconds(self) -> float:
        """Seconds since the call began."""
        return self.clock() - self.start

    def left(self, share: float = 1.0) -> float | None:
        """Seconds that are left, or a share of them; None without a limit."""
        return None if self.time_limit is None else max(0.0, share * (self.time_limit - self.seconds()))

    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.time_limit is not None and self.seconds() >= self.time_limit

    def note(self, name: str) -> None:
        """Remember that a method had a say."""
        if name not in self.used:
            self.used.append(name)
