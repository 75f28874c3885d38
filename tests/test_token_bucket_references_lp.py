"""The clairvoyant optimum four ways: dynamic program, linear program, integer program, all plans."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import tokens_after
from optimal.token_bucket.clairvoyant import best_sends
from optimal.token_bucket.clairvoyant_lp import cumulative_lp, greedy_by_value, inventory_ilp, windows

BUCKETS = [Bucket.of(0.1, 1), Bucket.of("1/3", 2), Bucket.of(0.25, 1.5), Bucket.of(0.3, 2.5)]


def trace(seed: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 0.3, count), rng.integers(1, 4, count)


def pays(sent: NDArray[np.bool_], gap: NDArray[np.int64], bucket: Bucket) -> bool:
    """Whether a full bucket can pay for the sends."""
    n = bucket.capacity
    for go, ticks in zip(sent, gap, strict=True):
        if go and n < bucket.cost:
            return False
        n = tokens_after(n, bucket.refill, bucket.cost, bucket.capacity, ticks, bool(go))
    return True


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_all_four_agree_on_short_traces(bucket: Bucket, seed: int) -> None:
    value, gap = trace(seed, 11)
    plans = [np.array([mask >> t & 1 for t in range(11)], np.bool_) for mask in range(2**11)]
    brute = max(float(value[plan].sum()) for plan in plans if pays(plan, gap, bucket))
    total, sent = best_sends(value, gap, bucket)
    assert total == pytest.approx(brute, abs=1e-9) and pays(sent, gap, bucket)
    for solver in ("highs", "cbc"):
        assert cumulative_lp(value, gap, bucket, solver).value == pytest.approx(brute, abs=1e-6)
        assert inventory_ilp(value, gap, bucket, solver).value == pytest.approx(brute, abs=1e-6)


def test_the_windows_are_exactly_the_plans_that_a_bucket_pays_for() -> None:
    for bucket in BUCKETS:
        _, gap = trace(5, 9)
        rows = windows(gap, bucket)
        for mask in range(2**9):
            plan = np.array([mask >> t & 1 for t in range(9)], np.bool_)
            assert all(plan[i : j + 1].sum() <= limit for i, j, limit in rows) == pays(plan, gap, bucket)


@pytest.mark.parametrize(("bucket", "count"), [(BUCKETS[0], 40), (BUCKETS[1], 100), (Bucket.of(0.1, 4), 200)], ids=str)
@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_the_linear_program_is_whole(bucket: Bucket, count: int, solver: str) -> None:
    value, gap = trace(count, count)
    gap[:] = 1 if count == 200 else gap
    plan = cumulative_lp(value, gap, bucket, solver)
    total, _ = best_sends(value, gap, bucket)
    assert plan.value == pytest.approx(total, abs=1e-6) and plan.fraction < 1e-6
    assert pays(plan.sent, gap, bucket) and value[plan.sent].sum() == pytest.approx(total, abs=1e-6)


def test_the_obvious_model_is_loose_without_whole_numbers() -> None:
    bucket = Bucket.of(0.1, 1)
    value, _ = trace(1, 40)
    gap = np.ones(40, np.int64)
    whole, relaxed = inventory_ilp(value, gap, bucket), inventory_ilp(value, gap, bucket, relaxed=True)
    assert relaxed.value > 1.02 * whole.value and relaxed.fraction > 0.1
    assert whole.value == pytest.approx(best_sends(value, gap, bucket)[0], abs=1e-6)
    with pytest.raises(ValueError, match="whole"):
        _ = relaxed.sent


def test_taking_frames_by_value_is_not_optimal() -> None:
    shares = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        value, gap, bucket = rng.random(40), np.ones(40, np.int64), Bucket.of(0.1, 1)
        sent = greedy_by_value(value, gap, bucket)
        assert pays(sent, gap, bucket)
        shares.append(value[sent].sum() / best_sends(value, gap, bucket)[0])
    assert max(shares) <= 1 + 1e-12 and min(shares) < 0.97


def test_bad_traces_are_refused() -> None:
    for solve in (cumulative_lp, inventory_ilp):
        with pytest.raises(ValueError, match="as many"):
            solve(np.ones(3), np.ones(2, np.int64), BUCKETS[0])
