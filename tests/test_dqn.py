"""MaskableDQN: masks everywhere, equal to Stable-Baselines3's DQN where it should be."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from tiny_dqn import SMALL, model, weights

import envs  # noqa: F401  (registers the environments)
from agents.buffers import NStepBuffer
from agents.dqn import MaskableDQN
from agents.masking import exploration_spread, masked_argmax, masked_max, random_allowed, split_mask
from agents.vec_adapter import SB3VecEnv


@pytest.fixture(autouse=True)
def _logs_of_stable_baselines3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path))


# --- masks -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes",
    [
        {"learning_starts": 10_000},
        {"exploration_initial_eps": 1.0, "exploration_final_eps": 1.0},
        {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0, "learning_starts": 0},
        {"exploration_spread": True, "n_steps": 4},
    ],
    ids=["warm-up", "random", "greedy", "decay and spread"],
)
def test_no_forbidden_action_is_ever_taken(changes: dict[str, Any]) -> None:
    algorithm = model(**changes)
    algorithm.learn(2400)
    watched: Any = algorithm.env
    assert watched.steps == 2400 and watched.invalid == 0


def test_without_masks_forbidden_actions_are_taken() -> None:
    algorithm = model(mask_in_observation=False)
    algorithm.learn(800)
    assert algorithm.env.invalid > 0


@pytest.mark.parametrize("deterministic", [True, False])
def test_predict_obeys_the_mask_for_one_and_for_many(deterministic: bool) -> None:
    algorithm = model(exploration_final_eps=0.5)
    algorithm.learn(200)
    observations = algorithm.env.reset()
    masks = split_mask(observations, 12)[1]
    for _ in range(20):
        actions, _ = algorithm.predict(observations, deterministic=deterministic)
        assert masks[np.arange(8), actions].all()
        one, _ = algorithm.predict(observations[0], deterministic=deterministic)
        assert one.shape == () and masks[0, one]
    actions, _ = algorithm.policy.predict(observations)
    assert np.array_equal(actions, algorithm.predict(observations, deterministic=True)[0])


def test_masked_choice_by_hand() -> None:
    q = th.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 4.0]])
    mask = th.tensor([[False, True, True], [False, False, True], [False, False, False]])
    assert masked_argmax(q, mask).tolist() == [1, 2, 2]  # nothing allowed counts as everything allowed
    assert masked_max(q, mask).tolist() == [2.0, 1.0, 4.0]
    assert masked_argmax(q, None).tolist() == [0, 0, 2]


def test_random_actions_are_uniform_over_the_allowed() -> None:
    mask = np.tile([False, True, False, True, True], (3000, 1))
    actions = random_allowed(mask, np.random.default_rng(0).random(3000))
    counts = np.bincount(actions, minlength=5)
    assert counts[[0, 2]].tolist() == [0, 0] and abs(counts[[1, 3, 4]] - 1000).max() < 5 * 26
    edge = random_allowed(mask[:2], np.array([0.0, np.nextafter(1.0, 0.0)]))
    assert edge.tolist() == [1, 4]


class TableNetwork(th.nn.Module):
    """Q-values that are the observation's own features: what the network 'thinks' is written by hand."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, obs: th.Tensor) -> th.Tensor:
        return self.factor * obs[:, :3]


def test_the_target_maximum_ignores_forbidden_actions() -> None:
    class Three(gym.Env[Any, Any]):
        observation_space = spaces.Box(np.array([-9.0] * 3 + [0] * 3), np.array([9.0] * 3 + [1] * 3), dtype=np.float64)
        action_space = spaces.Discrete(3)

    algorithm = MaskableDQN("MlpPolicy", DummyVecEnv([Three]), double_q=False, device="cpu")
    algorithm.q_net, algorithm.q_net_target = TableNetwork(-1.0), TableNetwork(1.0)
    obs = th.tensor([[1.0, 2.0, 3.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]])
    assert algorithm._bootstrap(obs, obs[:, :3])[:, 0].tolist() == [2.0, 3.0, 3.0]
    algorithm.double_q = True  # the online network prefers the smallest of the target network's values
    assert algorithm._bootstrap(obs, obs[:, :3])[:, 0].tolist() == [1.0, 2.0, 1.0]
    algorithm.mask_in_observation = False
    assert algorithm._bootstrap(obs, obs[:, :3])[:, 0].tolist() == [1.0, 1.0, 1.0]


def test_a_dead_end_in_mid_episode_is_reported() -> None:
    algorithm = model(n=2)
    algorithm.learn(2)
    algorithm._last_obs[1, -12:] = 0.0
    with pytest.raises(ValueError, match="environment 1 allows no action"):
        algorithm._sample_action(0, None, 2)


# --- exploration -----------------------------------------------------------------------------------------------------
def test_spread_of_exploration() -> None:
    factors = exploration_spread(8)
    assert factors[0] == 1.0 and factors[5] == pytest.approx(0.05) and factors[6:].tolist() == [0.0, 0.0]
    assert np.allclose(factors[1:6] / factors[:5], factors[1] / factors[0])
    assert exploration_spread(1).tolist() == [1.0]


def test_every_environment_throws_its_own_coin_and_the_buffer_knows() -> None:
    algorithm = model(
        learning_starts=0, exploration_initial_eps=0.5, exploration_final_eps=0.5, exploration_spread=True, n_steps=3
    )
    algorithm.learn(4000)
    buffer = algorithm.replay_buffer
    assert isinstance(buffer, NStepBuffer) and buffer.cut_at_exploration and buffer.n_steps == 3
    explored = buffer.explored[: buffer.pos] if not buffer.full else buffer.explored
    share = explored.mean(axis=0)
    assert not explored[:, 6:].any() and abs(share[0] - 0.5) < 5 * np.sqrt(0.25 / len(explored))
    assert 0 < explored[:, :6].any(axis=1).mean() and not (explored == explored[:, :1]).all()


def test_training_is_reproducible_and_leaves_the_global_generator_alone() -> None:
    runs = []
    for global_seed in (1, 2):
        algorithm = model(n_steps=3)
        np.random.seed(global_seed)  # noqa: NPY002
        before = pickle.dumps(np.random.get_state())  # noqa: NPY002
        algorithm.learn(480)
        assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002
        runs.append(weights(algorithm))
    assert runs[0] == runs[1]
    other = model(n_steps=3, seed=1)
    other.learn(480)
    assert weights(other) != runs[0]


# --- Stable-Baselines3 -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_envs", [1, 4])
def test_without_masks_it_is_the_dqn_of_stable_baselines3(monkeypatch: pytest.MonkeyPatch, n_envs: int) -> None:
    # SB3 throws its epsilon coin with the global generator, from which its buffer samples; ours throws its own.
    monkeypatch.setattr(np.random, "rand", lambda: 1.0)
    arguments: dict[str, Any] = {
        "learning_starts": 0,
        "train_freq": 2,
        "gradient_steps": 1,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "target_update_interval": 40,
        "buffer_size": 300,
        "max_grad_norm": 0.5,
        "exploration_initial_eps": 0.0,
        "exploration_final_eps": 0.0,
        "policy_kwargs": SMALL,
        "seed": 3,
        "device": "cpu",
    }

    def make() -> gym.Env[Any, Any]:
        return gym.make("CartPole-v1", max_episode_steps=15)

    theirs = DQN("MlpPolicy", DummyVecEnv([make] * n_envs), **arguments)
    theirs.learn(600)
    ours = MaskableDQN(
        "MlpPolicy",
        SB3VecEnv(SyncVectorEnv([make] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP)),
        mask_in_observation=False,
        double_q=False,
        replay_buffer_class=ReplayBuffer,
        **arguments,
    )
    untrained = weights(ours)
    ours.learn(600)
    assert weights(ours) == weights(theirs) != untrained
    assert ours.exploration_rate == 0.0 and len(ours.ep_info_buffer or ()) > 10


def test_truncated_episodes_reach_the_lean_buffer_as_they_reach_that_of_stable_baselines3() -> None:
    def collect(kind: type[ReplayBuffer]) -> Any:
        make = [lambda: gym.make("CartPole-v1", max_episode_steps=12)] * 2
        env = SB3VecEnv(SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP))
        algorithm = MaskableDQN(
            "MlpPolicy", env, mask_in_observation=False, replay_buffer_class=kind, buffer_size=400, seed=0, device="cpu"
        )
        algorithm.learn(300, log_interval=None)
        return algorithm.replay_buffer

    lean, full = collect(NStepBuffer), collect(ReplayBuffer)
    age, env = np.divmod(np.arange(300), 2)
    samples = lean._gather(age, env, None)
    assert np.array_equal(samples.observations, full.observations[age, env])
    assert np.array_equal(samples.dones[:, 0], (full.dones * (1 - full.timeouts))[age, env])
    truncated = full.timeouts[age, env] == 1
    goes_on = samples.dones[:, 0].numpy() == 0
    assert 0 < truncated.sum() < goes_on.sum() < 300
    assert np.array_equal(samples.next_observations[goes_on], full.next_observations[age, env][goes_on])


def test_bad_arguments_are_named() -> None:
    cartpole = DummyVecEnv([lambda: gym.make("CartPole-v1")])
    with pytest.raises(ValueError, match="last 2 entries are the action mask"):
        MaskableDQN("MlpPolicy", cartpole)
    with pytest.raises(ValueError, match="n_steps is 3 with replay_buffer_class ReplayBuffer"):
        model(n_steps=3, replay_buffer_class=ReplayBuffer)
    with pytest.raises(ValueError, match="n_steps is 0"):
        model(n_steps=0)
    plain = MaskableDQN("MlpPolicy", cartpole, mask_in_observation=False)
    with pytest.raises(ValueError, match=r"DummyVecEnv has no get_state\(\), expected SB3VecEnv"):
        plain.get_training_state()
    with pytest.raises(ValueError, match="version None"):
        plain.set_training_state({})
    scaled = MaskableDQN("MlpPolicy", VecNormalize(cartpole), mask_in_observation=False)
    with pytest.raises(ValueError, match="VecNormalize"):
        scaled.learn(10)
