"""Tables of two exits for tests: small ones with many ties, and one like a month of the public data."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from envs.early_exit.types import ExitTable


def exit_table(seed: int, rows: int, steps: int, *, skill: tuple[float, float] = (0.75, 0.9)) -> ExitTable:
    """``rows`` rows whose certainties have ``steps`` values in .5..1, measured times included; the surer, the righter."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, rows).astype(np.int8)
    certainty = 0.5 + 0.5 * rng.integers(0, steps, (2, rows)) / max(steps - 1, 1)
    right = rng.random((2, rows)) < np.minimum(np.array(skill)[:, None] + 0.5 * (certainty - 0.75), 1)
    predicted = np.where(right, label, 1 - label).astype(np.int8)
    times = rng.integers(0, 50, (2, 2, rows)) * 1e-6
    return ExitTable(label, predicted, np.round(certainty, 6), times[0], times[1] + np.array([[0.0], [1e-3]]))


def month(seed: int = 0, rows: int = 5_000, distinct: int = 1_800) -> ExitTable:
    """As a month of the public data: few distinct rows, the commonest of them a third of all, labels that contradict."""
    rng = np.random.default_rng(seed)
    weight = 1.0 / np.arange(1, distinct + 1) ** 1.1
    weight[0] = weight.sum() * 0.5
    which = rng.choice(distinct, rows, p=weight / weight.sum())
    noise = rng.beta(0.25, 2.5, distinct) / 2
    true = rng.integers(0, 2, distinct)
    label = np.where(rng.random(rows) < noise[which], 1 - true[which], true[which]).astype(np.int8)
    logit = np.where(true == 1, 1.0, -1.0) * np.array([[1.0], [2.0]]) + rng.normal(0, 1.3, (2, distinct))
    attack = 1.0 / (1.0 + np.exp(-logit))
    predicted = (attack > 0.5).astype(np.int8)
    certainty = np.round(np.maximum(attack, 1 - attack), 6)
    batch = np.repeat(rng.uniform(0.8, 1.2, (2, 2, 5)), -(-rows // 5), axis=2)[:, :, :rows]
    times = batch * np.array([[[2e-5], [4e-4]], [[1e-6], [1e-4]]])
    return ExitTable(label, predicted[:, which], certainty[:, which], times[0], times[1])


tables = st.builds(
    exit_table,
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(1, 6),
    skill=st.sampled_from([(0.75, 0.9), (0.0, 0.0), (1.0, 1.0), (0.9, 0.5)]),
)
"""Small tables; with few rows a class is often absent."""
