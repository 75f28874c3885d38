"""The compiled physics of segment allocation against the slow reference: replay, episodes, budgets, known numbers."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
import reference
import strategies
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.distprivacy import state as s
from envs.distprivacy.placement import placement_of
from envs.distprivacy.replay import replay
from envs.distprivacy.simulator import Options, Simulator
from envs.distprivacy.types import Device, Instance, Layer, Network, Request, RequestSolution, Solution, Task

FUZZ = int(os.environ.get("OFFRAMP_FUZZ", "0"))
"""0: the same examples on every run; n > 0: n times as many, drawn anew."""


def examples(count: int) -> settings:
    """Hypothesis settings for ``count`` examples."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(
        max_examples=count * max(FUZZ, 1),
        deadline=None,
        derandomize=FUZZ == 0,
        database=None,
        suppress_health_check=slow,
    )


def close(value: float, expected: float) -> bool:
    return abs(value - expected) <= 1e-12 * max(abs(value), abs(expected))


def assert_same_report(instance: Instance, solution: Solution) -> None:
    """The package's replay and the reference agree on every number and every violation."""
    report, expected = replay(instance, solution), reference.evaluate(instance, solution)
    for mine, theirs in zip(report.latencies_s, expected.latencies_s, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or theirs is None or close(mine, theirs), (mine, theirs)
    assert list(report.shared_bytes) == expected.shared_bytes
    assert close(report.objective_s, sum(latency for latency in expected.latencies_s if latency is not None))
    found = sorted((v.kind, v.request, v.layer, v.device, v.amount) for v in report.violations if v.request is not None)
    assert found == sorted(entry for entry in expected.violations if entry[1] is not None)
    period = sorted((v.kind, v.device, v.amount) for v in report.violations if v.request is None)
    wanted = sorted(
        (kind, device, amount) for kind, request, _, device, amount in expected.violations if request is None
    )
    assert [entry[:2] for entry in period] == [entry[:2] for entry in wanted]
    assert [entry[2] for entry in period] == pytest.approx([entry[2] for entry in wanted], rel=1e-9)


def used(simulator: Simulator, row: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the period has used so far: memory, compute, bandwidth of the devices and of the sources."""
    d, slots = simulator.dims, simulator.max_devices
    parts = [row[d[part] : d[part] + slots] for part in (s.O_USED_MEMORY, s.O_USED_COMPUTE, s.O_USED_BANDWIDTH)]
    return np.concatenate([*parts, row[d[s.O_SOURCE_USED] : d[s.O_SOURCE_USED] + 3 * simulator.max_sources]])


def upper_bound(instance: Instance, index: int) -> float:
    """Every layer whole on the slowest device, all its data over the slowest link, seconds (section 7)."""
    request = instance.requests[index]
    layers = instance.task.networks[request.network].layers
    everyone = (*instance.devices, instance.sources[request.source])
    work = sum(reference.segments(layer) * reference.mults(layer) for layer in layers)
    data = sum(
        4 * layer.out_pixels * layer.outputs if following.kind == "fc" or layer.kind != "conv"
        else 4 * layer.out_pixels * reference.segments(following)
        for layer, following in pairwise(layers)
    )  # fmt: skip
    return work / min(d.mults_per_s for d in everyone) + data / min(d.rate_bytes_per_s for d in everyone)


# --- replay ----------------------------------------------------------------------------------------------------------
@examples(300)
@given(st.data())
def test_replay_equals_the_reference(data: st.DataObject) -> None:
    instance = data.draw(strategies.instances())
    assert_same_report(instance, data.draw(strategies.solutions(instance)))


@examples(100)
@given(st.data())
def test_no_complete_placement_takes_longer_than_the_upper_bound(data: st.DataObject) -> None:
    instance = data.draw(strategies.instances())
    solution = data.draw(strategies.solutions(instance))
    for index, latency in enumerate(reference.evaluate(instance, solution).latencies_s):
        assert latency is None or latency <= upper_bound(instance, index) * (1 + 1e-12)


# --- episodes --------------------------------------------------------------------------------------------------------
class Player:
    """Plays a period with random actions, request by request, and keeps what came out of it.

    ``invalid``: share of actions that the mask forbids. ``slots``: device slots; the devices in ``absent`` have left.
    """

    def __init__(
        self,
        instance: Instance,
        options: Options,
        seed: int,
        invalid: float = 0.0,
        slots: int = 0,
        absent: frozenset[int] = frozenset(),
    ) -> None:
        present = tuple(device for j, device in enumerate(instance.devices) if j not in absent)
        self.instance = Instance(instance.task, present, instance.sources, instance.requests, instance.period_s)
        slots = max(slots, len(instance.devices))
        self.simulator = Simulator(instance.task, slots, len(instance.sources), len(instance.requests), options)
        self.head = self.simulator.encode(instance, absent)
        self.rng, self.invalid = np.random.default_rng(seed), invalid
        rows, places = self.simulator.new_state(1)
        self.row, self.place = rows[0], places[0]
        self.entries: list[RequestSolution] = []
        self.actions: list[int] = []
        self.returns: dict[int, float] = {}  # request -> its rewards times the scale, seconds
        self.simulator.begin(self.row, self.head)
        while (request := self.simulator.next_request(self.row, self.place)) >= 0:
            self._book_undecided(request)
            assert close(self.row[s.UPPER], upper_bound(self.instance, request))
            before = used(self.simulator, self.row)
            self.returns[request] = self._play_request() * self.row[s.SCALE]
            self.entries.append(placement_of(self.simulator, self.row, self.place))
            if self.entries[-1].rejected:
                np.testing.assert_array_equal(used(self.simulator, self.row), before)
        self._book_undecided(len(self.instance.requests))

    def solution(self) -> Solution:
        return Solution(tuple(self.entries), 0.0)

    def _book_undecided(self, until: int) -> None:
        """Requests before ``until`` that asked nothing: all on their source and served, or rejected on arrival."""
        for request in range(len(self.entries), until):
            self.entries.append(RequestSolution(True, None))
            network = self.instance.task.networks[self.instance.requests[request].network]
            if set(reference.limits(network, self.instance.task)[1:-1]) <= {"source"}:
                only = next(reference.placements(self.instance, request))
                padding = [RequestSolution(True, None)] * (len(self.instance.requests) - request - 1)
                trial = Solution((*self.entries[:-1], only, *padding), 0.0)
                if not reference.evaluate(self.instance, trial).violations:
                    self.entries[-1] = only

    def _play_request(self) -> float:
        """The sum of the rewards of the current request."""
        total, terminated = 0.0, False
        while self.row[s.STATUS] == s.DECIDE:
            mask, layer = self.simulator.mask(self.row), self.row[s.LAYER]
            assert mask.any()
            wrong = self.rng.random() < self.invalid
            choices = [-1, len(mask), *np.flatnonzero(~mask)] if wrong else np.flatnonzero(mask)
            self.actions.append(int(self.rng.choice(choices)))
            reward, terminated, valid = self.simulator.step(self.row, self.place, self.actions[-1])
            assert valid != wrong
            assert not wrong or self.row[s.STATUS] == s.REJECTED
            if self.row[s.STATUS] == s.DECIDE:
                assert terminated == (self.simulator.options.episode == "layer" and self.row[s.LAYER] != layer)
            total += reward
        assert terminated
        return total


@st.composite
def players(draw: st.DrawFn, episode: str, share: float = 0.0) -> Player:
    instance = draw(strategies.instances())
    absent = draw(st.sets(st.integers(0, len(instance.devices) - 1), max_size=len(instance.devices) - 1))
    options = Options(episode, granularity=draw(st.sampled_from((1, 1, 2, 3))), inherit=draw(st.booleans()))
    slots = len(instance.devices) + draw(st.integers(0, 2))
    return Player(instance, options, draw(st.integers(0, 2**32)), share, slots, frozenset(absent))


@examples(300)
@given(st.data(), st.sampled_from(("request", "layer")), st.sampled_from((0.0, 0.0, 0.1)))
def test_masked_episodes_break_nothing_and_return_minus_the_latency(
    data: st.DataObject, episode: str, share: float
) -> None:
    player = data.draw(players(episode, share))
    outcome = reference.evaluate(player.instance, player.solution())
    assert outcome.violations == []
    assert_same_report(player.instance, player.solution())
    for request, entry in enumerate(player.entries):
        if not entry.rejected and request in player.returns:
            assert entry.latency_s is not None
            expected = outcome.latencies_s[request]
            assert expected is not None and close(entry.latency_s, expected)
            assert player.returns[request] == pytest.approx(-expected, rel=1e-12)
        elif request in player.returns:
            assert player.returns[request] == pytest.approx(-1.01 * upper_bound(player.instance, request), rel=1e-12)
    served = [latency for latency in outcome.latencies_s if latency is not None]
    assert player.row[s.SERVED_COUNT] == len(served)
    assert player.row[s.REJECTED_COUNT] == len(player.entries) - len(served)
    assert close(player.row[s.LATENCY_SUM], sum(served))
    assert close(player.row[s.BYTES_SUM], sum(outcome.shared_bytes))
    everyone = [("device", j) for j in range(len(player.instance.devices))]
    total = sum(outcome.compute[owner] for owner in everyone)
    at, slots = player.simulator.dims[s.O_USED_COMPUTE], player.simulator.max_devices
    assert close(player.row[at : at + slots].sum(), total)


@examples(150)
@given(st.data())
def test_a_period_episode_returns_minus_all_its_latencies(data: st.DataObject) -> None:
    player = data.draw(players("request"))
    assume(player.actions)
    o = player.simulator.options
    simulator = Simulator(
        player.instance.task,
        player.simulator.max_devices,
        player.simulator.max_sources,
        player.simulator.max_requests,
        Options("period", granularity=o.granularity, inherit=o.inherit),
    )
    rows, places = simulator.new_state(1)
    for _ in range(2):  # the second time everything begins afresh
        simulator.begin(rows[0], player.head)
        simulator.next_request(rows[0], places[0])
        total = 0.0
        for at, action in enumerate(player.actions, start=1):
            reward, terminated, valid = simulator.step(rows[0], places[0], action)
            assert valid and terminated == (at == len(player.actions))
            total += reward
        expected = 0.0
        for request, entry in enumerate(player.entries):
            if entry.rejected:
                expected += 1.01 * upper_bound(player.instance, request)
            else:
                expected += reference.latency_and_bytes(player.instance, request, entry)[0]
        assert total * rows[0, s.PERIOD_SCALE] == pytest.approx(-expected, rel=1e-12)
        np.testing.assert_array_equal(used(simulator, rows[0]), used(player.simulator, player.row))


def test_a_rejected_request_leaves_its_budgets_to_the_next() -> None:
    """Budgets of one request exactly: the second is served only where the first was rejected."""
    layers = (
        Layer("conv", "conv", 1, 2, 4, 9),
        Layer("relu", "act", 2, 2, 4),
        Layer("deep", "conv", 2, 3, 4, 9),
        Layer("fc", "fc", 12, 2),
    )
    task = Task({"net": Network("net", layers)}, {"net": {}})
    device = Device("device", 2 * 4 * 9 * 3, 100.0, 100.0, 2 * 9 * 3 * 4, 2 * 16 + 3 * 16)
    source = Device("source", 1e6, 100.0, 100.0, 1e6, 1e6)
    instance = Instance(task, (device,), (source,), (Request(0, "net"), Request(0, "net")))
    simulator = Simulator.of(instance)
    rows, places = simulator.new_state(1)
    row, place = rows[0], places[0]

    def play(actions: list[int]) -> None:
        for action in actions:
            simulator.step(row, place, action)

    for first, served in (([0, 0, 0, 0], 0), ([0, 0, 0, -1], 1)):
        simulator.begin(row, simulator.encode(instance))
        assert simulator.next_request(row, place) == 0
        play(first)
        assert (row[s.STATUS] == s.REJECTED) == bool(served)
        assert simulator.next_request(row, place) == (1 if served else -1)
        if served:
            play([0, 0, 0, 0])
            assert row[s.STATUS] == s.SERVED
        assert (row[s.SERVED_COUNT], row[s.REJECTED_COUNT]) == (1, 1)
