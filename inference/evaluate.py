"""``python -m inference.evaluate``: what every exit of a network says about every row, as tables for all that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.cli import main
from conf.inference_schema import EvaluateNetworkConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from inference.early_exit.checkpoint import TrainedNetwork


def run(config: EvaluateNetworkConfig) -> dict[str, Any]:
    """Write MONTH.csv of each month and work.yaml; returns accuracy and certainty by month and exit, and the memory used."""
    import resource
    from pathlib import Path

    import numpy as np
    import torch

    from agents.progress import bar
    from envs.early_exit.table_file import save_table
    from envs.early_exit.types import ExitTable
    from envs.early_exit.work_file import save_work
    from inference.early_exit.checkpoint import load_network
    from inference.early_exit.forward import score
    from inference.early_exit.months import load_months
    from inference.early_exit.networks import count_work
    from inference.early_exit.preprocessing import distinct
    from inference.early_exit.synthetic import MONTHS

    torch.set_num_threads(config.threads)
    model = load_network(config.checkpoint)
    months = load_months(config.data, config.months, MONTHS, model.preprocessor)
    for rows in months:
        _ = rows.labels  # an unlabelled file is told before anything is written
    work = count_work(model.network, model.preprocessor.shape, model.spec.features)
    seconds = _seconds(model, config) if config.times else None
    folder, entries, tables = Path(config.out), list[dict[str, Any]](), dict[str, ExitTable]()
    counts = [len(distinct(model.preprocessor(rows.features))[0]) for rows in months]
    with bar("evaluate", sum(counts), shown=config.progress) as tick:
        for index, rows in enumerate(months):
            scores = score(model, rows.features, tick=_from(tick, sum(counts[:index])))
            table = scores.table(rows.labels)
            if seconds is not None:
                block, leave = (np.repeat(times[:, None], len(rows), axis=1) for times in seconds)
                table = ExitTable(table.label, table.predicted, table.certainty, block, leave)
            tables[rows.source] = table
            accuracy = (table.predicted == table.label).mean(axis=1).tolist()
            entries.append(
                {
                    "month": rows.source,
                    "rows": len(rows),
                    "distinct": counts[index],
                    "accuracy": accuracy,
                    "certainty": table.certainty.mean(axis=1).tolist(),
                }
            )
    for name, table in tables.items():
        save_table(table, folder / f"{name}.csv")
    save_work(work, folder / "work.yaml")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result: dict[str, Any] = {
        "out": config.out,
        "network": model.spec.name,
        "identity": model.identity,
        "months": entries,
        "work": vars(work),
        "seconds": None if seconds is None else {"block": seconds[0].tolist(), "exit": seconds[1].tolist()},
        "peak_memory_mib": peak,
    }
    if config.format == "text":
        _print(result)
    return result


def _from(tick: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda done: tick(before + done)


def _seconds(model: TrainedNetwork, config: EvaluateNetworkConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from inference.early_exit.timing import stage_seconds

    return stage_seconds(model, batch=config.batch, repeats=config.repeats)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    exits = len(result["work"]["block_macs"])
    table = Table(title=f"{result['network']}: accuracy, and mean certainty, of each exit")
    table.add_column("month")
    for heading in ("rows", "distinct", *(f"exit {k + 1}" for k in range(exits))):
        table.add_column(heading, justify="right")
    for entry in result["months"]:
        both = zip(entry["accuracy"], entry["certainty"], strict=True)
        cells = [f"{accuracy:.4f} {certainty:.3f}" for accuracy, certainty in both]
        table.add_row(entry["month"], str(entry["rows"]), str(entry["distinct"]), *cells)
    console = Console()
    console.print(table)
    console.print(f"{result['out']}: tables and work.yaml; peak memory {result['peak_memory_mib']:.0f} MiB")


if __name__ == "__main__":
    paths = ("checkpoint", "data", "out")
    raise SystemExit(main("inference_evaluate", EvaluateNetworkConfig, run, paths))
