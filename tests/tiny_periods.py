"""Random tiny periods with tight budgets, and their optimum by trying every placement in the environment's physics."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tiny_requests import random_device, random_layers, random_table

from envs.distprivacy.privacy import layer_limits
from envs.distprivacy.replay import replay
from envs.distprivacy.types import Device, Instance, Network, Request, RequestSolution, Solution, Task

ORDERS = (
    "conv act conv fc",
    "conv act pool fc fc",
    "conv act pool conv fc",
    "conv conv act",
    "conv conv fc fc",
    "conv pool act pool act",
    "act conv conv",
    "act pool conv act",
    "conv fc fc fc",
    "conv act act pool act",
)
"""Kinds of the layers; the source runs the first and the last."""
MOST_PLACEMENTS = 260
"""Of one request; more are not tried."""


def random_period(rng: np.random.Generator, most_requests: int = 3) -> Instance:
    """Requests of one small network on 2 or 3 unequal devices, with budgets that often bind."""
    while True:
        network = Network("net", random_layers(rng, str(rng.choice(ORDERS)), most_maps=4))
        scope, colluders = str(rng.choice(("layer", "group"))), int(rng.choice((1, 1, 2)))
        task = Task({"net": network}, {"net": random_table(rng, network)}, 0.5, 0.0, scope, colluders)
        devices = [random_device(rng, f"device-{j}") for j in range(rng.integers(2, 4))]
        sources = [random_device(rng, f"source-{j}") for j in range(rng.integers(1, 3))]
        wanted = [Request(int(rng.integers(len(sources))), "net") for _ in range(rng.integers(1, most_requests + 1))]
        if placement_count(network, task, len(devices)) <= MOST_PLACEMENTS:
            break
    tight = rng.random() < 0.75
    return Instance(
        task,
        tuple(_tightened(rng, device, network, len(wanted)) if tight else device for device in devices),
        tuple(_tightened(rng, s, network, 2 * len(wanted)) if rng.random() < 0.2 else s for s in sources),
        tuple(wanted),
        period_s=1e9,
    )


def placement_count(network: Network, task: Task, devices: int) -> int:
    """Placements of one request that keep to the layers which the source runs."""
    limits = layer_limits(network, task.privacy[network.name], task.ssim, task.tolerance)
    free = sum(layer.segments for layer, limit in zip(network.layers, limits, strict=True) if not limit.on_source)
    return int(devices**free)


def _tightened(rng: np.random.Generator, device: Device, network: Network, requests: int) -> Device:
    """The device with one or more budgets between nothing and what all requests could ask of it."""
    memory = sum(layer.segments * layer.weight_bytes_per_segment for layer in network.layers)
    compute = sum(layer.segments * layer.mults_per_segment for layer in network.layers)
    sent = sum(layer.map_bytes * layer.outputs * 2 for layer in network.layers)
    memory_bytes, compute_budget, bandwidth = (
        float(rng.integers(0, int(0.7 * requests * most) + 1)) if rng.random() < 0.4 else 1e9
        for most in (memory, compute, sent)
    )
    return replace(device, memory_bytes=memory_bytes, compute_budget=compute_budget, bandwidth_budget_bytes=bandwidth)


Options = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Latencies (n,) of placements of one request, and what they use (n, owners, 3)."""


def _options(instance: Instance, request: Request) -> Options:
    """Every placement of a request that keeps privacy and, alone, the budgets; of those that use the same the fastest."""
    alone = replace(instance, requests=(request,))
    network = instance.task.networks[request.network]
    limits = layer_limits(network, instance.task.privacy[network.name], instance.task.ssim, instance.task.tolerance)
    choices = [
        [(-1,) * layer.segments]
        if limit.on_source
        else list(itertools.product(range(len(instance.devices)), repeat=layer.segments))
        for layer, limit in zip(network.layers[1:-1], limits[1:-1], strict=True)
    ]
    names = [layer.name for layer in network.distributed]
    fastest: dict[bytes, tuple[float, NDArray[np.float64]]] = {}
    for rows in itertools.product(*choices):
        entry = RequestSolution(False, 0.0, dict(zip(names, rows, strict=True)))
        report = replay(alone, Solution((entry,), 0.0))
        if not report.violations:
            key = report.used.tobytes()
            if key not in fastest or report.objective_s < fastest[key][0]:
                fastest[key] = (report.objective_s, report.used)
    if not fastest:
        return np.zeros(0), np.zeros((0, len(instance.devices) + len(instance.sources), 3))
    return np.array([s for s, _ in fastest.values()]), np.array([used for _, used in fastest.values()])


def best(instance: Instance) -> tuple[int, float]:
    """Fewest rejections, and the least summed latency in seconds with so many, by trying every combination."""
    owners = (*instance.devices, *instance.sources)
    period = instance.period_s
    budgets = np.array([(o.memory_bytes, o.compute(period), o.bandwidth(period)) for o in owners]) * (1.0 + 1e-9)
    known: dict[Request, Options] = {}
    states: list[tuple[int, NDArray[np.float64], NDArray[np.float64]]] = [
        (0, np.zeros(1), np.zeros((1, len(owners), 3)))
    ]  # rejections, latencies so far, used so far
    for request in instance.requests:
        if request not in known:
            known[request] = _options(instance, request)
        latencies, used = known[request]
        after: dict[int, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
        for rejections, so_far, spent in states:
            after.setdefault(rejections + 1, []).append((so_far, spent))
            both = spent[:, None] + used[None]
            fits = (both <= budgets).all(axis=(2, 3))
            if fits.any():
                after.setdefault(rejections, []).append(((so_far[:, None] + latencies[None])[fits], both[fits]))
        states = [
            (number, *_distinct(np.concatenate([s for s, _ in parts]), np.concatenate([u for _, u in parts])))
            for number, parts in after.items()
        ]
    rejections, sums, _ = min(states, key=lambda state: state[0])
    return rejections, float(sums.min())


def _distinct(sums: NDArray[np.float64], used: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of states that use the same the fastest."""
    order = np.argsort(sums, kind="stable")
    flat = used.reshape(len(used), -1)[order]
    _, first = np.unique(flat, axis=0, return_index=True)
    return sums[order][first], used[order][first]
