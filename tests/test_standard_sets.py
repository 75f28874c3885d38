"""Standard sets: drawn again bit for bit, every shipped solution replayed, built and resumed, damaged files refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from test_optimality import brute_force

import optimal.build_sets as builder
from conf.benchmark_schema import STANDARD_SETS
from conf.messages import UserError
from envs.distprivacy.files import content_hash
from envs.distprivacy.generator import Generator, InstanceList, toy_instance
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.supply import Supply
from envs.distprivacy.types import Device, Instance
from optimal.reference import Reference
from optimal.standard_sets import RECIPES, TEST_SEED, VALIDATION_SEED, Recipe, find_references, from_dict, load


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_sets_are_what_they_say(name: str) -> None:
    """Hashes agree with the recipe, every solution is valid and as fast as stated, and no bound is above it."""
    standard = load(name)
    assert standard.recipe == RECIPES[name]
    assert len(standard.instances) == len(set(standard.hashes)) == standard.recipe.count
    for instance, digest, reference in zip(standard.instances, standard.hashes, standard.references, strict=True):
        assert content_hash(instance) == digest
        assert reference.objective_s is not None and reference.bound_s is not None and reference.solution is not None
        report = replay(instance, reference.solution)
        assert report.violations == () and report.objective_s == pytest.approx(reference.objective_s, rel=1e-9)
        assert reference.bound_s <= reference.objective_s * (1 + 1e-12)
        if reference.status == "optimal":
            assert reference.kind == "optimum" and reference.bound_s >= reference.objective_s * (1 - 1e-6)


def test_names_are_those_of_the_configuration() -> None:
    assert tuple(RECIPES) == STANDARD_SETS
    shipped = {entry.name for entry in resources.files("optimal").joinpath("sets").iterdir()}
    assert shipped == {f"{name}.json" for name in RECIPES}


def test_known_optima() -> None:
    for name in ("lenet-10-0.8", "lenet-10-0.6"):
        (reference,) = load(name).references
        assert reference.objective_s == pytest.approx(7.3700621e-3, rel=1e-7) and reference.status == "optimal"


def test_standard_instances_are_seen_neither_in_training_nor_by_the_choice_of_the_best_model() -> None:
    assert TEST_SEED != VALIDATION_SEED
    test, validation = load("lenet-random-0.6"), load("lenet-random-0.6-validation")
    assert not set(test.hashes) & set(validation.hashes)
    generator = scenario("lenet-random")
    simulator = generator.simulator()
    import numpy as np

    for seed in (TEST_SEED, VALIDATION_SEED):
        heads = np.zeros((50, simulator.instance_length))
        Supply(generator, simulator, np.random.default_rng(seed)).draw(heads)
        trained = {content_hash(generator.decode(head, simulator)) for head in heads}
        assert not trained & {*test.hashes, *validation.hashes}


def test_references_are_found_by_hash_alone() -> None:
    standard = load("lenet-random-0.8")
    first, second = standard.instances[:2]
    slower = replace(first, devices=(replace(first.devices[0], mults_per_s=1e6), *first.devices[1:]))
    found = find_references(first.task, [second, slower, first])
    assert found == [standard.references[1], None, standard.references[0]]
    assert find_references(toy_instance().task, [toy_instance()]) == [None]


# --- building --------------------------------------------------------------------------------------------------------
def variants(count: int) -> tuple[Instance, ...]:
    """Toys with devices of other speeds."""
    toy = toy_instance()
    return tuple(
        replace(
            toy,
            devices=tuple(
                Device(d.name, d.memory_bytes, d.mults_per_s * (i + 1), d.rate_bytes_per_s) for d in toy.devices
            ),
        )
        for i in range(count)
    )


class Toys(Recipe):
    """A recipe of three toys, each of them drawn in turn."""

    def generator(self) -> Generator:
        return InstanceList(variants(3))

    def instances(self) -> tuple[Instance, ...]:
        return variants(3)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    recipe = Toys("toys", {}, 0, 3)
    monkeypatch.setattr("optimal.standard_sets.Recipe", lambda *_: recipe)
    return recipe


def counted(fail_after: int | None = None) -> tuple[Callable[[Instance], Reference], list[str]]:
    """A brute-force solver that notes what it solved; Ctrl-C after so many."""
    solved: list[str] = []

    def solve(instance: Instance) -> Reference:
        if fail_after is not None and len(solved) == fail_after:
            raise KeyboardInterrupt
        solved.append(content_hash(instance))
        return brute_force(instance)

    return solve, solved


def test_a_set_is_built_resumed_and_read(tmp_path: Path, recipe: Recipe) -> None:
    whole, _ = counted()
    builder.build("toys", tmp_path / "whole", whole, recipe)
    interrupted, first = counted(fail_after=2)
    with pytest.raises(KeyboardInterrupt, match="goes on after the 2 instances"):
        builder.build("toys", tmp_path / "parts", interrupted, recipe)
    partial = tmp_path / "parts" / "toys.partial.jsonl"
    with open(partial, "a", encoding="utf-8") as file:
        file.write('{"sha256": "half a li')  # what a kill leaves
    rest, second = counted()
    builder.build("toys", tmp_path / "parts", rest, recipe)
    assert len(first) == 2 and len(second) == 1 and not set(first) & set(second) and not partial.exists()
    text = (tmp_path / "parts" / "toys.json").read_text()
    assert text == (tmp_path / "whole" / "toys.json").read_text()
    standard = from_dict(json.loads(text), "toys.json", "toys")
    for instance, reference in zip(variants(3), standard.references, strict=True):
        assert reference.solution is not None and reference.status == "optimal"
        assert replay(instance, reference.solution).objective_s == reference.objective_s == reference.bound_s


def test_what_is_half_done_and_damaged_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "toys.partial.jsonl").write_text("[1]\n")
    with pytest.raises(UserError, match=r"toys.partial.jsonl: cannot be read"):
        builder.build("toys", tmp_path, counted()[0], recipe)


# --- wrong input -----------------------------------------------------------------------------------------------------
def test_an_unknown_set_is_named() -> None:
    with pytest.raises(ValueError, match=r"^set is 'lenet', expected one of lenet-random-0\.8"):
        load("lenet")


def damaged(change: Callable[[Any], Any]) -> Any:
    data = json.loads(resources.files("optimal").joinpath("sets", "lenet-10-0.6.json").read_text())
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda data: data["instances"][0].update(sha256="0" * 64),
            r"^f: field 'instances\[0\].sha256' is .* the hash of",
        ),
        (lambda data: data["recipe"]["overrides"].update(ssim=0.8), r"'instances\[0\].sha256' is"),
        (lambda data: data["recipe"].update(count=2), r"field 'instances' is a list of 1 entries, expected 2 entries"),
        (lambda data: data["recipe"].update(scenario="lenet"), r"field 'recipe' is no scenario: scenario is 'lenet'"),
        (lambda data: data["recipe"]["overrides"].update(speed=1), r"field 'recipe' is no scenario: .*speed"),
        (lambda data: data["instances"][0].update(status="sure"), r"status' is \"sure\", expected .*optimal"),
        (lambda data: data["instances"][0]["placement"][0].pop(), r"placement\[0\]' is a list .* expected 7 lists"),
        (lambda data: data.update(version=2), r"field 'version' is 2, expected 1"),
        (lambda data: data["instances"][0].pop("bound_s"), r"bound_s' is missing"),
    ],
)
def test_a_damaged_set_is_refused_in_one_sentence(change: Callable[[Any], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        from_dict(damaged(change), "f", "lenet-10-0.6")
    assert "\n" not in str(caught.value)
