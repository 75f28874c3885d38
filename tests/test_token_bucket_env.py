"""The token-bucket environment: what it returns, what it draws, and what it refuses."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_bucket_play import play, trace_of

import envs
from envs.conformance.walk import same
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import LOCAL_S, OFFLOADED_S
from envs.token_bucket.env import TokenBucketEnv
from envs.token_bucket.generator import TraceList
from envs.token_bucket.scenarios import scenario
from envs.token_bucket.streams import Streams, replay
from envs.token_bucket.trace_file import save_trace
from envs.token_bucket.types import CAPACITY, GAP, REWARD, TOKENS, Trace
from envs.token_bucket.vector import TokenBucketVectorEnv

ENV_ID = "offramp/TokenBucket-v0"


# --- what a step returns ---------------------------------------------------------------------------------------------
def test_both_are_registered() -> None:
    assert ENV_ID in envs.ENVIRONMENTS
    assert isinstance(gym.make(ENV_ID).unwrapped, TokenBucketEnv)
    assert isinstance(gym.make_vec(ENV_ID, 2, vectorization_mode="vector_entry_point").unwrapped, TokenBucketVectorEnv)


def test_an_episode_by_hand() -> None:
    trace = Trace(
        np.array([0.5, 0.25, 0.75, 0.1]), np.array([1, 2, 30]), np.array([1.0, 0.0, 1.0, 0.0]), np.array([0, 1, 1, 0]),
        np.array([0.2, 0.4, 0.6, 0.8]),
    )  # fmt: skip
    env = TokenBucketEnv(trace, rate=0.25, depth=1, history=3, gap_history=2, weak_loss=0.5, latency_price=1.0,
                         include_latent=True)  # fmt: skip
    observation, info = env.reset(seed=0)
    assert (info["tokens_int"], info["refill"], info["cost"], info["capacity"]) == (4, 1, 4, 4)
    assert (info["gap"], info["regime"], info["location"], info["loss"]) == (0, -1, -1, 0), "nothing is decided yet"
    # level, can_send, rate, 1 / depth, metrics newest first, gaps, location, regime, mask
    by_hand = [1, 1, 0.25, 1, 0.5, 0, 0, 0, 0, 0.2, 0, 1, 1]
    assert observation.tolist() == np.array(by_hand, np.float32).tolist()
    observation, reward, terminated, truncated, info = env.step(1)
    assert reward == 0.5 - OFFLOADED_S and not terminated and not truncated
    by_hand = [0.25, 0, 0.25, 1, 0.25, 0.5, 0, 1 / 8, 0, 0.4, 1, 1, 0]
    assert observation.tolist() == np.array(by_hand, np.float32).tolist()
    assert info.pop("action_mask").tolist() == [1, 0]
    assert info == {
        "tokens_int": 1, "refill": 1, "cost": 4, "capacity": 4, "gap": 1, "regime": 0, "sent": True,
        "invalid_action": False, "metric": 0.5, "reward_realised": 1.0, "location": 0.2, "loss": 0.0,
        "loss_realised": -0.5, "offload_rate": 1.0, "latency_s": OFFLOADED_S,
    }  # fmt: skip
    _, reward, _, truncated, info = env.step(1)  # no token: a keep
    assert reward == -LOCAL_S and not truncated
    assert (info["sent"], info["invalid_action"], info["tokens_int"], info["loss"]) == (False, True, 3, 0.25)
    observation, reward, terminated, truncated, info = env.step(0)
    assert reward == -LOCAL_S and truncated and not terminated
    assert (info["tokens_int"], info["gap"], info["invalid_action"]) == (4, 30, False)
    by_hand = [1, 1, 0.25, 1, 0.1, 0.75, 0.25, 1, 2 / 8, 0.8, 0, 1, 1]
    assert observation.tolist() == np.array(by_hand, np.float32).tolist()
    assert info["offload_rate"] == 1 / 3 and info["loss"] == 0.5 - 0.5 / 3
    assert info["latency_s"] == pytest.approx((OFFLOADED_S + 2 * LOCAL_S) / 3)
    with pytest.raises(RuntimeError, match="the episode is over, expected reset"):
        env.step(0)


def test_a_step_before_reset_is_refused() -> None:
    with pytest.raises(RuntimeError, match="expected reset"):
        TokenBucketEnv().step(0)


def test_a_send_without_a_token_is_a_keep() -> None:
    first, second = (TokenBucketEnv("s3", depth=1) for _ in range(2))
    first.reset(seed=3), second.reset(seed=3)
    tried = 0
    for _ in range(300):
        empty = not first.action_masks()[1]
        tried += empty
        wish = 1
        mine, other = first.step(wish), second.step(0 if empty else wish)
        assert mine[4].pop("invalid_action") is bool(empty) and other[4].pop("invalid_action") is False
        assert same(mine, other)
    assert tried > 100


@pytest.mark.parametrize("name", ["iid", "s2", "bursts"])
def test_sums_of_an_episode_are_those_of_its_steps(name: str) -> None:
    for reward in ("expected", "realised"):
        env = TokenBucketEnv(name, length=200, reward=reward, latency_price=0.3)
        rng = np.random.default_rng(0)
        env.reset(seed=1)
        trace = env.trace
        gained, realised, sends, latency, total = 0.0, 0.0, 0, 0.0, 0.0
        for t in range(200):
            _, one, _, truncated, info = env.step(int(rng.integers(2)))
            assert info["metric"] == trace.metric[t] and info["gap"] == trace.gap[t]
            assert trace.reward is not None and info["reward_realised"] == trace.reward[t]
            gained += trace.metric[t] * info["sent"]
            realised += trace.reward[t] * info["sent"]
            sends += info["sent"]
            latency += OFFLOADED_S if info["sent"] else LOCAL_S
            total += one
            weak = env.world.generator.weak_loss
            assert info["loss"] == pytest.approx(weak - gained / (t + 1), abs=1e-12)
            assert info["loss_realised"] == pytest.approx(weak - realised / (t + 1), abs=1e-12)
            assert info["offload_rate"] == sends / (t + 1)
            assert info["latency_s"] == pytest.approx(latency / (t + 1))
            assert truncated == (t == 199)
        assert total == pytest.approx((gained if reward == "expected" else realised) - 0.3 * latency)


# --- the pure functions ----------------------------------------------------------------------------------------------
def test_transition_and_observe_equal_a_real_step_for_every_level_and_action() -> None:
    metric = np.array([0.3, -0.2, 0.9])
    for price, action, latent in itertools.product((0.0, 0.5), (0, 1), (False, True)):
        env = TokenBucketEnv(
            Trace(metric, np.array([3, 2]), np.array([1.0, 0.0, -1.0])), rate="2/7", depth=1.5, history=2, gap_history=1,
            latency_price=price, include_latent=latent,
        )  # fmt: skip
        env.reset(seed=0)
        for level in range(int(env.endogenous[CAPACITY]) + 1):
            env.reset()
            env._endogenous[TOKENS] = level  # a level that may take long to reach
            before, row = env.endogenous, env.exogenous
            following, rewards = env.transition(before[None], row[None], np.array([action]))
            observation, reward, _, _, info = env.step(action)
            assert (following[0] == env.endogenous).all() and rewards[0] == reward
            assert (env.observe(following, env.exogenous[None])[0] == observation).all()
            assert info["invalid_action"] == (action == 1 and level < before[2])


def test_the_next_gap_is_not_seen() -> None:
    env = TokenBucketEnv("s2", length=50)
    env.reset(seed=0)
    for _ in range(20):
        row = env.exogenous
        other = row.copy()
        other[[GAP, REWARD]] = 77, -1
        state = env.endogenous[None]
        assert (env.observe(state, row[None]) == env.observe(state, other[None])).all()
        env.step(0)


def test_buckets_in_one_batch_may_differ() -> None:
    env = TokenBucketEnv("iid", rates=(0.05, "1/3"), depths=(1, 4))
    env.reset(seed=0)
    states = np.array([[b.capacity, b.refill, b.cost, b.capacity] for b in env.world.buckets])
    rows = np.repeat(env.exogenous[None], len(states), axis=0)
    seen = env.observe(states, rows)
    assert np.allclose(seen[:, 2], [0.05, 0.05, 1 / 3, 1 / 3]) and np.allclose(seen[:, 3], [1, 0.25, 1, 0.25])
    together = env.transition(states, rows, np.ones(4, np.int64))
    for i in range(4):
        alone = env.transition(states[i : i + 1], rows[i : i + 1], np.ones(1, np.int64))
        assert (alone[0][0] == together[0][i]).all() and alone[1][0] == together[1][i]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from((0.29, 0.1, "1/3")), st.sampled_from((1, 2.5)), st.sampled_from((1, 3)))
def test_the_environment_equals_replay_on_the_same_trace(seed: int, rate: Any, depth: Any, ticks: int) -> None:
    trace = trace_of(41, seed, ticks_per_unit=ticks)
    wish = np.random.default_rng(seed).integers(0, 2, 40)
    env = TokenBucketEnv(trace, rate=rate, depth=depth, length=100)
    found = play(env, wish)
    assert len(found) == 41 and found[-1][3]
    streams = Streams.draw(TraceList([trace], 0.0), 1, 40, 0)
    assert (streams.metric[0] == trace.metric[:-1]).all() and (streams.gap[0] == trace.gap).all()
    past = replay(streams, Bucket.of(rate, depth, ticks), wish[None] != 0)
    assert [one[-1]["tokens_int"] for one in found[:-1]] == past.tokens[0].tolist()
    assert sum(one[4]["invalid_action"] for one in found[1:]) == past.violations[0]
    assert env.past == tuple(zip(past.tokens[0].tolist(), [one[4]["sent"] for one in found[1:]], strict=True))
    sent = np.array([[one[4]["sent"] for one in found[1:]]])
    assert found[-1][4]["loss"] == pytest.approx(streams.losses(sent)[0], abs=1e-12)
    assert found[-1][4]["loss_realised"] == pytest.approx(streams.losses(sent, realised=True)[0], abs=1e-12)
    assert env.bucket == Bucket.of(rate, depth, ticks)


# --- episodes --------------------------------------------------------------------------------------------------------
def test_seeds_decide_and_decisions_do_not_change_the_trace() -> None:
    env = TokenBucketEnv("bursts", length=60, start="random")
    kept, sent = (play(env, [action] * 60, seed=5) for action in (0, 1))
    frames = env.trace.frames()
    for name in ("metric", "gap", "regime", "location"):
        assert [one[4][name] for one in kept[1:]] == [one[4][name] for one in sent[1:]]
    assert same(kept, play(TokenBucketEnv("bursts", length=60, start="random"), [0] * 60, seed=5))
    assert not np.array_equal(frames, play(env, [], seed=6) and env.trace.frames())


def test_a_finer_clock_changes_nothing() -> None:
    """Three ticks a time unit in place of one: the same observations, rewards and sends."""
    trace = scenario("s3").draw(np.random.default_rng(2), 80)
    fine = replace(trace, gap=3 * trace.gap, ticks_per_unit=3)
    actions = np.random.default_rng(0).integers(0, 2, 79)
    for rate, depth in ((0.1, 4), ("1/3", 2.5)):
        coarse, other = (play(TokenBucketEnv(one, rate=rate, depth=depth), actions) for one in (trace, fine))
        assert len(coarse) == len(other) == 80
        for mine, yours in zip(coarse[1:], other[1:], strict=True):
            np.testing.assert_allclose(mine[0], yours[0], rtol=1e-6)
            assert same(mine[1:4], yours[1:4]) and mine[4]["sent"] == yours[4]["sent"]


def test_starts_and_drawn_buckets_come_in_their_shares() -> None:
    env = TokenBucketEnv("iid", rates=(0.1, 0.25), depths=(1, 4), start="random", length=1)
    seen: dict[tuple[Fraction, Fraction], list[int]] = {}
    for seed in range(800):
        env.reset(seed=seed)
        seen.setdefault((env.bucket.rate, env.bucket.depth), []).append(int(env.endogenous[TOKENS]))
    assert len(seen) == 4 and min(map(len, seen.values())) > 150
    for (rate, depth), levels in seen.items():
        bucket = Bucket.of(rate, depth)
        assert min(levels) >= bucket.refill and max(levels) <= bucket.capacity
        if bucket.levels < 17:
            assert len(set(levels)) == bucket.levels, "after the first refill every level may be met"
    full = TokenBucketEnv("iid")
    assert full.reset()[1]["tokens_int"] == 40


def test_the_trace_of_an_episode_is_one_frame_longer_than_its_decisions() -> None:
    env = TokenBucketEnv("s3", length=30)
    found = play(env, [0] * 99, seed=0)
    assert len(found) == 31 and len(env.trace) == 31
    short = TokenBucketEnv(trace_of(5), length=30)
    assert len(play(short, [0] * 99)) == 5
    window = TokenBucketEnv(trace_of(500), length=30)
    starts = {float(play(window, [], seed=seed)[0][0][4]) for seed in range(20)}
    assert len(starts) > 10, "a longer trace is entered anywhere"


def test_reset_options(tmp_path: Path) -> None:
    env = TokenBucketEnv("s1", length=20)
    given = trace_of(50)
    env.reset(options={"trace": given, "bucket": ("1/3", 2)})
    assert np.array_equal(env.trace.metric, given.metric) and env.bucket == Bucket.of("1/3", 2)
    assert len(play(env, [0] * 99, options={"trace": given})) == 50, "a given trace is played to its end"
    assert env.bucket == Bucket.of(0.1, 4), "the bucket was for one episode"
    save_trace(given, tmp_path / "trace.csv")
    for path in (tmp_path / "trace.csv", str(tmp_path / "trace.csv")):
        env.reset(options={"trace": path})
        assert np.array_equal(env.trace.metric, given.metric)
        assert TokenBucketEnv(path).world.generator.longest == 50
    unknown = Trace(given.metric, given.gap)
    found = play(env, [1] * 3, options={"trace": unknown})
    assert "reward_realised" not in found[1][4] and "loss_realised" not in found[1][4]
    assert found[1][4]["location"] == -1 and found[1][4]["regime"] == -1
    assert "reward_realised" in play(env, [1], seed=0)[1][4]
    env.reset(seed=1, options={"bucket": (1, 1)})
    trace = env.trace
    env.reset(seed=1)
    assert np.array_equal(trace.metric, env.trace.metric), "a given bucket draws nothing"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"trace": 3}, "reset option trace is a int, expected a Trace or the path of a trace file"),
        ({"trace": "none.csv"}, "none.csv: there is no such file, expected a readable trace file (.csv)"),
        ({"trace": trace_of(5, ticks_per_unit=4)}, "the trace has 4 ticks a time unit, expected the environment's 1"),
        ({"trace": trace_of(1)}, "a trace has a single frame, expected at least two"),
        ({"trace": trace_of(5, cost=np.full(5, 0.5))}, "a trace has costs other than 1, expected one token a send"),
        ({"bucket": 0.1}, "reset option bucket is 0.1, expected a pair of rate and depth"),
        ({"bucket": (0.1, 4, 1)}, "reset option bucket is (0.1, 4, 1), expected a pair of rate and depth"),
        ({"bucket": (2, 4)}, "rate is 2, expected at most 1 token a time unit"),
        ({"bucket": (0.1, 0.5)}, "depth is 0.5, expected at least 1"),
        ({"bukcet": (0.1, 4)}, "reset option is 'bukcet', expected trace or bucket"),
    ],
)
def test_wrong_reset_options_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        TokenBucketEnv("s1").reset(options=options)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
    if "trace" not in options:
        with pytest.raises(ValueError) as caught:
            TokenBucketVectorEnv(2).reset(options=options)
        assert str(caught.value).startswith(sentence.replace("expected trace or bucket", ""))


def test_realised_rewards_must_be_known() -> None:
    unknown = Trace(np.ones(3), np.ones(2, np.int64))
    with pytest.raises(
        ValueError, match="the trace has no realised rewards, but the environment's reward is 'realised'"
    ):
        TokenBucketEnv("s1", reward="realised").reset(options={"trace": unknown})
    with pytest.raises(ValueError, match="reward is 'realised', but the trace has no realised rewards"):
        TokenBucketEnv(unknown, reward="realised")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scenario": "s9"}, "scenario is 's9', expected one of iid, s1"),
        ({"scenario": "none.csv"}, "none.csv: there is no such file"),
        ({"scenario": 3}, "scenario is a int, expected a name, a path, a Trace or a Generator"),
        ({"scenario": trace_of(1)}, "a trace has a single frame, expected at least two"),
        ({"rate": 0}, "rate is 0, expected more than 0"),
        ({"rate": float("nan")}, "rate is nan, expected a finite number"),
        ({"rate": 1.5}, "rate is 1.5, expected at most 1 token"),
        ({"depth": "deep"}, "depth is 'deep', expected a finite number"),
        ({"depths": (4, 0.5)}, "depth is 0.5, expected at least 1"),
        ({"rates": 0.1}, "rates is 0.1, expected a list of numbers"),
        ({"length": 0}, "length is 0, expected at least 1 decision"),
        ({"length": 2.5}, "length is 2.5, expected a whole number"),
        ({"start": "empty"}, "start is 'empty', expected one of full, random"),
        ({"reward": "true"}, "reward is 'true', expected one of expected, realised"),
        ({"latency_price": -1}, "latency_price is -1, expected a finite number >= 0"),
        ({"history": 0}, "history is 0, expected at least 1"),
        ({"history": 2.5}, "history is 2.5, expected a whole number"),
        ({"gap_history": -1}, "gap_history is -1, expected at least 0"),
        ({"metric_scale": 0}, "metric_scale is 0.0, expected a finite number above 0"),
        ({"distribution": "gauss"}, "distribution is 'gauss', expected one of standard, strong-pair, beta"),
        ({"spread": 2}, "spread is 2, expected a number in 0..1"),
        ({"arrivals": "poisson"}, "arrivals is 'poisson', expected one of periodic, bernoulli, geometric, markov"),
        ({"gaps": (1, 3)}, "gaps is [1, 3], but arrivals are periodic, expected one gap"),
        ({"weak_loss": 0.3}, "weak_loss is 0.3, but scenario s1 brings its own, expected None"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    for make in (TokenBucketEnv, TokenBucketVectorEnv):
        with pytest.raises(ValueError) as caught:
            make(**arguments)
        assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="render_mode is 'x', expected one of human, rgb_array, ansi"):
        TokenBucketEnv(render_mode="x")
    with pytest.raises(ValueError, match="num_envs is 0, expected a whole number >= 1"):
        TokenBucketVectorEnv(0)
    with pytest.raises(ValueError, match="the vector environment does not render"):
        TokenBucketVectorEnv(1, render_mode="ansi")
