"""Random tiny instances and placements of segment allocation, for property tests (hypothesis)."""

from __future__ import annotations

import math
from itertools import pairwise

import reference
from hypothesis import assume
from hypothesis import strategies as st

from envs.distprivacy.types import Device, Instance, Layer, Network, Request, RequestSolution, Solution, Task

SSIM_VALUES = (None, 0.0, 0.2, 0.4, 0.41, 0.42, 0.6, 0.61, 0.8, 0.81, 1.0)
"""On and just beside the targets 0.4, 0.6 and 0.8 with a tolerance of 0 or 0.01."""


@st.composite
def networks(draw: st.DrawFn, name: str = "net", layers_from: int = 2, layers_to: int = 7, most_maps: int = 4) -> Network:
    """A valid chain of conv, act, pool and fc layers; ``layers_from`` to ``layers_to`` layers, 1 to ``most_maps`` maps."""
    count = draw(st.integers(layers_from, layers_to))
    maps, pixels, units = draw(st.integers(1, most_maps)), draw(st.sampled_from((1, 4, 9, 36))), 0
    layers: list[Layer] = []
    for k in range(count):
        kinds = ("fc",) if units else ("conv", "conv", "conv", "act", "pool") + (("fc",) if k else ())
        kind = draw(st.sampled_from(kinds))
        label = f"{kind}-{k}"
        if kind == "fc":
            outputs = draw(st.integers(1, 6))
            layers.append(Layer(label, "fc", units or maps * pixels, outputs))
            units = outputs
        elif kind == "conv":
            outputs = draw(st.integers(1, most_maps))
            pixels = draw(st.sampled_from([p for p in (1, 4, 9, 36) if p <= pixels]))
            layers.append(Layer(label, "conv", maps, outputs, pixels, draw(st.sampled_from((1, 9, 25)))))
            maps = outputs
        else:
            pixels = draw(st.sampled_from([p for p in (1, 4, 9, 36) if p <= pixels])) if kind == "pool" else pixels
            layers.append(Layer(label, kind, maps, maps, pixels))
    return Network(name, tuple(layers))


@st.composite
def privacy_tables(draw: st.DrawFn, network: Network) -> dict[str, dict[int, float | None]]:
    """SSIM rows for some of the layers, or for none; nulls and rows that are not monotone included."""
    table: dict[str, dict[int, float | None]] = {}
    for layer in network.layers:
        if draw(st.integers(0, 2)) == 0:
            counts = draw(st.sets(st.integers(1, layer.outputs), min_size=1))
            if draw(st.booleans()):
                values = sorted(draw(st.lists(st.sampled_from(SSIM_VALUES[1:]), min_size=len(counts), max_size=len(counts))))
            else:
                values = draw(st.lists(st.sampled_from(SSIM_VALUES), min_size=len(counts), max_size=len(counts)))
            table[layer.name] = dict(zip(sorted(counts), values, strict=True))
    return table


def has_hole(network: Network, task: Task) -> bool:
    """Whether a layer kept on the source lies between limited layers that carry the same maps."""
    return any(after - before > 1 for group in reference.groups(network, task) for before, after in pairwise(group))


@st.composite
def tasks(
    draw: st.DrawFn, most_networks: int = 2, layers_from: int = 2, layers_to: int = 7, most_maps: int = 4, scope: str | None = None
) -> Task:
    """One or more networks with their tables, a target, a scope and up to two colluders."""
    names = [f"net-{n}" for n in range(draw(st.integers(1, most_networks)))]
    nets = {name: draw(networks(name, layers_from, layers_to, most_maps)) for name in names}
    task = Task(
        nets,
        {name: draw(privacy_tables(net)) for name, net in nets.items()},
        draw(st.sampled_from((0.4, 0.6, 0.8))),
        draw(st.sampled_from((0.0, 0.01))),
        scope or draw(st.sampled_from(("layer", "group"))),
        draw(st.sampled_from((1, 1, 2))),
    )
    assume(not any(has_hole(network, task) for network in nets.values()))
    return task


def _demand(task: Task) -> tuple[int, int, int]:
    """Weight bytes, multiplications and bytes sent (an overestimate) of one request of the largest network."""
    memory = compute = sent = 0
    for network in task.networks.values():
        memory = max(memory, sum(reference.segments(layer) * reference.weights(layer) for layer in network.layers))
        compute = max(compute, sum(reference.segments(layer) * reference.mults(layer) for layer in network.layers))
        sent = max(sent, sum(4 * layer.out_pixels * layer.outputs * 2 for layer in network.layers))
    return memory, compute, sent


@st.composite
def devices(draw: st.DrawFn, name: str, task: Task, *, tight: bool) -> Device:
    """A device of any speed and rate; ``tight``: each budget is ample, or anything from nothing to one request's demand."""
    memory, compute, sent = _demand(task)

    def budget(demand: int) -> float:
        return float(draw(st.integers(0, demand))) if tight and draw(st.booleans()) else 1e12

    speed = draw(st.sampled_from((1.0, 3.0, 10 / 3, 50.0, 700.0))) * draw(st.integers(1, 9))
    rate = draw(st.sampled_from((1.0, 7.0, 20 / 3, 90.0))) * draw(st.integers(1, 9))
    return Device(name, budget(memory), speed, rate, budget(compute), budget(sent))


@st.composite
def instances(draw: st.DrawFn, most_devices: int = 4, most_requests: int = 3) -> Instance:
    """A period of some requests on an unequal fleet, whose budgets are loose or tight."""
    task = draw(tasks())
    tight, tight_sources = draw(st.booleans()), draw(st.integers(0, 3)) == 0
    fleet = [draw(devices(f"device-{j}", task, tight=tight)) for j in range(draw(st.integers(1, most_devices)))]
    sources = [draw(devices(f"source-{j}", task, tight=tight_sources)) for j in range(draw(st.integers(1, 2)))]
    requests = [
        Request(draw(st.integers(0, len(sources) - 1)), draw(st.sampled_from(sorted(task.networks))))
        for _ in range(draw(st.integers(1, most_requests)))
    ]
    return Instance(task, tuple(fleet), tuple(sources), tuple(requests), draw(st.sampled_from((0.5, 1.0, 4.0))))


@st.composite
def tiny_instances(draw: st.DrawFn, most_placements: int = 300, scope: str | None = None, colluders: int | None = None) -> Instance:
    """One request with so few segments and devices that all its placements can be listed."""
    task = draw(tasks(1, 3, 7, 4, scope))
    if colluders is not None:
        task = Task(task.networks, task.privacy, task.ssim, task.tolerance, task.privacy_scope, colluders)
    network = task.networks["net-0"]
    bounds = reference.limits(network, task)
    free = sum(reference.segments(layer) for layer, bound in zip(network.layers, bounds, strict=True) if bound != "source")
    most = max(1, min(4, int(most_placements ** (1 / free)))) if free else 2
    if math.prod([most] * free) > most_placements:
        most = 1
    fleet = [draw(devices(f"device-{j}", task, tight=True)) for j in range(most)]
    source = draw(devices("source", task, tight=draw(st.integers(0, 7)) == 0))
    return Instance(task, tuple(fleet), (source,), (Request(0, "net-0"),))


@st.composite
def solutions(draw: st.DrawFn, instance: Instance) -> Solution:
    """Any placement that fits ``instance``: mostly as the limits ask, now and then on the source or off it."""
    entries = []
    for request in instance.requests:
        network = instance.task.networks[request.network]
        bounds = reference.limits(network, instance.task)
        careless = draw(st.booleans())
        layers = {}
        for k, layer in enumerate(network.layers[1:-1], start=1):
            anywhere = st.integers(-1 if careless else 0, len(instance.devices) - 1)
            where = st.just(-1) if bounds[k] == "source" and not (careless and draw(st.booleans())) else anywhere
            count = reference.segments(layer)
            layers[layer.name] = tuple(draw(st.lists(where, min_size=count, max_size=count)))
        rejected = draw(st.integers(0, 7)) == 0
        entries.append(RequestSolution(True, None) if rejected else RequestSolution(False, 0.0, layers))
    return Solution(tuple(entries), 0.0)
