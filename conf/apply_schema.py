"""Keys of the command ``inference.apply``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule
from conf.schema import FORMATS


@dataclass
class ApplyConfig:
    """Say what thresholds do on evaluation tables: accuracy of what is answered, shares rejected and sent on, month by month.

    Thresholds chosen on one month (inference.front, actions=...) meet the months that come after it.

    Examples:
        {command} table=[march.csv,april.csv] actions=point.csv
        {command} table=[march.csv,april.csv] actions=point.csv action=2 out=months.csv
    """

    COMMAND: ClassVar[str] = "python -m inference.apply"

    table: list[str] = field(
        default_factory=list,
        metadata=rule("evaluation tables (.csv, .csv.gz), a line each", path=True, section="What"),
    )
    actions: str = key("actions.csv", "file of thresholds (.csv)", path=True)
    action: int = key(0, "line of it, from 0", least=0)
    out: str | None = key(None, "CSV file of the lines", path=True, section="Output")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for no table."""
        if not self.table:
            raise ValueError("table is [], expected at least one evaluation table")


ConfigStore.instance().store(name="apply_schema", node=ApplyConfig, provider="offramp")
