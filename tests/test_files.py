"""Instance and solution files: exact round trips, sets, hashes, and whether a solution fits its instance."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from file_samples import SCHEMAS, VALID, changed, sample_instance, sample_solution
from hypothesis import given
from hypothesis import strategies as st

from envs.distprivacy import files
from envs.distprivacy.types import Device, Instance, Layer, Network, Request, RequestSolution, Solution, Task
from envs.strict_json import render

TEXT = json.dumps(VALID["instance"])

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
    back = files.instance_from_dict(json.loads(render(data)))
    assert back == instance
    # == takes 4 for 4.0; the types of numbers and the order of keys must come back too.
    assert repr(back) == repr(instance)
    assert files.content_hash(back) == files.content_hash(instance)


@given(solutions())
def test_solutions_come_back_exactly(solution: Solution) -> None:
    data = files.solution_to_dict(solution)
    assert SCHEMAS["solution"].is_valid(data)
    assert repr(files.solution_from_dict(json.loads(render(data)))) == repr(solution)


def test_files_come_back_and_follow_the_schemas(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.json"
    files.save_instance(sample_instance(), path)
    assert files.load_instance(path) == sample_instance()
    assert SCHEMAS["instance"].is_valid(json.loads(path.read_bytes()))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert files.load_instance(path) == sample_instance(), "a byte order mark is harmless"
    files.save_solution(sample_solution(), path)
    assert files.load_solution(path) == sample_solution()
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
    assert files.solution_from_dict(bare) == Solution(sample_solution().requests, 0.1 + 0.2, 1)
    written = files.solution_to_dict(files.solution_from_dict(bare))
    assert written["bound_s"] is written["gap"] is None
    assert not {"seconds", "solver", "rejections_bound"} & set(written)
    unstated = {**bare, "requests": [{"rejected": False, "layers": {}}, {"rejected": True, "layers": {}}]}
    assert SCHEMAS["solution"].is_valid(unstated)
    assert files.solution_from_dict(unstated).objective_s == 0.0


def test_sets_are_json_lines_and_errors_name_the_line(tmp_path: Path) -> None:
    path, data = tmp_path / "set.jsonl", changed(VALID["instance"], "devices.0.name", "a\u2028b\nc")
    instance = files.instance_from_dict(data)
    files.save_instances((sample_instance(), instance), path)
    assert path.read_bytes().count(b"\n") == 2
    assert files.load_instances(path) == (sample_instance(), instance)
    path.write_text(f"{TEXT}\r\n\n{json.dumps(data, ensure_ascii=False)}\n", encoding="utf-8", newline="")
    assert files.load_instances(path) == (sample_instance(), instance)
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
        assert files.content_hash(files.instance_from_dict(changed(data, path, value))) == expected
    for path, value in (("devices.0.memory_bytes", 4.1), ("devices.0.mults_per_s", math.nextafter(0.1, 1))):
        assert files.content_hash(files.instance_from_dict(changed(data, path, value))) != expected


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
    files.check_fits(sample_solution(), sample_instance())
    data = changed({**VALID["solution"], "rejections": 1}, path, value)
    with pytest.raises(ValueError) as caught:
        files.check_fits(files.solution_from_dict(data), sample_instance(), "my.json")
    assert str(caught.value).startswith("my.json: ") and sentence in str(caught.value)
    outside = Solution((RequestSolution(False, None, {"fc2": (-2,)}),), 0.0)
    two = Network("two", tuple(Layer(name, "fc", 1, 1) for name in ("a", "fc2", "c")))
    task, device = Task({"two": two}, {"two": {}}), Device("d", 1, 1, 1)
    with pytest.raises(ValueError, match=r"is -2, expected a device in 0..0"):
        files.check_fits(outside, Instance(task, (device,), (device,), (Request(0, "two"),)))
