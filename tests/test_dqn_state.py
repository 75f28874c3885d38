"""Interrupted training goes on exactly; saved models act alike."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from tiny_dqn import SMALL, Watched, model, weights

from agents.dqn import MaskableDQN
from agents.masking import MaskedDQNPolicy


@pytest.fixture(autouse=True)
def _logs_of_stable_baselines3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path))


class Stop(BaseCallback):
    """Saves and stops where the rollout after ``at`` transitions starts."""

    def __init__(self, at: int, folder: Path) -> None:
        super().__init__()
        self.at, self.folder, self.reached = at, folder, False

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self.at and not self.reached:
            self.reached = True
            self.model.save(self.folder / "model.zip")
            assert isinstance(self.model, MaskableDQN)
            (self.folder / "state.pkl").write_bytes(pickle.dumps(self.model.get_training_state()))

    def _on_step(self) -> bool:
        return not self.reached


@pytest.mark.parametrize("stop", [160, 640, 1000])
@pytest.mark.parametrize(
    "changes",
    [
        {"n_steps": 4, "exploration_spread": True, "buffer_size": 400},
        {"replay_buffer_class": ReplayBuffer, "policy_kwargs": {**SMALL, "optimizer_kwargs": {}}},
    ],
    ids=["NStepBuffer", "ReplayBuffer"],
)
def test_interrupted_training_goes_on_exactly(tmp_path: Path, stop: int, changes: dict[str, Any]) -> None:
    total = 1440
    whole = model(**changes)
    whole.learn(total)

    first = model(**changes)
    first.learn(total, callback=Stop(stop, tmp_path))
    assert weights(first) != weights(whole)
    th.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    second = MaskableDQN.load(tmp_path / "model.zip", env=Watched(8), device="cpu")
    second.set_training_state(pickle.loads((tmp_path / "state.pkl").read_bytes()))
    assert second.num_timesteps == stop
    second.learn(total - second.num_timesteps, reset_num_timesteps=False)

    assert weights(second) == weights(whole)
    assert second._n_updates == whole._n_updates and second._episode_num == whole._episode_num
    assert second.exploration_rate == whole.exploration_rate
    end, expected = second.get_training_state(), whole.get_training_state()
    assert end["episodes"] == expected["episodes"] and np.array_equal(end["last_obs"], expected["last_obs"])


def test_a_fresh_model_goes_on_from_parameters_buffer_file_and_state(tmp_path: Path) -> None:
    whole = model(n_steps=4, exploration_final_eps=0.5)
    whole.learn(1000)
    whole.save(tmp_path / "model")
    whole.save_replay_buffer(tmp_path / "buffer")
    state = whole.get_training_state(replay_buffer=False)
    whole.learn(160, reset_num_timesteps=False)

    second = model(n_steps=4, exploration_final_eps=0.5, seed=5)
    second.set_parameters(str(tmp_path / "model"))
    second.load_replay_buffer(tmp_path / "buffer")
    second.set_training_state(state)
    second.learn(160, reset_num_timesteps=False)
    assert weights(second) == weights(whole) and second._n_updates == whole._n_updates


def test_a_saved_model_predicts_alike_without_an_environment(tmp_path: Path) -> None:
    algorithm = model(n_steps=2, exploration_spread=True, double_q=False)
    algorithm.learn(400)
    algorithm.save(tmp_path / "model")
    loaded = MaskableDQN.load(tmp_path / "model", device="cpu")
    assert (loaded.n_steps, loaded.double_q, loaded.exploration_spread) == (2, False, True)
    assert isinstance(loaded.policy, MaskedDQNPolicy)
    observations = algorithm.env.reset()
    expected = algorithm.predict(observations, deterministic=True)[0]
    assert np.array_equal(loaded.predict(observations, deterministic=True)[0], expected)


# --- wrong input -----------------------------------------------------------------------------------------------------
