"""The adapter against Stable-Baselines3's DummyVecEnv, with Offramp's environment and with MaskablePPO."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import envs  # noqa: F401  (registers the environments)
from agents.vec_adapter import SB3VecEnv

th.set_num_threads(1)
N = 3


@pytest.fixture(autouse=True)
def _logs_of_stable_baselines3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path))


def cartpole() -> gym.Env[Any, Any]:
    """Short enough to be truncated now and then, long enough to fall."""
    return gym.make("CartPole-v1", max_episode_steps=14)


def sync(make: Callable[[], gym.Env[Any, Any]] = cartpole, n: int = N) -> SB3VecEnv:
    return SB3VecEnv(SyncVectorEnv([make] * n, autoreset_mode=AutoresetMode.SAME_STEP))


def offramp(n: int = N) -> SB3VecEnv:
    return SB3VecEnv(gym.make_vec("offramp/DistPrivacy-v0", num_envs=n))


def allowed_actions(env: SB3VecEnv, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in env.env_method("action_masks")])


def test_rollouts_equal_those_of_dummy_vec_env_step_by_step() -> None:
    ours, theirs = sync(), DummyVecEnv([lambda: Monitor(cartpole())] * N)
    rng = np.random.default_rng(0)
    for env in (ours, theirs):
        env.seed(5)
    assert np.array_equal(ours.reset(), theirs.reset())
    kinds = set()
    for _ in range(300):
        actions = rng.integers(2, size=N)
        observations, rewards, dones, infos = ours.step(actions)
        expected_observations, expected_rewards, expected_dones, expected_infos = theirs.step(actions)
        assert np.array_equal(observations, expected_observations)
        assert np.array_equal(rewards, expected_rewards) and rewards.dtype == expected_rewards.dtype
        assert np.array_equal(dones, expected_dones)
        for done, info, expected in zip(dones, infos, expected_infos, strict=True):
            if not done:
                assert info == {} and not expected["TimeLimit.truncated"]
                continue
            assert np.array_equal(info["terminal_observation"], expected["terminal_observation"])
            assert info["TimeLimit.truncated"] is expected["TimeLimit.truncated"]
            assert [info["episode"][key] for key in "rl"] == [expected["episode"][key] for key in "rl"]
            kinds.add(info["TimeLimit.truncated"])
    assert kinds == {True, False}


def test_a_step_that_terminates_and_truncates_is_no_truncation() -> None:
    class Both(gym.Env[Any, Any]):
        observation_space, action_space = gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2)

        def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return np.ones(1, np.float32), 1.0, bool(action), True, {"why": "both", "nested": {"n": 3}}

    env = sync(Both, 2)
    env.reset()
    _, _, dones, infos = env.step(np.array([0, 1]))
    assert dones.all() and [info["TimeLimit.truncated"] for info in infos] == [True, False]
    assert infos[1]["why"] == "both" and infos[1]["nested"] == {"n": 3} and infos[1]["terminal_observation"] == [1.0]


def test_other_autoreset_modes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"NEXT_STEP, expected AutoresetMode\.SAME_STEP"):
        SB3VecEnv(SyncVectorEnv([cartpole]))
    with pytest.raises(ValueError, match="NEXT_STEP"):
        SB3VecEnv(gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point"))


def test_offramp_through_the_adapter() -> None:
    env, rng = offramp(8), np.random.default_rng(0)
    env.seed(1)
    observations = env.reset()
    slot = slice(-int(env.action_space.n), None)
    returns, lengths, finished = np.zeros(8), np.zeros(8, int), 0
    for _ in range(200):
        masks = np.stack(env.env_method("action_masks"))
        assert masks.dtype == np.bool_ and np.array_equal(masks, observations[:, slot] == 1)
        observations, rewards, dones, infos = env.step(allowed_actions(env, rng))
        returns += rewards
        lengths += 1
        for i in np.flatnonzero(dones):
            assert infos[i]["episode"]["r"] == pytest.approx(returns[i], rel=1e-5)
            assert infos[i]["episode"]["l"] == lengths[i]
            assert infos[i]["invalid_action"] is False and infos[i]["TimeLimit.truncated"] is False
            assert infos[i]["latency_s"] > 0 and isinstance(infos[i]["request"], int)
            assert infos[i]["terminal_observation"].shape == observations[i].shape
            assert not infos[i]["terminal_observation"][slot].any()
            returns[i], lengths[i], finished = 0.0, 0, finished + 1
        assert all(infos[i] == {} for i in np.flatnonzero(~dones))
    assert finished >= 8


def test_a_state_brings_back_the_very_same_steps() -> None:
    env, rng = offramp(), np.random.default_rng(0)
    env.seed(2)
    env.reset()

    def walk(through: SB3VecEnv, steps: int) -> list[Any]:
        seen = []
        for _ in range(steps):
            observations, rewards, dones, infos = through.step(allowed_actions(through, rng))
            episodes = [(info["episode"]["r"], info["episode"]["l"]) for info in infos if info]
            seen.append((observations.tolist(), rewards.tolist(), dones.tolist(), episodes))
        return seen

    walk(env, 70)
    state = pickle.loads(pickle.dumps(env.get_state()))
    rng = np.random.default_rng(1)
    expected = walk(env, 150)
    assert any(episodes for *_, episodes in expected)
    other = offramp()
    other.seed(9)  # a seed that still waits for a reset is part of the state
    other.set_state(state)
    rng = np.random.default_rng(1)
    assert walk(other, 150) == expected
    assert np.array_equal(other.reset(), env.reset())
    with pytest.raises(ValueError, match="expected 2"):
        offramp(2).set_state(state)
    with pytest.raises(ValueError, match="SyncVectorEnv has no get_state"):
        sync().get_state()


def test_seeds_are_used_once_and_the_global_generator_never() -> None:
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    first, second = sync(), sync()
    for env in (first, second):
        assert env.seed(3) == [3, 4, 5]
    a, b = first.reset(), second.reset()
    assert np.array_equal(a, b) and not np.array_equal(first.reset(), a)
    assert first.seed(None) == [None] * N
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


def test_options_reach_the_reset() -> None:
    env = sync()
    env.set_options({"low": 0.2, "high": 0.2})
    assert np.allclose(env.reset(), 0.2)
    assert not np.allclose(env.reset(), 0.2)
    env.set_options([{"low": 0.1}, {}, {}])
    with pytest.raises(ValueError, match="options differ"):
        env.reset()


def test_observations_are_never_written_to_again() -> None:
    env = SB3VecEnv(SyncVectorEnv([cartpole] * N, copy=False, autoreset_mode=AutoresetMode.SAME_STEP))
    first = env.reset()
    kept = first.copy()
    env.step(np.zeros(N, int))
    assert np.array_equal(first, kept)


def test_attributes_and_methods_of_sub_environments() -> None:
    env = sync()
    env.set_attr("length", 0.7, indices=[0, 2])
    assert env.get_attr("length") == [0.7, 0.5, 0.7] and env.get_attr("length", indices=1) == [0.5]
    assert env.env_method("get_wrapper_attr", "gravity", indices=[0]) == [9.8]
    assert not env.has_attr("action_masks") and not env.has_attr("no_such_thing")
    assert env.env_is_wrapped(gym.wrappers.TimeLimit, indices=[0, 1]) == [True, True]
    assert env.env_is_wrapped(gym.wrappers.ClipReward) == [False] * N
    env.close()


def test_attributes_and_methods_of_a_native_vector_environment() -> None:
    env = offramp()
    assert env.get_attr("generator", indices=[0, 1]) == [env.env.unwrapped.generator] * 2
    env.set_attr("note", 7)
    assert env.get_attr("note") == [7] * N
    with pytest.raises(ValueError, match="no sub-environments"):
        env.set_attr("note", 8, indices=[0])
    with pytest.raises(AttributeError, match="no_such_thing"):
        env.env_method("no_such_thing")


def test_looking_for_masks_before_the_first_reset_changes_nothing() -> None:
    looked, plain = offramp(), offramp()
    for env in (looked, plain):
        env.seed(4)
    assert looked.has_attr("action_masks")
    assert np.array_equal(looked.reset(), plain.reset())
    assert np.array_equal(looked.reset(), plain.reset())
    late = offramp()
    assert late.has_attr("action_masks")
    late.seed(4)
    plain.seed(4)
    assert np.array_equal(late.reset(), plain.reset())


@pytest.mark.parametrize("native", [True, False])
def test_maskable_ppo_trains_on_it_and_on_the_scalar_environment(native: bool) -> None:
    env: Any = offramp(4) if native else gym.make("offramp/DistPrivacy-v0")
    invalid: list[bool] = []

    def note(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        invalid.extend(info["invalid_action"] for info in scope["infos"] if "invalid_action" in info)
        return True

    model = MaskablePPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=2, seed=0, device="cpu")
    before = [p.clone() for p in model.policy.parameters()]
    model.learn(256, callback=note)
    assert any(not th.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    assert len(invalid) >= 1 and not any(invalid)
    assert len(model.ep_info_buffer) == len(invalid)


def test_evaluate_policy_takes_its_returns_without_a_wrapper() -> None:
    class First:
        """Chooses the first allowed action."""

        def predict(self, observations: Any, state: Any = None, **_: Any) -> tuple[Any, Any]:
            return np.argmax(observations[:, -12:], axis=1), state

    returns, lengths = evaluate_policy(First(), offramp(), n_eval_episodes=6, return_episode_rewards=True)
    assert len(returns) == 6 and all(value < 0 for value in returns) and min(lengths) > 10
