"""The action mask of segment allocation on tiny instances, whose placements are all listed: sound, valid, without traps."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
import reference
import strategies
from hypothesis import given
from numpy.typing import NDArray
from test_physics import close, examples, upper_bound

from envs.distprivacy import state as s
from envs.distprivacy.placement import placement_of
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import Device, Instance, Layer, Network, Request, RequestSolution, Solution, Task

Row, Place = NDArray[np.float64], NDArray[np.int16]
Placement = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class Tree:
    """All that the mask lets happen to the one request of an instance."""

    reached: dict[Placement, float] = field(default_factory=dict)  # complete placement -> latency, seconds
    traps: list[tuple[int, int]] = field(
        default_factory=list
    )  # dead ends inside a layer that was begun: layer, segment
    dead_ends: int = 0  # dead ends on the way into a layer


def walk(simulator: Simulator, row: Row, place: Place, tree: Tree) -> None:
    """Follow every allowed action from here on."""
    if row[s.STATUS] == s.SERVED:
        entry = placement_of(simulator, row, place)
        assert entry.latency_s is not None
        tree.reached[tuple(entry.layers.items())] = entry.latency_s
    elif row[s.STATUS] == s.REJECTED:
        if row[s.SEGMENT] > 0:
            tree.traps.append((place, int(row[s.LAYER]), int(row[s.SEGMENT])))
        else:
            tree.dead_ends += 1
    else:
        for action in np.flatnonzero(simulator.mask(row)):
            next_row, next_place = row.copy(), place.copy()
            _, _, valid = simulator.step(next_row, next_place, int(action))
            assert valid
            walk(simulator, next_row, next_place, tree)


def explore(instance: Instance) -> Tree:
    simulator, tree = Simulator.of(instance), Tree()
    rows, places = simulator.new_state(1)
    simulator.begin(rows[0], simulator.encode(instance))
    simulator.next_request(rows[0], places[0])
    walk(simulator, rows[0], places[0], tree)
    return tree


def valid_placements(instance: Instance) -> dict[Placement, float]:
    """Every placement without a violation, with its latency, by the reference."""
    result = {}
    for entry in reference.placements(instance, 0):
        outcome = reference.evaluate(instance, Solution((entry,), 0.0))
        assert outcome.latencies_s[0] is not None
        assert outcome.latencies_s[0] <= upper_bound(instance, 0) * (1 + 1e-12)
        if not outcome.violations:
            result[tuple(entry.layers.items())] = outcome.latencies_s[0]
    return result


def check_mask(instance: Instance) -> None:
    reached, valid = explore(instance).reached, valid_placements(instance)
    assert set(valid) - set(reached) == set(), "the mask hides a valid placement"
    assert set(reached) - set(valid) == set(), "the mask allows a placement that breaks a constraint"
    assert all(close(reached[placement], latency) for placement, latency in valid.items())


@examples(120)
@given(strategies.tiny_instances())
def test_the_mask_allows_the_valid_placements_and_no_other(instance: Instance) -> None:
    check_mask(instance)


@pytest.mark.parametrize("bandwidth", [0.0, 4.0, 8.0, 12.0, 16.0])
@pytest.mark.parametrize("middle", ["act", "conv"])
def test_a_conv_that_sends_all_its_sums_to_the_source(middle: str, bandwidth: float) -> None:
    """Its holder pays for every output map, so giving its maps away may be all that it can afford, or keeping them all."""
    inside = Layer("middle", "act", 1, 1, 1) if middle == "act" else Layer("middle", "conv", 1, 2, 1, 1)
    layers = (
        Layer("first", "conv", 1, 1, 1, 1),
        inside,
        Layer("deep", "conv", inside.outputs, 2, 1, 1),
        Layer("last", "conv", 2, 1, 1, 1),
    )
    task = Task({"net-0": Network("net-0", layers)}, {"net-0": {}})
    ample = Device("ample", 1e12, 1.0, 1.0, 1e12, 1e12)
    short = Device("short", 1e12, 1.0, 1.0, 1e12, bandwidth)
    check_mask(Instance(task, (ample, short), (ample,), (Request(0, "net-0"),)))


def completes_so_far(instance: Instance, place: Place, offsets: list[int], k: int, p: int) -> bool:
    """Whether maps ``p`` and later of layer k can be placed within all constraints, sends after layer k not counted."""
    network = instance.task.networks["net-0"]
    count = reference.segments(network.layers[k])
    known = [[int(j) for j in place[offsets[q] : offsets[q] + reference.segments(network.layers[q])]] for q in range(k)]
    known = [[-1 if j == len(instance.devices) else j for j in where] for where in known]
    begun = [int(j) for j in place[offsets[k] : offsets[k] + p]]
    for rest in itertools.product(range(len(instance.devices)), repeat=count - p):
        layers = {network.layers[q].name: tuple(known[q]) for q in range(1, k)}
        layers[network.layers[k].name] = (*begun, *rest)
        if not reference.violations_until(instance, RequestSolution(False, 0.0, layers), k):
            return True
    return False


@examples(150)
@given(strategies.tiny_instances("layer"))
def test_a_layer_begun_can_be_completed(instance: Instance) -> None:
    """No trap but the one that the mask does not promise to see: holders without the bandwidth for a later layer.

    A trap is one of those if the layer still has a completion that keeps to all constraints up to this layer.
    """
    network = instance.task.networks["net-0"]
    offsets = list(itertools.accumulate((reference.segments(layer) for layer in network.layers), initial=0))
    for place, layer, segment in explore(instance).traps:
        assert completes_so_far(instance, place, offsets, layer, segment)


@examples(80)
@given(strategies.tiny_instances("layer", budgets=("memory", "compute")))
def test_memory_compute_and_privacy_never_trap(instance: Instance) -> None:
    assert explore(instance).traps == []


@examples(80)
@given(strategies.tiny_instances("group", budgets=()))
def test_shared_maps_never_trap_where_budgets_are_ample(instance: Instance) -> None:
    """`group` scope; where memory or compute bind at a conv layer, the mask does not promise it."""
    assert explore(instance).traps == []
