"""Synthetic months of flows, so that everything runs without a download; drawn from a seed, from no real row.

A row comes about in three steps. (1) Its class is normal or attack, half of each. (2) Given the class, the flow is one of 14
short *usual* ones, which are always the same packets and hence mass points that both classes share, or one of 16 *longer*
kinds. (3) A longer flow draws pace, regularity, size and number of packets around the corner of its kind; which corners are
attacks is no weighted sum of these, so that a deeper exit knows more. Its columns are computed from its packets.

From month to month the shares of the kinds, the classes of the usual flows and the corners wander, and in the sixth month
labels are noisier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import ATTACK, N_CLASSES, NORMAL
from inference.early_exit.packets import NAMES, Packets, features
from inference.early_exit.rows import Rows

ROWS = 5_000
"""Rows of a month."""
MONTHS = tuple(f"month_{number:02d}" for number in range(1, 9))
"""Names of the months that are there by default."""
HARD = 5
"""The month (from 0) whose labels are noisier."""

# Share of the rows, chance of an attack, then packets and bytes in both directions and milliseconds between packets.
_USUAL = (
    (0.3604, 0.055, 1, 0, 40, 0, 0),
    (0.1590, 0.885, 1, 1, 44, 40, 20),
    (0.0318, 0.930, 2, 0, 48, 0, 3000),
    (0.0212, 0.950, 1, 0, 404, 0, 0),
    (0.0159, 0.090, 1, 1, 71, 132, 30),
    (0.0127, 0.900, 1, 0, 60, 0, 0),
    (0.0106, 0.920, 3, 0, 48, 0, 4000),
    (0.0085, 0.120, 1, 1, 66, 215, 40),
    (0.0085, 0.880, 1, 1, 60, 40, 180),
    (0.0074, 0.940, 1, 0, 1052, 0, 0),
    (0.0064, 0.150, 1, 0, 76, 0, 0),
    (0.0053, 0.910, 2, 1, 40, 44, 90),
    (0.0053, 0.800, 2, 2, 52, 52, 10),
    (0.0042, 0.100, 1, 0, 52, 0, 0),
)
_FACTORS = 4
"""Pace, regularity, size, number of packets: each is low or high in a kind of longer flow."""
_LOW = np.array([-3.0, -1.6, 4.4, 1.4])
_HIGH = np.array([-0.4, 0.3, 6.6, 2.9])
"""Natural logarithms of mean gap in seconds, its coefficient of variation, mean bytes, packets."""
_SPREAD = np.array([0.21, 0.12, 0.15, 0.12])
"""Standard deviations of these logarithms within a kind."""
_ATTACKS = (2, 3, 5, 6, 8, 9, 10, 11, 12, 14)
"""Corners of attacks; bit k of a corner's number says whether factor k is high. They are those with regularity or packets high,
except that pace and size both high turn the answer round: no weighted sum of the factors says it."""
_NOISE, _HARD_NOISE = 0.015, 0.06
"""Share of longer flows that carry the label of the other class."""
_ANSWERED = 0.5
"""Share of longer flows in which the other side says anything."""
_MOST = 48
"""Most packets of a flow."""


@dataclass(frozen=True, eq=False)
class _Regime:
    """What a month draws its rows from."""

    share: NDArray[np.float64]  # (2, kinds) of the kinds, usual ones first, given the class
    shift: NDArray[np.float64]  # (16, 4) of the corners


def month(index: int, seed: int, rows: int = ROWS) -> Rows:
    """Month ``index`` (from 0) of a seed: ``rows`` labelled rows in random order; a month does not depend on ``rows`` before.

    Raises ``ValueError`` for a negative index or no rows.
    """
    if index < 0 or rows < 1:
        raise ValueError(f"month {index} of {rows} rows was asked for, expected a month from 0 on and at least one row")
    regime = _regime(index, seed)
    rng = np.random.default_rng([seed, 1, index])
    label = rng.permutation(np.arange(rows) % N_CLASSES).astype(np.int8)
    usual = len(_USUAL)
    kind = np.empty(rows, np.int64)
    for c in (NORMAL, ATTACK):
        kind[label == c] = rng.choice(usual + 2**_FACTORS, int((label == c).sum()), p=regime.share[c])
    made = np.empty((rows, len(NAMES)))
    short = kind < usual
    made[short] = features(_usual_flows())[kind[short]]
    if not short.all():
        made[~short] = features(_longer_flows(kind[~short] - usual, regime.shift, rng))
    return Rows(NAMES, np.round(made, 9), label, f"month_{index + 1:02d}")


def _regime(index: int, seed: int) -> _Regime:
    """The shares and corners of a month: random walks from the first month on."""
    rng = np.random.default_rng([seed, 0])
    usual, longer = len(_USUAL), 2**_FACTORS
    odds, weight, shift = np.zeros(usual), np.zeros(usual + longer), np.zeros((longer, _FACTORS))
    for _ in range(index):
        odds += rng.normal(0, 0.10, usual)
        weight += rng.normal(0, np.where(np.arange(usual + longer) < usual, 0.05, 0.12))
        shift += rng.normal(0, 0.03, (longer, _FACTORS))
    table = np.array(_USUAL)
    hard = index == HARD
    logit = np.log(table[:, 1] / (1 - table[:, 1])) * (0.78 if hard else 1.0) + odds
    attack = np.full(usual + longer, _HARD_NOISE if hard else _NOISE)
    attack[:usual] = 1 / (1 + np.exp(-logit))
    corners = usual + np.array(_ATTACKS)
    attack[corners] = 1 - attack[corners]
    share = np.concatenate([table[:, 0], np.full(longer, (1 - table[:, 0].sum()) / longer)]) * np.exp(weight)
    of_class = np.stack([share * (1 - attack), share * attack])
    return _Regime(of_class / of_class.sum(axis=1, keepdims=True), shift)


def _usual_flows() -> Packets:
    """The packets of each usual flow: directions take turns as long as both have packets left."""
    count = np.array([entry[2] + entry[3] for entry in _USUAL])
    widest = int(count.max())
    gap, size = np.zeros((len(_USUAL), widest)), np.zeros((len(_USUAL), widest))
    back = np.zeros((len(_USUAL), widest), np.bool_)
    for row, (_, _, there, answers, sent, answered, between) in enumerate(_USUAL):
        order = sorted([(k, False) for k in range(int(there))] + [(k, True) for k in range(int(answers))])
        for place, (_, answer) in enumerate(order):
            gap[row, place] = between / 1e3 if place else 0.0
            size[row, place], back[row, place] = answered if answer else sent, answer
    return Packets(count, gap, size, back, np.zeros(len(_USUAL), np.bool_))


def _longer_flows(corner: NDArray[np.int64], shift: NDArray[np.float64], rng: np.random.Generator) -> Packets:
    """Packets of flows of the kinds ``corner`` ``(N,)``: gamma gaps, log-normal sizes, in whole milliseconds and bytes."""
    high = (corner[:, None] >> np.arange(_FACTORS)) & 1
    drawn = np.where(high == 1, _HIGH, _LOW) + shift[corner] + rng.normal(0, _SPREAD, (len(corner), _FACTORS))
    pace, variation, bytes_each, packets = np.exp(drawn).T
    count = np.clip(np.rint(packets), 2, _MOST).astype(np.int64)
    shape = (len(corner), _MOST)
    form = 1 / variation[:, None] ** 2
    gap = np.round(rng.gamma(form, pace[:, None] / form, shape), 3)
    gap[:, 0] = 0.0
    size = np.clip(np.rint(bytes_each[:, None] * np.exp(rng.normal(0, 0.35, shape))), 40, 1500)
    answered = (rng.random(len(corner)) < _ANSWERED)[:, None]
    back = answered & (rng.random(shape) < rng.beta(3, 4, (len(corner), 1)))
    back[:, 0] = False
    size = np.where(back & (rng.random(shape) < 0.3), 40, size)  # some answers only acknowledge
    return Packets(count, gap, size, back, rng.random(len(corner)) < 0.5)
