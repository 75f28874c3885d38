"""The shared device network: permutation-equivariant, blind to empty slots, greedy at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from numpy.typing import NDArray

import envs
from agents import policies
from agents.dqn import MaskableDQN
from agents.learned import LearnedPolicy
from agents.policies import DevicePolicy, DeviceQNetwork
from agents.vec_adapter import SB3VecEnv
from envs.distprivacy.features import DEVICE_FEATURES, N_DEVICE, N_REQUEST
from envs.distprivacy.simulator import Options

assert envs.ENVIRONMENTS
th.set_num_threads(1)
ID = "offramp/DistPrivacy-v0"
NAMES = [feature.name for feature in DEVICE_FEATURES]


def network(hidden: int = 16, layers: int = 2, *, trained: bool = True) -> DeviceQNetwork:
    """A network of random weights; ``trained``: also in the last layer, which starts at zero."""
    env = gym.make(ID)
    with th.random.fork_rng():
        th.manual_seed(0)
        result = DeviceQNetwork(env.observation_space, env.action_space, hidden, layers)
        if trained:
            th.nn.init.normal_(result.value.weight)
            th.nn.init.normal_(result.value.bias)
    return result


def q_of(net: DeviceQNetwork, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    with th.no_grad():
        return np.asarray(net(th.as_tensor(observations)).numpy())


def observed(steps: int = 120, seed: int = 0, **arguments: Any) -> NDArray[np.float32]:
    """Observations ``(steps, L)`` of one environment under random valid actions (the first device where it is greedy)."""
    env = gym.make(ID, **arguments)
    rng = np.random.default_rng(1)
    observation, info = env.reset(seed=seed)
    seen = []
    for _ in range(steps):
        seen.append(observation)
        valid = np.flatnonzero(info["action_mask"])
        observation, _, terminated, _, info = env.step(valid[int(rng.random() * len(valid))])
        if terminated:
            observation, info = env.reset()
    return np.array(seen)


def split(observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Device features ``(B, 17, D)``, request features ``(B, 24)`` and mask ``(B, D)``."""
    devices = (observations.shape[1] - N_REQUEST) // (N_DEVICE + 1)
    at = N_DEVICE * devices
    own = observations[:, :at].reshape(-1, N_DEVICE, devices)
    return own, observations[:, at : at + N_REQUEST], observations[:, at + N_REQUEST :]


def joined(*parts: NDArray[np.float32]) -> NDArray[np.float32]:
    own, request, mask = parts
    return np.concatenate([own.reshape(len(own), -1), request, mask], axis=1)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_permuted_devices_have_permuted_values(layers: int) -> None:
    net, observations = network(layers=layers), observed()
    order = np.random.default_rng(2).permutation(12)
    own, request, mask = split(observations)
    permuted = joined(own[:, :, order], request, mask[:, order])
    q = q_of(net, observations)
    assert not np.allclose(q, q[:, order], atol=1e-2)
    assert np.allclose(q_of(net, permuted), q[:, order], rtol=1e-5, atol=1e-5)


def test_empty_slots_change_nothing() -> None:
    net = network()
    small, large = observed(max_devices=12), observed(max_devices=20)
    assert np.array_equal(split(small)[0], split(large)[0][:, :, :12]), "the same episodes"
    assert np.allclose(q_of(net, small), q_of(net, large)[:, :12], rtol=1e-5, atol=1e-5)


def test_what_stands_in_an_absent_slot_is_not_read() -> None:
    net, observations = network(), observed(60)
    own, request, mask = split(observations)
    present = own[:, NAMES.index("present")] > 0
    assert 0 < present.mean() < 1
    garbage = own + np.where(present[:, None], 0.0, 3.0).astype(np.float32)
    garbage[:, NAMES.index("present")] = present
    q, other = q_of(net, observations), q_of(net, joined(garbage, request, mask))
    assert np.allclose(q[present], other[present], rtol=1e-5, atol=1e-5)
    assert not np.allclose(q[~present], other[~present], atol=1e-2)


def test_the_size_of_the_fleet_is_not_read_and_everything_else_is() -> None:
    net, observations = network(), observed(30)
    q = q_of(net, observations)
    own, request, mask = split(observations)
    for index in range(N_REQUEST):
        changed = request.copy()
        changed[:, index] += 0.5
        same = np.array_equal(q_of(net, joined(own, changed, mask)), q)
        assert same == (index == N_REQUEST - 1), f"request feature {index}"
    present = NAMES.index("present")
    for index in range(N_DEVICE):
        if index != present:
            changed = own.copy()
            changed[:, index] += 0.5 * own[:, present]
            assert not np.array_equal(q_of(net, joined(changed, request, mask)), q), NAMES[index]


def test_of_a_fleet_far_larger_than_in_training_the_most_capable_devices_are_seen() -> None:
    """12 devices in training: all of 24 are seen, of 70 the 24 with the largest speed^0.5 x rate, as if alone."""
    net, observations = network(), observed(40, scenario="lenet-70")
    own, request, mask = split(observations)
    worth = 0.5 * own[:, NAMES.index("speed")] + own[:, NAMES.index("rate")]
    seen = np.sort(np.argsort(-worth, axis=1, kind="stable")[:, :24], axis=1)
    small = joined(np.take_along_axis(own, seen[:, None], axis=2), request, np.take_along_axis(mask, seen, axis=1))
    q = q_of(net, observations)
    np.testing.assert_allclose(np.take_along_axis(q, seen, axis=1), q_of(net, small), atol=1e-4)
    others = np.ones(q.shape, np.bool_)
    np.put_along_axis(others, seen, False, axis=1)
    assert q[others].max() < q[~others].min() - 100, "taken only if no one else may"
    increase = own[:, NAMES.index("increase")] + own[:, NAMES.index("later_increase")]
    np.testing.assert_allclose(q[others], -increase[others] - 1e3, atol=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "_CROWD", 6)
        assert not np.allclose(q_of(net, observations), q, atol=1e-2)


def test_an_untrained_network_is_greedy_with_foresight() -> None:
    net, observations = network(trained=False), observed()
    own = split(observations)[0]
    assert np.array_equal(
        q_of(net, observations), -(own[:, NAMES.index("increase")] + own[:, NAMES.index("later_increase")])
    )
    policy = LearnedPolicy("untrained", net, Options(), masked=True, fixed_length=None)
    env = gym.make(ID)
    core: Any = env.unwrapped
    parts = [core.observation_layout[name] for name in ("increase", "later_increase")]
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        terminated = False
        while not terminated:
            chosen, cost = policy.act(observation), observation[parts[0]] + observation[parts[1]]
            assert info["action_mask"][chosen] and cost[chosen] == cost[info["action_mask"].astype(bool)].min()
            observation, _, terminated, _, info = env.step(chosen)


def test_as_a_policy_it_is_saved_with_its_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path))
    env = SB3VecEnv(gym.make_vec(ID, num_envs=4))
    sizes = {"hidden": 24, "layers": 3}
    model = MaskableDQN(DevicePolicy, env, policy_kwargs=sizes, learning_starts=20, batch_size=8, seed=0, device="cpu")
    model.learn(60)
    model.save(tmp_path / "model.zip")
    loaded = MaskableDQN.load(tmp_path / "model.zip", device="cpu")
    assert isinstance(loaded.q_net, DeviceQNetwork)
    assert loaded.q_net.own.out_features == 24 and len(loaded.q_net.embed) == 5
    model.policy.save(str(tmp_path / "policy"))
    alone: Any = DevicePolicy.load(str(tmp_path / "policy"), device="cpu")
    assert alone.q_net.own.out_features == 24
    observations = observed(20)
    trained: Any = model.q_net
    assert np.array_equal(q_of(loaded.q_net, observations), q_of(trained, observations))
    assert not np.array_equal(q_of(trained, observations), -split(observations)[0][:, NAMES.index("increase")])
    actions, _ = loaded.predict(observations, deterministic=True)
    assert (split(observations)[2][np.arange(20), actions] == 1.0).all()
