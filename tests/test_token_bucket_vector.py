"""The token-bucket vector environment: equal to the scalar one, its own arrays, exact continuation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from token_bucket_play import play, trace_of

from envs.conformance import check_scalar_equals_vector
from envs.conformance.walk import same
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.env import TokenBucketEnv
from envs.token_bucket.generator import TraceList
from envs.token_bucket.scenarios import scenario
from envs.token_bucket.streams import Streams, replay
from envs.token_bucket.types import METRIC, TOKENS
from envs.token_bucket.vector import TokenBucketVectorEnv

ENV_ID = "offramp/TokenBucket-v0"


def test_scalar_equals_vector_on_given_traces_of_unequal_lengths() -> None:
    traces = TraceList([trace_of(count, count) for count in (2, 3, 9, 120)], 0.3)
    for length in (1, 8, 200):
        check_scalar_equals_vector(ENV_ID, steps=400, num_envs=5, scenario=traces, length=length)


def test_a_vector_step_ends_and_begins_episodes_at_once() -> None:
    env = TokenBucketVectorEnv(3, "s1", length=4)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    env.reset(seed=0)
    twins = [TokenBucketEnv("s1", length=4) for _ in range(3)]
    last = [play(twin, [1] * 4, seed=i)[-1] for i, twin in enumerate(twins)]
    for step in range(4):
        observations, _, terminated, truncated, infos = env.step(np.ones(3, np.int64))
        assert not terminated.any() and truncated.all() == (step == 3) and ("final_obs" in infos) == (step == 3)
    for i in range(3):
        assert (infos["final_obs"][i] == last[i][0]).all()
        assert infos["final_info"]["loss"][i] == last[i][4]["loss"]
        assert (observations[i] == twins[i].reset()[0]).all()
    assert infos["_final_obs"].all() and infos["_final_info"].all()


def test_seeds_of_the_vector_environment() -> None:
    env = TokenBucketVectorEnv(3, "s3", length=10)
    first, _ = env.reset(seed=[4, 5, 6])
    assert (first == env.reset(seed=4)[0]).all()
    kept, _ = env.reset(seed=[4, None, 6])
    assert (kept[[0, 2]] == first[[0, 2]]).all() and not (kept[1] == first[1]).all()
    with pytest.raises(ValueError, match="2 seeds were given, expected 3"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="reset option is 'trace', expected bucket: a trace belongs to a single env"):
        env.reset(options={"trace": trace_of(3)})
    _, infos = env.reset(options={"bucket": (0.25, 2)})
    assert infos["capacity"].tolist() == [8, 8, 8]


def test_returned_arrays_are_the_callers_own() -> None:
    env = TokenBucketVectorEnv(2, "s1", length=5)
    observations, infos = env.reset(seed=0)
    for _ in range(7):
        kept = observations.copy(), {name: value.copy() for name, value in infos.items() if name != "final_info"}
        following, _, _, _, more = env.step(np.ones(2, np.int64))
        assert (observations == kept[0]).all()
        assert all(np.array_equal(infos[name], value) for name, value in kept[1].items())
        observations, infos = following, more


@pytest.mark.parametrize("arguments", [{"scenario": "s3"}, {"scenario": "bursts", "start": "random", "depths": (1, 4)}])
def test_a_saved_state_goes_on_exactly(arguments: dict[str, Any]) -> None:
    env, other = (TokenBucketVectorEnv(4, length=30, **arguments) for _ in range(2))
    env.reset(seed=0), other.reset(seed=9)
    rng = np.random.default_rng(0)
    for _ in range(37):
        env.step(rng.integers(0, 2, 4))
    other.set_state(env.get_state())
    assert (env.exogenous == other.exogenous).all() or np.array_equal(env.exogenous, other.exogenous, equal_nan=True)
    for _ in range(70):
        actions = rng.integers(0, 2, 4)
        mine, yours = env.step(actions), other.step(actions)
        assert same(mine[:4], yours[:4])
        assert all(same(mine[4][name], yours[4][name]) for name in mine[4])


def test_pure_functions_equal_vector_steps() -> None:
    env = TokenBucketVectorEnv(6, "s3", length=12, rates=(0.1, 0.29), start="random", latency_price=0.1)
    env.reset(seed=0)
    dynamics, rng = env.world.dynamics, np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(0, 2, 6)
        state, rows = env._endogenous.copy(), env.exogenous
        following, rewards = dynamics.transition(state, rows, actions)
        _, gained, _, truncated, infos = env.step(actions)
        assert (rewards == gained).all()
        kept = ~truncated
        assert (following[kept] == env._endogenous[kept]).all()
        assert (infos["tokens_int"][kept] == following[kept, TOKENS]).all()
        assert (
            rows[:, METRIC] == (infos["final_info"] if truncated.any() else infos)["metric"]
        ).all() or not kept.all()


def test_losses_of_a_long_run_are_those_of_the_distribution() -> None:
    """Never and always sending: the weak loss, and as much as the rate pays for at the mean metric."""
    generator = scenario("iid")
    streams = Streams.draw(generator, 4, 20_000, 1)
    nothing = np.zeros(streams.metric.shape, np.bool_)
    assert (streams.losses(nothing) == generator.weak_loss).all()
    found = replay(streams, Bucket.of(0.1, 4), ~nothing)
    sent = found.tokens >= 10
    assert sent.mean() == pytest.approx(0.1, abs=1e-3)
    assert streams.losses(sent).mean() == pytest.approx(0.2985 - 0.1 * generator.distribution.mean, abs=1e-3)
    assert streams.losses(sent, realised=True).mean() == pytest.approx(streams.losses(sent).mean(), abs=4e-3)


# --- actions ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("action", [2, -1, np.int64(7), 0.5, float("nan"), float("inf"), "1", None, np.array([0, 1])])
def test_another_action_than_keep_and_send_is_refused(action: Any) -> None:
    env, twin = (TokenBucketEnv("s1", length=5) for _ in range(2))
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(ValueError) as caught:
        env.step(action)
    assert str(caught.value) == f"action is {action!r}, expected 0 (keep) or 1 (send)"
    assert same(env.step(1), twin.step(1)), "nothing has happened"
    for good in (1, True, np.int8(1), np.bool_(True), np.array(1), 1.0):
        env.reset(seed=0)
        assert env.step(good)[4]["sent"] is True


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        (np.array([0, 1, 2]), "actions[2] is 2, expected 0 (keep) or 1 (send)"),
        (np.array([1, -1, 7], np.int8), "actions[1] is -1, expected 0 (keep) or 1 (send)"),
        (np.array([2**64 - 1, 0, 0], np.uint64), "actions[0] is 18446744073709551615, expected 0 (keep) or 1 (send)"),
        ([1, 1], "actions are int64 of shape (2,), expected 3 whole numbers in one dimension"),
        (np.zeros(4, np.int64), "actions are int64 of shape (4,), expected 3 whole numbers in one dimension"),
        (np.zeros((3, 1), np.int8), "actions are int8 of shape (3, 1), expected 3 whole numbers in one dimension"),
        (1, "actions are int64 of shape (), expected 3 whole numbers in one dimension"),
        (np.zeros(3), "actions are float64 of shape (3,), expected 3 whole numbers in one dimension"),
    ],
)
def test_other_actions_are_refused_by_the_vector_environment(actions: Any, sentence: str) -> None:
    env, twin = (TokenBucketVectorEnv(3, "s3", length=5) for _ in range(2))
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(ValueError) as caught:
        env.step(actions)
    assert str(caught.value) == sentence
    for good in ([1, 0, 1], (True, False, True), np.array([[1, 9], [0, 9], [1, 9]], np.int8)[:, 0]):
        assert same(env.step(good)[:4], twin.step(np.array([1, 0, 1]))[:4]), "nothing had happened"  # type: ignore[arg-type]
