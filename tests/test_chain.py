"""The proven least latency of one request against exhaustive search, known numbers and its own claims."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import reference
from tiny_requests import Exhaustive, random_request

from envs.distprivacy.files import check_fits
from envs.distprivacy.generator import toy_instance
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.types import Instance, Layer, Network, RequestSolution, Solution
from optimal import block_optimum
from optimal.chain import RequestOptimum, solve_request

FUZZ = int(os.environ.get("OFFRAMP_FUZZ", "0"))
"""0: the same instances on every run; n > 0: n times as many, drawn anew."""


def assert_replays(instance: Instance, found: RequestOptimum) -> None:
    """The placement meets every privacy limit, and the physics (and the reference, on small fleets) gives its latency."""
    assert found.latency_s is not None and found.layers is not None
    solution = Solution((RequestSolution(False, found.latency_s, found.layers),), found.latency_s)
    alone = replace(instance, requests=instance.requests[:1])
    check_fits(solution, alone)
    report = replay(alone, solution)
    assert not [
        violation for violation in report.violations if violation.kind not in ("memory", "compute", "bandwidth")
    ]
    assert report.latencies_s[0] == pytest.approx(found.latency_s, rel=1e-9)
    if len(instance.devices) <= 20:
        assert reference.evaluate(alone, solution).latencies_s[0] == pytest.approx(found.latency_s, rel=1e-9)
    assert found.bound_s <= found.latency_s


@pytest.mark.parametrize("seed", range(4))
def test_no_placement_of_a_tiny_request_is_better(seed: int) -> None:
    rng = np.random.default_rng(None if FUZZ else seed)
    finished = 0
    for _ in range(100 * max(FUZZ, 1)):
        instance = random_request(rng)
        found = solve_request(instance, 0)
        assert found.status in ("optimal", "infeasible")
        if found.status == "optimal":
            assert_replays(instance, found)
        search = Exhaustive(instance, found.bound_s * (1 - 1e-9), most_nodes=30_000)
        assert search.better() is None, instance
        finished += search.finished()
    assert finished >= 90 * max(FUZZ, 1)


@pytest.mark.parametrize("stop", ["time", "nodes"])
def test_a_search_that_is_cut_short_still_states_a_bound_that_holds(stop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    loose = 0
    for instance in [random_request(rng) for _ in range(150)]:
        exact = solve_request(instance, 0)
        with monkeypatch.context() as patch:
            patch.setattr(block_optimum, "_MOST_NODES", 10_000 if stop == "time" else 1)
            cut = solve_request(instance, 0, time_limit=0.0 if stop == "time" else None)
        assert cut.bound_s <= exact.bound_s * (1 + 1e-9)
        if cut.latency_s is not None:
            assert_replays(instance, cut)
            assert exact.latency_s is not None and cut.latency_s >= exact.latency_s * (1 - 1e-9)
            assert (cut.status == "optimal") == (cut.latency_s - cut.bound_s <= 1e-9 * cut.latency_s)
            loose += cut.status == "feasible"
    assert loose


def test_the_known_optimum_of_the_comparison_with_the_paper() -> None:
    for ssim in (0.8, 0.6, 0.4):
        instance = scenario("lenet-10", ssim=ssim).sample(np.random.default_rng(0))
        found = solve_request(instance, 3)
        assert found.status == "optimal" and found.latency_s == pytest.approx(0.73700621e-3, rel=1e-8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet-random", {}),
        ("lenet-random", {"ssim": 0.8, "privacy_scope": "layer"}),
        ("lenet-random", {"ssim": 0.8, "colluders": 2}),
        ("lenet-20", {}),
        ("lenet-70", {}),
        ("cifar-70", {"ssim": 0.4}),
        ("vgg-70", {"ssim": 0.6}),
    ],
)
def test_requests_of_the_scenarios_are_proven(name: str, options: dict[str, object]) -> None:
    generator = scenario(name, **options)  # type: ignore[arg-type]
    rng = np.random.default_rng(3)
    for _ in range(1 if name in ("cifar-70", "vgg-70") else 5):
        instance = generator.sample(rng)
        found = solve_request(instance, 0)
        assert found.status == "optimal"
        assert_replays(instance, found)


def test_a_request_that_privacy_forbids_is_infeasible() -> None:
    toy = toy_instance()
    found = solve_request(replace(toy, devices=toy.devices[:1]), 0)  # limit 1 for two maps
    assert (found.status, found.latency_s, found.layers, found.bound_s) == ("infeasible", None, None, float("inf"))


def test_a_network_without_a_decision_has_one_latency() -> None:
    toy = toy_instance()
    network = Network("toy", (Layer("conv1", "conv", 1, 2, 16, 9), Layer("fc1", "fc", 32, 4)))
    instance = replace(toy, task=replace(toy.task, networks={"toy": network}, privacy={"toy": {}}))
    found = solve_request(instance, 0)
    assert found.status == "optimal" and found.layers == {}
    assert found.latency_s == pytest.approx((9 * 2 * 16 + 32 * 4) / 1e6)
