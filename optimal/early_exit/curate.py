"""``python -m optimal.early_exit.curate``: a menu of actions for early exit from calibration tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envs.early_exit.types import ExitTable, Thresholds

if TYPE_CHECKING:
    from conf.curate_schema import CurateConfig

WIDE = 100
"""Columns of text that the table needs."""


def run(config: CurateConfig) -> dict[str, Any]:
    """Write the menu to ``config.out``; returns what its actions do on all tables, and the path.

    Raises ``ValueError`` for bad tables, or tables of other than two exits.
    """
    from envs.early_exit.table_file import load_table
    from envs.early_exit.thresholds_file import save_thresholds
    from optimal.early_exit.actions import RowPrices, curate, shares
    from optimal.progress import status_line

    tables = []
    for file in config.tables:
        table = load_table(file)
        if table.exits != 2:
            raise ValueError(f"{file}: has {table.exits} exits, expected 2")
        tables.append(table)
    prices = RowPrices(config.false_positive, config.false_negative, config.rejection)
    with status_line() as say:
        menu = curate(
            tables,
            config.actions,
            levels=config.levels,
            rejects=config.rejects,
            reject_share=config.quiet_share,
            prices=prices,
            say=say,
        )
    save_thresholds(menu, config.out)
    names = ("false_positives", "false_negatives", "accepted", "sent")
    found = shares(ExitTable.joined(tables), menu)
    rows = [
        {"name": name} | dict(zip(names, line, strict=True))
        for name, line in zip(menu.names, found.tolist(), strict=True)
    ]
    if config.format == "text":
        _print(menu, rows, config.out)
    return {"actions": rows, "out": config.out}


def _print(menu: Thresholds, rows: list[dict[str, Any]], path: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(menu)} actions in {path}: shares of the calibration rows", title_justify="left")
    for heading in ("action", "sent", "accepted", "wrong"):
        table.add_column(heading, justify="left" if heading == "action" else "right", no_wrap=True)
    for number, row in enumerate(rows):
        wrong = row["false_positives"] + row["false_negatives"]
        shown = (f"{100 * value:.1f} %" for value in (row["sent"], row["accepted"], wrong))
        table.add_row(f"{number}: {row['name']}", *shown)
    console = Console()
    if console.width < WIDE:
        console = Console(width=WIDE, soft_wrap=True)
    console.print(table)


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.curate_schema import CurateConfig

    raise SystemExit(main("curate", CurateConfig, run, ("tables", "out")))
