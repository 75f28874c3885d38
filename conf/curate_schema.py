"""Keys of the command ``optimal.early_exit.curate``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule
from conf.schema import FORMATS

BUDGETS = ("rows", "joules")
SENT = ("input", "features")


@dataclass
class CurateConfig:
    """Pick a menu of actions for early exit: few sets of thresholds that serve many prices and limits.

    What is best on some table for one of many prices and limits of rows sent and accepted is a candidate: the best of all
    choices of levels with one exit or two, the best that a search finds with more. The menu is picked from these so that it
    serves all prices and limits.

    Examples:
        {command} tables=[month_02.csv,month_03.csv] out=actions.csv
        {command} tables=[three_exits.csv] remote_from=3 out=actions.csv
        {command} tables=[month_02.csv] actions=32 levels=11 false_negative=2 out=actions.csv
    """

    COMMAND: ClassVar[str] = "python -m optimal.early_exit.curate"

    tables: list[str] = field(
        default_factory=list,
        metadata=rule("evaluation tables (.csv, .csv.gz) of calibration months", path=True, section="What"),
    )
    actions: int = key(52, "actions of the menu, at most", least=2, most=1_000, section="How")
    levels: int = key(11, "thresholds of each exit and class to choose from", least=2, most=31)
    rejects: int = key(
        4,
        "thresholds below which exits before the last may reject, the first of which rejects nothing",
        least=1,
        most=31,
    )
    quiet_share: float = key(0.15, "share of the menu that is kept for actions that send nothing", least=0, most=1)
    false_positive: float = key(1.0, "cost of a normal row that is answered attack", least=0)
    false_negative: float = key(1.0, "cost of an attack that is answered normal", least=0)
    rejection: float = key(0.3, "cost of a row without an answer", least=0)
    remote_from: int = key(
        2, "first exit that runs in the cloud, as in the environment: rows that go on to it are sent", least=1
    )
    budget_of: str = key("rows", "what is sent counts by rows, or by joules of the edge", choices=BUDGETS)
    work: str | None = key(None, "work of the network (.yaml), for joules", path=True)
    sends: str = key("input", "what crosses the link, for joules: the row, or the last features", choices=SENT)
    out: str = key("actions.csv", "CSV file of the menu", path=True, section="Output")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for no table, a grid of too many choices, or joules of no work."""
        if not self.tables:
            raise ValueError("tables is [], expected at least one evaluation table")
        if self.levels * self.rejects > MOST_OPTIONS:
            raise ValueError(
                f"levels is {self.levels} and rejects is {self.rejects}, expected a product of at most {MOST_OPTIONS}"
            )
        if self.budget_of == "joules" and self.work is None:
            raise ValueError("work is null, expected a work file (.yaml), because budget_of is joules")


MOST_OPTIONS = 150
"""Product of levels and rejects: the grid has its square times that of the levels choices, some tens of millions."""

ConfigStore.instance().store(name="curate_schema", node=CurateConfig, provider="offramp")
