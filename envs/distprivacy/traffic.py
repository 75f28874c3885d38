"""What the physics books for a placement, in full: bytes from whom to whom after each layer, segments, work, memory.

Read off the kernels of ``dynamics`` while they place segment by segment; no formula of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import dynamics
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import Instance, RequestSolution


@dataclass(frozen=True, eq=False)
class Traffic:
    """One request of L layers on D devices; slot D is its source. Layer indices count from 0."""

    sent_bytes: NDArray[np.int64]  # (L, D + 1, D + 1): after layer k, from i to j
    segments: NDArray[np.int64]  # (L, D + 1)
    group: NDArray[np.int64]  # (L,) first layer of the group of layer k; -1: no limit applies, or the source runs it
    distinct: NDArray[np.int64]  # (L, D + 1): distinct maps that a device has held since then; 0 without a group
    memory_bytes: NDArray[np.int64]  # (D + 1,) of weights
    mults: NDArray[np.int64]  # (D + 1,)
    latency_s: float


def traffic(instance: Instance, index: int, placement: RequestSolution) -> Traffic:
    """What one request of an instance sends and computes, as if it were the only one of its period.

    Args:
        instance: the fleet and the networks.
        index: of the request.
        placement: where it runs; it fits the instance (``files.check_fits``) and may break constraints.

    Raises:
        ValueError: the request is rejected in the placement.
    """
    if placement.rejected:
        raise ValueError(f"requests[{index}]: field 'rejected' is true, expected a request that is served")
    simulator = Simulator.of(instance)
    rows, places = simulator.new_state(1)
    row, place, d, table = rows[0], places[0], simulator.dims, simulator.tables.layers
    simulator.begin(row, simulator.encode(instance))
    network = instance.task.networks[instance.requests[index].network]
    source = simulator.max_devices
    last = len(network.layers) - 1

    def part(offset: int) -> NDArray[np.float64]:
        begin = int(d[offset])
        return np.asarray(row[begin : begin + source + 1])

    sent = np.zeros((len(network.layers), source + 1, source + 1))
    segments, distinct = np.zeros((2, len(network.layers), source + 1))
    group = np.full(len(network.layers), -1)
    dynamics.load_request(row, d, simulator.tables.networks, index)
    memory, mults, bandwidth = part(s.O_USED_MEMORY), part(s.O_USED_COMPUTE), part(s.O_USED_BANDWIDTH)
    before = bandwidth.copy()
    for k, layer in enumerate(network.layers):
        dynamics.start_layer(row, d, table)
        slots = [-1] * layer.segments if k in (0, last) else placement.layers[layer.name]
        for device in slots:
            slot = source if device < 0 else device
            dynamics.put_segment(row, place, d, table, slot)
            # what a segment costs its senders goes to the slot that takes it
            sent[k - 1, :, slot] += bandwidth - before
            before[:] = bandwidth
        segments[k] = part(s.O_COUNT)
        line = table[int(row[s.LAYER])]
        if line[t.LIMIT] >= 0.0 and not line[t.ON_SOURCE]:
            group[k], distinct[k] = line[t.GROUP] - (row[s.LAYER] - k), part(s.O_DISTINCT)
    dynamics.finish_request(row, d, True)
    bytes_, counts, seen, held, work = (
        np.rint(values).astype(np.int64) for values in (sent, segments, distinct, memory, mults)
    )
    return Traffic(bytes_, counts, group, seen, held, work, float(row[s.LAST_LATENCY]))
