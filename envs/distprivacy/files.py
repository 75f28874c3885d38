"""Instance and solution files of segment allocation (docs/distprivacy.md, "Files"): strict JSON in, exact JSON out.

What a file may hold is published as JSON Schemas in ``schemas/``. The checks here go further (a layer must fit the one
before it) and answer in one sentence: file, field, value, expectation. Whole numbers may be written as 8 or 8.0.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from envs.atomic import write_text_atomic
from envs.distprivacy.types import (
    LAYER_KINDS,
    PRIVACY_SCOPES,
    Device,
    Instance,
    Layer,
    Network,
    Request,
    RequestSolution,
    Solution,
    Task,
)

FilePath = str | os.PathLike[str]
_T = TypeVar("_T")


class _Object(dict[str, Any]):
    """A JSON object that remembers a key written twice, of which the parser would silently keep the last."""

    twice: str | None = None


@dataclass(frozen=True, slots=True)
class _Field:
    """A value and where it stands, so that every error names the file, the field and the value."""

    value: Any
    where: str
    path: str = ""

    def refuse(self, problem: str) -> ValueError:
        name = f"field '{self.path}'" if self.path else "the top level"
        return ValueError(f"{self.where}: {name} {problem}")

    def wrong(self, expected: str) -> ValueError:
        if isinstance(self.value, Mapping):
            shown = f"an object with {len(self.value)} keys"
        elif isinstance(self.value, list | tuple):
            shown = f"a list of {len(self.value)} entries"
        else:
            shown = json.dumps(self.value, default=repr)
        return self.refuse(f"is {shown if len(shown) <= 60 else shown[:57] + '...'}, expected {expected}")

    def at(self, key: str | int) -> _Field:
        value = self.value[key] if isinstance(key, int) else self.value.get(key)
        if isinstance(key, str) and len(key) > 60:
            key = key[:57] + "..."
        if isinstance(key, int) or not re.fullmatch(r"[\w-]+", key, re.ASCII):
            return _Field(value, self.where, f"{self.path}[{json.dumps(key)}]")
        return _Field(value, self.where, f"{self.path}.{key}" if self.path else key)

    def entries(self) -> list[_Field]:
        if not isinstance(self.value, list | tuple) or not self.value:
            raise self.wrong("a list with at least one entry")
        return [self.at(index) for index in range(len(self.value))]

    def mapping(self, *, empty: bool = True) -> dict[str, _Field]:
        if not isinstance(self.value, Mapping) or not (empty or self.value):
            raise self.wrong("an object" if empty else "an object with at least one key")
        for key in self.value:
            if not isinstance(key, str):
                raise self.refuse(f"has the key {key!r}, expected a string")
        twice = getattr(self.value, "twice", None)
        if twice is not None:
            raise self.at(twice).refuse("is there twice, expected every key once")
        return {key: self.at(key) for key in self.value}

    def record(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, _Field]:
        fields, required = self.mapping(), tuple(required)
        known = (*required, *optional)
        for key, field in fields.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                expected = f"'{near[0]}', the nearest known key" if near else f"only {', '.join(known)}"
                raise field.refuse(f"is an unknown key, expected {expected}")
        for key in required:
            if key not in fields:
                raise self.at(key).refuse(f"is missing, expected the keys {', '.join(required)}")
        return fields

    def document(self, form: str, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, _Field]:
        # The format first: a file of another kind deserves that answer, not a list of its unknown keys.
        for key, expected in (("format", form), ("version", VERSION)):
            if key not in self.mapping():
                raise self.at(key).refuse(f"is missing, expected {json.dumps(expected)}")
            if isinstance(self.at(key).value, bool) or self.at(key).value != expected:
                raise self.at(key).wrong(json.dumps(expected))
        return self.record(("format", "version", *required), optional)

    def number(self, least: float = -math.inf, most: float = math.inf, *, above: bool = False) -> float:
        value = self.value
        try:
            fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        except OverflowError:  # a whole number too large for a float
            fits = False
        if not fits or not least <= value <= most or (above and value == least):
            limit = f" {'>' if above else '>='} {least:g}" if math.isfinite(least) else ""
            raise self.wrong(f"a finite number{f' in {least:g}..{most:g}' if math.isfinite(most) else limit}")
        return value  # type: ignore[no-any-return]

    def count(self, least: int, most: float = math.inf) -> int:
        value = self.value
        whole = isinstance(value, int) and not isinstance(value, bool)
        whole = whole or (isinstance(value, float) and value.is_integer())
        if not whole or not least <= value <= most:
            raise self.wrong(f"a whole number {f'in {least}..{most}' if math.isfinite(most) else f'>= {least}'}")
        return int(value)

    def counts(self, least: int) -> tuple[int, ...]:
        if not isinstance(self.value, list | tuple):
            raise self.wrong(f"a list of whole numbers >= {least}")
        # A VGG has 9,400 of them: entries get a path of their own only where one is odd.
        if all(type(entry) is int and entry >= least for entry in self.value):
            return tuple(self.value)
        return tuple(self.at(index).count(least) for index in range(len(self.value)))

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def text(self, choices: Iterable[str] = ()) -> str:
        choices = tuple(choices)
        if not isinstance(self.value, str) or (choices and self.value not in choices):
            raise self.wrong(f"one of {', '.join(choices)}" if choices else "a string")
        return self.value

    def made(self, make: Callable[[], _T]) -> _T:
        """What ``make`` builds of this field; what the type itself refuses gets the name of the file."""
        try:
            return make()
        except ValueError as error:
            raise self.refuse(f"is refused: {error}") from None


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        found.twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
    return found


def _parse(raw: bytes, where: str, lines_before: int = 0) -> Any:
    def whole(digits: str) -> float:
        return int(digits) if len(digits) < 400 else float(digits)  # infinite, and refused with its path

    try:
        # A byte order mark, as some editors put it, is no reason to refuse a file.
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_pairs, parse_int=whole)
    except UnicodeDecodeError as error:
        line = lines_before + error.object.count(b"\n", 0, error.start) + 1
        problem = f"line {line} holds the byte 0x{error.object[error.start]:02x}, expected UTF-8 text"
    except json.JSONDecodeError as error:
        problem = f"line {lines_before + error.lineno}, column {error.colno} is not valid JSON: {error.msg}"
    except RecursionError:
        problem = f"line {lines_before + 1} opens too many brackets, expected at most some ten levels"
    raise ValueError(f"{where}: {problem}")


def _read(path: FilePath) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        problem = "there is no such file"
    except OSError as error:
        problem = "is a folder" if Path(path).is_dir() else f"cannot be read ({error.strerror})"
    raise ValueError(f"{path}: {problem}, expected a readable JSON file")


def _write(path: FilePath, text: str) -> None:
    try:
        write_text_atomic(path, text)
    except OSError as error:
        problem = "is a folder" if Path(path).is_dir() else f"cannot be written ({error.strerror})"
        raise ValueError(f"{path}: {problem}, expected a path for a file") from None


def _render(value: Any, indent: str = "\n") -> str:
    """JSON with one device, layer or row a line: what holds no further lists or objects stays in one line."""
    entries = list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    if not any(isinstance(entry, dict | list) for entry in entries):
        return json.dumps(value, allow_nan=False)
    keys = [f"{json.dumps(key)}: " for key in value] if isinstance(value, dict) else [""] * len(entries)
    deeper = indent + " "
    body = ("," + deeper).join(key + _render(entry, deeper) for key, entry in zip(keys, entries, strict=True))
    return f"{{{deeper}{body}{indent}}}" if isinstance(value, dict) else f"[{deeper}{body}{indent}]"


def _or_null(field: _Field | None, read: Callable[[_Field], _T]) -> _T | None:
    try:
        return None if field is None or field.value is None else read(field)
    except ValueError as error:
        raise ValueError(f"{error} or null") from None


INSTANCE_FORMAT = "offramp/distprivacy-instance"
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


def _read_layer(field: _Field, before: Layer | None) -> Layer:
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


def _read_network(name: str, field: _Field) -> Network:
    layers: list[Layer] = []
    for entry in field.record(("layers",))["layers"].entries():
        layers.append(_read_layer(entry, layers[-1] if layers else None))
    return field.made(lambda: Network(name, tuple(layers)))


def _read_privacy(field: _Field, network: Network) -> dict[str, dict[int, float | None]]:
    outputs = {layer.name: layer.outputs for layer in network.layers}
    table: dict[str, dict[int, float | None]] = {}
    for layer, row in field.record((), outputs).items():
        table[layer] = {}
        for key, cell in row.mapping(empty=False).items():
            if not re.fullmatch(r"[1-9][0-9]{0,8}", key) or int(key) > outputs[layer]:
                raise cell.refuse(f"is no count of maps, expected a whole number in 1..{outputs[layer]} as key")
            table[layer][int(key)] = _or_null(cell, lambda cell: cell.number(-1, 1))
    return table


def _read_device(field: _Field) -> Device:
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
    root = _Field(data, where)
    fields = root.document(INSTANCE_FORMAT, _INSTANCE_KEYS, ("tolerance", "privacy_scope", "colluders"))
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


def _read_request(field: _Field) -> RequestSolution:
    fields = field.record(("rejected",), ("latency_s", "layers"))
    latency_s = _or_null(fields.get("latency_s"), lambda field: field.number(0))
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
    fields = _Field(data, where).document(SOLUTION_FORMAT, ("requests",), _CLAIM_KEYS)
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
        _or_null(fields.get("bound_s"), lambda field: field.number()),
        _or_null(fields.get("gap"), lambda field: field.number()),
        _or_null(fields.get("rejections_bound"), lambda field: field.count(0)),
        _or_null(fields.get("seconds"), lambda field: field.number(0)),
        _or_null(fields.get("solver"), lambda field: field.text()),
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
        given = _Field(solution.requests, where, "requests")
        raise given.wrong(f"{len(instance.requests)}, one for each request of the instance")
    last = len(instance.devices) - 1
    for index, (placed, request) in enumerate(zip(solution.requests, instance.requests, strict=True)):
        if placed.rejected:
            continue
        layers = {layer.name: layer for layer in instance.task.networks[request.network].distributed}
        for name, row in _Field(placed.layers, where, f"requests[{index}].layers").record(layers).items():
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
    return instance_from_dict(_parse(_read(path), str(path)), str(path))


def save_instance(instance: Instance, path: FilePath) -> None:
    """Write an instance file atomically. Raises ValueError where ``path`` cannot be written."""
    data = instance_to_dict(instance)
    instance_from_dict(data, str(path))
    _write(path, _render(data) + "\n")


def load_solution(path: FilePath) -> Solution:
    """Read a solution file. Raises ValueError, one sentence, where it is missing, unreadable or wrong."""
    return solution_from_dict(_parse(_read(path), str(path)), str(path))


def save_solution(solution: Solution, path: FilePath) -> None:
    """Write a solution file atomically. Raises ValueError where it could not be loaded again or not be written."""
    data = solution_to_dict(solution)
    solution_from_dict(data, str(path))
    _write(path, _render(data) + "\n")


def load_instances(path: FilePath) -> tuple[Instance, ...]:
    """Read a set of instances, JSON Lines, one instance a line; blank lines are skipped.

    Raises:
        ValueError: one sentence that names file and line, also where the file holds no instance.
    """
    # Bytes are split, not text: str.splitlines would also split at a U+2028 inside a name.
    lines = [(number, line) for number, line in enumerate(_read(path).split(b"\n")) if line.strip()]
    if not lines:
        raise ValueError(f"{path}: holds no instance, expected one in each line")
    return tuple(instance_from_dict(_parse(line, str(path), n), f"{path}, line {n + 1}") for n, line in lines)


def save_instances(instances: Iterable[Instance], path: FilePath) -> None:
    """Write a set of instances, JSON Lines, atomically. Raises ValueError for an empty set or an unwritable path."""
    lines = [json.dumps(instance_to_dict(instance), allow_nan=False) for instance in instances]
    if not lines:
        raise ValueError(f"{path}: the set of instances is empty, expected at least one")
    for number, line in enumerate(lines, start=1):
        instance_from_dict(json.loads(line), f"{path}, line {number}")
    _write(path, "\n".join(lines) + "\n")
