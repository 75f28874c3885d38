"""``python -m optimal.early_exit.curate``: a menu of actions for early exit from calibration tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envs.early_exit.types import ExitTable, Thresholds

if TYPE_CHECKING:
    from conf.curate_schema import CurateConfig

REST = 48
"""Columns of text that the table needs besides the longest name."""


def run(config: CurateConfig) -> dict[str, Any]:
    """Write the menu to ``config.out``; returns what its actions do on all tables, and the path.

    Raises ``ValueError`` for bad tables, for work or a link that do not fit them, and for fewer actions than exits.
    """
    from envs.early_exit.thresholds_file import save_thresholds
    from envs.early_exit.work_file import load_work
    from optimal.early_exit.actions import RowPrices, curate, ended, shares
    from optimal.early_exit.uses import uses_of
    from optimal.progress import status_line

    tables = load(config.tables)
    exits = tables[0].exits
    if config.actions < exits:
        raise ValueError(f"actions is {config.actions}, expected at least {exits}, one an exit of {config.tables[0]}")
    work = None if config.work is None else load_work(config.work)
    if work is not None and work.exits != exits:
        raise ValueError(f"{config.work}: field 'block_macs' has {work.exits} entries, expected {exits}, one an exit")
    use = uses_of(exits, remote_from=config.remote_from, budget_of=config.budget_of, work=work, sends=config.sends)
    prices = RowPrices(config.false_positive, config.false_negative, config.rejection)
    with status_line() as say:
        menu = curate(
            tables,
            config.actions,
            levels=config.levels,
            rejects=config.rejects,
            reject_share=config.quiet_share,
            prices=prices,
            use=use,
            say=say,
        )
    save_thresholds(menu, config.out)
    names = ("false_positives", "false_negatives", "accepted", "sent")
    whole = ExitTable.joined(tables)
    found, ends = shares(whole, menu, use).tolist(), ended(whole, menu).tolist()
    rows = [
        {"name": name} | dict(zip(names, line, strict=True)) | {"ended": at}
        for name, line, at in zip(menu.names, found, ends, strict=True)
    ]
    if config.format == "text":
        _print(menu, rows, config.out)
    return {"actions": rows, "out": config.out}


def load(files: list[str]) -> list[ExitTable]:
    """Evaluation tables. Raises ``ValueError``, one sentence, where one is wrong or has other exits than the first."""
    from envs.early_exit.table_file import load_table

    tables: list[ExitTable] = []
    for file in files:
        tables.append(load_table(file))
        if tables[-1].exits != tables[0].exits:
            raise ValueError(
                f"{file}: number of exits is {tables[-1].exits}, expected {tables[0].exits} as in {files[0]}"
            )
    return tables


def _print(menu: Thresholds, rows: list[dict[str, Any]], path: str) -> None:
    from rich.console import Console
    from rich.table import Table

    longest = max(map(len, menu.names))
    table = Table(title=f"{len(menu)} actions in {path}: shares of the calibration rows", title_justify="left")
    for heading in ("action", "sent", "accepted", "wrong"):
        table.add_column(heading, justify="left" if heading == "action" else "right", no_wrap=True)
    for number, row in enumerate(rows):
        wrong = row["false_positives"] + row["false_negatives"]
        shown = (f"{100 * value:.1f} %" for value in (row["sent"], row["accepted"], wrong))
        table.add_row(f"{number}: {row['name']}", *shown)
    console = Console()
    if console.width < longest + REST:
        console = Console(width=longest + REST, soft_wrap=True)
    console.print(table)


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.curate_schema import CurateConfig

    raise SystemExit(main("curate", CurateConfig, run, ("tables", "work", "out")))
