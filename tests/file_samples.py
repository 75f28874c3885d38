"""Instance and solution files that the tests of files share: a valid one of each, and how to change one field."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

from envs.distprivacy import files
from envs.distprivacy.networks import lenet
from envs.distprivacy.types import Device, Instance, PrivacyTable, Request, RequestSolution, Solution, Task

Data = dict[str, Any]


def _schema(name: str) -> Draft202012Validator:
    text = resources.files("envs.distprivacy").joinpath(f"schemas/{name}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


SCHEMAS = {name: _schema(name) for name in ("instance", "solution", "fleet")}
READ: dict[str, Callable[[object, str], Any]] = {
    "instance": files.instance_from_dict,
    "solution": files.solution_from_dict,
    "fleet": files.fleet_from_dict,
}


def sample_instance() -> Instance:
    """Two LeNet requests of one camera, four devices."""
    table: PrivacyTable = {"conv1": {8: 0.99, 4: 0.2}, "conv2": {16: None, 8: 0.73, 4: 0.0}}
    fleet = tuple(Device(f"rpi3-{index}", 2**30, 560e6, 9025000.0) for index in range(4))
    cameras = (Device("cam-0", 2**30, 560e6, 9025000.0, 1e9, 0.5),)
    return Instance(Task({"lenet": lenet()}, {"lenet": table}), fleet, cameras, (Request(0, "lenet"),) * 2)


def sample_solution() -> Solution:
    """The first request on devices 0 and 3, the second rejected; with every claim."""
    rows = {layer.name: (0,) * (layer.segments - 1) + (3,) for layer in lenet().distributed} | {"fc1": (-1,)}
    served = RequestSolution(False, 0.1 + 0.2, rows)
    return Solution((served, RequestSolution(True, None)), 0.1 + 0.2, 1, "optimal", 0.3, 1e-7, 1, 2.5, "highs 1.15.1")


VALID: dict[str, Data] = {
    "instance": files.instance_to_dict(sample_instance()),
    "solution": files.solution_to_dict(sample_solution()),
}
VALID["fleet"] = {
    "format": files.FLEET_FORMAT,
    "version": files.VERSION,
    **{key: VALID["instance"][key] for key in ("period_s", "devices", "sources")},
}


def changed(data: Data, path: str, value: Any) -> Data:
    """A copy of ``data`` with the field at a dotted path set to ``value``, or removed (...)."""
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
