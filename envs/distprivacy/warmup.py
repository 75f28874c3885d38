"""First calls of the compiled entry points, on the toy instance: compilation is announced, and over before work starts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from envs._jit import announce_compilation
from envs.distprivacy import batch
from envs.distprivacy.generator import InstanceList, toy_instance
from envs.distprivacy.simulator import Simulator


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Load the kernels of the scalar and the vector environment from the disk cache, or compile them."""
    with announce_compilation():
        instance = toy_instance()
        simulator = Simulator.of(instance)
        rows, places = simulator.new_state(1)
        tables = (simulator.dims, simulator.tables.layers, simulator.tables.networks)
        simulator.begin(rows[0], simulator.encode(instance))
        simulator.next_request(rows[0], places[0])
        out = np.zeros((1, simulator.observation_length), np.float32)
        mask = np.zeros((1, simulator.max_devices), np.int8)
        batch.look(rows[0], places[0], *tables, out[0], mask[0])
        batch.scalar_step(rows[0], places[0], *tables, int(mask[0].argmax()), out[0], mask[0])
        head = np.zeros((1, 1, simulator.instance_length))
        InstanceList([instance]).fill_block(head[0], simulator, np.zeros((1, 1)))
        final = np.zeros((1, batch.N_FINAL))
        numbers = np.zeros(1, np.int64)
        batch.batch_step(
            rows, places, *tables, mask.argmax(1), out, mask, np.zeros(1), np.zeros(1, np.bool_), np.zeros(1), out.copy(),
            final, head, numbers,
        )  # fmt: skip
