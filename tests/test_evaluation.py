"""Evaluation: the same instances for all, the same numbers as the environment itself, replayed placements, scores."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from numpy.typing import NDArray
from rich.console import Console

import envs
from agents import evaluation
from agents.baselines import Planner, baseline
from agents.evaluation import InstanceSet, Outcome, evaluate
from agents.learned import LearnedPolicy
from agents.output import plain
from agents.policies import DeviceQNetwork
from agents.scores import Scores, interval, score_all
from envs.distprivacy.generator import InstanceList
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.simulator import Options
from envs.distprivacy.types import Instance

assert envs.ENVIRONMENTS
th.set_num_threads(1)


def learned(options: Options | None = None) -> LearnedPolicy:
    """A policy of random weights: far from greedy, hence placements of every kind."""
    env = gym.make("offramp/DistPrivacy-v0")
    with th.random.fork_rng():
        th.manual_seed(3)
        network = DeviceQNetwork(env.observation_space, env.action_space, hidden=16)
        th.nn.init.normal_(network.value.weight)
    return LearnedPolicy("random weights", network, options or Options(), masked=True, fixed_length=None)


def drawn(name: str = "lenet-random", count: int = 6, **arguments: Any) -> InstanceSet:
    return InstanceSet.draw(scenario(name, **arguments), count, 11)


def decoded(instances: InstanceSet) -> list[Instance]:
    simulator = instances.simulator()
    return [instances.generator.decode(head, simulator) for head in instances.heads]


# --- instances -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["lenet-random", "mixed-70"])
def test_a_seed_draws_the_same_instances(name: str) -> None:
    generator = scenario(name, churn=0.2)
    first = InstanceSet.draw(generator, 8, 5)
    assert np.array_equal(first.heads, InstanceSet.draw(scenario(name, churn=0.2), 8, 5).heads)
    assert np.array_equal(first.heads[:3], InstanceSet.draw(generator, 3, 5).heads), "more instances begin alike"
    assert not np.array_equal(first.heads, InstanceSet.draw(generator, 8, 6).heads)
    assert len({head.tobytes() for head in first.heads}) == len(first) == 8


def test_held_out_instances_are_not_those_of_training() -> None:
    env = gym.make("offramp/DistPrivacy-v0")
    trained_on = []
    for seed in (0, 11):
        env.reset(seed=seed)
        trained_on += [env.unwrapped.instance]  # type: ignore[attr-defined]
    held_out = [
        instance for seed in (0, 11) for instance in decoded(InstanceSet.draw(scenario("lenet-random"), 9, seed))
    ]
    assert not any(instance in trained_on for instance in held_out)


def test_given_instances_keep_their_order() -> None:
    given = decoded(drawn())
    instances = InstanceSet.of(InstanceList(given[::-1]), given)
    assert decoded(instances) != given == decoded(InstanceSet.of(InstanceList(given), given))
    chosen = InstanceSet.of(InstanceList(given), given)
    assert np.array_equal(
        evaluate(baseline("greedy"), chosen).latency_s, evaluate(baseline("greedy"), drawn()).latency_s
    )


class Witness(Planner):
    """A planner that notes the instances that it is given."""

    def __init__(self, instances: InstanceSet, name: str) -> None:
        inner = baseline(name)
        super().__init__(name, inner.meaning, inner._plan)
        self.instances, self.seen = instances, list[Instance]()

    def place_request(self, simulator: Any, row: NDArray[np.float64], place: NDArray[np.int16]) -> None:
        self.seen.append(self.instances.generator.decode(row[: simulator.instance_length], simulator))
        super().place_request(simulator, row, place)


def test_all_policies_get_the_same_instances() -> None:
    instances = drawn("lenet-20", 4, churn=0.3)
    heads = instances.heads.copy()
    expected = decoded(instances)
    for name in ("random", "local-search", "packing"):
        witness = Witness(instances, name)
        evaluate(witness, instances)
        assert witness.seen[1:] == expected, "the first call warms up"
    evaluate(learned(), instances)
    assert np.array_equal(instances.heads, heads)


# --- numbers ---------------------------------------------------------------------------------------------------------
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"name": "lenet-20", "count": 3, "churn": 0.3}, {}),
    ({"name": "lenet-10", "count": 2}, {}),
    ({"name": "cifar-70", "count": 1, "requests": 3}, {"granularity": 8, "inherit": True, "traffic_price": 0.5}),
]


@pytest.mark.parametrize(("scene", "options"), CASES, ids=["one request", "absent devices", "periods", "options"])
def test_evaluation_plays_what_the_environment_plays(scene: dict[str, Any], options: dict[str, Any]) -> None:
    instances = drawn(**scene)
    policy = learned(Options(**options))
    outcome = evaluate(policy, instances)
    env = gym.make("offramp/DistPrivacy-v0", scenario=instances.generator, **options)
    for index, instance in enumerate(decoded(instances)):
        observation, info = env.reset(seed=0, options={"instance": instance})
        for request in range(len(instance.requests)):
            if request:
                observation, info = env.reset()
            assert info["request"] == request
            terminated = False
            while not terminated:
                observation, _, terminated, _, info = env.step(policy.act(observation))
            assert not info["rejected"] and not info["invalid_action"]
            assert outcome.latency_s[index, request] == pytest.approx(info["latency_s"], rel=1e-12)
            assert outcome.shared_bytes[index, request] == info["shared_bytes"]
    assert outcome.violations.sum() == 0 and outcome.rejected == 0


def test_more_instances_than_a_batch_are_played_alike() -> None:
    instances, policy = drawn(count=7), learned()
    whole = evaluate(policy, instances)
    done: list[int] = []
    parts = evaluate(policy, instances, batch_size=3, progress=done.append)
    assert np.array_equal(whole.latency_s, parts.latency_s) and done == [3, 6, 7]


class Forbidden:
    """Takes the first device that the mask forbids, where there is one."""

    name, respects_privacy, options = "forbidden", True, Options()

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.asarray(observation[:, -12:].argmin(axis=1))


def test_forbidden_actions_reject_requests_and_do_not_break_constraints() -> None:
    outcome = evaluate(Forbidden(), drawn())
    assert np.isnan(outcome.latency_s).all() and math.isnan(outcome.mean_latency_s)
    assert (outcome.rejected, outcome.rejection_rate, outcome.violations.sum()) == (6, 1.0, 0)


def test_placements_are_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    instances = drawn(count=2)
    assert evaluate(baseline("greedy"), instances).solutions == []
    assert len(evaluate(baseline("greedy"), instances, keep_solutions=True, check=False).solutions) == 2
    assert evaluate(baseline("per-layer"), instances).violations.min() > 0
    assert evaluate(baseline("per-layer"), instances, check=False).violations.max() == 0

    def dishonest(*arguments: Any) -> Any:
        report = replay(*arguments)
        return replace(report, latencies_s=tuple(1.00001 * (latency or 0.0) for latency in report.latencies_s))

    monkeypatch.setattr(evaluation, "replay", dishonest)
    with pytest.raises(RuntimeError, match=r"^policy greedy, instance 0, request 0: played 0\.00\d+ s, replayed"):
        evaluate(baseline("greedy"), instances)


# --- scores ----------------------------------------------------------------------------------------------------------
def made(name: str, latency: list[list[float]], respects: bool = True) -> Outcome:
    """An outcome by hand: nan is a rejected request."""
    seconds = np.array(latency)
    requests = np.full(len(seconds), seconds.shape[1])
    return Outcome(name, respects, seconds, requests, 1e3 * seconds, np.zeros(len(seconds), np.int64), 0.001)


def test_means_are_over_served_requests() -> None:
    outcome = made("a", [[1.0, np.nan], [2.0, 6.0]])
    assert (outcome.rejected, outcome.rejection_rate) == (1, 0.25)
    assert (outcome.mean_latency_s, outcome.mean_shared_bytes) == (3.0, 3000.0)


def test_intervals_hold_the_mean_and_shrink_with_instances() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (20, 2000):
        latency = rng.exponential(1.0, (count, 1))
        low, high = interval(latency)
        assert low < latency.mean() < high and (low, high) == interval(latency)
        widths.append(high - low)
    assert widths[1] < widths[0] / 5
    assert widths[1] == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.2)
    assert all(math.isnan(bound) for bound in interval(np.full((3, 2), np.nan)))


def test_policies_are_compared_on_requests_that_all_served() -> None:
    instances = drawn(count=5)
    policies = [baseline("subset"), baseline("greedy"), baseline("per-layer")]
    scores = score_all(policies, instances, "a title", progress=False)
    data = json.loads(json.dumps(plain(scores.to_dict()), allow_nan=False))
    assert data["title"] == "a title" and [row["policy"] for row in data["policies"]] == [
        "subset",
        "greedy",
        "per-layer",
    ]
    for row, policy in zip(data["policies"], policies, strict=True):
        alone = evaluate(policy, instances)
        assert row["latency_s"] == row["latency_common_s"] == alone.mean_latency_s
        assert row["worst_latency_s"] == alone.latency_s.max()
        assert row["latency_interval_s"][0] <= row["latency_s"] <= row["latency_interval_s"][1]
        assert (row["requests"], row["violations"]) == (5, alone.violations.sum())
    text = StringIO()
    Console(file=text, width=100).print(scores.table())
    lines = text.getvalue().splitlines()
    order = [
        line.split()[0] for line in lines if line.split() and line.split()[0] in {policy.name for policy in policies}
    ]
    assert order == ["subset", "greedy", "per-layer"] and any("per-layer *" in line for line in lines)


def test_the_share_of_instances_in_which_greedy_is_faster_counts_those_that_both_serve() -> None:
    greedy = made("greedy", [[1.0], [2.0], [3.0], [np.nan], [5.0]])
    mine = made("mine", [[1.0 + 1e-12], [2.5], [2.0], [1.0], [np.nan]])
    rows = Scores("t", [mine, greedy]).to_dict()["policies"]
    assert [row["slower_than_greedy"] for row in rows] == [pytest.approx(1 / 3), 0.0]
    assert Scores("t", [mine]).to_dict()["policies"][0]["slower_than_greedy"] is None
    assert (
        Scores("t", [made("mine", [[np.nan]]), made("greedy", [[1.0]])]).to_dict()["policies"][0]["slower_than_greedy"]
        is None
    )


def test_rejections_come_first_in_the_table() -> None:
    few, many = made("few", [[3.0, 4.0]]), made("many", [[1.0, np.nan]])
    scores = Scores("t", [many, few])
    text = StringIO()
    Console(file=text, width=100).print(scores.table())
    assert text.getvalue().index("few") < text.getvalue().index("many")
