"""Instance and solution files of segment allocation (docs/distprivacy.md, "Files"): strict JSON in, exact JSON out.

What a file may hold is published as JSON Schemas in ``schemas/``. The checks here go further (a layer must fit the one
before it) and answer in one sentence: file, field, value, expectation. Whole numbers may be written as 8 or 8.0.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from envs.distprivacy.types import (
    LAYER_KINDS,
    PRIVACY_SCOPES,
    Device,
    Fleet,
    Instance,
    Layer,
    Network,
    Request,
    RequestSolution,
    Solution,
    Task,
)
from envs.strict_json import Field, FilePath, or_null, parse, read_bytes, render, write_text

INSTANCE_FORMAT = "offramp/distprivacy-instance"
FLEET_FORMAT = "offramp/distprivacy-fleet"
SOLUTION_FORMAT = "offramp/distprivacy-solution"
VERSION = 1
STATUSES = ("optimal", "feasible")
_MAPS = ("name", "kind", "in_maps", "out_maps", "out_pixels")
_LAYER_KEYS = {
    "conv": (*_MAPS, "kernel_area"),
    "act": _MAPS,
    "pool": _MAPS,
    "fc": ("name", "kind", "in_units", "out_units"),
}
_DEVICE_KEYS = ("name", "memory_bytes", "mults_per_s", "rate_bytes_per_s")
_BUDGET_KEYS = ("compute_budget", "bandwidth_budget_bytes")
_INSTANCE_KEYS = ("period_s", "ssim", "devices", "sources", "networks", "privacy", "requests")
_CLAIM_KEYS = ("status", "rejections", "rejections_bound", "objective_s", "bound_s", "gap", "seconds", "solver")


def _read_layer(field: Field, before: Layer | None) -> Layer:
    every = dict.fromkeys(key for keys in _LAYER_KEYS.values() for key in keys)
    kind = field.record(("name", "kind"), every)["kind"].text(LAYER_KINDS)
    keys = _LAYER_KEYS[kind]
    for key, extra in field.mapping().items():
        if key not in keys:
            raise extra.refuse(f"is an unknown key of a layer of kind {kind}, expected only {', '.join(keys)}")
    fields = field.record(keys)
    sizes = [fields[key].count(1) for key in keys[2:]]
    if before is not None:
        if before.kind == "fc" and kind != "fc":
            raise fields["kind"].wrong(f"fc, as layer {before.name!r} before it is one")
        given = before.outputs * (before.out_pixels if kind == "fc" else 1)
        if sizes[0] != given:
            raise fields[keys[2]].wrong(f"{given}, what layer {before.name!r} puts out")
    if kind in ("act", "pool") and sizes[0] != sizes[1]:
        raise fields["out_maps"].wrong(f"{sizes[0]}, the in_maps of this layer of kind {kind}")
    return Layer(fields["name"].text(), kind, *sizes)


def _read_network(name: str, field: Field) -> Network:
    layers: list[Layer] = []
    for entry in field.record(("layers",))["layers"].entries():
        layers.append(_read_layer(entry, layers[-1] if layers else None))
    return field.made(lambda: Network(name, tuple(layers)))


def _read_privacy(field: Field, network: Network) -> dict[str, dict[int, float | None]]:
    outputs = {layer.name: layer.outputs for layer in network.layers}
    table: dict[str, dict[int, float | None]] = {}
    for layer, row in field.record((), outputs).items():
        table[layer] = {}
        for key, cell in row.mapping(empty=False).items():
            if not re.fullmatch(r"[1-9][0-9]{0,8}", key) or int(key) > outputs[layer]:
                raise cell.refuse(f"is no count of maps, expected a whole number in 1..{outputs[layer]} as key")
            table[layer][int(key)] = or_null(cell, lambda cell: cell.number(-1, 1))
    return table


def _read_device(field: Field) -> Device:
    fields = field.record(_DEVICE_KEYS, _BUDGET_KEYS)
    speeds = [fields[key].number(0, above=True) for key in _DEVICE_KEYS[2:]]
    budgets = [fields[key].number(0) if key in fields else None for key in _BUDGET_KEYS]
    return Device(fields["name"].text(), fields["memory_bytes"].number(0), *speeds, *budgets)


def instance_from_dict(data: object, where: str = "instance") -> Instance:
    """The instance that a parsed file describes; ``where`` names the file in errors.

    Seconds, bytes, bytes/s and multiplications/s; SSIM in -1..1 (docs/distprivacy.md, "Files").

    Raises:
        ValueError: one sentence with file, field path, value and what was expected.
    """
    root = Field(data, where)
    fields = root.document(INSTANCE_FORMAT, VERSION, _INSTANCE_KEYS, ("tolerance", "privacy_scope", "colluders"))
    period_s, ssim = fields["period_s"].number(0, above=True), fields["ssim"].number(-1, 1)
    tolerance = fields["tolerance"].number(0) if "tolerance" in fields else 0.01
    scope = fields["privacy_scope"].text(PRIVACY_SCOPES) if "privacy_scope" in fields else "layer"
    colluders = fields["colluders"].count(1) if "colluders" in fields else 1
    devices, sources = (tuple(map(_read_device, fields[key].entries())) for key in ("devices", "sources"))
    networks = {name: _read_network(name, field) for name, field in fields["networks"].mapping(empty=False).items()}
    tables = fields["privacy"].record(networks)
    privacy = {name: _read_privacy(tables[name], network) for name, network in networks.items()}
    asked = [field.record(("source", "network")) for field in fields["requests"].entries()]
    requests = tuple(Request(f["source"].count(0, len(sources) - 1), f["network"].text(networks)) for f in asked)
    task = root.made(lambda: Task(networks, privacy, ssim, tolerance, scope, colluders))
    return root.made(lambda: Instance(task, devices, sources, requests, period_s))


def fleet_from_dict(data: object, where: str = "fleet") -> Fleet:
    """The devices and sources that a parsed file describes: an instance without network, table and requests.

    Raises:
        ValueError: one sentence with file, field path, value and what was expected.
    """
    root = Field(data, where)
    fields = root.document(FLEET_FORMAT, VERSION, ("period_s", "devices", "sources"), ())
    devices, sources = (tuple(map(_read_device, fields[key].entries())) for key in ("devices", "sources"))
    return Fleet(devices, sources, fields["period_s"].number(0, above=True))


def _layer_to_dict(layer: Layer) -> dict[str, Any]:
    values = (layer.name, layer.kind, layer.inputs, layer.outputs, layer.out_pixels, layer.kernel_area)
    return dict(zip(_LAYER_KEYS[layer.kind], values, strict=False))


def _device_to_dict(device: Device) -> dict[str, Any]:
    budgets = {key: getattr(device, key) for key in _BUDGET_KEYS if getattr(device, key) is not None}
    return {key: getattr(device, key) for key in _DEVICE_KEYS} | budgets


def instance_to_dict(instance: Instance) -> dict[str, Any]:
    """The instance as its file holds it: every optional key written, only budgets that are None left out."""
    task = instance.task
    return {
        "format": INSTANCE_FORMAT,
        "version": VERSION,
        "period_s": instance.period_s,
        **{key: getattr(task, key) for key in ("ssim", "tolerance", "privacy_scope", "colluders")},
        "devices": [_device_to_dict(device) for device in instance.devices],
        "sources": [_device_to_dict(source) for source in instance.sources],
        "networks": {
            name: {"layers": [_layer_to_dict(layer) for layer in n.layers]} for name, n in task.networks.items()
        },
        "privacy": {
            name: {layer: {str(count): ssim for count, ssim in row.items()} for layer, row in table.items()}
            for name, table in task.privacy.items()
        },
        "requests": [{"source": request.source, "network": request.network} for request in instance.requests],
    }


def _read_request(field: Field) -> RequestSolution:
    fields = field.record(("rejected",), ("latency_s", "layers"))
    latency_s = or_null(fields.get("latency_s"), lambda field: field.number(0))
    if fields["rejected"].flag():
        if latency_s is not None:
            raise fields["latency_s"].wrong("null for a rejected request")
        if "layers" in fields and fields["layers"].mapping():
            raise fields["layers"].wrong("no layers for a rejected request")
        return RequestSolution(True, None)
    field.record(("rejected", "layers"), ("latency_s",))
    return RequestSolution(False, latency_s, {name: row.counts(-1) for name, row in fields["layers"].mapping().items()})


def solution_from_dict(data: object, where: str = "solution") -> Solution:
    """The solution that a parsed file describes; ``where`` names the file in errors.

    Only the placements are required. Absent claims: ``status`` is feasible, ``objective_s`` the sum of the stated
    latencies (s), ``rejections`` what the requests say, all others None. Claims are not recomputed here.

    Raises:
        ValueError: one sentence with file, field path, value and what was expected.
    """
    fields = Field(data, where).document(SOLUTION_FORMAT, VERSION, ("requests",), _CLAIM_KEYS)
    requests = tuple(map(_read_request, fields["requests"].entries()))
    rejected = sum(request.rejected for request in requests)
    if "rejections" in fields and fields["rejections"].count(0) != rejected:
        raise fields["rejections"].wrong(f"{rejected}, the number of requests that say rejected")
    latencies = (request.latency_s for request in requests if request.latency_s is not None)
    return Solution(
        requests,
        fields["objective_s"].number(0) if "objective_s" in fields else math.fsum(latencies),
        rejected,
        fields["status"].text(STATUSES) if "status" in fields else "feasible",
        or_null(fields.get("bound_s"), lambda field: field.number()),
        or_null(fields.get("gap"), lambda field: field.number()),
        or_null(fields.get("rejections_bound"), lambda field: field.count(0)),
        or_null(fields.get("seconds"), lambda field: field.number(0)),
        or_null(fields.get("solver"), lambda field: field.text()),
    )


def _request_to_dict(request: RequestSolution) -> dict[str, Any]:
    data: dict[str, Any] = {"rejected": bool(request.rejected), "latency_s": request.latency_s}
    # Solvers fill rows from numpy arrays, whose integers JSON does not know.
    layers = {name: [int(device) for device in row] for name, row in request.layers.items()}
    return data if request.rejected else data | {"layers": layers}


def solution_to_dict(solution: Solution) -> dict[str, Any]:
    """The solution as its file holds it; rejections_bound, seconds and solver are left out where None."""
    claims = {key: getattr(solution, key) for key in _CLAIM_KEYS}
    kept = {key: value for key, value in claims.items() if value is not None or key in ("bound_s", "gap")}
    requests = [_request_to_dict(request) for request in solution.requests]
    return {"format": SOLUTION_FORMAT, "version": VERSION, **kept, "requests": requests}


def check_fits(solution: Solution, instance: Instance, where: str = "solution") -> None:
    """Check that the solution speaks of this instance; whether it meets the constraints is another question.

    Raises:
        ValueError: one sentence on a wrong number of requests, a missing or unknown layer, a wrong number of
            segments, or a device index outside -1..D-1 (-1: the source).
    """
    if len(solution.requests) != len(instance.requests):
        given = Field(solution.requests, where, "requests")
        raise given.wrong(f"{len(instance.requests)}, one for each request of the instance")
    last = len(instance.devices) - 1
    for index, (placed, request) in enumerate(zip(solution.requests, instance.requests, strict=True)):
        if placed.rejected:
            continue
        layers = {layer.name: layer for layer in instance.task.networks[request.network].distributed}
        for name, row in Field(placed.layers, where, f"requests[{index}].layers").record(layers).items():
            segments = layers[name].segments
            if len(row.value) != segments:
                raise row.wrong(f"{segments}, one device for each segment of layer {name!r}")
            for position, device in enumerate(row.value):
                if not -1 <= device <= last:
                    raise row.at(position).wrong(f"a device in 0..{last} or -1 for the source")


def content_hash(instance: Instance) -> str:
    """SHA-256, in hex, of what an instance says, however its file was written.

    Taken over the file's JSON with sorted keys, no spaces, ASCII escapes, floats by their shortest repr, and whole
    numbers without a point: 4 and 4.0 are the same.
    """

    def canonical(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: canonical(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [canonical(entry) for entry in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    text = json.dumps(canonical(instance_to_dict(instance)), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def load_instance(path: FilePath) -> Instance:
    """Read an instance file. Raises ValueError, one sentence, where it is missing, unreadable or wrong."""
    return instance_from_dict(parse(read_bytes(path), str(path)), str(path))


def save_instance(instance: Instance, path: FilePath) -> None:
    """Write an instance file atomically. Raises ValueError where ``path`` cannot be written."""
    data = instance_to_dict(instance)
    instance_from_dict(data, str(path))
    write_text(path, render(data) + "\n")


def load_fleet_or_instance(path: FilePath) -> Fleet | Instance:
    """Read a file of either format. Raises ValueError, one sentence, where it is missing, unreadable or wrong."""
    data = parse(read_bytes(path), str(path))
    if isinstance(data, dict) and data.get("format") == FLEET_FORMAT:
        return fleet_from_dict(data, str(path))
    return instance_from_dict(data, str(path))


def load_solution(path: FilePath) -> Solution:
    """Read a solution file. Raises ValueError, one sentence, where it is missing, unreadable or wrong."""
    return solution_from_dict(parse(read_bytes(path), str(path)), str(path))


def save_solution(solution: Solution, path: FilePath) -> None:
    """Write a solution file atomically. Raises ValueError where it could not be loaded again or not be written."""
    data = solution_to_dict(solution)
    solution_from_dict(data, str(path))
    write_text(path, render(data) + "\n")


def load_instances(path: FilePath) -> tuple[Instance, ...]:
    """Read a set of instances, JSON Lines, one instance a line; blank lines are skipped.

    Raises:
        ValueError: one sentence that names file and line, also where the file holds no instance.
    """
    # Bytes are split, not text: str.splitlines would also split at a U+2028 inside a name.
    lines = [(number, line) for number, line in enumerate(read_bytes(path).split(b"\n")) if line.strip()]
    if not lines:
        raise ValueError(f"{path}: holds no instance, expected one in each line")
    return tuple(instance_from_dict(parse(line, str(path), n), f"{path}, line {n + 1}") for n, line in lines)


def save_instances(instances: Iterable[Instance], path: FilePath) -> None:
    """Write a set of instances, JSON Lines, atomically. Raises ValueError for an empty set or an unwritable path."""
    lines = [json.dumps(instance_to_dict(instance), allow_nan=False) for instance in instances]
    if not lines:
        raise ValueError(f"{path}: the set of instances is empty, expected at least one")
    for number, line in enumerate(lines, start=1):
        instance_from_dict(json.loads(line), f"{path}, line {number}")
    write_text(path, "\n".join(lines) + "\n")
