"""Keys of the command ``optimal.early_exit.front``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule
from conf.schema import FORMATS

COSTS = ("offload", "energy", "latency")
"""Names that optimal.early_exit.searched_front knows; repeated because that module compiles kernels on import."""
RULES = ("budget", "weight")
SENT = ("input", "features")


@dataclass
class ExitsFrontConfig:
    """Find good thresholds of a network with any number of exits: a front of error and cost, and one point of it by a rule.

    Found by search among levels, exits may reject early. For two exits inference.front finds the front exactly. The error is
    that of the rows which get an answer; at least a share tau of them must.

    Examples:
        {command} table=month.csv remote_from=3 out=front.csv
        {command} table=[january.csv,february.csv] cost=energy work=work.yaml rule=budget budget=2e-5 actions=actions.csv
    """

    COMMAND: ClassVar[str] = "python -m optimal.early_exit.front"

    table: list[str] = field(
        default_factory=list,
        metadata=rule("evaluation tables (.csv, .csv.gz), joined to one", path=True, section="What"),
    )
    tau: float = key(0.9, "least share of the rows that get an answer", least=0, most=1)
    margin: float = key(0.0, "added to tau, so that it is kept on other rows", least=0, most=1)
    cost: str = key(
        "offload", "what it costs that a row goes on: share sent, joules of the edge, seconds", choices=COSTS
    )
    remote_from: int = key(2, "first exit that runs in the cloud: rows that go on to it are sent", least=1)
    work: str | None = key(None, "work of the network (.yaml), for energy and latency", path=True)
    sends: str = key("input", "what goes over the link, for energy and latency", choices=SENT)
    levels: int = key(21, "thresholds of each exit and class to choose from", least=2, most=31, section="How")
    rejects: int = key(
        4,
        "thresholds below which exits before the last may reject, the first of which rejects nothing",
        least=1,
        most=31,
    )
    step: float = key(0.002, "least difference of two points in cost, of what all rows cost", above=0, most=1)
    rule: str = key(
        "weight",
        "one point: least error within a budget, or least error + weight * cost",
        choices=RULES,
        section="One point",
    )
    budget: float = key(0.1, "most mean cost of a row, in the unit of the cost", least=0)
    weight: float = key(0.1, "error that one unit of cost is worth", least=0)
    out: str | None = key(None, "CSV file of the front", path=True, section="Output")
    actions: str | None = key(None, "CSV file of thresholds: the chosen point, then the front", path=True)
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for no table, a margin too wide, too many choices, or missing work."""
        if not self.table:
            raise ValueError("table is [], expected at least one evaluation table")
        if self.tau + self.margin > 1:
            raise ValueError(f"tau is {self.tau} and margin is {self.margin}, expected a sum of at most 1")
        if self.levels * self.rejects > MOST_OPTIONS:
            raise ValueError(
                f"levels is {self.levels} and rejects is {self.rejects}, expected a product of at most {MOST_OPTIONS}"
            )
        if self.cost != "offload" and self.work is None:
            raise ValueError(f"work is null, expected a work file (.yaml), because cost is {self.cost}")


MOST_OPTIONS = 150
"""Product of levels and rejects: two exits have the fourth power of that of choices."""

ConfigStore.instance().store(name="exits_front_schema", node=ExitsFrontConfig, provider="offramp")
