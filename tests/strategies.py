"""Random tiny instances and placements of segment allocation, for property tests (hypothesis)."""

from __future__ import annotations

import reference
from hypothesis import strategies as st

from envs.distprivacy.types import Device, Instance, Layer, Network, Request, RequestSolution, Solution, Task

SSIM_VALUES = (None, 0.0, 0.2, 0.4, 0.41, 0.42, 0.6, 0.61, 0.8, 0.81, 1.0)
"""On and just beside the targets 0.4, 0.6 and 0.8 with a tolerance of 0 or 0.01."""


@st.composite
def networks(draw: st.DrawFn, name: str = "net", most_layers: int = 7, most_segments: int | None = None) -> Network:
    """A valid chain of 2 or more conv, act, pool and fc layers with 1 to 4 maps, cut off where the segments run out."""
    count = draw(st.integers(2, most_layers))
    maps, pixels, units = draw(st.integers(1, 4)), draw(st.sampled_from((1, 4, 9, 36))), 0
    left = 10**6 if most_segments is None else most_segments
    layers: list[Layer] = []
    for k in range(count):
        kinds = ("fc",) if units else ("conv", "conv", "conv", "act", "pool") + (("fc",) if k else ())
        kind = draw(st.sampled_from(kinds))
        label = f"{kind}-{k}"
        smaller = [p for p in (1, 4, 9, 36) if p <= pixels]
        left -= reference.segments(Layer(label, kind, maps, maps, 1, 1)) if k else 0
        if kind == "fc":
            outputs = draw(st.integers(1, 6))
            layers.append(Layer(label, "fc", units or maps * pixels, outputs))
            units = outputs
        elif kind == "conv":
            outputs, pixels = draw(st.integers(1, 4)), draw(st.sampled_from(smaller))
            layers.append(Layer(label, "conv", maps, outputs, pixels, draw(st.sampled_from((1, 9, 25)))))
            maps = outputs
        else:
            pixels = draw(st.sampled_from(smaller)) if kind == "pool" else pixels
            layers.append(Layer(label, kind, maps, maps, pixels))
        if left < 0:  # this layer is the last, which the source runs
            break
    return Network(name, tuple(layers))


@st.composite
def privacy_tables(draw: st.DrawFn, network: Network) -> dict[str, dict[int, float | None]]:
    """SSIM rows for some of the layers, or for none; nulls and rows that are not monotone included."""
    table: dict[str, dict[int, float | None]] = {}
    for layer in network.layers:
        if draw(st.integers(0, 2)) == 0:
            counts = draw(st.sets(st.integers(1, layer.outputs), min_size=1))
            if draw(st.booleans()):
                values = sorted(
                    draw(st.lists(st.sampled_from(SSIM_VALUES[1:]), min_size=len(counts), max_size=len(counts)))
                )
            else:
                values = draw(st.lists(st.sampled_from(SSIM_VALUES), min_size=len(counts), max_size=len(counts)))
            table[layer.name] = dict(zip(sorted(counts), values, strict=True))
    return table


@st.composite
def tasks(draw: st.DrawFn, most_networks: int = 2, most_segments: int | None = None, scope: str | None = None) -> Task:
    """One or more networks with their tables, a target, a scope and up to two colluders."""
    names = [f"net-{n}" for n in range(draw(st.integers(1, most_networks)))]
    nets = {name: draw(networks(name, most_segments=most_segments)) for name in names}
    task = Task(
        nets,
        {name: draw(privacy_tables(net)) for name, net in nets.items()},
        draw(st.sampled_from((0.4, 0.6, 0.8))),
        draw(st.sampled_from((0.0, 0.01))),
        scope or draw(st.sampled_from(("layer", "group"))),
        draw(st.sampled_from((1, 1, 2))),
    )
    return task


def _demand(task: Task) -> tuple[int, int, int]:
    """Weight bytes, multiplications and bytes sent (an overestimate) of one request of the largest network."""
    memory = compute = sent = 0
    for network in task.networks.values():
        memory = max(memory, sum(reference.segments(layer) * reference.weights(layer) for layer in network.layers))
        compute = max(compute, sum(reference.segments(layer) * reference.mults(layer) for layer in network.layers))
        sent = max(sent, sum(4 * layer.out_pixels * layer.outputs * 2 for layer in network.layers))
    return memory, compute, sent


BUDGETS = ("memory", "compute", "bandwidth")


@st.composite
def devices(draw: st.DrawFn, name: str, task: Task, tight: tuple[str, ...] = ()) -> Device:
    """A device of any speed and rate. Budgets named in ``tight`` are ample or anything up to one request's demand."""
    budgets = []
    for kind, demand in zip(BUDGETS, _demand(task), strict=True):
        most = draw(st.sampled_from((demand, demand // 2)))
        budgets.append(float(draw(st.integers(0, most))) if kind in tight and draw(st.integers(0, 2)) > 0 else 1e12)
    speed = draw(st.sampled_from((1.0, 3.0, 10 / 3, 50.0, 700.0))) * draw(st.integers(1, 9))
    rate = draw(st.sampled_from((1.0, 7.0, 20 / 3, 90.0))) * draw(st.integers(1, 9))
    return Device(name, budgets[0], speed, rate, budgets[1], budgets[2])


@st.composite
def instances(draw: st.DrawFn, most_devices: int = 4, most_requests: int = 3) -> Instance:
    """A period of some requests on an unequal fleet, whose budgets are loose or tight."""
    task = draw(tasks())
    tight = BUDGETS if draw(st.booleans()) else ()
    fleet = [draw(devices(f"device-{j}", task, tight)) for j in range(draw(st.integers(1, most_devices)))]
    tight = BUDGETS if draw(st.integers(0, 3)) == 0 else ()
    sources = [draw(devices(f"source-{j}", task, tight)) for j in range(draw(st.integers(1, 2)))]
    requests = [
        Request(draw(st.integers(0, len(sources) - 1)), draw(st.sampled_from(sorted(task.networks))))
        for _ in range(draw(st.integers(1, most_requests)))
    ]
    return Instance(task, tuple(fleet), tuple(sources), tuple(requests), draw(st.sampled_from((0.5, 1.0, 4.0))))


@st.composite
def tiny_instances(draw: st.DrawFn, scope: str | None = None, budgets: tuple[str, ...] = BUDGETS) -> Instance:
    """One request with so few segments and devices that all its placements can be listed: at most 729."""
    most = draw(st.integers(2, 4))
    task = draw(tasks(1, {2: 9, 3: 6, 4: 4}[most], scope))
    fleet = [draw(devices(f"device-{j}", task, budgets)) for j in range(most)]
    source = draw(devices("source", task, budgets if draw(st.integers(0, 7)) == 0 else ()))
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
