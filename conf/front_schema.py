"""Keys of the command ``inference.front``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule
from conf.schema import FORMATS, MOST_SEED

METHODS = ("exact", "mass-aware", "grid", "nsga2", "reject-at-exit-1")
"""Names that optimal.early_exit.methods knows; repeated because that module compiles kernels on import."""
COSTS = ("offload", "energy", "latency", "measured")
RULES = ("budget", "weight")
SENT = ("input", "features")


@dataclass
class FrontConfig:
    """Find the best thresholds of a network with two exits: the front of error and cost, and one point of it by a rule.

    The table says what both exits answer for each row, as inference.evaluate writes it. The error is that of the rows which
    get an answer; at least a share tau of them must.

    Examples:
        {command} table=month.csv out=front.csv picture=front.png
        {command} table=[january.csv,february.csv] tau=0.9 margin=0.01 rule=weight weight=0.1
        {command} table=month.csv cost=energy work=network.yaml rule=budget budget=0.002
        {command} table=month.csv compare=true picture=front.png
    """

    COMMAND: ClassVar[str] = "python -m inference.front"

    table: list[str] = field(
        default_factory=list,
        metadata=rule("evaluation tables (.csv, .csv.gz), joined to one", path=True, section="What"),
    )
    tau: float = key(0.9, "least share of the rows that get an answer", least=0, most=1)
    margin: float = key(0.0, "added to tau, so that it is kept on other rows", least=0, most=1)
    cost: str = key("offload", "what it costs that a row goes past exit 1", choices=COSTS)
    work: str | None = key(None, "work of the network (.yaml), for energy and latency", path=True)
    sends: str = key("input", "what goes over the link, for energy and latency", choices=SENT)
    method: str = key("exact", "how the front is found", choices=METHODS, section="How")
    levels: int | None = key(
        None, "levels of each threshold, for grid (null: 21) and mass-aware (31), or of rejects (31)", least=2, most=400
    )
    generations: int = key(1_000, "generations of nsga2", least=1)
    seed: int = key(1, "seed of nsga2", least=0, most=MOST_SEED)
    compare: bool = key(False, "run all methods, and both exits alone, against the exact front")
    rule: str = key(
        "weight",
        "one point: least error within a budget, or least error + weight * cost",
        choices=RULES,
        section="One point",
    )
    budget: float = key(0.1, "most mean cost of a row, in the unit of the cost", least=0)
    weight: float = key(0.1, "error that one unit of cost is worth", least=0)
    out: str | None = key(None, "CSV file of the fronts", path=True, section="Output")
    actions: str | None = key(None, "CSV file of thresholds: the chosen point, then the front", path=True)
    picture: str | None = key(None, "picture of the fronts, .png or .svg", path=True)
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for no table, a margin too wide, levels without a use, missing work, or another kind of picture."""
        if not self.table:
            raise ValueError("table is [], expected at least one evaluation table")
        if self.tau + self.margin > 1:
            raise ValueError(f"tau is {self.tau} and margin is {self.margin}, expected a sum of at most 1")
        if self.levels is not None and (self.compare or self.method in ("exact", "nsga2")):
            why = "compare=true" if self.compare else f"method={self.method}"
            raise ValueError(f"levels is {self.levels}, expected null with {why}")
        if self.cost in ("energy", "latency") and self.work is None:
            raise ValueError(f"work is null, expected a work file (.yaml), because cost is {self.cost}")
        if self.picture is not None and not self.picture.lower().endswith((".png", ".svg")):
            raise ValueError(f"picture is {self.picture}, expected a path that ends in .png or .svg")


ConfigStore.instance().store(name="front_schema", node=FrontConfig, provider="offramp")
