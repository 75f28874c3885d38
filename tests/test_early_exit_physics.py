"""Early exit against slow computations by hand: where rows go, what they cost, what follows from what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from early_exit_by_hand import RATES, WORKS, play_and_check
from early_exit_worlds import random_actions, random_table, random_world
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_exits import tables

from envs.early_exit.costs import Deployment, Device, Link, stage_costs
from envs.early_exit.dynamics import R_OVER, R_PASSED, R_SHORTFALL, R_USED
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.state import ACCEPTED, BUDGET, LEFT, N_STATE
from envs.early_exit.types import ATTACK, NORMAL, ExitTable, Thresholds
from envs.early_exit.vector import EarlyExitVectorEnv


# --- by hand ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("exits", [1, 2, 3])
@pytest.mark.parametrize("remote_from", [1, 2, 3, 4])
@pytest.mark.parametrize("sends", ["input", "features"])
def test_every_number_of_an_episode_is_that_of_a_count_row_by_row(exits: int, remote_from: int, sends: str) -> None:
    if remote_from <= exits + 1:
        for budget_of in ("rows", "joules"):
            play_and_check(exits, exits, remote_from=remote_from, sends=sends, budget_of=budget_of, budget=0.3)


@settings(max_examples=40, deadline=None)
@example(161, 3, 0.4, "terminal", "joules", 2)  # the fourth window takes all that is left, but for rounding
@given(
    st.integers(0, 10_000), st.sampled_from((2, 3)), st.sampled_from((0.0, 0.1, 0.4, np.inf)),
    st.sampled_from(("terminal", "incremental", "none")), st.sampled_from(("rows", "joules")), st.sampled_from((2, 3)),
)  # fmt: skip
def test_counts_hold_for_any_budget_and_constraint(
    seed: int, exits: int, budget: float, constraint: str, budget_of: str, remote_from: int
) -> None:
    play_and_check(
        seed, exits, budget=budget, constraint=constraint, budget_of=budget_of, remote_from=remote_from,
        sends=("input", "features")[seed % 2], change=0.5, link_change=0.5,
    )  # fmt: skip


def test_windows_over_the_budget_are_played_without_sending() -> None:
    """The comparison above meets them: some, but not all, of the windows of a scarce budget."""
    assert 0 < sum(play_and_check(seed, 3, windows=8, budget=0.2) for seed in range(5)) < 40
    assert sum(play_and_check(seed, 2, windows=8, budget=np.inf) for seed in range(3)) == 0


# --- numbers that are known ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("exits", [2, 3])
def test_all_at_exit_1_and_all_at_the_last_exit_cost_what_they_must(exits: int) -> None:
    table = random_table(3, 200, exits)
    env = EarlyExitEnv(
        "drift", tables=[table], actions=random_actions(0, 2, exits), work=WORKS[exits], windows=4, rows=100, send=0.1,
        joule=5.0, **RATES,
    )  # fmt: skip
    exit_1 = WORKS[exits].block_macs[0] + WORKS[exits].exit_macs[0]
    for action, end in ((0, 0), (1, exits - 1)):
        env.reset(seed=1)
        for _ in range(4):
            rows = env.exogenous[env.world.generator.layout.slices["rows"]].astype(int)
            wrong = int((table.predicted[end, rows] != table.label[rows]).sum())
            *_, info = env.step(action)
            assert info["false_positives"] + info["false_negatives"] == wrong and info["rejected"] == 0
            assert info["sent"] == info["passed"] == info["cost_budget"] == 100 * action
            assert info["bytes"] == 100 * 232 * action
            joules = 100 * (exit_1 * RATES["edge_joules_per_mac"] + 232 * action * RATES["link_joules_per_byte"])
            assert info["joules"] == pytest.approx(joules, rel=1e-12)
            assert info["cost"] == pytest.approx(wrong / 100 + 0.1 * action + 5.0 * joules / 100, rel=1e-12)
            assert info["acceptance"] == 1.0 and info["cost_acceptance"] == 0.0


def test_costs_of_stages_by_hand() -> None:
    work = WORKS[3]
    deployment = Deployment(Device(1e6, 1e-9, 1e-3), Device(1e7, 0.0, 2e-3), Link(1e4, 0.05, 1e-6), 3, "features")
    costs = stage_costs(work, deployment)
    np.testing.assert_allclose(costs.edge_s, [2030e-6 + 1e-3, 50_400e-6 + 1e-3, 0], rtol=1e-12)
    np.testing.assert_allclose(costs.cloud_s, [0, 0, 0.09007 + 2e-3], rtol=1e-12)
    np.testing.assert_allclose(costs.joules, [2030e-9, 50_400e-9, 64e-6], rtol=1e-12)
    assert costs.bytes.tolist() == [0, 0, 64] and costs.crosses.tolist() == [False, False, True]
    seconds = costs.seconds(deployment, bandwidth=0.5, load=0.5)
    np.testing.assert_allclose(seconds, [0.00303, 0.0514, 2 * 0.09207 + 2 * (0.05 + 0.0064)], rtol=1e-12)
    again = stage_costs(work, Deployment(remote_from=3, sends="input"))  # the cloud computes blocks 1 and 2 once more
    assert again.bytes.tolist() == [0, 0, 232]
    assert again.cloud_s[2] == pytest.approx((2_000 + 50_000 + 900_700) / 5e10 + 0.01)
    with pytest.raises(ValueError, match="remote_from is 5, but the network has 3 exits"):
        stage_costs(work, Deployment(remote_from=5))


@pytest.mark.parametrize("constraint", ["terminal", "incremental", "none"])
def test_nothing_accepted_is_no_division_by_zero(constraint: str) -> None:
    nothing = Thresholds(np.full((1, 2, 2), 2.0), np.full((1, 2, 2), 2.0))
    env = EarlyExitEnv(
        tables=[random_table(0)], actions=nothing, budget=0.0, windows=3, rows=20, constraint=constraint, label_delay=0,
        shortfall=1.0,
    )  # fmt: skip
    observation, _ = env.reset(seed=0)
    total = 0.0
    for _ in range(3):
        observation, reward, _, _, info = env.step(0)
        total += reward
        assert np.isfinite(observation).all() and env.observation_space.contains(observation)
        assert all(np.isfinite(float(value)) for name, value in info.items() if name != "action_mask")
        assert info["rejected"] == 20 and info["acceptance"] == 0.0
    assert total == pytest.approx(-3 * 0.3 - (constraint != "none") * 3 * 0.905)


# --- what follows from what ------------------------------------------------------------------------------------------
levels = st.sampled_from((0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0, 2.0))


@settings(max_examples=150, deadline=None)
@given(tables, st.lists(levels, min_size=8, max_size=8), levels, st.sampled_from((NORMAL, ATTACK)))
def test_raised_thresholds_move_rows_one_way(table: ExitTable, numbers: list[float], level: float, of: int) -> None:
    """A higher accept_1 lets no fewer rows go on, a higher accept_2 accepts no more, a higher reject_1 lets no more go on."""
    first, second, rejecting = (np.array([numbers, numbers]).reshape(2, 2, 2, 2) for _ in range(3))
    for one, kind, k in ((first, 0, 0), (second, 0, 1), (rejecting, 1, 0)):
        one[1, kind, k, of] = max(one[1, kind, k, of], level)

    def where(both: Any) -> Any:
        return routes(table, Thresholds(both[:, 0].copy(), both[:, 1].copy()))

    past = where(first) % REJECTED > 0
    assert (past[1] >= past[0]).all()
    accepted = where(second) < REJECTED
    assert (accepted[1] <= accepted[0]).all()
    past = where(rejecting) % REJECTED > 0
    assert (past[1] <= past[0]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from((2, 3)))
def test_the_order_of_rows_within_a_window_is_nothing(seed: int, exits: int) -> None:
    world = random_world(1, exits=exits, budget=0.3, send=0.1, late=0.2, deadline_s=0.05, constraint="incremental")
    rng = np.random.default_rng(seed)
    frames, state = world.begin(rng)
    part = world.generator.layout.slices["rows"]
    other = frames.copy()
    for frame in other:
        frame[part] = rng.permutation(frame[part])
    actions = np.arange(8)
    states = np.repeat(state[None], 8, axis=0)
    mine, yours = (
        world.dynamics.outcomes(states, np.repeat(one[3][None], 8, axis=0), actions) for one in (frames, other)
    )
    assert (mine[1] == yours[1]).all() and (mine[2] == yours[2]).all()
    np.testing.assert_allclose(mine[0], yours[0], rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_terminal_and_incremental_charges_have_the_same_sum(seed: int) -> None:
    actions, sums = np.random.default_rng(seed).integers(0, 8, 12), []
    for constraint in ("terminal", "incremental", "none"):
        world = random_world(2, constraint=constraint, budget=0.2, least_acceptance=0.95)
        frames, state = world.begin(np.random.default_rng(seed))
        total = short = 0.0
        for t, action in enumerate(actions):
            following, rewards, reports = world.dynamics.outcomes(state[None], frames[t][None], action[None])
            state, total, short = following[0], total + rewards[0], short + reports[0, R_SHORTFALL]
        sums.append(total)
        assert short == pytest.approx(max(0.0, 0.955 * 12 * 40 - state[ACCEPTED]), abs=1e-9)
    assert sums[0] == pytest.approx(sums[1], abs=1e-9) and sums[2] - sums[0] == pytest.approx(3 * short / 40, abs=1e-9)


@pytest.mark.parametrize("budget_of", ["rows", "joules"])
def test_no_budget_is_ever_overdrawn(budget_of: str) -> None:
    world = random_world(3, budgets=(0.0, 0.05, 0.2), budget_of=budget_of, windows=40, exits=3)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frames, state = world.begin(rng)
        spent, over = 0.0, 0
        for t in range(40):
            following, _, reports = world.dynamics.outcomes(state[None], frames[t][None], rng.integers(0, 8, 1))
            report, state = reports[0], following[0]
            assert 0 <= state[LEFT] <= state[BUDGET]
            spent, over = spent + report[R_USED], over + int(report[R_OVER])
            if report[R_OVER]:
                assert report[R_USED] == report[R_PASSED] == 0, "its fallback is played, which sends nothing"
        assert spent <= state[BUDGET] * (1 + 1e-12) and state[LEFT] == pytest.approx(state[BUDGET] - spent)
        assert over > 0 or state[BUDGET] > 0


# --- pure functions --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [
        {"scenario": "budget"},
        {"scenario": "mixed", "include_latent": True, "label_delay": 2, "constraint": "incremental"},
        {"scenario": "bursts", "budget_of": "joules", "budgets": (0.05, 0.3)},
    ],
)
def test_transition_and_observe_equal_steps_bit_for_bit(options: dict[str, Any]) -> None:
    small: dict[str, Any] = {"rows": 60, "windows": 10}
    env, vector = EarlyExitEnv(**small, **options), EarlyExitVectorEnv(5, **small, **options)
    rng = np.random.default_rng(0)
    for episode in range(3):
        observation, _ = env.reset(seed=episode)
        over = False
        while not over:
            state, frame, action = env.endogenous, env.exogenous, rng.integers(0, 52, 1)
            assert (env.observe(state[None], frame[None])[0] == observation).all()
            following, rewards = env.transition(state[None], frame[None], action)
            observation, reward, _, over, _ = env.step(action[0])
            assert (following[0] == env.endogenous).all() and rewards[0] == reward
            assert state.tobytes() != env.endogenous.tobytes() and following.shape == (1, N_STATE)
    observations, _ = vector.reset(seed=4)
    for _ in range(25):
        states, frames, actions = vector._states.copy(), vector.exogenous, rng.integers(0, 52, 5)
        assert (env.observe(states, frames) == observations).all()
        following, rewards = env.transition(states, frames, actions)
        observations, gained, _, truncated, _ = vector.step(actions)
        assert (rewards == gained).all()
        assert (following[~truncated] == vector._states[~truncated]).all()


def test_frames_do_not_depend_on_what_is_decided() -> None:
    env = EarlyExitEnv("mixed", windows=15, rows=40)
    frames = []
    for action in (0, 51, 30):
        env.reset(seed=3)
        before = env.frames
        told = [env.step(action)[4] for _ in range(15)]
        assert (env.frames == before).all()
        frames.append(
            (before, [[one[name] for name in ("month", "attack_share", "bandwidth", "load")] for one in told])
        )
    assert all((frames[0][0] == other[0]).all() and frames[0][1] == other[1] for other in frames[1:])
