"""Early exit against plain computations: what is seen of windows, and what the world does by itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from early_exit_worlds import random_actions, random_table

from envs.early_exit.build import World
from envs.early_exit.dynamics import COST
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.generator import EpisodeGenerator
from envs.early_exit.months import Months
from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.schedule import MarkovLevels, Schedule
from envs.early_exit.state import BUDGET, LEFT
from envs.early_exit.types import ATTACK, NORMAL, ExitTable


# --- what is seen ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("memory", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("exits", [2, 3])
def test_slices_of_the_rows_equal_a_plain_computation(memory: float, exits: int) -> None:
    env = EarlyExitEnv(
        "bursts", tables=[random_table(m, 300, exits) for m in range(3)], actions=random_actions(1, 9, exits), rows=64,
        windows=25, memory=memory, label_delay=3, change=0.2, include_latent=True,
    )  # fmt: skip
    observation, info = env.reset(seed=2)
    frames, layout, part = env.frames, env.observation_layout, env.world.generator.layout.slices
    whole = ExitTable.joined([random_table(m, 300, exits) for m in range(3)])
    where = routes(whole, env.world.actions)
    shapes, demands, wrong = [], [], []
    for t in range(26):
        weights = (1 - memory) ** np.arange(t)[::-1]
        expected: dict[str, Any] = {"shape": np.zeros(17), "profile": np.zeros(17), "demand": np.zeros(9)}
        expected["errors"] = wrong[t - 4] if t >= 4 else np.zeros(exits)
        if t > 0:
            expected["shape"] = shapes[-1]
            expected["profile"] = np.average(shapes, axis=0, weights=weights)
            expected["demand"] = np.average(demands, axis=0, weights=weights)
        expected["latent"] = [(info["month"] + 1) / 3, info["attack_share"]] if t == 25 else [
            (frames[t, part["month"]][0] + 1) / 3, frames[t, part["attack_share"]][0]
        ]  # fmt: skip
        expected["link"] = frames[t, part["link"]]
        for name, values in expected.items():
            np.testing.assert_allclose(observation[layout[name]], values, rtol=2e-6, atol=1e-7, err_msg=f"{name} {t}")
        if t == 25:
            break
        rows = frames[t, part["rows"]].astype(int)
        answer, certainty = whole.predicted[0, rows], whole.certainty[0, rows]
        edges = np.linspace(0.5, 1.0, 9)
        histograms = [np.histogram(certainty[answer == c], edges)[0] for c in (NORMAL, ATTACK)]
        top = np.unique(np.stack([answer, certainty]), axis=1, return_counts=True)[1].max()
        shapes.append(np.concatenate([*histograms, [top]]) / 64)
        demands.append((where[:, rows] % REJECTED > 0).mean(axis=1))
        wrong.append((whole.predicted[:, rows] != whole.label[rows]).mean(axis=1))
        observation, _, _, _, info = env.step(t % 9)


def test_numbers_of_budget_time_and_acceptance_by_hand() -> None:
    env = EarlyExitEnv("budget", windows=4, rows=50, budget=0.5, least_acceptance=0.9, margin=0.0)
    observation, _ = env.reset(seed=0)
    layout = env.observation_layout
    assert observation[: layout["link"].start].tolist() == np.array([1, 0.5, 0.5, 1, 1, 0.9, 0.9], np.float32).tolist()
    accepted = used = 0.0
    for t in range(1, 5):
        observation, _, _, _, info = env.step(29)
        accepted, used = accepted + 50 - info["rejected"], used + info["sent"]
        rest = 50 * (4 - t)
        by_hand = [1 - used / 100, min(1, (100 - used) / rest) if rest else 1, 0.5, 1 - t / 4, accepted / (50 * t)]
        need = 180 - accepted
        by_hand += [min(1, max(-1, need / rest)) if rest else (1 if need > 0 else -1), 0.9]
        np.testing.assert_allclose(observation[: layout["link"].start], by_hand, rtol=1e-6, atol=1e-7)
    assert observation[layout["action_mask"]].tolist() == [1.0] * 52 and layout["action_mask"].stop == len(observation)


def test_nothing_that_is_seen_needs_labels_but_the_errors() -> None:
    """Other labels, the same frames and actions: the same observations at another cost."""
    months = [random_table(m, 200) for m in range(2)]
    flipped = [ExitTable((1 - one.label).astype(np.int8), one.predicted, one.certainty) for one in months]
    envs = [
        EarlyExitEnv(tables=one, actions=random_actions(0, 6), rows=30, windows=8, label_delay=1)
        for one in (months, flipped)
    ]
    seen = []
    frames = envs[0].reset(seed=0) and envs[0].frames
    for env in envs:
        observations = [env.reset(seed=0, options={"frames": frames})[0]]
        observations += [env.step(t % 6)[0] for t in range(8)]
        seen.append(np.array(observations))
    assert (seen[0] == seen[1]).all(), "errors are part of the frames, which were given"
    assert envs[0]._totals[COST] != envs[1]._totals[COST]


# --- what the world does by itself -----------------------------------------------------------------------------------
def test_months_change_as_often_as_said_and_to_each_other_one_alike() -> None:
    rng = np.random.default_rng(0)
    visits = Schedule(change=0.2).months(rng, 4, 100_000)
    moved = visits[1:] != visits[:-1]
    assert moved.mean() == pytest.approx(0.2, abs=0.005)
    steps = (visits[1:] - visits[:-1])[moved] % 4
    assert np.allclose(np.bincount(steps, minlength=4)[1:] / len(steps), 1 / 3, atol=0.01)
    assert np.allclose(np.bincount(visits) / len(visits), 0.25, atol=0.02)
    first = [int(Schedule(change=0.2).months(rng, 4, 1)[0]) for _ in range(4_000)]
    assert np.allclose(np.bincount(first) / 4_000, 0.25, atol=0.03)
    assert len(set(Schedule(change=0.0).months(rng, 4, 100))) == 1
    assert (np.diff(Schedule(change=1.0).months(rng, 4, 100)) != 0).all()


def test_calendar_and_shuffled_give_every_month_an_equal_part() -> None:
    rng = np.random.default_rng(0)
    assert Schedule("calendar").months(rng, 3, 7).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert Schedule("calendar").months(rng, 3, 2).tolist() == [0, 1]
    seen = set()
    for _ in range(60):
        one = Schedule("shuffled").months(rng, 3, 9).tolist()
        order = [month for month, _ in itertools.groupby(one)]
        assert sorted(order) == [0, 1, 2] and all(one.count(month) == 3 for month in range(3))
        seen.add(tuple(order))
    assert len(seen) == 6


def test_levels_stay_and_change_with_their_probability() -> None:
    values = MarkovLevels((1.0, 0.25, 0.5), 0.1).sample(np.random.default_rng(1), 50_000)
    assert (values[1:] != values[:-1]).mean() == pytest.approx(0.1, abs=0.01)
    assert all((values == level).mean() == pytest.approx(1 / 3, abs=0.04) for level in (1.0, 0.25, 0.5))


def test_rows_come_from_their_month_with_the_share_of_attacks_that_is_said() -> None:
    months = Months(("a", "b"), tuple(random_table(m, 400) for m in range(2)), random_actions(0, 3))
    label = np.concatenate([table.label for table in months.tables])
    for shares, tolerance in (((0.0, 0.9, 1.0), 0.01), (None, 0.02)):
        levels = None if shares is None else MarkovLevels(shares, 0.3)
        generator = EpisodeGenerator(months, Schedule(change=0.3, attack_share=levels), rows=200)
        frames, part = generator.draw(np.random.default_rng(5), 300)[:-1], generator.layout.slices
        month, share = frames[:, part["month"].start], frames[:, part["attack_share"].start]
        rows = frames[:, part["rows"]].astype(int)
        assert ((rows // 400) == month[:, None]).all()
        for value in np.unique(share):
            assert label[rows[share == value]].mean() == pytest.approx(value, abs=tolerance)
        if shares is not None:
            assert np.unique(share).tolist() == pytest.approx(list(shares), rel=1e-6)
            attacks = rows[(month == 0) & (share == 1.0)]
            known = np.flatnonzero(months.tables[0].label == ATTACK)
            assert set(attacks.ravel()) == set(known), "every attack of the month may come"
        else:
            assert np.allclose(share, months.attack_shares[month.astype(int)])


def world_of(**options: Any) -> World:
    return EarlyExitEnv(**options).world


def test_budgets_are_shares_of_what_sending_all_would_use() -> None:
    rows = world_of(budget=0.1, windows=20, rows=50).begin(np.random.default_rng(0))[1]
    assert rows[BUDGET] == rows[LEFT] == 100
    joules = world_of(budget=0.1, windows=20, rows=50, budget_of="joules").begin(np.random.default_rng(0))[1]
    assert joules[BUDGET] == pytest.approx(100 * 232e-6)
    assert world_of(scenario="drift").begin(np.random.default_rng(0))[1][LEFT] == np.inf
