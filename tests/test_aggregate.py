"""Interquartile mean and bootstrap intervals over seeds and instances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.aggregate import aggregate, interquartile_mean, interval, means


def test_the_interquartile_mean_cuts_a_quarter_at_each_end() -> None:
    assert interquartile_mean(np.array([[100.0, 1.0], [2.0, -50.0]])) == 1.5
    assert interquartile_mean(np.array([1.0, 2.0, 9.0])) == 4.0, "a quarter of three, rounded down, is none"
    assert interquartile_mean(np.array([np.nan, 5.0])) == 5.0
    values = np.random.default_rng(0).normal(size=1001)
    inner = np.sort(values)[250:-250]
    assert interquartile_mean(values) == pytest.approx(inner.mean())
    assert math.isnan(interquartile_mean(np.array([np.nan])))


def test_one_seed_is_the_bootstrap_over_instances() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, (1, 400, 1))
    low, high = interval(values, means)
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert interval(values, means) == (low, high) != interval(values, means, seed=1)


def test_seeds_that_differ_widen_the_interval() -> None:
    """Instances all alike, seeds apart: only the resampling of whole seeds can see it."""
    apart = np.repeat(np.array([[1.0], [2.0], [3.0]]), 500, axis=1)
    low, high = interval(apart, means)
    assert (low, high) == (1.0, 3.0)
    assert interval(np.ones((3, 500)), means) == (1.0, 1.0)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Crossed effects of 8 seeds and 30 instances; 95 % intervals with so few seeds cover a little less."""
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(100):
        values = rng.normal(size=(8, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(8, 30))
        low, high = interval(values, means, seed=trial, resamples=300)
        hits += low <= 0.0 <= high
    assert 82 <= hits <= 99


def test_rejected_requests_are_left_out() -> None:
    values = np.array([[[1.0, np.nan], [3.0, 5.0]]])
    found = aggregate(values)
    assert (found["mean"], found["worst"], found["iqm"]) == (3.0, 5.0, 3.0)
    nothing = aggregate(np.full((2, 3), np.nan))
    assert all(math.isnan(value) for value in (nothing["mean"], nothing["worst"], nothing["interval"][0]))  # type: ignore[index]
