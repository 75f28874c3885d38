"""Baselines: valid placements everywhere, the order among them, greedy and per-layer against independent calculation."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import reference
import strategies
from hypothesis import HealthCheck, assume, given, settings

import envs
from agents.baselines import BASELINES, baseline
from agents.evaluation import InstanceSet, Outcome, evaluate
from envs.distprivacy.generator import InstanceList, toy_instance
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.types import Device, Instance, Layer, Network, Request, RequestSolution, Solution, Task

assert envs.ENVIRONMENTS
PRIVATE = [name for name in BASELINES if name != "per-layer"]
FAST = ["random", "greedy", "packing"]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
examples = settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)


def drawn(name: str, count: int, **arguments: Any) -> InstanceSet:
    return InstanceSet.draw(scenario(name, **arguments), count, 7)


def score(name: str, instances: InstanceSet) -> Outcome:
    return evaluate(baseline(name), instances, keep_solutions=True)


def single(instance: Instance) -> InstanceSet:
    return InstanceSet.of(InstanceList([instance]), [instance])


def decoded(instances: InstanceSet) -> list[Instance]:
    simulator = instances.simulator()
    return [instances.generator.decode(head, simulator) for head in instances.heads]


@pytest.fixture(scope="module")
def fleets() -> InstanceSet:
    return drawn("lenet-random", 8)


# --- validity --------------------------------------------------------------------------------------------------------
def assert_valid(outcome: Outcome, instances: InstanceSet) -> None:
    """No violation by the package's replay and none by the reference, and the same latencies everywhere."""
    assert outcome.violations.tolist() == [0] * len(instances)
    for instance, solution, latencies in zip(decoded(instances), outcome.solutions, outcome.latency_s, strict=True):
        expected = reference.evaluate(instance, solution)
        assert expected.violations == []
        for latency, entry in zip(latencies, expected.latencies_s, strict=True):
            assert np.isnan(latency) if entry is None else latency == pytest.approx(entry, rel=1e-12)


@pytest.mark.parametrize("name", PRIVATE)
def test_placements_are_valid_and_every_request_is_served(name: str, fleets: InstanceSet) -> None:
    outcome = score(name, fleets)
    assert_valid(outcome, fleets)
    assert outcome.respects_privacy and outcome.rejected == 0 and outcome.requests.tolist() == [1] * 8


@pytest.mark.parametrize("name", PRIVATE)
def test_placements_of_whole_periods_are_valid(name: str) -> None:
    scenes: list[dict[str, Any]] = [
        {"name": "lenet-10", "requests": 4},
        {"name": "lenet-20", "churn": 0.4, "colluders": 2},
    ]
    for scene in scenes:
        instances = drawn(count=1, **scene)
        outcome = score(name, instances)
        assert_valid(outcome, instances)
        assert outcome.rejected == 0


@pytest.mark.parametrize("name", FAST)
def test_placements_under_scarce_budgets_are_valid(name: str) -> None:
    instances = drawn("mixed-70", 1, ssim=0.4)
    outcome = score(name, instances)
    assert outcome.violations.sum() == 0
    assert 0 <= outcome.rejected < outcome.requests.sum() == 16


def test_packing_serves_more_and_sends_less_than_greedy() -> None:
    instances = drawn("mixed-70", 2, ssim=0.4)
    packing, greedy = score("packing", instances), score("greedy", instances)
    assert packing.rejected < greedy.rejected
    fleets = drawn("lenet-random", 8)
    assert score("packing", fleets).mean_shared_bytes < score("greedy", fleets).mean_shared_bytes


# --- order -----------------------------------------------------------------------------------------------------------
def loss(solution: Solution) -> tuple[bool, float]:
    """What policies are compared by: served first, then latency."""
    (entry,) = solution.requests
    return entry.rejected, 0.0 if entry.latency_s is None else entry.latency_s


def assert_order(losses: dict[str, tuple[bool, float]]) -> None:
    for better, worse in (
        ("subset", "greedy"),
        ("lookahead", "greedy"),
        ("foresight", "subset"),
        ("local-search", "foresight"),
    ):
        (rejected, latency), (other_rejected, other) = losses[better], losses[worse]
        # a hair, because equal placements of another order add up differently
        assert (rejected, latency * (1 - 1e-12)) <= (other_rejected, other), f"{better} is worse than {worse}"


def test_planning_never_makes_greedy_worse(fleets: InstanceSet) -> None:
    outcomes = {name: score(name, fleets) for name in PRIVATE}
    for index in range(len(fleets)):
        assert_order({name: loss(outcome.solutions[index]) for name, outcome in outcomes.items()})
    means = {name: outcome.mean_latency_s for name, outcome in outcomes.items()}
    assert means["local-search"] < means["foresight"] < means["subset"] < means["greedy"] < means["random"]
    assert means["lookahead"] < means["greedy"]


@examples
@given(strategies.tiny_instances())
def test_no_baseline_beats_the_optimum(instance: Instance) -> None:
    valid = [
        latency
        for placement in reference.placements(instance, 0)
        if not (played := reference.evaluate(instance, Solution((placement,), 0.0))).violations
        and (latency := played.latencies_s[0]) is not None
    ]
    instances = single(instance)
    losses = {}
    for name in PRIVATE:
        outcome = score(name, instances)
        assert_valid(outcome, instances)
        rejected, latency = losses[name] = loss(outcome.solutions[0])
        assert rejected or latency >= min(valid) * (1 - 1e-9)
    assert_order(losses)


def test_subset_may_use_the_whole_fleet() -> None:
    layers = (Layer("a", "conv", 1, 6, 1, 1), Layer("b", "conv", 6, 4, 1, 9), Layer("c", "fc", 4, 2))
    task = Task({"net": Network("net", layers)}, {"net": {}})
    fleet = tuple(Device(f"device-{j}", 1e9, 1e3, 1e9) for j in range(3))
    instance = Instance(task, fleet, (Device("camera", 1e9, 1e9, 1e9),), (Request(0, "net"),))
    for name in ("greedy", "subset"):  # two maps of 36 multiplications each
        assert loss(score(name, single(instance)).solutions[0])[1] == pytest.approx(2 * 36 / 1e3, rel=1e-4)


# --- greedy ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["lenet-random", "cifar-70"])
def test_greedy_takes_the_smallest_increase_of_the_observation(name: str) -> None:
    env = gym.make("offramp/DistPrivacy-v0", scenario=name)
    core: Any = env.unwrapped
    increase = core.observation_layout["increase"]
    policy = baseline("greedy")
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        terminated, played = False, 0
        while not terminated and played < 100:
            action = policy.act(observation, core)
            valid = info["action_mask"] > 0
            assert valid[action] and observation[increase][action] == observation[increase][valid].min()
            observation, _, terminated, _, info = env.step(action)
            played += 1


@pytest.mark.parametrize("name", ["greedy", "packing"])
def test_acting_step_by_step_is_what_evaluation_plays(name: str, fleets: InstanceSet) -> None:
    expected = score(name, fleets)
    env = gym.make("offramp/DistPrivacy-v0")
    core: Any = env.unwrapped
    for index, instance in enumerate(decoded(fleets)[:3]):
        observation, _ = env.reset(seed=0, options={"instance": instance})
        terminated = False
        while not terminated:
            observation, _, terminated, _, _ = env.step(baseline(name).act(observation, core))
        assert core.request_solution().layers == expected.solutions[index].requests[0].layers


# --- per-layer -------------------------------------------------------------------------------------------------------
def best_chain(instance: Instance) -> float:
    """Lowest latency over all ways to give each distributed layer whole to one device, privacy and budgets aside."""
    task = instance.task
    free = Instance(
        Task(task.networks, {name: {} for name in task.networks}), instance.devices, instance.sources, instance.requests
    )
    layers = task.networks[instance.requests[0].network].distributed
    latencies = []
    for chain in itertools.product(range(len(instance.devices)), repeat=len(layers)):
        placed = {layer.name: (j,) * layer.segments for layer, j in zip(layers, chain, strict=True)}
        entry = RequestSolution(False, None, placed)
        (latency,) = replay(free, Solution((entry,), 0.0)).latencies_s
        assert latency == pytest.approx(reference.latency_and_bytes(instance, 0, entry)[0], rel=1e-12)
        latencies.append(latency)
    return min(latency for latency in latencies if latency is not None)


def test_per_layer_is_the_best_chain_of_the_toy() -> None:
    instance = toy_instance()
    outcome = score("per-layer", single(instance))
    assert outcome.latency_s[0, 0] == pytest.approx(best_chain(instance), rel=1e-12)
    assert not outcome.respects_privacy and outcome.violations[0] > 0
    for row in outcome.solutions[0].requests[0].layers.values():
        assert len(set(row)) == 1


@examples
@given(strategies.tiny_instances(budgets=()))
def test_per_layer_is_the_best_chain_of_tiny_instances(instance: Instance) -> None:
    limits = reference.limits(instance.task.networks["net-0"], instance.task)
    assume(any(limit != "source" for limit in limits))  # else there is nothing to decide
    outcome = score("per-layer", single(instance))
    assume(outcome.rejected == 0)  # on arrival, for want of private devices
    assert outcome.latency_s[0, 0] == pytest.approx(best_chain(instance), rel=1e-12)


def test_per_layer_breaks_privacy_and_no_budget() -> None:
    for name, kinds in (("cifar-70", {"privacy"}), ("lenet-10", {"privacy", "must_be_on_source"})):
        instances = drawn(name, 1)
        outcome = score("per-layer", instances)
        report = replay(decoded(instances)[0], outcome.solutions[0])
        assert {violation.kind for violation in report.violations} == kinds and outcome.rejected < outcome.requests[0]
    assert not outcome.respects_privacy and not baseline("per-layer").respects_privacy


# --- random ----------------------------------------------------------------------------------------------------------
def test_random_is_uniform_over_valid_devices_and_can_be_repeated(fleets: InstanceSet) -> None:
    env = gym.make("offramp/DistPrivacy-v0")
    core: Any = env.unwrapped
    observation, info = env.reset(seed=1)
    policy = baseline("random", 3)
    valid = np.flatnonzero(info["action_mask"])
    counts = np.bincount([policy.act(observation, core) for _ in range(200 * len(valid))], minlength=12)
    assert counts.sum() == counts[valid].sum() and abs(counts[valid] - 200).max() < 5 * np.sqrt(200)
    first, again = evaluate(policy, fleets), evaluate(policy, fleets)
    assert np.array_equal(first.latency_s, again.latency_s), "every evaluation begins the random numbers afresh"
    assert not np.array_equal(first.latency_s, evaluate(baseline("random", 4), fleets).latency_s)


# --- wrong input -----------------------------------------------------------------------------------------------------
def test_unknown_names_and_missing_environments_are_named() -> None:
    with pytest.raises(ValueError, match=r"^baseline is 'gredy', expected one of random, greedy, packing"):
        baseline("gredy")
    with pytest.raises(
        ValueError, match=r"^policy greedy plans ahead, expected the environment: act\(observation, env"
    ):
        baseline("greedy").act(np.zeros(240, np.float32))
