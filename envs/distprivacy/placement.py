"""From placement rows to the placements that solution files hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import RequestSolution


def placement_of(simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16]) -> RequestSolution:
    """The finished request in ``row`` and ``place``, with device indices counted over present devices, -1 for the source."""
    if row[s.STATUS] != s.SERVED:
        return RequestSolution(True, None)
    present = row[simulator.dims[s.O_PRESENT] :][: simulator.max_devices] > 0.0
    index = np.full(simulator.max_devices + 1, -1)
    index[:-1][present] = np.arange(int(present.sum()))
    net = int(row[s.NETWORK])
    network = simulator.task.networks[simulator.tables.names[net]]
    start = int(simulator.tables.networks[net, t.START])
    layers = {}
    for position, layer in enumerate(network.layers[1:-1], start=1):
        offset = int(simulator.tables.layers[start + position, t.OFFSET])
        layers[layer.name] = tuple(int(index[slot]) for slot in place[offset : offset + layer.segments])
    return RequestSolution(False, float(row[s.LAST_LATENCY]), layers)
