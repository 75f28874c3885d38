"""``python -m inference.synthesize``: months of synthetic rows as CSV files."""

from __future__ import annotations

from typing import Any

from agents.cli import main
from conf.inference_schema import SynthesizeConfig


def run(config: SynthesizeConfig) -> dict[str, Any]:
    """Write the months; returns the folder and, for each, rows, distinct rows and the best accuracy that they allow."""
    from pathlib import Path

    from agents.progress import bar
    from inference.early_exit import synthetic
    from inference.early_exit.rows import save_rows
    from inference.early_exit.similarity import describe

    folder, entries = Path(config.out), list[dict[str, Any]]()
    with bar("synthesize", config.months) as tick:
        for index in range(config.months):
            rows = synthetic.month(index, config.seed, config.rows)
            save_rows(rows, folder / f"{rows.source}.csv")
            entries.append({"month": rows.source, **vars(describe(rows))})
            tick(index + 1)
    if config.format == "text":
        _print(entries, config.out)
    return {"out": config.out, "months": entries}


def _print(entries: list[dict[str, Any]], out: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"synthetic rows in {out}")
    for heading in ("month", "rows", "attacks", "distinct", "most frequent", "both labels", "best possible"):
        table.add_column(heading, justify="right")
    for entry in entries:
        shares = [f"{entry[name]:.3f}" for name in ("most_frequent", "contradictory", "best_accuracy")]
        table.add_row(entry["month"], str(entry["rows"]), f"{entry['attacks']:.3f}", str(entry["distinct"]), *shares)
    console = Console()
    console.print(table)
    console.print(
        "distinct: different rows; most frequent: share of the row that is there most often; both labels: share of rows that "
        "are there with either label; best possible: accuracy of the more frequent label of each"
    )


if __name__ == "__main__":
    raise SystemExit(main("inference_synthesize", SynthesizeConfig, run, ("out",)))
