"""NStepBuffer against a slow reference and against Stable-Baselines3's own buffers."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from agents.buffers import NStepBuffer

BOX, ACTIONS, GAMMA = spaces.Box(-1e6, 1e6, (2,), np.float32), spaces.Discrete(5), 0.9


@dataclass
class Step:
    """One transition of one environment."""

    obs: NDArray[np.float32]
    action: int
    reward: float
    done: bool
    truncated: bool
    explored: bool
    next_obs: NDArray[np.float32]


def history(n_envs: int, length: int, seed: int, end: float = 0.25) -> list[list[Step]]:
    """``length`` random steps of every environment, ``[time][environment]``; no two observations are equal."""
    rng = np.random.default_rng(seed)
    fresh = iter(range(10**6))

    def observation() -> NDArray[np.float32]:
        number = next(fresh)
        return np.array([number, -number], np.float32)

    now = [observation() for _ in range(n_envs)]
    steps = []
    for _ in range(length):
        row = []
        for i in range(n_envs):
            done = rng.random() < end
            truncated = bool(done and rng.random() < 0.5)
            after = observation()
            row.append(Step(now[i], int(rng.integers(5)), rng.normal(), done, truncated, rng.random() < 0.3, after))
            now[i] = observation() if done else after
        steps.append(row)
    return steps


def fill(buffer: ReplayBuffer, steps: list[list[Step]]) -> None:
    for row in steps:
        columns: list[Any] = [
            np.stack([s.obs for s in row]),
            np.stack([s.next_obs for s in row]),
            np.array([s.action for s in row]),
            np.array([s.reward for s in row]),
            np.array([s.done for s in row]),
            [{"TimeLimit.truncated": s.truncated} if s.done else {} for s in row],
        ]
        if isinstance(buffer, NStepBuffer):
            columns.append(np.array([s.explored for s in row]))
        buffer.add(*columns)


def slow_return(steps: list[Step], n_steps: int, cut: bool) -> tuple[float, float, int]:
    """Return, discount and index of the last summed step, for the first of ``steps``."""
    total = 0.0
    for k, step in enumerate(steps):
        total += GAMMA**k * step.reward
        last = step.done or k + 1 == n_steps or k + 1 == len(steps)
        if last or (cut and steps[k + 1].explored):
            return total, GAMMA ** (k + 1), k
    raise AssertionError


def everything(buffer: NStepBuffer) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]:
    """All transitions in the buffer, with their ages and environments."""
    age, envs = np.divmod(np.arange(buffer.size() * buffer.n_envs), buffer.n_envs)
    return buffer._gather(age, envs, None), age, envs


@pytest.mark.parametrize("length", [1, 5, 7, 8, 9, 29])
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(("n_steps", "cut"), [(1, False), (3, False), (3, True), (20, True), (20, False)])
def test_returns_equal_a_slow_reference(length: int, n_envs: int, n_steps: int, cut: bool) -> None:
    buffer = NStepBuffer(8 * n_envs, BOX, ACTIONS, n_envs=n_envs, n_steps=n_steps, gamma=GAMMA, cut_at_exploration=cut)
    steps = history(n_envs, length, seed=length + n_steps, end=0.15)
    fill(buffer, steps)
    kept = steps[-8:]
    assert buffer.size() == len(kept)
    samples, ages, envs = everything(buffer)
    for row, (age, i) in enumerate(zip(ages, envs, strict=True)):
        ahead = [kept[t][i] for t in range(age, len(kept))]
        total, discount, k = slow_return(ahead, n_steps, cut)
        first, last = ahead[0], ahead[k]
        assert samples.observations[row].tolist() == first.obs.tolist()
        assert samples.actions[row].item() == first.action
        assert samples.rewards[row].item() == pytest.approx(total, rel=1e-5, abs=1e-6)
        assert samples.discounts[row].item() == pytest.approx(discount, rel=1e-6)
        assert samples.dones[row].item() == (last.done and not last.truncated)
        if not samples.dones[row].item():
            assert samples.next_observations[row].tolist() == last.next_obs.tolist()


def test_one_step_without_cut_holds_what_sb3s_buffer_holds() -> None:
    ours, theirs = NStepBuffer(60, BOX, ACTIONS, n_envs=3), ReplayBuffer(60, BOX, ACTIONS, n_envs=3)
    steps = history(3, 20, seed=1)
    fill(ours, steps)
    fill(theirs, steps)
    samples, age, envs = everything(ours)
    assert np.array_equal(samples.observations, theirs.observations[age, envs])
    assert np.array_equal(samples.actions, theirs.actions[age, envs])
    assert np.array_equal(samples.rewards[:, 0], theirs.rewards[age, envs])
    terminated = (theirs.dones * (1 - theirs.timeouts))[age, envs]
    assert np.array_equal(samples.dones[:, 0], terminated)
    assert 0 < terminated.sum() < len(terminated) and theirs.timeouts.any()
    goes_on = terminated == 0
    assert np.array_equal(samples.next_observations[goes_on], theirs.next_observations[age, envs][goes_on])
    assert ours.observations.nbytes < 0.6 * (theirs.observations.nbytes + theirs.next_observations.nbytes)


@pytest.mark.parametrize("length", [11, 16, 23])
def test_n_steps_without_cut_equal_sb3s_n_step_buffer(length: int) -> None:
    ours = NStepBuffer(16, BOX, ACTIONS, n_steps=4, gamma=GAMMA)
    theirs = NStepReplayBuffer(16, BOX, ACTIONS, n_steps=4, gamma=GAMMA)
    steps = history(1, length, seed=2)
    fill(ours, steps)
    fill(theirs, steps)
    samples, age, _ = everything(ours)
    expected = theirs._get_samples((theirs.pos - theirs.size() + age) % 16)
    assert np.array_equal(samples.observations, expected.observations)
    assert np.allclose(samples.rewards, expected.rewards, atol=1e-6)
    assert np.allclose(samples.discounts, expected.discounts)
    assert np.array_equal(samples.dones, expected.dones)
    goes_on = samples.dones[:, 0] == 0
    assert np.array_equal(samples.next_observations[goes_on], expected.next_observations[goes_on])


def test_a_timeout_counts_as_an_end_if_asked() -> None:
    buffer = NStepBuffer(60, BOX, ACTIONS, n_envs=3, handle_timeout_termination=False)
    steps = history(3, 20, seed=1)
    fill(buffer, steps)
    assert everything(buffer)[0].dones.sum() == sum(s.done for row in steps for s in row)


def test_sampling_is_uniform_seeded_and_leaves_the_global_generator_alone() -> None:
    steps = history(2, 9, seed=3)
    buffers = [NStepBuffer(8, BOX, ACTIONS, n_envs=2, seed=seed) for seed in (0, 0, 1)]
    for buffer in buffers:
        fill(buffer, steps)
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    a, b, c = (buffer.sample(4000).observations for buffer in buffers)
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    _, counts = np.unique(a[:, 0], return_counts=True)
    # 4 rows of 2 environments; five standard deviations of a count of 4000 / 8
    assert len(counts) == 8 and abs(counts - 500).max() < 5 * 21


@pytest.mark.parametrize("length", [3, 40])
def test_pickling_keeps_everything_and_no_empty_space(length: int) -> None:
    buffer = NStepBuffer(16000, BOX, ACTIONS, n_envs=2, n_steps=3, seed=4)
    small = NStepBuffer(16, BOX, ACTIONS, n_envs=2, n_steps=3, seed=4)
    steps = history(2, length + 5, seed=4)
    for original in (buffer, small):
        fill(original, steps[:length])
        data = pickle.dumps(original)
        assert len(data) < 20_000
        copy = pickle.loads(data)
        for other in (original, copy):
            fill(other, steps[length:])
        for ours, theirs in zip(original.sample(64), copy.sample(64), strict=True):
            assert np.array_equal(ours, theirs)
        assert copy.observations.shape == original.observations.shape


def test_observations_of_truncated_episodes_do_not_pile_up() -> None:
    buffer = NStepBuffer(8, BOX, ACTIONS, n_envs=2)
    fill(buffer, history(2, 500, seed=5, end=0.9))
    assert len(buffer._last_of_truncated) == buffer.timeouts.sum() > 0
    buffer.reset()
    assert buffer.size() == 0 and not buffer._last_of_truncated


def test_200000_transitions_of_70_devices_fit_into_2_gb() -> None:
    buffer = NStepBuffer(2000, spaces.Box(0, 1, (17 * 70 + 24 + 70,), np.float32), spaces.Discrete(70), n_envs=10)
    total = sum(v.nbytes for v in vars(buffer).values() if isinstance(v, np.ndarray))
    assert total / 2000 * 200_000 < 2e9


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="flat Box"):
        NStepBuffer(8, spaces.Box(0, 1, (2, 2)), ACTIONS)
    with pytest.raises(ValueError, match="expected Discrete"):
        NStepBuffer(8, BOX, BOX)
    with pytest.raises(ValueError, match="n_steps is 0"):
        NStepBuffer(8, BOX, ACTIONS, n_steps=0)
    with pytest.raises(ValueError, match=r"gamma is 1\.5"):
        NStepBuffer(8, BOX, ACTIONS, gamma=1.5)
    with pytest.raises(ValueError, match="optimize_memory_usage"):
        NStepBuffer(8, BOX, ACTIONS, optimize_memory_usage=True)
    with pytest.raises(ValueError, match="buffer is empty"):
        NStepBuffer(8, BOX, ACTIONS).sample(1)
