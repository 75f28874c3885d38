"""Where episodes come from: windows of rows, drawn by a schedule from months of evaluation tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel
from envs.early_exit.months import N_SHAPE, Months
from envs.early_exit.schedule import Schedule


@dataclass(frozen=True)
class FrameLayout:
    """Where each number of a frame stands: first what may be seen, then what is hidden, then the rows of the window.

    A frame belongs to a decision. What is seen of rows is about windows before; bandwidth and load are those of now.
    """

    exits: int
    rows: int  # W of a window
    demands: int  # D ways of letting rows past exit 1

    @property
    def slices(self) -> dict[str, slice]:
        """Name -> slice, in order."""
        sizes = {
            "shape": N_SHAPE,  # of the window before; 0 where there is none
            "profile": N_SHAPE,  # mean of the shapes so far, the latest ones weighing most
            "demand": self.demands,  # share of the rows that would have gone past exit 1, averaged as the profile
            "errors": self.exits,  # share that each exit got wrong, in the latest window whose labels are known
            "link": 2,  # bandwidth and load
            "month": 1,  # hidden
            "attack_share": 1,  # hidden
            "rows": self.rows,  # of this window, as columns of ``Months.fates``; whole numbers
        }
        stops = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(stop - size, stop) for (name, size), stop in zip(sizes.items(), stops, strict=True)}

    @property
    def told(self) -> NDArray[np.int64]:
        """Where what the info says of a frame stands: month, share of attacks, bandwidth, load ``(4,)``."""
        part = self.slices
        return np.array([part["month"].start, part["attack_share"].start, part["link"].start, part["link"].start + 1])

    @property
    def length(self) -> int:
        """Numbers of a frame."""
        return int(self.slices["rows"].stop)


@dataclass(frozen=True, eq=False)
class EpisodeGenerator:
    """Draws episodes. All randomness comes from the generator that is handed in.

    The profile is a weighted mean: a window weighs (1 - ``memory``) of the next one.

    ``rows``: of a window. ``memory``: weight of the latest window in the profile. ``label_delay``: windows until labels are
    known; None: never. Raises ``ValueError`` for numbers out of range, or where rows are resampled from a month with one class.
    """

    months: Months
    schedule: Schedule
    rows: int = 500
    memory: float = 0.1
    label_delay: int | None = None

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows is {self.rows}, expected a whole number >= 1")
        if not 0 < self.memory <= 1:
            raise ValueError(f"memory is {self.memory}, expected a number in 0..1, above 0")
        if self.label_delay is not None and self.label_delay < 0:
            raise ValueError(f"label_delay is {self.label_delay}, expected at least 0 windows")
        if self.schedule.attack_share is not None:
            for name, share in zip(self.months.names, self.months.attack_shares, strict=True):
                if not 0 < share < 1:
                    raise ValueError(
                        f"{name}: has rows of one class alone, expected both where attack_shares are given"
                    )

    @cached_property
    def layout(self) -> FrameLayout:
        """The layout of the frames."""
        return FrameLayout(self.months.exits, self.rows, int(self.months.demands.max()) + 1)

    def check(self, frames: NDArray[np.float32]) -> None:
        """Raise ``ValueError`` for frames ``(T + 1, X)`` that no episode of these tables has."""
        part, count = self.layout.slices, self.months.fates.shape[1]
        rows, (bandwidth, load) = frames[:-1, part["rows"]], frames[:, part["link"]].T
        if not np.isfinite(frames).all():
            raise ValueError("frames hold a number that is not finite, expected those of an episode")
        if not ((rows >= 0) & (rows < count) & (rows == np.floor(rows))).all():
            raise ValueError(f"frames name rows that the tables have not, expected whole numbers in 0..{count - 1}")
        if not ((bandwidth > 0) & (bandwidth <= 1) & (load >= 0) & (load < 1)).all():
            raise ValueError("frames have a link of a speed outside 0..1, above 0, or a load outside 0..1, below 1")

    def draw(self, rng: np.random.Generator, windows: int) -> NDArray[np.float32]:
        """Frames ``(windows + 1, X)``; the last one, after the last decision, is of no window."""
        month = self.schedule.months(rng, len(self.months.tables), windows)
        levels = self.schedule.attack_share
        share = self.months.attack_shares[month] if levels is None else levels.sample(rng, windows)
        bandwidth, load = (one.sample(rng, windows + 1) for one in (self.schedule.bandwidth, self.schedule.load))
        rows = self._rows(rng, month, share)
        part = self.layout.slices
        frames = np.zeros((windows + 1, self.layout.length), np.float32)
        shape, demand, wrong = self.months.look(rows, labels=self.label_delay is not None)
        frames[:windows, part["rows"]] = rows
        frames[1:, part["shape"]] = shape
        _profile(shape, self.memory, frames[1:, part["profile"]])
        _profile(demand, self.memory, frames[1:, part["demand"]])
        if self.label_delay is not None and self.label_delay < windows:
            frames[1 + self.label_delay :, part["errors"]] = wrong[: windows - self.label_delay]
        frames[:, part["link"]] = np.stack([bandwidth, load], axis=1)
        frames[:windows, part["month"].start], frames[-1, part["month"].start] = month, month[-1]
        frames[:windows, part["attack_share"].start], frames[-1, part["attack_share"].start] = share, share[-1]
        return frames

    def _rows(
        self, rng: np.random.Generator, month: NDArray[np.int64], share: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Rows of the windows ``(T, W)``: each an attack with its window's probability, drawn with replacement."""
        rows = np.empty((len(month), self.rows), np.int64)
        members, starts = self.months.by_class
        _pick(rng.random(rows.shape), month, share, members, starts, rows)
        return rows


@kernel
def _pick(uniform, month, share, members, starts, rows):  # type: ignore[no-untyped-def]
    for t in range(len(rows)):
        first, middle, last = starts[month[t], 0], starts[month[t], 1], starts[month[t], 2]
        for i in range(rows.shape[1]):
            # one uniform number says both which class and, stretched, which of its rows
            u = uniform[t, i]
            attack = u < share[t]
            begin, end = (middle, last) if attack else (first, middle)
            place = u / share[t] if attack else (u - share[t]) / (1.0 - share[t])
            rows[t, i] = members[min(begin + int(place * (end - begin)), end - 1)]


@kernel
def _profile(shape, memory, out):  # type: ignore[no-untyped-def]
    weight = 0.0
    for t in range(len(shape)):
        weight = (1.0 - memory) * weight + memory
        for c in range(shape.shape[1]):
            before = out[t - 1, c] if t > 0 else 0.0
            out[t, c] = before + memory / weight * (shape[t, c] - before)
