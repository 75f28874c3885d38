"""The counterfactual buffer: its samples are what really stepping would give, in any environment with pure functions."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.counterfactual import EXOGENOUS, CounterfactualReplayBuffer, ExogenousInfo
from agents.dqn import MaskableDQN
from agents.token_bucket.levels import TokenLevels
from agents.token_bucket.network import TokenPolicy
from agents.vec_adapter import SB3VecEnv
from envs.token_bucket.env import TokenBucketEnv
from envs.token_bucket.types import GAP, METRIC, TOKENS
from envs.token_bucket.vector import TokenBucketVectorEnv


# --- another environment than ours: a store of goods, whose customers come whatever is ordered ------------------------
class Store(gym.Env[NDArray[np.float32], np.int64]):
    """Stock 0..9; an order of 0 to 2 goods costs 1 each; each sale of the day's demand (0..3) earns 3."""

    observation_space = spaces.Box(0, 9, (2,), np.float32)
    action_space = spaces.Discrete(3)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.days, self.stock = 0, np.array([5])
        self.outside = np.array([float(self.np_random.integers(4)), float(self.np_random.integers(4))])
        return self._seen(), {EXOGENOUS: self.outside.copy()}

    def _seen(self) -> NDArray[np.float32]:
        return np.asarray(StoreModel().observe(self.stock[None], self.outside[None])[0])

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        following, reward = StoreModel().transition(self.stock[None], self.outside[None], np.array([action]))
        # the demand of a day is known to the store in the evening
        self.stock, self.outside = following[0], np.array([float(self.np_random.integers(4)), self.outside[0]])
        self.days += 1
        return self._seen(), float(reward[0]), False, self.days == 7, {EXOGENOUS: self.outside.copy()}


class StoreModel:
    def transition(self, endogenous: Any, exogenous: Any, action: Any) -> tuple[Any, Any]:
        stock = np.minimum(endogenous[:, 0] + action, 9)
        sold = np.minimum(stock, exogenous[:, 0])
        return (stock - sold)[:, None].astype(np.int64), 3.0 * sold - action

    def observe(self, endogenous: Any, exogenous: Any) -> NDArray[np.float32]:
        return np.stack([endogenous[:, 0], exogenous[:, 1]], axis=1).astype(np.float32)

    def sample(self, rng: np.random.Generator, groups: int, size: int) -> tuple[Any, Any]:
        return rng.integers(10, size=(groups, size, 1)), rng.integers(3, size=(groups, size))


def buffer_of(env: Any, model: Any, **kwargs: Any) -> CounterfactualReplayBuffer:
    return CounterfactualReplayBuffer(
        1000, env.observation_space, env.action_space, "cpu", model=model, seed=0, **kwargs
    )


def test_samples_equal_really_stepping_another_environment() -> None:
    env = Store()
    buffer = buffer_of(env, StoreModel(), group=5, gamma=0.9)
    observation, _ = env.reset(seed=0)
    visits: dict[bytes, list[NDArray[np.float64]]] = {}
    for _ in range(300):
        before = env.outside.copy()
        following, reward, _, over, info = env.step(env.action_space.sample())
        buffer.add(observation[None], following[None], np.zeros(1), np.array([reward]), np.array([over]), [info])
        visits.setdefault(before.tobytes(), []).append(env.outside.copy())
        observation = env.reset()[0] if over else following
    data = buffer.sample(500)
    assert data.observations.shape == (500, 2) and (data.dones == 0).all()
    assert data.discounts is not None and (data.discounts == np.float32(0.9)).all()
    again = Store()
    for row in range(500):
        stock, yesterday = data.observations[row].numpy()
        after, today = data.next_observations[row].numpy()
        again.reset(seed=1)
        again.stock, again.outside = np.array([int(stock)]), np.array([float(today), float(yesterday)])
        _, reward, _, _, _ = again.step(int(data.actions[row]))
        assert again.stock[0] == after and reward == pytest.approx(float(data.rewards[row]))
        # the day was really followed by one with this demand seen: no pair spans the end of an episode
        assert any(seen[1] == today for seen in visits[np.array([today, yesterday], np.float64).tobytes()])


def test_plain_stable_baselines_dqn_learns_from_it() -> None:
    model = DQN(
        "MlpPolicy",
        Store(),
        replay_buffer_class=CounterfactualReplayBuffer,
        replay_buffer_kwargs={"model": StoreModel(), "group": 4},
        batch_size=64,
        learning_starts=20,
        buffer_size=500,
        gamma=0.9,
        seed=0,
        device="cpu",
    )
    model.learn(200)
    assert cast_buffer(model).size() == 200


def cast_buffer(model: Any) -> CounterfactualReplayBuffer:
    assert isinstance(model.replay_buffer, CounterfactualReplayBuffer)
    return model.replay_buffer


# --- token bucket ----------------------------------------------------------------------------------------------------
def trained(length: int = 30, steps: int = 400, **kwargs: Any) -> MaskableDQN:
    vector = TokenBucketVectorEnv(4, "s3", length=length, rates=[0.1, 0.25], depths=[1, 4])
    levels = TokenLevels(vector.world.dynamics, vector.world.buckets)
    settings: dict[str, Any] = {"batch_size": 64, "learning_starts": 40, "buffer_size": 2000, "gamma": 1.0} | kwargs
    model = MaskableDQN(
        TokenPolicy,
        SB3VecEnv(vector),
        replay_buffer_class=CounterfactualReplayBuffer,
        replay_buffer_kwargs={"model": levels, "group": 8},
        centred=True,
        train_freq=1,
        gradient_steps=1,
        exploration_initial_eps=1.0,
        exploration_final_eps=1.0,
        policy_kwargs={"hidden": 8},
        seed=0,
        device="cpu",
        **settings,
    )
    model.learn(steps)
    return model


def test_samples_equal_really_stepping_the_token_bucket() -> None:
    model = trained()
    buffer = cast_buffer(model)
    frames = buffer._exogenous
    assert frames is not None
    rows, envs = buffer._steps(60)
    env = TokenBucketEnv("s3", length=3)
    window = env.world.dynamics.window
    for row, one in zip(rows, envs, strict=True):
        now, then = frames[row, one], frames[row + 1, one]
        # the successor's window holds this frame: never one of another episode
        assert then[5] == now[METRIC] and then[5 + window.history - 1] == now[GAP]
        for action in (0, 1):
            for tokens in (1, 9, 10, 37, 40):
                env.reset(seed=0, options={"bucket": (0.1, 4)})
                env._endogenous[TOKENS], env._row[:], env._frames[1, :5] = tokens, now, then[:5]
                observation, reward, _, _, info = env.step(action)
                endogenous = np.array([[tokens, 1, 10, 40]])
                following, earned = buffer.model.transition(endogenous, now[None], np.array([action]))
                assert following[0, TOKENS] == info["tokens_int"] and earned[0] == reward
                assert np.array_equal(buffer.model.observe(following, then[None])[0], observation)


def test_groups_share_a_frame_and_a_bucket_and_nothing_is_sent_without_a_token() -> None:
    buffer = cast_buffer(trained())
    data = buffer.sample(800)
    groups = data.observations.numpy().reshape(100, 8, -1)
    assert (groups[:, :, 2:-2] == groups[:, :1, 2:-2]).all(), "rate, depth, metrics and gaps are those of one frame"
    assert len({tuple(row) for row in groups[:, 0, 2:4].tolist()}) == 4, "all four buckets are asked about"
    can = data.observations.numpy()[:, 1] > 0
    assert not data.actions.numpy()[~can].any() and 0.3 < data.actions.numpy()[can].mean() < 0.7
    levels = groups[:, :, 0]
    assert (np.diff(levels, axis=1) >= 0).all(), "levels are spread evenly over the bucket"


def test_no_sample_spans_two_episodes_and_the_ring_forgets_the_oldest() -> None:
    env = Store()
    buffer = CounterfactualReplayBuffer(
        10, env.observation_space, env.action_space, "cpu", model=StoreModel(), group=1, seed=0
    )
    for step in range(37):
        buffer.record(np.array([[float(step), 0.0]]), np.array([step % 5 == 0]))
    states = buffer._exogenous
    assert states is not None and buffer.size() == 10
    seen = set()
    for row, one in zip(*buffer._steps(500), strict=True):
        now, then = states[row, one, 0], states[(row + 1) % 10, one, 0]
        assert then == now + 1 and then % 5 != 0
        seen.add(int(now))
    assert seen == {27, 28, 30, 31, 32, 33, 35}


def test_a_copy_goes_on_like_the_original() -> None:
    buffer = cast_buffer(trained())
    twin = pickle.loads(pickle.dumps(buffer))
    for _ in range(2):
        first, second = buffer.sample(64), twin.sample(64)
        for one, other in zip(first, second, strict=True):
            assert one is other or th.equal(one, other)
    state = np.zeros((4, buffer._exogenous.shape[2]))  # type: ignore[union-attr]
    for _ in range(3000):
        twin.record(state, np.zeros(4, np.bool_))
    assert twin.full and twin.size() == 500


def test_groups_pass_the_network_together_as_they_do_alone() -> None:
    model = trained()
    observations = cast_buffer(model).sample(64).observations
    with th.no_grad():
        together, alone = model._values(model.q_net, observations), model.q_net(observations)
    assert together.shape == alone.shape == (64, 2)
    assert th.allclose(together, alone, atol=1e-5)


def test_centred_targets_ignore_what_all_levels_share() -> None:
    model = trained()
    values = th.randn(64, 1)
    shared = th.randn(8, 1).repeat_interleave(8, dim=0)
    assert th.allclose(model._centre(values), model._centre(values + shared), atol=1e-5)


def test_the_scalar_environment_through_a_dummy_vector_is_recorded_too() -> None:
    env = DummyVecEnv([lambda: TokenBucketEnv("s1", length=9)] * 2)
    dynamics = TokenBucketEnv("s1").world.dynamics
    model = MaskableDQN(
        TokenPolicy,
        env,
        replay_buffer_class=CounterfactualReplayBuffer,
        replay_buffer_kwargs={"model": TokenLevels(dynamics, TokenBucketEnv("s1").world.buckets), "group": 4},
        centred=True,
        batch_size=16,
        learning_starts=20,
        seed=0,
        device="cpu",
    )
    model.learn(80)
    states = cast_buffer(model)._exogenous
    assert states is not None
    rows, envs = cast_buffer(model)._steps(100)
    assert (states[rows + 1, envs, 5] == states[rows, envs, METRIC]).all()


def test_stock_dqn_learns_token_levels_through_the_wrapper() -> None:
    world = TokenBucketEnv("s1").world
    model = DQN(
        "MlpPolicy",
        ExogenousInfo(TokenBucketEnv("s1", length=9)),
        replay_buffer_class=CounterfactualReplayBuffer,
        replay_buffer_kwargs={"model": TokenLevels(world.dynamics, world.buckets), "group": 4},
        batch_size=16,
        learning_starts=20,
        buffer_size=100,
        seed=0,
        device="cpu",
    )
    model.learn(60)
    states = cast_buffer(model)._exogenous
    assert states is not None
    rows, envs = cast_buffer(model)._steps(100)
    assert (states[rows + 1, envs, 5] == states[rows, envs, METRIC]).all()


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"group": 0}, "group is 0, expected a whole number >= 1"),
        ({"gamma": 2.0}, "gamma is 2.0, expected a number in 0..1"),
    ],
)
def test_wrong_arguments_are_told(kwargs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        buffer_of(Store(), StoreModel(), **kwargs)


def test_wrong_use_is_told() -> None:
    env = Store()
    buffer = buffer_of(env, StoreModel(), group=4)
    with pytest.raises(ValueError, match="holds no step with its successor"):
        buffer.sample(4)
    with pytest.raises(ValueError, match="batch_size is 5, expected a multiple of the group of 4"):
        buffer.sample(5)
    with pytest.raises(ValueError, match="infos hold no 'exogenous'"):
        buffer.add(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(1), np.zeros(1), np.zeros(1, np.bool_), [{}])
    with pytest.raises(ValueError, match="centred is True with replay_buffer_class NStepBuffer"):
        MaskableDQN("MlpPolicy", env, mask_in_observation=False, centred=True)
