"""Keys of the commands ``optimal.solve`` and ``optimal.growth``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from conf.fields import key, rule
from conf.schema import FORMATS, MOST_SEED

SOLVERS = ("highs", "cbc")
"""Names that optimal.backends knows; repeated because that module imports the solvers."""


@dataclass
class SolveConfig:
    """Find the best placement of an instance: fewest rejections first, then the least summed latency, with proof.

    Every placement is replayed in the environment's physics before it is written. A run that reaches its time limit
    writes the best placement that it has, with the gap that is left.

    Examples:
        {command} instance=instance.json out=solution.json
        {command} instance=instance.json out=solution.json time_limit=60 format=json
        {command} instance=instance.json out=solution.json solver=cbc chain=false
    """

    COMMAND: ClassVar[str] = "python -m optimal.solve"

    instance: str = key(MISSING, "instance file (.json)", path=True, section="Files")
    out: str = key(MISSING, "solution file to write (.json)", path=True)
    cache: str | None = key(None, "folder of results by content of the instance; null: none", path=True)
    solver: str = key("highs", "solver of the integer programs", choices=SOLVERS, section="How")
    chain: bool = key(True, "try the chain method first; false: integer programs alone")
    time_limit: float | None = key(
        None, "time after which the best known is written; null: none", unit="seconds", above=0
    )
    format: str = key("text", "a few lines, or one JSON object", choices=FORMATS, section="Output")


METHODS = ("chain", "highs", "cbc", "paper")
"""The chain method first; integer programs alone by either solver; the paper's own program."""
SWEEPS = ("devices", "requests", "layers")


@dataclass
class GrowthConfig:
    """Measure how the time of a proof grows with devices, requests and layers, for each way to solve; a table and a plot.

    Random fleets as in lenet-random, privacy by layer (the paper's program knows no other). Requests share budgets that bind.

    Examples:
        {command} out=runs/growth
        {command} methods=[chain,highs] sweeps=devices time_limit=300
    """

    COMMAND: ClassVar[str] = "python -m optimal.growth"

    methods: list[str] = field(
        default_factory=lambda: list(METHODS),
        metadata=rule("ways to solve that are compared", choices=METHODS, section="What"),
    )
    sweeps: list[str] = field(default_factory=lambda: list(SWEEPS), metadata=rule("sizes that grow", choices=SWEEPS))
    repeats: int = key(3, "random instances of each size", least=1)
    seed: int = key(0, "seed of the instances", least=0, most=MOST_SEED)
    time_limit: float = key(
        60.0, "limit for one instance; a method that needs more is not asked for larger ones", unit="seconds", above=0
    )
    out: str = key("runs/growth", "folder of growth.csv and growth.png", path=True, section="Output")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)


_store = ConfigStore.instance()
_store.store(name="growth_schema", node=GrowthConfig, provider="offramp")
_store.store(name="solve_schema", node=SolveConfig, provider="offramp")
