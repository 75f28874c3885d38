"""Instance and solution files: exact round trips, one-sentence refusals, and agreement with the published schemas."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import stat
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from envs.atomic import write_text_atomic
from envs.distprivacy import files
from envs.distprivacy.networks import lenet
from envs.distprivacy.types import (
    Device,
    Instance,
    Layer,
    Network,
    PrivacyTable,
    Request,
    RequestSolution,
    Solution,
    Task,
)

Data = dict[str, Any]


def _schema(name: str) -> Draft202012Validator:
    text = resources.files("envs.distprivacy").joinpath(f"schemas/{name}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


SCHEMAS = {name: _schema(name) for name in ("instance", "solution")}
READ: dict[str, Callable[[object, str], Any]] = {
    "instance": files.instance_from_dict,
    "solution": files.solution_from_dict,
}


def _instance() -> Instance:
    table: PrivacyTable = {"conv1": {8: 0.99, 4: 0.2}, "conv2": {16: None, 8: 0.73, 4: 0.0}}
    fleet = tuple(Device(f"rpi3-{index}", 2**30, 560e6, 9025000.0) for index in range(4))
    cameras = (Device("cam-0", 2**30, 560e6, 9025000.0, 1e9, 0.5),)
    return Instance(Task({"lenet": lenet()}, {"lenet": table}), fleet, cameras, (Request(0, "lenet"),) * 2)


def _solution() -> Solution:
    rows = {layer.name: (0,) * (layer.segments - 1) + (3,) for layer in lenet().distributed} | {"fc1": (-1,)}
    served = RequestSolution(False, 0.1 + 0.2, rows)
    return Solution((served, RequestSolution(True, None)), 0.1 + 0.2, 1, "optimal", 0.3, 1e-7, 1, 2.5, "highs 1.15.1")


VALID: dict[str, Data] = {
    "instance": files.instance_to_dict(_instance()),
    "solution": files.solution_to_dict(_solution()),
}

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(5e-324, allow_nan=False, allow_infinity=False) | st.integers(1, 2**70)
budget = st.floats(0, allow_nan=False, allow_infinity=False) | st.integers(0, 2**70)
ssims = st.floats(-1, 1) | st.integers(-1, 1)
devices = st.builds(Device, st.text(max_size=9), budget, positive, positive, st.none() | budget, st.none() | budget)


@st.composite
def networks(draw: st.DrawFn) -> tuple[str, Network]:
    sizes, (convs, fcs) = st.integers(1, 40), draw(st.tuples(st.integers(0, 5), st.integers(0, 3)))
    names = iter(draw(st.lists(st.text(max_size=9), min_size=12, max_size=12, unique=True)))
    maps, pixels, units, layers = draw(sizes), draw(sizes), draw(sizes), []
    for kind in draw(st.lists(st.sampled_from(("conv", "act", "pool")), min_size=convs, max_size=convs)):
        out, pixels = draw(sizes) if kind == "conv" else maps, draw(sizes)
        layers.append(Layer(next(names), kind, maps, out, pixels, draw(sizes) if kind == "conv" else 0))
        maps, units = out, out * pixels
    for _ in range(max(fcs, 2 - len(layers))):
        layers.append(Layer(next(names), "fc", units, units := draw(sizes)))
    return next(names), Network(layers[0].name, tuple(layers))


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    found, privacy = {}, {}
    for name, network in draw(st.lists(networks(), min_size=1, max_size=2)):
        found[name] = Network(name, network.layers)
        rows = {
            layer.name: st.dictionaries(st.integers(1, layer.outputs), st.none() | ssims, min_size=1, max_size=4)
            for layer in network.layers
        }
        privacy[name] = draw(st.fixed_dictionaries({}, optional=rows))
    scope, colluders = draw(st.sampled_from(("layer", "group"))), draw(st.integers(1, 9))
    task = Task(found, privacy, draw(ssims), draw(budget), scope, colluders)
    fleet, sources = (tuple(draw(st.lists(devices, min_size=1, max_size=3))) for _ in range(2))
    asked = st.builds(Request, st.integers(0, len(sources) - 1), st.sampled_from(sorted(found)))
    return Instance(task, fleet, sources, tuple(draw(st.lists(asked, min_size=1, max_size=3))), draw(positive))


latency = st.none() | st.floats(0, allow_nan=False, allow_infinity=False)
rows = st.dictionaries(st.text(max_size=9), st.lists(st.integers(-1, 80), max_size=9).map(tuple), max_size=4)
placed = st.builds(RequestSolution, st.just(False), latency, rows) | st.just(RequestSolution(True, None))


@st.composite
def solutions(draw: st.DrawFn) -> Solution:
    requests = tuple(draw(st.lists(placed, min_size=1, max_size=4)))
    rejected, status = sum(request.rejected for request in requests), draw(st.sampled_from(files.STATUSES))
    claims = [draw(st.none() | kind) for kind in (finite, finite, st.integers(0, 9), budget, st.text(max_size=9))]
    return Solution(requests, draw(budget), rejected, status, *claims)  # type: ignore[arg-type]


@given(instances())
def test_instances_come_back_exactly(instance: Instance) -> None:
    data = files.instance_to_dict(instance)
    assert SCHEMAS["instance"].is_valid(data)
    back = files.instance_from_dict(json.loads(files._render(data)))
    assert back == instance
    # == takes 4 for 4.0; the types of numbers and the order of keys must come back too.
    assert repr(back) == repr(instance)
    assert files.content_hash(back) == files.content_hash(instance)


@given(solutions())
def test_solutions_come_back_exactly(solution: Solution) -> None:
    data = files.solution_to_dict(solution)
    assert SCHEMAS["solution"].is_valid(data)
    assert repr(files.solution_from_dict(json.loads(files._render(data)))) == repr(solution)


def test_files_come_back_and_follow_the_schemas(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.json"
    files.save_instance(_instance(), path)
    assert files.load_instance(path) == _instance()
    assert SCHEMAS["instance"].is_valid(json.loads(path.read_bytes()))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert files.load_instance(path) == _instance(), "a byte order mark is harmless"
    files.save_solution(_solution(), path)
    assert files.load_solution(path) == _solution()
    assert SCHEMAS["solution"].is_valid(json.loads(path.read_bytes()))
    assert os.listdir(path.parent) == ["file.json"]


def test_optional_keys_have_the_documented_defaults() -> None:
    data = copy.deepcopy(VALID["instance"])
    for key in ("tolerance", "privacy_scope", "colluders"):
        del data[key]
    assert SCHEMAS["instance"].is_valid(data)
    task = files.instance_from_dict(data).task
    assert (task.tolerance, task.privacy_scope, task.colluders) == (0.01, "layer", 1)
    assert "compute_budget" not in data["devices"][0]
    bare = {key: VALID["solution"][key] for key in ("format", "version", "requests")}
    assert SCHEMAS["solution"].is_valid(bare)
    assert files.solution_from_dict(bare) == Solution(_solution().requests, 0.1 + 0.2, 1)
    written = files.solution_to_dict(files.solution_from_dict(bare))
    assert written["bound_s"] is written["gap"] is None
    assert not {"seconds", "solver", "rejections_bound"} & set(written)
    unstated = {**bare, "requests": [{"rejected": False, "layers": {}}, {"rejected": True, "layers": {}}]}
    assert SCHEMAS["solution"].is_valid(unstated)
    assert files.solution_from_dict(unstated).objective_s == 0.0


FC = {"name": "f", "kind": "fc", "in_units": 1, "out_units": 1}
FIRST, MAPS = "networks.lenet.layers[0]", "networks.lenet.layers[1].in_maps"
# Path to set, value (... removes the key), what the sentence must hold, can the schema see it?
REFUSED: list[tuple[str, str, Any, str, bool]] = [
    ("instance", "devices.3.mults_per_s", -5, "field 'devices[3].mults_per_s' is -5, expected a finite number >", True),
    ("instance", "devices.3.mults_per_s", 0, "is 0, expected a finite number > 0", True),
    ("instance", "devices.0.rate_bytes_per_s", "1e6", "field 'devices[0].rate_bytes_per_s' is \"1e6\"", True),
    ("instance", "devices.0.rate_bytes_per_s", True, "field 'devices[0].rate_bytes_per_s' is true", True),
    ("instance", "devices.1.memory_bytes", -1, "'devices[1].memory_bytes' is -1, expected a finite number >= 0", True),
    ("instance", "devices.1.memory_bytes", 10**400, "field 'devices[1].memory_bytes' is 1000", False),
    ("instance", "devices.2.name", 7, "field 'devices[2].name' is 7, expected a string", True),
    ("instance", "devices.2.name", ..., "field 'devices[2].name' is missing", True),
    ("instance", "devices.2.mult_per_s", 7, "'devices[2].mult_per_s' is an unknown key, expected 'mults_per_s'", True),
    ("instance", "devices", [], "field 'devices' is a list of 0 entries, expected a list with at least one", True),
    ("instance", "devices", {}, "field 'devices' is an object", True),
    ("instance", "sources.0.compute_budget", None, "field 'sources[0].compute_budget' is null", True),
    ("instance", "period_s", math.inf, "field 'period_s' is Infinity, expected a finite number > 0", False),
    ("instance", "period_s", ..., "field 'period_s' is missing, expected the keys", True),
    ("instance", "ssim", math.nan, "field 'ssim' is NaN, expected a finite number in -1..1", False),
    ("instance", "ssim", 1.5, "field 'ssim' is 1.5, expected a finite number in -1..1", True),
    ("instance", "colluders", 0, "field 'colluders' is 0, expected a whole number >= 1", True),
    ("instance", "colluders", 1.5, "field 'colluders' is 1.5, expected a whole number >= 1", True),
    ("instance", "privacy_scope", "map", "field 'privacy_scope' is \"map\", expected one of layer, group", True),
    ("instance", "zzz", 1, "field 'zzz' is an unknown key, expected only format, version", True),
    ("instance", "a b\n", 1, "field '[\"a b\\n\"]' is an unknown key", True),
    ("instance", "version", 2, "field 'version' is 2, expected 1", True),
    ("instance", "version", True, "field 'version' is true, expected 1", True),
    ("instance", "format", "offramp/other", "field 'format' is \"offramp/other\", expected \"offramp/distpriv", True),
    ("instance", "format", ..., "field 'format' is missing, expected \"offramp/distprivacy-instance\"", True),
    ("instance", "requests.1.source", 1, "field 'requests[1].source' is 1, expected a whole number in 0..0", False),
    ("instance", "requests.1.source", -1, "field 'requests[1].source' is -1, expected a whole number in 0..0", True),
    ("instance", "requests.0.network", "vgg", "field 'requests[0].network' is \"vgg\", expected one of lenet", False),
    ("instance", "networks", {}, "field 'networks' is an object with 0 keys, expected", True),
    ("instance", "networks.lenet.layers.0.kind", "dense", f"'{FIRST}.kind' is \"dense\", expected one of conv", True),
    ("instance", "networks.lenet.layers.0.kind", ..., f"'{FIRST}.kind' is missing", True),
    ("instance", "networks.lenet.layers.0.kernel_area", ..., f"'{FIRST}.kernel_area' is missing", True),
    ("instance", "networks.lenet.layers.1.kernel_area", 9, "is an unknown key of a layer of kind act, expected", True),
    ("instance", "networks.lenet.layers.6.out_pixels", 1, "is an unknown key of a layer of kind fc, expected", True),
    ("instance", "networks.lenet.layers.1.in_maps", 7, f"'{MAPS}' is 7, expected 8, what layer 'conv1' puts", False),
    ("instance", "networks.lenet.layers.6.in_units", 16, "is 16, expected 256, what layer 'pool2' puts out", False),
    ("instance", "networks.lenet.layers.1.out_maps", 7, ".layers[1].out_maps' is 7, expected 8, the in_maps of", False),
    ("instance", "networks.lenet.layers.1.name", "conv1", "layer name 'conv1' occurs twice", False),
    ("instance", "networks.lenet.layers.0", FC, "layers[1].kind' is \"act\", expected fc, as layer 'f' before", False),
    ("instance", "networks.lenet.layers", [FC], "has 1 layers, expected at least 2", True),
    ("instance", "networks.lenet.layers", [], "'networks.lenet.layers' is a list of 0 entries", True),
    ("instance", "privacy.lenet", ..., "field 'privacy.lenet' is missing", False),
    ("instance", "privacy.lenet.conv3", {"1": 0}, "'privacy.lenet.conv3' is an unknown key, expected 'conv", False),
    ("instance", "privacy.lenet.conv1", {}, "field 'privacy.lenet.conv1' is an object with 0 keys", True),
    ("instance", "privacy.lenet.conv1.9", 0.5, "'privacy.lenet.conv1.9' is no count of maps, expected a whole", False),
    ("instance", "privacy.lenet.conv1.04", 0.5, "field 'privacy.lenet.conv1.04' is no count of maps", True),
    ("instance", "privacy.lenet.conv1." + "9" * 5000, 0.5, "is no count of maps", True),
    ("instance", "privacy.lenet.conv1.4", 2, "conv1.4' is 2, expected a finite number in -1..1 or null", True),
    ("solution", "format", VALID["instance"]["format"], "expected \"offramp/distprivacy-solution\"", True),
    ("solution", "requests", ..., "field 'requests' is missing", True),
    ("solution", "status", "Optimal", "field 'status' is \"Optimal\", expected one of optimal, feasible", True),
    ("solution", "objective_s", None, "field 'objective_s' is null", True),
    ("solution", "objective_s", math.nan, "field 'objective_s' is NaN", False),
    ("solution", "bound_s", "no", "field 'bound_s' is \"no\", expected a finite number or null", True),
    ("solution", "rejections", 2, "field 'rejections' is 2, expected 1, the number of requests", False),
    ("solution", "rejection", 1, "field 'rejection' is an unknown key, expected 'rejections'", True),
    ("solution", "requests.0.rejected", ..., "field 'requests[0].rejected' is missing", True),
    ("solution", "requests.0.rejected", 0, "field 'requests[0].rejected' is 0, expected true or false", True),
    ("solution", "requests.0.layers", ..., "field 'requests[0].layers' is missing", True),
    ("solution", "requests.0.layers.fc2", 2, "field 'requests[0].layers.fc2' is 2, expected a list", True),
    ("solution", "requests.0.layers.relu1.2", -2, "layers.relu1[2]' is -2, expected a whole number >= -1", True),
    ("solution", "requests.0.layers.relu1.2", False, "field 'requests[0].layers.relu1[2]' is false", True),
    ("solution", "requests.0.latency_s", -1.0, "is -1.0, expected a finite number >= 0 or null", True),
    ("solution", "requests.1.latency_s", 0.5, "'requests[1].latency_s' is 0.5, expected null for a rejected", True),
    ("solution", "requests.1.layers", {"fc2": [2]}, "expected no layers for a rejected request", True),
]  # fmt: skip


def _changed(data: Data, path: str, value: Any) -> Data:
    result = copy.deepcopy(data)
    *steps, last = path.split(".")
    owner: Any = result
    for step in steps:
        owner = owner[int(step) if isinstance(owner, list) else step]
    if value is ...:
        del owner[last]
    else:
        owner[int(last) if isinstance(owner, list) else last] = value
    return result


@pytest.mark.parametrize(("kind", "path", "value", "sentence", "in_schema"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_files_are_refused_in_one_sentence(
    kind: str, path: str, value: Any, sentence: str, in_schema: bool
) -> None:
    data = _changed(VALID[kind], path, value)
    with pytest.raises(ValueError) as caught:
        READ[kind](data, "my.json")
    message = str(caught.value)
    assert message.startswith("my.json: ") and sentence in message and "\n" not in message
    assert SCHEMAS[kind].is_valid(data) is not in_schema


def _spots(value: Any, path: tuple[str, ...] = ()) -> list[str]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [".".join(path), *(spot for key, entry in inner for spot in _spots(entry, (*path, str(key))))]


junk: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-2, 300) | st.floats() | st.text(max_size=3)
junk = st.recursive(junk, lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(max_size=3), x, max_size=2))
spots = st.sampled_from([(kind, spot) for kind, data in VALID.items() for spot in _spots(data)[1:]])


@given(spots, junk)
def test_what_the_reader_accepts_the_schema_accepts(spot: tuple[str, str], value: Any) -> None:
    data = _changed(VALID[spot[0]], spot[1], value)
    try:
        READ[spot[0]](data, "my.json")
    except ValueError as error:
        assert str(error).startswith("my.json: ") and "\n" not in str(error)
    else:
        assert SCHEMAS[spot[0]].is_valid(data)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_sound_closed_and_described(name: str) -> None:
    schema: Any = SCHEMAS[name].schema
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    for part in (schema, *schema["$defs"].values()):
        assert part["description"]
        assert part.get("type") != "object" or "additionalProperties" in part
        assert "properties" not in part or part["additionalProperties"] is False
        assert all(entry["description"] for entry in part.get("properties", {}).values())


TEXT = json.dumps(VALID["instance"])
BROKEN: list[tuple[bytes, str]] = [
    (b"", "line 1, column 1 is not valid JSON"),
    (b'{"format": 1,\n "version" 2}', "line 2, column 12 is not valid JSON: Expecting ':' delimiter"),
    (TEXT.encode() + b"\n{}", "line 2, column 1 is not valid JSON: Extra data"),
    (TEXT.encode("utf-16"), "line 1 holds the byte 0xff, expected UTF-8 text"),
    (TEXT.replace("{", "{\n", 1).replace("cam-0", "K\u00fcche").encode("latin-1"), "line 2 holds the byte 0xfc"),
    (b"[" * 100_000, "opens too many brackets"),
    (b"[]", "the top level is a list of 0 entries, expected an object"),
    (TEXT.replace('"ssim": 0.6', '"ssim": NaN').encode(), "field 'ssim' is NaN, expected"),
    (TEXT.replace('"ssim": 0.6', '"ssim": -Infinity').encode(), "field 'ssim' is -Infinity, expected"),
    (TEXT.replace('"period_s": 1.0', '"period_s": 1e999').encode(), "field 'period_s' is Infinity, expected"),
    (TEXT.replace('"period_s": 1.0', f'"period_s": {"9" * 5000}').encode(), "field 'period_s' is Infinity, expected"),
    (TEXT.replace('"ssim": 0.6', '"ssim": 0.6, "ssim": 0.6').encode(), "field 'ssim' is there twice"),
    (TEXT.replace('"4": 0.2', '"4": 0.2, "4": 0.3').encode(), "field 'privacy.lenet.conv1.4' is there twice"),
    (TEXT.replace('"kind": "act"', '"kind": "act", "name": "x"', 1).encode(), "layers[1].name' is there twice"),
]


@pytest.mark.parametrize(("raw", "sentence"), BROKEN, ids=range(len(BROKEN)))
def test_broken_text_is_refused_in_one_sentence(tmp_path: Path, raw: bytes, sentence: str) -> None:
    path = tmp_path / "my.json"
    path.write_bytes(raw)
    with pytest.raises(ValueError) as caught:
        files.load_instance(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and sentence in message and "\n" not in message


def test_missing_files_and_folders_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for load in (files.load_instance, files.load_solution, files.load_instances):
        with pytest.raises(ValueError, match=r"none.json: there is no such file, expected"):
            load(tmp_path / "none.json")
        with pytest.raises(ValueError, match="is a folder, expected"):
            load(tmp_path)
    with pytest.raises(ValueError, match="is a folder, expected"):
        files.save_instance(_instance(), tmp_path)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ValueError, match="cannot be written"):
        files.save_solution(_solution(), tmp_path / "file" / "x.json")
    unloadable = Solution(_solution().requests, math.nan, 1)
    with pytest.raises(ValueError, match="file: field 'objective_s' is NaN"):
        files.save_solution(unloadable, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept" and os.listdir(tmp_path) == ["file"]


def test_sets_are_json_lines_and_errors_name_the_line(tmp_path: Path) -> None:
    path, data = tmp_path / "set.jsonl", _changed(VALID["instance"], "devices.0.name", "a\u2028b\nc")
    instance = files.instance_from_dict(data)
    files.save_instances((_instance(), instance), path)
    assert path.read_bytes().count(b"\n") == 2
    assert files.load_instances(path) == (_instance(), instance)
    path.write_text(f"{TEXT}\r\n\n{json.dumps(data, ensure_ascii=False)}\n", encoding="utf-8", newline="")
    assert files.load_instances(path) == (_instance(), instance)
    for line, sentence in (
        ("{]", r"set.jsonl: line 3, column 2 is not valid JSON"),
        (TEXT.replace("560000000.0", "-1", 1), r"set.jsonl, line 3: field 'devices\[0\].mults_per_s' is -1, expected"),
    ):
        path.write_text(f"{TEXT}\n\n{line}\n")
        with pytest.raises(ValueError, match=sentence):
            files.load_instances(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"set.jsonl: holds no instance"):
        files.load_instances(path)
    with pytest.raises(ValueError, match=r"set.jsonl: the set of instances is empty"):
        files.save_instances((), path)


def test_content_hash_is_of_the_numbers_not_of_how_they_are_written() -> None:
    text = (
        '{"colluders":1,"devices":[{"memory_bytes":4,"mults_per_s":0.1,"name":"\\u00fc","rate_bytes_per_s":2}],'
        '"format":"offramp/distprivacy-instance","networks":{"n":{"layers":['
        '{"in_units":3,"kind":"fc","name":"a","out_units":2},{"in_units":2,"kind":"fc","name":"b","out_units":1}]}},'
        '"period_s":1,"privacy":{"n":{"a":{"1":0,"2":null}}},"privacy_scope":"layer",'
        '"requests":[{"network":"n","source":0}],"sources":[{"memory_bytes":1e-07,"mults_per_s":1,"name":"s",'
        '"rate_bytes_per_s":1}],"ssim":0.6,"tolerance":0.01,"version":1}'
    )
    expected = hashlib.sha256(text.encode()).hexdigest()
    data = json.loads(text)
    assert files.content_hash(files.instance_from_dict(data)) == expected
    for path, value in (("devices.0.memory_bytes", 4.0), ("privacy.n.a.1", -0.0), ("colluders", 1.0)):
        assert files.content_hash(files.instance_from_dict(_changed(data, path, value))) == expected
    for path, value in (("devices.0.memory_bytes", 4.1), ("devices.0.mults_per_s", math.nextafter(0.1, 1))):
        assert files.content_hash(files.instance_from_dict(_changed(data, path, value))) != expected


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("requests", [{"rejected": True}], "field 'requests' is a list of 1 entries, expected 2, one for each"),
        ("requests.0.layers.fc2", ..., "field 'requests[0].layers.fc2' is missing"),
        ("requests.0.layers.fc3", [-1], "field 'requests[0].layers.fc3' is an unknown key"),
        ("requests.0.layers.pool1", [0] * 7, "'requests[0].layers.pool1' is a list of 7 entries, expected 8, one"),
        ("requests.0.layers.pool1.3", 4, "'requests[0].layers.pool1[3]' is 4, expected a device in 0..3 or -1"),
    ],
)
def test_solutions_of_another_instance_are_refused(path: str, value: Any, sentence: str) -> None:
    files.check_fits(_solution(), _instance())
    data = _changed({**VALID["solution"], "rejections": 1}, path, value)
    with pytest.raises(ValueError) as caught:
        files.check_fits(files.solution_from_dict(data), _instance(), "my.json")
    assert str(caught.value).startswith("my.json: ") and sentence in str(caught.value)
    outside = Solution((RequestSolution(False, None, {"fc2": (-2,)}),), 0.0)
    two = Network("two", tuple(Layer(name, "fc", 1, 1) for name in ("a", "fc2", "c")))
    task, device = Task({"two": two}, {"two": {}}), Device("d", 1, 1, 1)
    with pytest.raises(ValueError, match=r"is -2, expected a device in 0..0"):
        files.check_fits(outside, Instance(task, (device,), (device,), (Request(0, "two"),)))


def test_atomic_write_leaves_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text_atomic(path, "old\r\n\u00fc")
    assert path.read_bytes() == b"old\r\n\xc3\xbc"

    def interrupted(*_: object) -> None:
        assert len(os.listdir(path.parent)) == 2, "the temporary file stands in the same folder"
        raise KeyboardInterrupt

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, step, interrupted)
            write_text_atomic(path, "new")
        assert path.read_bytes() == b"old\r\n\xc3\xbc" and os.listdir(path.parent) == ["b.txt"]
    write_text_atomic(path, "new")
    assert path.read_text() == "new" and os.listdir(path.parent) == ["b.txt"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_atomic_write_follows_links_and_umask(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    before = os.umask(0o022)
    try:
        write_text_atomic(tmp_path / "link", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o644
