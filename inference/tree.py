"""``python -m inference.tree``: a decision tree on the raw features, and what it says about every row of every month."""

from __future__ import annotations

from typing import Any

from agents.cli import main
from conf.inference_schema import TreeConfig


def run(config: TreeConfig) -> dict[str, Any]:
    """Fit, and write MONTH.csv of each month; returns accuracy and certainty by month."""
    from pathlib import Path

    from envs.early_exit.table_file import save_table
    from inference.early_exit.months import among, load_months
    from inference.early_exit.rows import row_files
    from inference.early_exit.synthetic import MONTHS
    from inference.early_exit.tree import DecisionTree

    folder = Path(config.out)
    for file, what in (
        (folder / "work.yaml", "tables of a network"),
        *((path, "data") for path in row_files(config.data)),
    ):
        # by the same names: they would be written over
        if file.exists() and file.resolve().parent == folder.resolve():
            raise ValueError(
                f"out is {config.out}, which holds {what}, expected a folder of its own ({folder / 'tree'})"
            )
    months = load_months(config.data, [], MONTHS)
    fitted = among(months, config.months or MONTHS[:1])
    tree = DecisionTree.fit(fitted, config.seed)
    tables = {rows.source: tree.table(rows) for rows in months}
    for name, table in tables.items():
        save_table(table, folder / f"{name}.csv{'.gz' * config.packed}")
    result: dict[str, Any] = {
        "out": config.out,
        "fitted_to": [rows.source for rows in fitted],
        "leaves": tree.leaves,
        "months": [
            {
                "month": name,
                "rows": len(table),
                "accuracy": float((table.predicted[0] == table.label).mean()),
                "certainty": float(table.certainty[0].mean()),
            }
            for name, table in tables.items()
        ],
    }
    if config.format == "text":
        _print(result)
    return result


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"tree of {result['leaves']} leaves, fitted to {', '.join(result['fitted_to'])}")
    table.add_column("month")
    for heading in ("rows", "accuracy", "certainty"):
        table.add_column(heading, justify="right")
    for entry in result["months"]:
        numbers = [f"{entry['accuracy']:.4f}", f"{entry['certainty']:.3f}"]
        table.add_row(entry["month"], str(entry["rows"]), *numbers)
    console = Console()
    console.print(table)
    console.print(f"{result['out']}: a table a month", soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main("inference_tree", TreeConfig, run, ("data", "out")))
