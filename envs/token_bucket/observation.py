"""The observation: its slices, units and ranges, and the kernel that writes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs._jit import kernel
from envs.token_bucket.types import CAPACITY, COST, LOCATION, METRIC, MOST_REGIME, N_FRAME, REFILL, REGIME, TOKENS

N_FIXED = 4
"""Numbers before the metrics: level, can_send, rate, inverse depth."""
N_LATENT = 2
"""Numbers of the latent slice: location, regime."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much of the past is observed, and by which constants it is scaled.

    ``history``: metrics, the current one among them; ``gap_history``: latest gaps; ``metric_scale``: what counts as 1;
    ``gap_scale``: time units that count as 1, longer gaps too; ``latent``: the hidden location and regime too.
    """

    history: int = 8
    gap_history: int = 4
    metric_scale: float = 1.0
    gap_scale: float = 8.0
    latent: bool = False
    ticks_per_unit: int = 1

    def __post_init__(self) -> None:
        if self.history < 1:
            raise ValueError(f"history is {self.history}, expected at least 1: the current metric")
        if self.gap_history < 0:
            raise ValueError(f"gap_history is {self.gap_history}, expected at least 0")
        for name in ("metric_scale", "gap_scale"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a finite number above 0")

    @property
    def exogenous_length(self) -> int:
        """Length of an exogenous state."""
        return N_FRAME + self.history - 1 + self.gap_history

    @property
    def layout(self) -> dict[str, slice]:
        """Slices of the observation by name, in order."""
        sizes = {"level": 1, "can_send": 1, "rate": 1, "inverse_depth": 1, "metrics": self.history}
        sizes |= {"gaps": self.gap_history} if self.gap_history else {}
        sizes |= {"latent": N_LATENT} if self.latent else {}
        sizes["action_mask"] = 2
        stops = np.cumsum(list(sizes.values()))
        return {
            name: slice(int(stop) - size, int(stop)) for (name, size), stop in zip(sizes.items(), stops, strict=True)
        }

    @property
    def length(self) -> int:
        """Length of the observation."""
        return int(self.layout["action_mask"].stop)

    @property
    def space(self) -> spaces.Box:
        """Flat float32 Box: 0..1 but for the metrics, which are in -1..1, and the hidden regime, which counts from -1."""
        low, high = np.zeros(self.length, np.float32), np.ones(self.length, np.float32)
        low[self.layout["metrics"]] = -1.0
        if self.latent:
            low[self.layout["latent"]] = -1.0
            high[self.layout["latent"].stop - 1] = MOST_REGIME
        return spaces.Box(low, high, dtype=np.float32)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The window as the kernels take it, ``(6,)``."""
        return np.array(
            [self.history, self.gap_history, self.metric_scale, self.gap_scale, self.latent, self.ticks_per_unit],
            np.float64,
        )


@kernel
def observe_row(endogenous, exogenous, window, out):  # type: ignore[no-untyped-def]
    """Write the observation of one state: int64 ``(4,)``, float64 ``(X,)``, ``Window.numbers``, float32 ``(L,)``."""
    history, gap_history = int(window[0]), int(window[1])
    cost, capacity = endogenous[COST], endogenous[CAPACITY]
    can_send = endogenous[TOKENS] >= cost
    # one division for all metrics and one for all gaps: they would take half of the time of a step
    metric_factor, gap_factor = 1.0 / window[2], 1.0 / (window[3] * window[5])
    out[0] = endogenous[TOKENS] / capacity
    out[1] = 1.0 if can_send else 0.0
    out[2] = min(endogenous[REFILL] * window[5] / cost, 1.0)
    out[3] = cost / capacity
    out[4] = min(max(exogenous[METRIC] * metric_factor, -1.0), 1.0)
    at = 5
    for k in range(history - 1):
        out[at] = min(max(exogenous[N_FRAME + k] * metric_factor, -1.0), 1.0)
        at += 1
    for k in range(gap_history):
        out[at] = min(exogenous[N_FRAME + history - 1 + k] * gap_factor, 1.0)
        at += 1
    if window[4] > 0:
        location, regime = exogenous[LOCATION], exogenous[REGIME]
        out[at] = location if location == location else -1.0
        out[at + 1] = regime if regime == regime else -1.0
        at += 2
    out[at] = 1.0
    out[at + 1] = out[1]
