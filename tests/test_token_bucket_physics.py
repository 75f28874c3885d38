"""The bucket in integers: exact numbers, conservation, windows, and a slow computation with fractions beside it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.token_bucket.bucket import MOST_CAPACITY, Bucket
from envs.token_bucket.dynamics import LOCAL_S, OFFLOADED_S, Dynamics
from envs.token_bucket.observation import Window
from envs.token_bucket.streams import Streams, replay
from envs.token_bucket.types import GAP, METRIC, N_FRAME, REWARD, TOKENS


@st.composite
def fractions(draw: st.DrawFn, least: Fraction, most: Fraction) -> Fraction:
    """A fraction in ``least``..``most`` with a denominator up to 60."""
    denominator = draw(st.integers(1, 60))
    return Fraction(draw(st.integers(-(-least * denominator // 1), most * denominator // 1)), denominator)


@st.composite
def buckets(draw: st.DrawFn) -> Bucket:
    rate = draw(fractions(Fraction(1, 60), Fraction(1)).filter(lambda r: r > 0) | st.sampled_from((0.29, 0.1, 0.05, 1)))
    depth = draw(fractions(Fraction(1), Fraction(9)) | st.sampled_from((1, 2, 4, 20, 1.5)))
    return Bucket.of(rate, depth, draw(st.sampled_from((1, 1, 2, 7))))


def streams_of(gap: Any, metric: Any = 0.5, ticks: int = 1) -> Streams:
    gap = np.atleast_2d(np.array(gap, np.int64))
    values = np.full(gap.shape, metric, np.float64)
    unknown = np.full(gap.shape, np.nan)
    return Streams(values, values, gap, unknown, unknown, 0.3, ticks)


@st.composite
def plays(draw: st.DrawFn) -> tuple[Bucket, list[int], list[bool]]:
    bucket, count = draw(buckets()), draw(st.integers(1, 60))
    longest = draw(st.sampled_from((1, 3, 30, 10**9)))
    gap = draw(st.lists(st.integers(1, longest), min_size=count, max_size=count))
    return bucket, gap, draw(st.lists(st.booleans(), min_size=count, max_size=count))


@pytest.mark.parametrize(
    ("rate", "depth", "numbers"),
    [
        (0.1, 4, (1, 10, 40)),
        (0.25, 4, (1, 4, 16)),
        (0.05, 4, (1, 20, 80)),
        (0.1, 20, (1, 10, 200)),
        (0.29, 2, (29, 100, 200)),  # the public implementation makes 20/69/138 of it
        ("1/3", 2.5, (2, 6, 15)),
        (Fraction(2, 7), "1.5", (4, 14, 21)),
        (1, 1, (1, 1, 1)),
        ("1e-3", 1, (1, 1000, 1000)),
    ],
)
def test_rate_and_depth_are_exact(rate: Any, depth: Any, numbers: tuple[int, int, int]) -> None:
    bucket = Bucket.of(rate, depth)
    assert (bucket.refill, bucket.cost, bucket.capacity) == numbers
    assert Fraction(bucket.refill, bucket.cost) == bucket.rate == Fraction(str(rate))
    assert Fraction(bucket.capacity, bucket.cost) == bucket.depth == Fraction(str(depth))
    assert bucket.levels == numbers[2] - numbers[0] + 1


@settings(deadline=None)
@given(buckets())
def test_the_integers_are_exact_and_the_smallest(bucket: Bucket) -> None:
    refill, cost, capacity = bucket.refill, bucket.cost, bucket.capacity
    assert Fraction(refill * bucket.ticks_per_unit, cost) == bucket.rate
    assert Fraction(capacity, cost) == bucket.depth
    assert np.gcd.reduce([refill, cost, capacity]) == 1
    finer = Bucket.of(bucket.rate, bucket.depth, 3 * bucket.ticks_per_unit)
    assert Fraction(3 * finer.refill, finer.cost) == Fraction(refill, cost), "three finer ticks bring as much as one"


@pytest.mark.parametrize(
    ("rate", "depth", "ticks", "sentence"),
    [
        (0, 4, 1, "rate is 0, expected more than 0 tokens a time unit"),
        (-0.1, 4, 1, "rate is -0.1, expected more than 0"),
        (1.01, 4, 1, "rate is 1.01, expected at most 1 token a time unit"),
        (0.1, 0.99, 1, "depth is 0.99, expected at least 1: a send takes a whole token"),
        (float("nan"), 4, 1, "rate is nan, expected a finite number such as 0.1 or 1/3"),
        (0.1, float("inf"), 1, "depth is inf, expected a finite number"),
        ("fast", 4, 1, "rate is 'fast', expected a finite number"),
        ("1/0", 4, 1, "rate is '1/0', expected a finite number"),
        (0.1, True, 1, "depth is True, expected a number"),
        (0.1, None, 1, "depth is None, expected a finite number"),
        (0.1, 4, 0, "ticks_per_unit is 0, expected a whole number >= 1"),
        ("0.1234567", 4, 1, f"expected at most {MOST_CAPACITY:,} (rounder numbers, or a coarser clock)"),
        (0.1, 1e9, 1, "need 10,000,000,000 micro-tokens, expected at most 10,000,000"),
    ],
)
def test_impossible_buckets_are_one_sentence(rate: Any, depth: Any, ticks: int, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        Bucket.of(rate, depth, ticks)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@settings(deadline=None)
@given(plays())
def test_integers_equal_a_slow_computation_with_fractions(play: tuple[Bucket, list[int], list[bool]]) -> None:
    bucket, gap, wish = play
    found = replay(streams_of(gap, ticks=bucket.ticks_per_unit), bucket, np.array([wish]))
    level, lost, violations = bucket.depth, Fraction(0), 0
    for t, asked in enumerate(wish):
        assert Fraction(int(found.tokens[0, t]), bucket.cost) == level
        if asked and level >= 1:
            level -= 1
        elif asked:
            violations += 1
        refilled = level + bucket.rate * Fraction(gap[t], bucket.ticks_per_unit)
        level = min(bucket.depth, refilled)
        lost += refilled - level
    assert found.violations[0] == violations
    assert Fraction(int(found.lost[0]), bucket.cost) == lost


@settings(deadline=None)
@given(plays())
def test_tokens_are_conserved(play: tuple[Bucket, list[int], list[bool]]) -> None:
    bucket, gap, wish = play
    found = replay(streams_of(gap), bucket, np.array([wish]))
    sends = sum(wish) - int(found.violations[0])
    dynamics = Dynamics(Window())
    state = np.array([[found.tokens[0, -1], bucket.refill, bucket.cost, bucket.capacity]])
    row = np.zeros((1, dynamics.window.exogenous_length))
    row[0, GAP] = gap[-1]
    last = int(dynamics.transition(state, row, np.array([int(wish[-1])]))[0][0, TOKENS])
    refilled = bucket.refill * sum(gap)
    assert last == bucket.capacity + refilled - bucket.cost * sends - int(found.lost[0])
    assert ((found.tokens >= 0) & (found.tokens <= bucket.capacity)).all()


@settings(deadline=None)
@given(plays())
def test_no_window_holds_more_sends_than_the_bucket_can_pay(play: tuple[Bucket, list[int], list[bool]]) -> None:
    bucket, gap, wish = play
    found = replay(streams_of(gap), bucket, np.array([wish]))
    sent = np.array(wish) & (found.tokens[0] >= bucket.cost)
    before = np.concatenate([[0], np.cumsum(sent)])
    at = np.concatenate([[0], np.cumsum(gap)])
    for i in range(len(gap)):
        for j in range(i, len(gap)):
            most = (bucket.capacity + bucket.refill * int(at[j] - at[i])) // bucket.cost
            assert before[j + 1] - before[i] <= most


@settings(deadline=None)
@given(buckets(), st.integers(1, 2**53))
def test_a_long_gap_fills_the_bucket_and_overflows_nothing(bucket: Bucket, gap: int) -> None:
    dynamics = Dynamics(Window(1, 0))
    for sent in (0, 1):
        state = np.array([[bucket.capacity, bucket.refill, bucket.cost, bucket.capacity]])
        row = np.zeros((1, N_FRAME))
        row[0, GAP] = gap
        after = int(dynamics.transition(state, row, np.array([sent]))[0][0, TOKENS])
        assert after == min(bucket.capacity, bucket.capacity - sent * bucket.cost + bucket.refill * gap)


@settings(max_examples=30, deadline=None)
@given(buckets(), st.integers(1, 40), st.floats(-1, 1), st.sampled_from((-1.0, 0.0, 1.0)), st.floats(0, 5))
def test_transition_on_every_level_and_action(
    bucket: Bucket, gap: int, metric: float, reward: float, price: float
) -> None:
    levels = np.arange(bucket.capacity + 1)
    states = np.column_stack(
        [levels, *(np.full(len(levels), n) for n in (bucket.refill, bucket.cost, bucket.capacity))]
    )
    rows = np.zeros((len(levels), N_FRAME))
    rows[:, [METRIC, REWARD, GAP]] = metric, reward, gap
    for realised in (False, True):
        dynamics = Dynamics(Window(1, 0), realised=realised, latency_price=price)
        for action in (0, 1):
            after, rewards = dynamics.transition(states, rows, np.full(len(levels), action))
            sent = (levels >= bucket.cost) & (action == 1)
            tokens = np.minimum(levels - bucket.cost * sent + bucket.refill * gap, bucket.capacity)
            assert (after[:, TOKENS] == tokens).all() and (after[:, 1:] == states[:, 1:]).all()
            expected = np.where(sent, reward if realised else metric, 0.0) - price * np.where(
                sent, OFFLOADED_S, LOCAL_S
            )
            np.testing.assert_allclose(rewards, expected, rtol=1e-15)


def test_spend_first_then_refill_then_clip() -> None:
    """At depth 1 and rate 0.1 every unit of clipping counts: a send leaves a tenth at the next frame, not nothing."""
    bucket = Bucket.of(0.1, 1)
    found = replay(streams_of([1] * 21), bucket, np.ones((1, 21), np.bool_))
    assert found.tokens[0].tolist() == [10, *range(1, 11), *range(1, 11)]
    assert found.lost[0] == 0 and found.violations[0] == 18
    kept = replay(streams_of([1] * 5), bucket, np.zeros((1, 5), np.bool_))
    assert (kept.tokens == bucket.capacity).all() and kept.lost[0] == 5 * bucket.refill


def test_replay_wants_the_shape_of_the_streams() -> None:
    with pytest.raises(ValueError, match=r"sent has the shape \(2,\), expected that of the streams, \(1, 2\)"):
        replay(streams_of([1, 1]), Bucket.of(0.1, 1), np.ones(2, np.bool_))


def test_prices_and_windows_out_of_range_are_refused() -> None:
    for price in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"latency_price is .*, expected a finite number >= 0"):
            Dynamics(Window(), latency_price=price)
    for changes, sentence in (
        ({"history": 0}, "history is 0, expected at least 1: the current metric"),
        ({"gap_history": -1}, "gap_history is -1, expected at least 0"),
        ({"metric_scale": 0.0}, "metric_scale is 0.0, expected a finite number above 0"),
        ({"gap_scale": float("nan")}, "gap_scale is nan, expected a finite number above 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Window(**changes)  # type: ignore[arg-type]
