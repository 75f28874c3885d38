"""Random placements that keep every constraint, drawn through the environment's own mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.distprivacy import state as s
from envs.distprivacy.placement import placement_of
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import Instance, RequestSolution

TRIES = 100
"""Placements that are tried until one ends in no dead end."""


def random_allocation(instance: Instance, request: int, rng: np.random.Generator) -> RequestSolution:
    """A valid placement of one request, as if it were the only one of its period.

    Each map goes to a device out of those that the mask allows, by odds that are drawn anew for each placement, from nearly
    even ones to such that a few devices get nearly all they may take.

    Args:
        instance: the fleet and the networks.
        request: index of the request.
        rng: source of all randomness.

    Raises:
        ValueError: none of 100 tries came to an end.
    """
    alone = replace(instance, requests=(instance.requests[request],))
    simulator = Simulator.of(alone)
    rows, places = simulator.new_state(1)
    row, place = rows[0], places[0]
    head = simulator.encode(alone)
    for _ in range(TRIES):
        odds = np.log(rng.dirichlet(np.full(len(alone.devices), 10.0 ** rng.uniform(-1, 1))) + 1e-9)
        simulator.begin(row, head)
        simulator.next_request(row, place)
        while row[s.STATUS] == s.DECIDE:
            # the largest of log odds plus Gumbel noise is a draw by the odds
            drawn = np.where(simulator.mask(row), odds + rng.gumbel(size=len(odds)), -np.inf)
            simulator.step(row, place, int(drawn.argmax()))
        placement = placement_of(simulator, row, place)
        if not placement.rejected:
            return placement
    raise ValueError(f"requests[{request}]: no valid allocation was found in {TRIES} random tries, expected one")
