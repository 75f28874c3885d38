"""``python -m inference.apply``: what thresholds that were chosen on one month do on others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conf.apply_schema import ApplyConfig
    from envs.early_exit.types import ExitTable, Thresholds

COLUMNS = ("table", "accuracy", "rejected", "sent", "false_positives", "false_negatives", "answered_at_1")
"""Of a line: accuracy of the rows with an answer, shares of all rows; then ``exit_k`` for each exit: its accuracy alone."""


def run(config: ApplyConfig) -> dict[str, Any]:
    """Count every table, print or write the lines, and return them."""
    import csv
    import io

    from envs.atomic import write_text_atomic
    from envs.early_exit.table_file import load_table
    from envs.early_exit.thresholds_file import load_thresholds
    from envs.early_exit.types import Thresholds

    menu = load_thresholds(config.actions)
    if config.action >= len(menu):
        raise ValueError(f"action is {config.action}, but {config.actions} has {len(menu)} lines, expected less")
    one = slice(config.action, config.action + 1)
    chosen = Thresholds(menu.accept[one], menu.reject[one], menu.names[one])
    lines = []
    for file in config.table:
        table = load_table(file)
        if table.exits != chosen.exits:
            raise ValueError(f"{file}: has {table.exits} exits, expected {chosen.exits} as {config.actions}")
        lines.append({"table": Path(file).name, **line_of(table, chosen)})
    if config.out is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        write_text_atomic(config.out, text.getvalue())
    if config.format == "text":
        _print(lines, chosen)
    return {"thresholds": {"accept": chosen.accept[0], "reject": chosen.reject[0]}, "tables": lines, "out": config.out}


def line_of(table: ExitTable, chosen: Thresholds) -> dict[str, float]:
    """What one set of thresholds does on a table, by ``COLUMNS`` and ``exit_k``; accuracy is nan where nothing is answered."""
    import numpy as np

    from envs.early_exit.routing import REJECTED, routes

    where = routes(table, chosen)[0]
    rejected, at = where >= REJECTED, where % REJECTED
    answer = np.take_along_axis(table.predicted, at[None].astype(np.int64), axis=0)[0]
    wrong = (answer != table.label) & ~rejected
    answered = int((~rejected).sum())
    line = {
        "accuracy": 1.0 - float(wrong.sum()) / answered if answered else float("nan"),
        "rejected": float(rejected.mean()),
        "sent": float((at > 0).mean()),
        "false_positives": float((wrong & (answer == 1)).mean()),
        "false_negatives": float((wrong & (answer == 0)).mean()),
        "answered_at_1": float((where == 0).mean()),
    }
    alone = {f"exit_{k + 1}": float((table.predicted[k] == table.label).mean()) for k in range(table.exits)}
    return line | alone


def _print(lines: list[dict[str, Any]], chosen: Thresholds) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    texts = [
        f"exit {k + 1}: normal {chosen.accept[0, k, 0]:g}, attack {chosen.accept[0, k, 1]:g}"
        for k in range(chosen.exits)
    ]
    table = Table(
        title="answers from a certainty of, " + "; ".join(texts),
        caption="percent: accuracy of the rows that get an answer, the rest of all rows; exit k: its accuracy alone",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    heads = {"false_positives": "FP", "false_negatives": "FN", "answered_at_1": "at exit 1"}
    for name in lines[0]:
        table.add_column(
            heads.get(name, name.replace("_", " ")), justify="left" if name == "table" else "right", no_wrap=True
        )
    for line in lines:
        table.add_row(*(value if isinstance(value, str) else f"{100 * value:.2f}" for value in line.values()))
    Console().print(table)


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.apply_schema import ApplyConfig

    raise SystemExit(main("apply", ApplyConfig, run, ("table", "actions", "out")))
