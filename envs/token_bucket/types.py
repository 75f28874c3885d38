"""The data of token-bucket offloading: traces of frames, and where each number stands in the arrays of the physics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Columns of a trace as one matrix (N, N_FRAME): what the outside world does at a frame, whatever is decided.
METRIC, REWARD, GAP, LOCATION, REGIME, N_FRAME = range(6)

# An endogenous state (N_ENDOGENOUS,), int64: what decisions change, and the bucket they change it in.
TOKENS, REFILL, COST, CAPACITY, N_ENDOGENOUS = range(5)

MOST_REGIME = 255
"""Largest number of a regime: the upper end of the observation space."""

# An exogenous state (N_FRAME + history - 1 + gap_history,): the frame, then earlier metrics, then earlier gaps, newest first.


@dataclass(frozen=True, eq=False)
class SendLevel:
    """One further way to send a frame, such as a longer prefix of its code."""

    cost: NDArray[np.float64]  # (N,) tokens, above 0
    metric: NDArray[np.float64]  # (N,) expected reduction of the loss
    reward: NDArray[np.float64] | None = None  # (N,) realised reduction


@dataclass(frozen=True, eq=False)
class Trace:
    """N frames: when they come and what sending each is worth. Nothing in it depends on what is decided.

    Raises ``ValueError`` where the arrays do not fit together.
    """

    metric: NDArray[np.float64]  # (N,) expected reduction of the loss by sending the frame
    gap: NDArray[np.int64]  # (N - 1,) ticks to the next frame, at least 1
    reward: NDArray[np.float64] | None = None  # (N,) realised reduction; None: not known
    regime: NDArray[np.int64] | None = None  # (N,) hidden regime of the arrivals, from 0; None: not known
    location: NDArray[np.float64] | None = None  # (N,) hidden location of the images in [0, 1]; None: not known
    cost: NDArray[np.float64] | None = None  # (N,) tokens of sending the frame; None: one each
    levels: tuple[SendLevel, ...] = ()  # further levels, each dearer than the one before
    ticks_per_unit: int = 1  # clock ticks in a time unit

    def __post_init__(self) -> None:
        n = len(self.metric)
        if n < 1:
            raise ValueError("the trace is empty, expected at least one frame")
        if len(self.gap) != n - 1:
            raise ValueError(f"gap has {len(self.gap)} entries, expected {n - 1} for {n} frames")
        if self.gap.dtype.kind not in "iu":
            raise ValueError(f"gap holds numbers of type {self.gap.dtype}, expected whole numbers of ticks (int64)")
        if n > 1 and self.gap.min() < 1:
            raise ValueError(f"gap has the entry {self.gap.min()}, expected whole numbers of ticks >= 1")
        if self.ticks_per_unit < 1:
            raise ValueError(f"ticks_per_unit is {self.ticks_per_unit}, expected a whole number >= 1")
        for name in ("reward", "regime", "location", "cost"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name} has {len(values)} entries, expected {n}")
        for name in ("metric", "reward"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values).all():
                raise ValueError(f"{name} has an entry that is not finite")
        for name, values, most in (("regime", self.regime, MOST_REGIME), ("location", self.location, 1)):
            if values is not None and not (values.min() >= 0 and values.max() <= most):
                wrong = values[~((values >= 0) & (values <= most))][0]
                kind = "whole numbers" if name == "regime" else "numbers"
                raise ValueError(f"{name} has the entry {wrong}, expected {kind} in 0..{most}")

    def __len__(self) -> int:
        return len(self.metric)

    def frames(self) -> NDArray[np.float64]:
        """One row a frame, ``(N, N_FRAME)``: nan for what is not known; the last gap is 0."""
        rows = np.empty((len(self), N_FRAME))
        self.write(rows)
        return rows

    def write(self, rows: NDArray[np.float64]) -> None:
        """Write ``frames()`` into ``rows`` ``(N, N_FRAME)``."""
        rows[:, METRIC] = self.metric
        rows[:-1, GAP], rows[-1, GAP] = self.gap, 0
        for column, values in ((REWARD, self.reward), (LOCATION, self.location), (REGIME, self.regime)):
            rows[:, column] = np.nan if values is None else values

    @classmethod
    def of_frames(cls, frames: NDArray[np.float64], ticks_per_unit: int = 1) -> Trace:
        """The trace whose ``frames()`` are these rows."""

        def known(column: int) -> NDArray[np.float64] | None:
            values = frames[:, column].copy()
            return None if np.isnan(values).any() else values

        regime = known(REGIME)
        return cls(
            frames[:, METRIC].copy(),
            frames[:-1, GAP].astype(np.int64),
            known(REWARD),
            None if regime is None else regime.astype(np.int64),
            known(LOCATION),
            ticks_per_unit=ticks_per_unit,
        )

    def window(self, start: int, count: int) -> Trace:
        """``count`` frames from ``start`` on."""
        stop = start + count

        def part(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if values is None else values[start:stop]

        return Trace(
            self.metric[start:stop],
            self.gap[start : stop - 1],
            part(self.reward),
            None if self.regime is None else self.regime[start:stop],
            part(self.location),
            part(self.cost),
            tuple(SendLevel(one.cost[start:stop], one.metric[start:stop], part(one.reward)) for one in self.levels),
            self.ticks_per_unit,
        )

    @property
    def units(self) -> float:
        """Time from the first to the last frame, time units."""
        return float(self.gap.sum()) / self.ticks_per_unit
