"""The physics of segment allocation a second time, slow and obvious, written from docs/distprivacy.md alone.

Dictionaries and loops over layers and pairs of owners, exactly as the text says it; nothing of the package's physics is
used. The tests compare the compiled kernels with it. An *owner* is ``("device", j)`` or ``("source", s)``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from envs.distprivacy.types import Device, Instance, Layer, Network, PrivacyTable, RequestSolution, Solution, Task

Owner = tuple[str, int]
Broken = tuple[str, int | None, str | None, int | None, float]
"""A violated constraint: kind, request, layer, device (-1: a source), how far over the limit."""


@dataclass
class Outcome:
    """What a solution costs and breaks. Latencies in seconds, bytes, multiplications; rejected requests have None and 0."""

    latencies_s: list[float | None] = field(default_factory=list)
    shared_bytes: list[float] = field(default_factory=list)
    memory: dict[Owner, float] = field(default_factory=dict)
    compute: dict[Owner, float] = field(default_factory=dict)
    bandwidth: dict[Owner, float] = field(default_factory=dict)
    violations: list[Broken] = field(default_factory=list)


def segments(layer: Layer) -> int:
    """Segments of a layer: its input maps, one for an fc layer (section 2)."""
    return 1 if layer.kind == "fc" else layer.inputs


def mults(layer: Layer) -> int:
    """Multiplications of one segment (section 2, Eq 2 and 3)."""
    if layer.kind == "conv":
        return layer.kernel_area * layer.outputs * layer.out_pixels
    if layer.kind == "fc":
        return layer.inputs * layer.outputs
    return 0


def weights(layer: Layer) -> int:
    """Bytes of the weights of one segment (section 2, Eq 4)."""
    if layer.kind == "conv":
        return 4 * layer.kernel_area * layer.outputs
    if layer.kind == "fc":
        return 4 * layer.inputs * layer.outputs
    return 0


def owners(network: Network, entry: RequestSolution, source: Owner) -> list[list[Owner]]:
    """For layers 1..L the owner of each segment; the source runs the first and the last layer itself (section 1)."""
    result = []
    for k, layer in enumerate(network.layers):
        if k == 0 or k == len(network.layers) - 1:
            result.append([source] * segments(layer))
        else:
            result.append([source if j == -1 else ("device", j) for j in entry.layers.get(layer.name, ())])
    return result


def sent_bytes(network: Network, held: list[list[Owner]], k: int, i: Owner, j: Owner) -> int:
    """Bytes from ``i`` to ``j`` after layer ``k`` (counted from 0) towards layer ``k + 1`` (section 4, Eq 6)."""
    layer, following = network.layers[k], network.layers[k + 1]
    n_i, n_j = held[k].count(i), held[k + 1].count(j)
    if i == j or n_i == 0 or n_j == 0:
        return 0
    if layer.kind == "fc":
        return 4 * layer.outputs
    if layer.kind == "conv":
        return 4 * layer.out_pixels * (layer.outputs if following.kind == "fc" else n_j)
    if following.kind == "fc":
        return 4 * layer.out_pixels * n_i
    both = [p for p in range(layer.outputs) if held[k][p] == i and held[k + 1][p] == j]
    return 4 * layer.out_pixels * len(both)


def latency_and_bytes(instance: Instance, index: int, entry: RequestSolution) -> tuple[float, float]:
    """Latency of request ``index`` in seconds (section 5, Eq 5 and 7 to 9), and the bytes that it makes owners send."""
    request = instance.requests[index]
    network = instance.task.networks[request.network]
    source: Owner = ("source", request.source)
    held = owners(network, entry, source)
    everyone: list[Owner] = [("device", j) for j in range(len(instance.devices))] + [source]
    speed = {owner: _device(instance, owner).mults_per_s for owner in everyone}
    rate = {owner: _device(instance, owner).rate_bytes_per_s for owner in everyone}
    last = len(network.layers) - 1

    def slowest_transfer(k: int, senders: list[Owner], receivers: list[Owner]) -> float:
        return max(sent_bytes(network, held, k, i, j) / rate[i] for i in senders for j in receivers)

    latency = segments(network.layers[0]) * mults(network.layers[0]) / speed[source]
    if last > 1:
        latency += slowest_transfer(0, [source], everyone)
    for k in range(1, last):
        times = []
        for j in everyone:
            n_j = held[k].count(j)
            if n_j > 0:
                transfer = slowest_transfer(k - 1, everyone, [j]) if k > 1 else 0.0
                times.append(n_j * mults(network.layers[k]) / speed[j] + transfer)
        latency += max(times)
    latency += segments(network.layers[last]) * mults(network.layers[last]) / speed[source]
    if last > 1:
        latency += slowest_transfer(last - 1, everyone, [source])
    sent = sum(sent_bytes(network, held, k, i, j) for k in range(last) for i in everyone for j in everyone)
    return latency, float(sent)


def _device(instance: Instance, owner: Owner) -> Device:
    return instance.devices[owner[1]] if owner[0] == "device" else instance.sources[owner[1]]


def within(value: float | None, task: Task) -> bool:
    """Whether an SSIM meets the target; 1e-12 forgives that 0.4 + 0.01 is not exactly 0.41."""
    return value is not None and value <= task.ssim + task.tolerance + 1e-12


def limits(network: Network, task: Task) -> list[int | str | None]:
    """Per layer the most maps of one device, or "source" where no device may run it, or None: no limit (10f to 10h)."""
    table: PrivacyTable = task.privacy[network.name]
    names = [layer.name for layer in network.layers]
    split = None
    for k, layer in enumerate(network.layers):
        if (
            layer.name in table
            and layer.outputs in table[layer.name]
            and within(table[layer.name][layer.outputs], task)
        ):
            split = k
            break
    result: list[int | str | None] = []
    for k, layer in enumerate(network.layers):
        if k == 0 or k == len(names) - 1:
            result.append("source")
            continue
        if not table or (split is not None and split <= k - 1):
            result.append(None)
            continue
        rows_before = [name for name in names[:k] if name in table]
        row = table[rows_before[-1] if rows_before else next(name for name in names if name in table)]
        limit = 0
        for count in sorted(row):
            if not within(row[count], task):
                break
            limit = count
        first_fc = layer.kind == "fc" and network.layers[k - 1].kind != "fc"
        result.append("source" if limit == 0 or first_fc else limit)
    return result


def groups(network: Network, task: Task) -> list[list[int]]:
    """Sets of limited layers whose maps count together: each its own, or all that carry the same maps (section 6)."""
    bounds = limits(network, task)
    result: list[list[int]] = []
    carried: dict[int, list[int]] = {}
    origin = 0
    for k in range(1, len(network.layers)):
        before = network.layers[k - 1]
        if k == 1 or before.kind not in ("act", "pool"):
            origin = k
        if not isinstance(bounds[k], int):
            continue
        if task.privacy_scope == "group" and origin in carried:
            carried[origin].append(k)
        else:
            carried[origin] = [k]
            result.append(carried[origin])
    return result


def privacy_violations(instance: Instance, index: int, entry: RequestSolution) -> Iterator[Broken]:
    """10f to 10h, and the ban of choosing the source. A group's violation is named after its last layer."""
    task, request = instance.task, instance.requests[index]
    network = task.networks[request.network]
    bounds = limits(network, task)
    for k, layer in enumerate(network.layers[1:-1], start=1):
        where = entry.layers.get(layer.name, ())
        if bounds[k] == "source":
            for j in sorted(set(where) - {-1}):
                yield "must_be_on_source", index, layer.name, j, float(where.count(j))
        elif -1 in where:
            yield "must_not_be_on_source", index, layer.name, -1, float(where.count(-1))
    for group in groups(network, task):
        limit = min(bound for k in group if isinstance(bound := bounds[k], int))
        seen: dict[int, set[int]] = {}
        for k in group:
            for p, j in enumerate(entry.layers.get(network.layers[k].name, ())):
                if j != -1:
                    seen.setdefault(j, set()).add(p)
        name = network.layers[group[-1]].name
        counts = sorted(((len(maps), -j) for j, maps in seen.items()), reverse=True)
        if task.colluders == 1:
            for count, negative in counts:
                if count > limit:
                    yield "privacy", index, name, -negative, float(count - limit)
        elif sum(count for count, _ in counts[: task.colluders]) > limit:
            together = sum(count for count, _ in counts[: task.colluders])
            yield "privacy", index, name, -counts[0][1], float(together - limit)


def use(instance: Instance, index: int, entry: RequestSolution, result: Outcome, until: int | None = None) -> None:
    """Book what request ``index`` uses of every owner; ``until``: only layers up to this one and the sends into them."""
    request = instance.requests[index]
    network = instance.task.networks[request.network]
    held = owners(network, entry, ("source", request.source))
    last = len(network.layers) - 1 if until is None else until
    for k, layer in enumerate(network.layers[: last + 1]):
        for i in result.memory:
            result.memory[i] += held[k].count(i) * weights(layer)
            result.compute[i] += held[k].count(i) * mults(layer)
            if k < last:
                result.bandwidth[i] += sum(sent_bytes(network, held, k, i, j) for j in result.memory)


def budget_violations(instance: Instance, result: Outcome) -> Iterator[Broken]:
    """10b to 10d: what was booked against the budgets of the period, which hold to 1e-9 relative."""
    for i in result.memory:
        device = _device(instance, i)
        compute, bandwidth = device.compute_budget, device.bandwidth_budget_bytes
        checks = (
            ("memory", result.memory[i], device.memory_bytes),
            ("compute", result.compute[i], device.mults_per_s * instance.period_s if compute is None else compute),
            (
                "bandwidth",
                result.bandwidth[i],
                device.rate_bytes_per_s * instance.period_s if bandwidth is None else bandwidth,
            ),
        )
        for kind, used_up, budget in checks:
            if used_up > budget * (1 + 1e-9):
                yield kind, None, None, -1 if i[0] == "source" else i[1], used_up - budget


def nothing_used(instance: Instance) -> Outcome:
    """An outcome with all owners at zero."""
    everyone: list[Owner] = [("device", j) for j in range(len(instance.devices))]
    everyone += [("source", s) for s in range(len(instance.sources))]
    return Outcome([], [], *(dict.fromkeys(everyone, 0.0) for _ in range(3)))


def evaluate(instance: Instance, solution: Solution) -> Outcome:
    """Latencies, resources used and violations of ``solution``, which must fit ``instance``."""
    result = nothing_used(instance)
    for index, entry in enumerate(solution.requests):
        latency, shared = (None, 0.0) if entry.rejected else latency_and_bytes(instance, index, entry)
        result.latencies_s.append(latency)
        result.shared_bytes.append(shared)
        if not entry.rejected:
            use(instance, index, entry, result)
            result.violations.extend(privacy_violations(instance, index, entry))
    result.violations.extend(budget_violations(instance, result))
    return result


def violations_until(instance: Instance, entry: RequestSolution, last: int) -> list[Broken]:
    """Violations of the first request if it is placed up to layer ``last`` and sends nothing after it."""
    result = nothing_used(instance)
    use(instance, 0, entry, result, last)
    return [*privacy_violations(instance, 0, entry), *budget_violations(instance, result)]


def placements(instance: Instance, index: int) -> Iterator[RequestSolution]:
    """Every complete placement of one request that keeps the forced layers on the source and no other."""
    network = instance.task.networks[instance.requests[index].network]
    bounds = limits(network, instance.task)
    inner = network.layers[1:-1]
    choices: list[range | tuple[int]] = []
    for k, layer in enumerate(inner, start=1):
        choices += [(-1,) if bounds[k] == "source" else range(len(instance.devices))] * segments(layer)
    for chosen in itertools.product(*choices):
        entries = iter(chosen)
        yield RequestSolution(
            False, None, {layer.name: tuple(itertools.islice(entries, segments(layer))) for layer in inner}
        )
