"""The observation: its slices and ranges, and the kernel that writes it. Nothing in it needs a label, unless asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs._jit import kernel
from envs.early_exit.generator import FrameLayout
from envs.early_exit.months import N_SHAPE
from envs.early_exit.state import (
    ACCEPTED,
    BUDGET,
    DONE,
    LAST,
    LAST_ANSWERED,
    LAST_SURENESS,
    LEAST,
    LEFT,
    ROWS,
    WINDOWS,
)
from envs.early_exit.types import Thresholds

N_LATENT = 2
"""Numbers of the latent slice: month over months, share of attacks."""


@dataclass(frozen=True, eq=False)
class ObservationLayout:
    """What is observed of E exits and A actions.

    ``most_use``: what a row uses of the budget that goes all the way. ``labels``: the errors of a window whose labels are
    known. ``latent``: hidden month and share of attacks, for studies.
    """

    frame: FrameLayout
    actions: Thresholds  # (A, E, 2): those that can be chosen
    demands: NDArray[np.int64]  # (A,) of ``Months.demands``
    most_use: float = 1.0
    labels: bool = False
    latent: bool = False
    months: int = 1
    thresholds: NDArray[np.float64] = field(init=False)  # (A, 4 E), cut at 1

    def __post_init__(self) -> None:
        both = np.concatenate([self.actions.accept, self.actions.reject], axis=2).reshape(len(self.actions), -1)
        object.__setattr__(self, "thresholds", np.minimum(both, 1.0))

    @property
    def layout(self) -> dict[str, slice]:
        """Slices of the observation by name, in order."""
        sizes = {
            "budget": 3,
            "time": 1,
            "acceptance": 3,
            "link": 2,
            "shape": N_SHAPE,
            "profile": N_SHAPE,
            "demand": len(self.actions),
            "last": 5,
            "last_action": 4 * self.frame.exits,
        }
        sizes |= {"errors": self.frame.exits} if self.labels else {}
        sizes |= {"latent": N_LATENT} if self.latent else {}
        sizes["action_mask"] = len(self.actions)
        stops = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(stop - size, stop) for (name, size), stop in zip(sizes.items(), stops, strict=True)}

    @property
    def length(self) -> int:
        """Length of the observation."""
        return int(self.layout["action_mask"].stop)

    @property
    def space(self) -> spaces.Box:
        """Flat float32 Box: 0..1, but for the acceptance that the rest needs, from -1 on."""
        low, high = np.zeros(self.length, np.float32), np.ones(self.length, np.float32)
        low[self.layout["acceptance"].start + 1] = -1.0
        return spaces.Box(low, high, dtype=np.float32)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The layout as the kernel takes it, ``(12,)``."""
        part = self.frame.slices
        return np.array(
            [
                self.most_use, self.labels, self.latent, self.months, len(self.actions), part["shape"].start,
                part["profile"].start, part["errors"].start, part["link"].start, part["month"].start, self.frame.exits,
                part["demand"].start,
            ],
            np.float64,
        )  # fmt: skip

    @property
    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """What the kernel takes besides state and frame: numbers, thresholds, demands."""
        return self.numbers, self.thresholds, self.demands


@kernel
def observe_row(state, frame, numbers, thresholds, demands, out):  # type: ignore[no-untyped-def]
    """Write the observation of one state ``(N_STATE,)`` and frame ``(X,)`` into float32 ``(L,)``."""
    exits = int(numbers[10])
    todo = state[WINDOWS] - state[DONE]
    rows_left = todo * state[ROWS]
    limited = state[BUDGET] < np.inf
    use = numbers[0]
    out[0] = state[LEFT] / state[BUDGET] if limited and state[BUDGET] > 0 else (0.0 if limited else 1.0)
    out[1] = min(1.0, state[LEFT] / (rows_left * use)) if limited and rows_left > 0 and use > 0 else 1.0
    out[2] = min(1.0, state[BUDGET] / (state[WINDOWS] * state[ROWS] * use)) if limited and use > 0 else 1.0
    out[3] = todo / state[WINDOWS]
    out[4] = state[ACCEPTED] / (state[DONE] * state[ROWS]) if state[DONE] > 0 else 1.0
    need = state[LEAST] * state[WINDOWS] * state[ROWS] - state[ACCEPTED]
    out[5] = min(1.0, max(-1.0, need / rows_left)) if rows_left > 0 else (1.0 if need > 0 else -1.0)
    out[6] = state[LEAST]
    at = 7
    link = int(numbers[8])
    out[at], out[at + 1] = frame[link], frame[link + 1]
    at += 2
    for start in (int(numbers[5]), int(numbers[6])):
        for k in range(N_SHAPE):
            out[at + k] = frame[start + k]
        at += N_SHAPE
    actions = int(numbers[4])
    for a in range(actions):
        out[at + a] = frame[int(numbers[11]) + demands[a]]
    at += actions
    for k in range(LAST_SURENESS - LAST_ANSWERED + 1):
        out[at + k] = state[LAST_ANSWERED + k]
    at += LAST_SURENESS - LAST_ANSWERED + 1
    last = int(state[LAST])
    for k in range(4 * exits):
        out[at + k] = thresholds[last, k] if last >= 0 else 0.0
    at += 4 * exits
    if numbers[1] > 0:
        for k in range(exits):
            out[at + k] = frame[int(numbers[7]) + k]
        at += exits
    if numbers[2] > 0:
        month = int(numbers[9])
        out[at] = (frame[month] + 1.0) / numbers[3]
        out[at + 1] = frame[month + 1]
        at += 2
    for k in range(actions):
        out[at + k] = 1.0
