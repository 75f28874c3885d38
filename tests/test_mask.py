"""The action mask of segment allocation on tiny instances, whose placements are all listed: sound, valid, without traps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import reference
import strategies
from hypothesis import given
from numpy.typing import NDArray
from test_physics import close, examples, upper_bound

from envs.distprivacy import state as s
from envs.distprivacy.placement import placement_of
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import Instance, Solution

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
            tree.traps.append((int(row[s.LAYER]), int(row[s.SEGMENT])))
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


@examples(120)
@given(strategies.tiny_instances())
def test_the_mask_allows_the_valid_placements_and_no_other(instance: Instance) -> None:
    reached, valid = explore(instance).reached, valid_placements(instance)
    assert set(valid) - set(reached) == set(), "the mask hides a valid placement"
    assert set(reached) - set(valid) == set(), "the mask allows a placement that breaks a constraint"
    assert all(close(reached[placement], latency) for placement, latency in valid.items())


@examples(150)
@given(strategies.tiny_instances("layer"))
def test_a_layer_begun_can_be_completed(instance: Instance) -> None:
    assert explore(instance).traps == []
