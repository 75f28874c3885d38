"""Search on a learned policy: never worse than greedy, valid, repeatable, in evaluation and step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from test_evaluation import drawn, learned
from tiny_runs import tiny

import agents
from agents.evaluate import run as run_evaluate
from agents.evaluation import InstanceSet, evaluate
from agents.search import SearchPolicy
from agents.training import train
from conf.schema import EvaluateConfig
from envs.distprivacy.simulator import Options


@pytest.fixture(scope="module")
def fleets() -> InstanceSet:
    return drawn(count=5).with_shipped_bounds()


def test_one_sample_is_the_policy_itself(fleets: InstanceSet) -> None:
    policy = learned()
    plain, alone = evaluate(policy, fleets), evaluate(SearchPolicy(policy), fleets)
    assert np.array_equal(plain.latency_s, alone.latency_s) and np.array_equal(plain.shared_bytes, alone.shared_bytes)


def test_more_search_is_never_worse_and_often_better(fleets: InstanceSet) -> None:
    policy = learned()
    greedy = evaluate(policy, fleets).latency_s
    settings: list[dict[str, Any]] = [{"samples": 8}, {"local_search": True}, {"samples": 8, "local_search": True}]
    for setting in settings:
        found = evaluate(SearchPolicy(policy, **setting), fleets)
        assert (found.latency_s <= greedy).all() and (found.latency_s < greedy).any(), setting
        assert found.violations.sum() == 0 and found.rejected == 0 and found.seconds > 0


def test_samples_are_drawn_by_the_seed(fleets: InstanceSet) -> None:
    def latency(seed: int, samples: int = 8) -> list[float]:
        policy = SearchPolicy(learned(), samples=samples, seed=seed)
        first, again = evaluate(policy, fleets), evaluate(policy, fleets)
        assert np.array_equal(first.latency_s, again.latency_s), "every evaluation begins the random numbers afresh"
        return [float(value) for value in first.latency_s[:, 0]]

    assert latency(0) == latency(0) != latency(1)


def test_temperature_decides_how_far_samples_stray(fleets: InstanceSet) -> None:
    policy = learned()
    cold = evaluate(SearchPolicy(policy, samples=4, temperature=1e-9), fleets)
    assert np.array_equal(cold.latency_s, evaluate(policy, fleets).latency_s)


def test_periods_with_several_maps_a_step() -> None:
    periods = drawn("cifar-70", 1, requests=2)
    policy = learned(Options(granularity=8, inherit=True))
    greedy = evaluate(policy, periods)
    found = evaluate(SearchPolicy(policy, samples=3), periods)
    assert found.latency_s[0, 0] <= greedy.latency_s[0, 0], "later requests meet other budgets"
    assert found.violations.sum() == 0 and found.rejected == 0


def test_local_search_after_a_policy_that_places_several_maps_a_step() -> None:
    instances = drawn(count=2)
    policy = learned(Options(granularity=4, inherit=True))
    greedy, found = evaluate(policy, instances), evaluate(SearchPolicy(policy, local_search=True), instances)
    assert (found.latency_s < greedy.latency_s).all() and found.violations.sum() == 0


def test_it_acts_step_by_step_in_the_environment() -> None:
    policy = SearchPolicy(learned(), local_search=True)
    env = gym.make("offramp/DistPrivacy-v0")
    observation, info = env.reset(seed=2)
    for _ in range(3):
        action = policy.act(observation, env)
        assert info["action_mask"][action] == 1
        observation, _, _, _, info = env.step(action)
    with pytest.raises(ValueError, match=r"plans ahead, expected the environment: act\(observation, env"):
        policy.act(observation)


def test_runs_are_loaded_and_scored_with_search(tmp_path: Path) -> None:
    run = train(tiny(tmp_path)).folder
    assert run is not None
    policy = agents.load(run, samples=3, local_search=True)
    assert isinstance(policy, SearchPolicy) and policy.name == "dqn (run) + best of 3 + local search"
    config = EvaluateConfig(
        run=[str(run)], samples=3, local_search=True, baselines=["greedy"], instances=2, format="json"
    )
    config.check()
    rows = run_evaluate(config)["policies"]
    assert [row["policy"] for row in rows] == [policy.name, "greedy"] and rows[0]["gap_mean"] < rows[1]["gap_mean"]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"^samples is 0, expected a whole number >= 1"):
        SearchPolicy(learned(), samples=0)
    with pytest.raises(ValueError, match=r"^temperature is 0.0, expected a number > 0"):
        SearchPolicy(learned(), samples=2, temperature=0.0)
    with pytest.raises(ValueError, match=r"^samples and local_search are about runs, and run is empty"):
        EvaluateConfig(baselines=["greedy"], samples=2).check()
