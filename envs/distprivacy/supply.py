"""The stream of periods of one environment: its own random generator, drawn in blocks.

``Generator.random`` gives the same numbers whether they are drawn one instance or one block at a time, so the scalar
and the vector environment see the same instances from the same seed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy.generator import Generator
from envs.distprivacy.simulator import Simulator

BLOCK = 4
"""Instances drawn at a time."""
MOST_TRIES = 1000
"""Periods without any decision that are skipped in a row before giving up."""


class Supply:
    """Draws encoded instances of ``generator`` from ``rng``."""

    def __init__(self, generator: Generator, simulator: Simulator, rng: np.random.Generator) -> None:
        self.generator, self.simulator, self.rng = generator, simulator, rng
        self.absent: NDArray[np.int64] = np.zeros(0, np.int64)  # slots that stay empty in every period

    def draw(self, heads: NDArray[np.float64]) -> None:
        """Fill ``heads``, float64 ``(B, instance_length)``, with the next B instances of the stream."""
        self.generator.fill_block(heads, self.simulator, self.rng.random((len(heads), self.generator.uniforms)))
        if len(self.absent):
            from envs.distprivacy.state import O_PRESENT

            heads[:, int(self.simulator.dims[O_PRESENT]) + self.absent] = 0.0


def absent_slots(given: Iterable[int], slots: int) -> NDArray[np.int64]:
    """Device slots named by a reset option, sorted. Raises ``ValueError`` for a slot outside 0..slots - 1."""
    absent = np.unique(np.asarray(list(given), np.int64))
    if len(absent) and not (absent[0] >= 0 and absent[-1] < slots):
        raise ValueError(f"absent is {absent.tolist()}, expected device slots in 0..{slots - 1}")
    return absent


def no_decision_error() -> ValueError:
    """The error for a scenario in which no request is ever left to decide."""
    return ValueError(
        f"none of {MOST_TRIES} periods has a request that needs a decision, expected budgets and privacy limits that "
        "some device can meet"
    )
