"""Privacy tables as files, and the road from a table of one's own to an instance file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from file_samples import VALID, sample_instance
from hypothesis import given
from hypothesis import strategies as st

from agents.cli import main
from conf.instance_schema import SHIPPED_NETWORKS, InstanceConfig
from envs.distprivacy.files import load_instance, load_instances, save_instance
from envs.distprivacy.generator import toy_instance
from envs.distprivacy.networks import NETWORKS
from envs.distprivacy.privacy import published_tables
from envs.distprivacy.table_file import load_tables, parse_tables, render_tables, save_tables
from envs.distprivacy.types import Task
from inference.instance import run

MINE: dict[str, dict[str, dict[int, float | None]]] = {"lenet": {"conv1": {8: 0.9, 2: 0.5, 1: 0.3}, "conv2": {16: 0.4}}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: str) -> int:
    return main("inference_instance", InstanceConfig, run, ("checkpoint", "table", "fleet", "out"), argv=arguments)


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
tables = st.dictionaries(
    names,
    st.dictionaries(
        names, st.dictionaries(st.integers(1, 512), st.none() | st.floats(-1, 1), min_size=1, max_size=3), max_size=3
    ),
    min_size=1,
    max_size=3,
)


@given(tables)
def test_what_is_written_is_read(data: Any) -> None:
    assert parse_tables(render_tables(data, "a comment\n\nof lines").encode(), "here") == data


def test_the_shipped_table_is_such_a_file(folder: Path) -> None:
    save_tables(published_tables(), "all.yaml", "Table 2")
    assert load_tables("all.yaml") == published_tables()
    assert (folder / "all.yaml").read_text().startswith("# Table 2\nlenet:\n  conv1: {8: 0.99, 4: 0.2}\n")


def test_the_shipped_measured_table_fits_the_networks() -> None:
    measured = load_tables(str(resources.files("envs.distprivacy").joinpath("ssim_measured.yaml")))
    assert set(measured) == {"lenet", "cifar_cnn"}
    for name, table in measured.items():
        paper = published_tables()[name]
        assert set(paper) == set(table) and all(set(paper[layer]) <= set(table[layer]) for layer in table)
        Task({name: NETWORKS[name]()}, {name: table}, 0.6)
        for row in table.values():
            values = [value for _, value in sorted(row.items()) if value is not None]
            assert values == sorted(values) and len(values) == len(row), "more maps tell more"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lenet: {conv1: {4: 1.5}}", "field 'lenet.conv1[4]' is 1.5, expected a finite number in -1..1"),
        ("lenet: {conv1: {four: 0.5}}", "field 'lenet.conv1[four]' is no count of maps, expected a whole number >= 1"),
        ("lenet: {conv1: {4: 0.5, 4: 0.6}}", "the key 4 is there twice"),
        (
            "lenet: {conv1: {}}",
            "field 'lenet.conv1' is an object with 0 keys, expected an object with at least one key",
        ),
        ("lenet: [1]", "field 'lenet' is a list of 1 entries, expected an object"),
        ("0: {a: {4: 0.5}}", "the top level has the key 0, expected a string"),
        ("lenet: {", "cannot be read as YAML"),
        ("", "the top level is null, expected an object with at least one key"),
    ],
)
def test_wrong_tables_are_refused_in_one_sentence(text: str, sentence: str, folder: Path) -> None:
    (folder / "table.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"^table\.yaml: ") as refusal:
        load_tables("table.yaml")
    assert sentence in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_table_becomes_an_instance(capsys: pytest.CaptureFixture[str]) -> None:
    save_tables(MINE, "mine.yaml")
    assert command("network=lenet", "table=mine.yaml", "out=mine.json", "ssim=0.5", "format=json") == 0
    said = json.loads(capsys.readouterr().out)
    instance = load_instance("mine.json")
    assert instance.task.privacy == MINE and instance.task.networks == {"lenet": NETWORKS["lenet"]()}
    assert (instance.task.ssim, instance.task.privacy_scope) == (0.5, "group")
    assert 6 <= len(instance.devices) <= 12 and len(instance.requests) == 1
    assert [(row["limit"], row["on_source"]) for row in said["limits"]] == [(2, False)] * 3 + [(None, False)] * 4


def test_fleets_are_drawn_by_seed_or_taken_from_a_file() -> None:
    save_tables(MINE, "mine.yaml")
    common = ("network=lenet", "table=mine.yaml")
    assert command(*common, "instances=3", "seed=5", "out=a.jsonl") == 0
    assert command(*common, "instances=3", "seed=5", "out=b.jsonl") == 0
    first, again = load_instances("a.jsonl"), load_instances("b.jsonl")
    assert first == again and len({instance.devices for instance in first}) == 3
    save_instance(toy_instance(), "toy.json")
    assert command(*common, "fleet=toy.json", "requests=2", "privacy_scope=layer", "out=c.json") == 0
    mine = load_instance("c.json")
    assert mine.devices == toy_instance().devices
    assert [request.network for request in mine.requests] == ["lenet"] * 2


def test_a_fleet_file_needs_no_network(folder: Path) -> None:
    save_tables(MINE, "mine.yaml")
    (folder / "home.json").write_text(json.dumps(VALID["fleet"] | {"sources": VALID["fleet"]["sources"] * 2}))
    common = ("network=lenet", "table=mine.yaml", "fleet=home.json")
    assert command(*common, "out=one.json") == command(*common, "requests=3", "out=three.json") == 0
    one, three = load_instance("one.json"), load_instance("three.json")
    assert one.devices == three.devices == sample_instance().devices and one.period_s == 1
    assert [request.source for request in one.requests] == [0, 1]
    assert [request.source for request in three.requests] == [0, 1, 0]


def test_an_instance_of_little_use_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tables(MINE, "mine.yaml")
    (folder / "home.json").write_text(json.dumps(VALID["fleet"]))
    common = ("network=lenet", "table=mine.yaml", "fleet=home.json", "out=a.json", "format=json")
    told = {}
    for ssim in (0.1, 0.3, 0.5, 0.9):
        assert command(*common, f"ssim={ssim}") == 0
        told[ssim] = json.loads(capsys.readouterr().out)["notice"]
    assert told[0.1].startswith("at ssim=0.1 every layer stays on the source, so there is nothing to decide")
    assert told[0.3].startswith(
        "layer relu1 has 8 segments, at most 1 of them on a device, so that a request takes 8 dev"
    )
    assert told[0.5] is told[0.9] is None
    assert command(*common[:-1], "ssim=0.3") == 0
    assert "takes 8 devices; the fleet has 4: all is rejected there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("network=lenet", "out=a.json"), "table is missing, expected a path"),
        (("table=mine.yaml", "out=a.json"), "network is null and checkpoint is null, expected one of the two"),
        (
            ("network=vgg16", "table=mine.yaml", "out=a.json"),
            "mine.yaml: has no table for network 'vgg16', only for lenet",
        ),
        (("network=lenet", "table=gone.yaml", "out=a.json"), "gone.yaml: there is no such file"),
        (
            ("network=lenet", "table=wide.yaml", "out=a.json"),
            "wide.yaml: privacy table of network 'lenet', layer 'conv1'",
        ),
        (
            ("network=lenet", "table=mine.yaml", "out=a.txt"),
            "out is a.txt, expected a path that ends in .json or .jsonl",
        ),
        (("network=lenet", "table=mine.yaml", "out=a.json", "instances=2"), "expected a path that ends in .jsonl"),
        (("network=lenet", "table=mine.yaml", "out=a.json", "fleet=home"), "fleet is home, expected one of lenet-10"),
        (("network=lenet", "table=mine.yaml", "out=a.json", "fleet=no.json"), "no.json: there is no such file"),
    ],
)
def test_wrong_input_writes_nothing(
    arguments: tuple[str, ...], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tables(MINE, "mine.yaml")
    save_tables({"lenet": {"conv1": {9: 0.5}}}, "wide.yaml")
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert sentence in err and err.count("\n") == 1 and out == ""
    assert sorted(path.name for path in folder.iterdir()) == ["mine.yaml", "wide.yaml"]


def test_the_names_of_the_networks_are_those_of_the_environment() -> None:
    assert tuple(NETWORKS) == SHIPPED_NETWORKS
