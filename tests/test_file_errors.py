"""Wrong instance and solution files: refusals in one sentence, and agreement with the published schemas."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from file_samples import READ, SCHEMAS, VALID, changed, sample_instance, sample_solution
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from envs.distprivacy import files
from envs.distprivacy.types import Solution

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
    ("fleet", "version", 2, "field 'version' is 2, expected 1", True),
    ("fleet", "networks", {}, "field 'networks' is an unknown key", True),
    ("fleet", "devices", [], "field 'devices' is a list of 0 entries", True),
    ("fleet", "sources.0.mults_per_s", 0, "field 'sources[0].mults_per_s' is 0, expected a finite number > 0", True),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "sentence", "in_schema"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_files_are_refused_in_one_sentence(
    kind: str, path: str, value: Any, sentence: str, in_schema: bool
) -> None:
    data = changed(VALID[kind], path, value)
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
    data = changed(VALID[spot[0]], spot[1], value)
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
        files.save_instance(sample_instance(), tmp_path)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ValueError, match="cannot be written"):
        files.save_solution(sample_solution(), tmp_path / "file" / "x.json")
    unloadable = Solution(sample_solution().requests, math.nan, 1)
    with pytest.raises(ValueError, match="file: field 'objective_s' is NaN"):
        files.save_solution(unloadable, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept" and os.listdir(tmp_path) == ["file"]
