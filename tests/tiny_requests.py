"""Random tiny requests of segment allocation, and an exhaustive search for anything better than a given latency."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy import dynamics
from envs.distprivacy import tables as t
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.types import Device, Instance, Layer, Network, Request, Task

ORDERS = (
    "conv act pool conv act fc fc",
    "conv act pool conv fc fc fc",
    "conv conv conv act",
    "conv act conv pool fc fc",
    "conv act act pool conv conv",
    "conv act pool act fc",
    "conv pool pool pool act",
    "act conv fc fc",
    "conv fc fc fc",
    "act pool conv pool act conv",
    "conv conv pool fc fc",
    "pool fc fc",
)
"""Kinds of the layers; the source runs the first and the last."""


def random_layers(rng: np.random.Generator, kinds: str, most_maps: int = 4) -> tuple[Layer, ...]:
    """Layers of these kinds with 1 to ``most_maps`` maps."""
    layers: list[Layer] = []
    maps, pixels, units = int(rng.integers(1, most_maps + 1)), 9, 0
    for index, kind in enumerate(kinds.split()):
        name = f"{kind}{index}"
        if kind == "fc":
            outputs = int(rng.integers(1, 5))
            layers.append(Layer(name, "fc", units or maps * pixels, outputs))
            units = outputs
            continue
        pixels = int(rng.choice((1, 2, 4, 9)))
        outputs = int(rng.integers(2, most_maps + 1)) if kind == "conv" else maps
        layers.append(Layer(name, kind, maps, outputs, pixels, int(rng.choice((1, 4))) if kind == "conv" else 0))
        maps = outputs
    return tuple(layers)


def random_table(rng: np.random.Generator, network: Network) -> dict[str, dict[int, float | None]]:
    """Limits of 0 to 4 maps on some layers, now and then a split point."""
    table: dict[str, dict[int, float | None]] = {}
    for layer in network.layers[:-1]:
        if rng.random() < 0.4:
            counts = sorted({int(n) for n in rng.integers(1, layer.outputs + 1, 3)} - {layer.outputs})
            limit = rng.choice((0, 1, 2, 2, 3, 3, 4))
            table[layer.name] = {n: 0.0 if n <= limit else 1.0 for n in counts or [1]}
            if rng.random() < 0.2:
                table[layer.name][layer.outputs] = 0.0  # a split point: no limits from here on
    return table


def random_device(rng: np.random.Generator, name: str) -> Device:
    """A device of any speed and rate, now and then one like others, with more than enough of everything else."""
    if rng.random() < 0.3:
        return Device(name, 1e9, 400.0, 200.0)
    return Device(name, 1e9, float(np.exp(rng.uniform(3, 7))), float(np.exp(rng.uniform(3.5, 6.5))))


def random_request(rng: np.random.Generator) -> Instance:
    """One request on 1 to 4 devices of unequal speed and rate; maps, pixels, limits, scope and colluders at random."""
    network = Network("net", random_layers(rng, ORDERS[rng.integers(len(ORDERS))]))
    table = random_table(rng, network)
    scope, colluders = str(rng.choice(("layer", "group"))), int(rng.choice((1, 1, 2, 3)))
    task = Task({"net": network}, {"net": table}, 0.5, 0.0, scope, colluders)
    devices = tuple(random_device(rng, f"device-{j}") for j in range(rng.integers(1, 5)))
    return Instance(task, devices, (random_device(rng, "source"),), (Request(0, "net"),), period_s=1e9)


class Exhaustive:
    """Depth-first over every placement, segment by segment in the environment's physics, cut where the time is used up."""

    def __init__(self, instance: Instance, below: float, most_nodes: int = 10**9) -> None:
        self.task, self.below, self.nodes_left = instance.task, below, most_nodes
        self.simulator = Simulator.of(instance)
        self.network = instance.task.networks["net"]
        self.rows = self.simulator.tables.layers
        states, self.place = self.simulator.new_state(1)
        self.start = states[0]
        self.simulator.begin(self.start, self.simulator.encode(instance))
        dynamics.load_request(self.start, self.simulator.dims, self.simulator.tables.networks, 0)

    def better(self) -> float | None:
        """A latency below ``below`` of some valid placement, seconds; None where there is none."""
        return self._layer(self.start, 0, [])

    def finished(self) -> bool:
        """Whether ``better`` looked everywhere."""
        return self.nodes_left > 0

    def _layer(self, row: NDArray[np.float64], k: int, held: list[tuple[int, ...]]) -> float | None:
        if k == len(self.network.layers):
            return float(dynamics.latency_so_far(row))
        row = row.copy()
        dynamics.start_layer(row, self.simulator.dims, self.rows)
        return self._segment(row, k, held, ())

    def _segment(
        self, row: NDArray[np.float64], k: int, held: list[tuple[int, ...]], slots: tuple[int, ...]
    ) -> float | None:
        self.nodes_left -= 1
        if dynamics.latency_so_far(row) >= self.below or self.nodes_left <= 0:
            return None
        source = self.simulator.max_devices
        if not self._private(k, held, slots):
            return None
        if len(slots) == self.network.layers[k].segments:
            return self._layer(row, k + 1, [*held, slots])
        at_source = self.rows[k, t.ON_SOURCE]
        choices = [source] if at_source else list(range(source))
        if not at_source and slots and (self.rows[k, t.IN_MODE] != t.MAPS or self.rows[k - 1, t.ON_SOURCE]):
            # maps that nobody has told apart yet: one order of them stands for all
            if k == 1 or self.rows[k, t.GROUP] == k:
                choices = [j for j in choices if j >= slots[-1]]
        for j in choices:
            after = row.copy()
            dynamics.put_segment(after, self.place[0], self.simulator.dims, self.rows, j)
            found = self._segment(after, k, held, (*slots, j))
            if found is not None:
                return found
        return None

    def _private(self, k: int, held: list[tuple[int, ...]], slots: tuple[int, ...]) -> bool:
        limit, source = self.rows[k, t.LIMIT], self.simulator.max_devices
        if limit < 0 or self.rows[k, t.ON_SOURCE]:
            return True
        since = int(self.rows[k, t.GROUP]) if self.task.privacy_scope == "group" else k
        pairs = {(j, p) for layer in (*held[since:k], slots) for p, j in enumerate(layer) if j != source}
        counts = sorted((len(list(maps)) for _, maps in groupby(sorted(pairs), key=lambda pair: pair[0])), reverse=True)
        return sum(counts[: self.task.colluders]) <= limit
