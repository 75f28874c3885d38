"""Standard sets: named held-out instances with their references, shipped with the package.

A set is a recipe (scenario, overrides, seed, count) and, for each instance, its SHA-256 and what is proven about it. Loading
draws the instances again from the recipe and compares the hashes, so that a reference can never be read for another instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from envs.distprivacy.files import content_hash
from envs.distprivacy.generator import Generator
from envs.distprivacy.held_out import held_out_heads
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.types import Instance, RequestSolution, Solution, Task
from envs.strict_json import Field, or_null, parse
from optimal.reference import Reference

FORMAT, VERSION = "offramp/distprivacy-standard-set", 1
STATUSES, KINDS = ("optimal", "feasible", "bound"), ("optimum", "bound", "heuristic")
TEST_SEED, VALIDATION_SEED = 0, 1_000_003
"""Seeds of the held-out streams: the instances that agents are scored on after training, and those of the evaluations
during training, by which the best model is picked. A benchmark is played on the former only."""


@dataclass(frozen=True)
class Recipe:
    """Where the instances of a set come from: ``count`` held-out draws of a seed from a scenario."""

    scenario: str
    overrides: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of ``scenarios.scenario``
    seed: int = TEST_SEED
    count: int = 200

    def generator(self) -> Generator:
        """The generator of the scenario. Raises ``ValueError`` for one that is unknown."""
        return scenario(self.scenario, **self.overrides)

    def instances(self) -> tuple[Instance, ...]:
        """The instances, the same ones on every call."""
        generator = self.generator()
        simulator = generator.simulator()
        return tuple(
            generator.decode(head, simulator) for head in held_out_heads(generator, simulator, self.count, self.seed)
        )


RECIPES: dict[str, Recipe] = {
    "lenet-random-0.8": Recipe("lenet-random", {"ssim": 0.8}),
    "lenet-random-0.6": Recipe("lenet-random", {"ssim": 0.6}),
    "lenet-random-0.4": Recipe("lenet-random", {"ssim": 0.4}),
    "lenet-20-0.6": Recipe("lenet-20", {"ssim": 0.6}),
    # A fleet and requests without anything random: one instance says all.
    "lenet-10-0.8": Recipe("lenet-10", {"ssim": 0.8}, count=1),
    "lenet-10-0.6": Recipe("lenet-10", {"ssim": 0.6}, count=1),
    "lenet-random-0.6-validation": Recipe("lenet-random", {"ssim": 0.6}, seed=VALIDATION_SEED),
}
"""Name -> recipe of the sets that are shipped as ``optimal/sets/NAME.json``."""


@dataclass(frozen=True)
class StandardSet:
    """The instances of a recipe, their hashes and references, in order."""

    name: str
    recipe: Recipe
    hashes: tuple[str, ...]
    instances: tuple[Instance, ...]
    references: tuple[Reference, ...]


def load(name: str) -> StandardSet:
    """A shipped set, its instances drawn again and checked.

    Raises:
        ValueError: one sentence; there is no such set, its file is damaged, or the instances that this machine draws are
            not those of the hashes.
    """
    return _load(name)


@cache
def _load(name: str) -> StandardSet:
    if name not in RECIPES:
        raise ValueError(f"set is {name!r}, expected one of {', '.join(RECIPES)}")
    return _read(name, _document(name))


@cache
def _document(name: str) -> dict[str, Field]:
    """The top keys of a shipped file."""
    where = f"standard set {name}"
    try:
        data = resources.files("optimal").joinpath("sets", f"{name}.json").read_bytes()
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error}") from error
    return _top(parse(data, where), where)


def _top(data: object, where: str) -> dict[str, Field]:
    return Field(data, where).document(FORMAT, VERSION, ("recipe", "instances"), ())


def from_dict(data: object, where: str, name: str) -> StandardSet:
    """The set that a parsed file describes; ``where`` names the file in errors. Raises ValueError, one sentence."""
    return _read(name, _top(data, where))


def _entries(value: Field) -> list[dict[str, Field]]:
    """The keys of each instance."""
    keys = ("sha256", "objective_s", "bound_s", "rejections", "rejections_bound", "status", "kind", "solver")
    return [entry.record((*keys, "seconds", "placement")) for entry in value.entries()]


def _read(name: str, fields: Mapping[str, Field]) -> StandardSet:
    recipe = _read_recipe(fields["recipe"])
    instances, entries = recipe.instances(), _entries(fields["instances"])
    if len(entries) != len(instances):
        raise fields["instances"].wrong(f"{recipe.count} entries, the count of the recipe")
    for values, instance in zip(entries, instances, strict=True):
        if values["sha256"].text() != content_hash(instance):
            raise values["sha256"].wrong(
                f"{content_hash(instance)}, the hash of the instance that the recipe gives here; the file belongs to another "
                "version, or this machine computes other random fleets"
            )
    hashes = tuple(values["sha256"].text() for values in entries)
    references = tuple(_read_reference(values, instance) for values, instance in zip(entries, instances, strict=True))
    return StandardSet(name, recipe, hashes, instances, references)


def _read_recipe(value: Field) -> Recipe:
    fields = value.record(("scenario", "overrides", "seed", "count"))
    overrides = {key: entry.value for key, entry in fields["overrides"].mapping().items()}
    recipe = Recipe(fields["scenario"].text(), overrides, fields["seed"].count(0), fields["count"].count(1))
    try:
        recipe.generator()
    except (TypeError, ValueError) as error:
        raise value.refuse(f"is no scenario: {error}") from error
    return recipe


def _read_reference(values: Mapping[str, Field], instance: Instance) -> Reference:
    objective = or_null(values["objective_s"], lambda value: value.number(0))
    bound = or_null(values["bound_s"], lambda value: value.number(0))
    rejections = or_null(values["rejections"], lambda value: value.count(0))
    gap = (objective - bound) / objective if objective and bound is not None else None
    seconds, solver = values["seconds"].number(0), values["solver"].text()
    status = values["status"].text(STATUSES)
    solution = None
    if objective is not None and rejections is not None:
        placed = tuple(
            _read_placement(field, instance, index) for index, field in enumerate(values["placement"].entries())
        )
        solution = Solution(
            placed,
            objective,
            rejections,
            "optimal" if status == "optimal" else "feasible",
            bound,
            gap,
            values["rejections_bound"].count(0),
            seconds,
            solver,
        )
    return Reference(
        objective_s=objective,
        bound_s=bound,
        gap=gap,
        rejections=rejections,
        rejections_bound=values["rejections_bound"].count(0),
        status=status,
        kind=values["kind"].text(KINDS),
        seconds=seconds,
        solver=solver,
        solution=solution,
    )


def _read_placement(value: Field, instance: Instance, index: int) -> RequestSolution:
    """One request: null where it is rejected, else one list of devices a distributed layer, -1 for the source."""
    if value.value is None:
        return RequestSolution(True, None)
    rows = value.entries()
    layers = instance.task.networks[instance.requests[index].network].distributed
    if len(rows) != len(layers):
        raise value.wrong(f"{len(layers)} lists, one for each distributed layer")
    return RequestSolution(False, None, {layer.name: row.counts(-1) for layer, row in zip(layers, rows, strict=True)})


def entry_of(instance: Instance, reference: Reference) -> dict[str, Any]:
    """The line of one instance in the file of a set."""
    placement = None
    if reference.solution is not None:
        names = [
            [layer.name for layer in instance.task.networks[request.network].distributed]
            for request in instance.requests
        ]
        placement = [
            None if placed.rejected else [[int(device) for device in placed.layers[name]] for name in own]
            for placed, own in zip(reference.solution.requests, names, strict=True)
        ]
    return {
        "sha256": content_hash(instance),
        "objective_s": reference.objective_s,
        "bound_s": reference.bound_s,
        "rejections": reference.rejections,
        "rejections_bound": reference.rejections_bound,
        "status": reference.status,
        "kind": reference.kind,
        "solver": reference.solver,
        "seconds": round(reference.seconds, 3),
        "placement": placement,
    }


def find_references(task: Task, instances: Sequence[Instance]) -> list[Reference | None]:
    """What the shipped sets prove about instances of ``task``, found by hash; None for an instance of no set."""
    known: dict[str, Mapping[str, Field]] = {}
    for name, recipe in RECIPES.items():
        if recipe.generator().task == task:
            known |= {values["sha256"].text(): values for values in _entries(_document(name)["instances"])}
    hashes = [content_hash(instance) if known else "" for instance in instances]
    return [
        _read_reference(known[digest], instance) if digest in known else None
        for digest, instance in zip(hashes, instances, strict=True)
    ]
