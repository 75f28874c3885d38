"""``python -m inference.calibrate``: one temperature an exit, so that certainties are probabilities."""

from __future__ import annotations

from typing import Any

from agents.cli import main
from conf.inference_schema import CalibrateConfig


def run(config: CalibrateConfig) -> dict[str, Any]:
    """Fit, and write the calibrated network; returns temperatures and the quality before and after."""
    import torch

    from inference.early_exit.calibration import fit_temperatures, halves, quality, reliability
    from inference.early_exit.checkpoint import load_network
    from inference.early_exit.forward import forward, scores_of
    from inference.early_exit.months import load_months
    from inference.early_exit.reliability_plot import save_plot
    from inference.early_exit.rows import Rows

    torch.set_num_threads(config.threads)
    model = load_network(config.checkpoint)
    months = load_months(config.data, config.months, ("month_02",), model.preprocessor)
    rows = Rows.joined(months)
    labels = rows.labels
    if len(rows) < 2:
        raise ValueError(f"{rows.source}: holds {len(rows)} row, expected at least two, one for each half")
    logits = _logits(model, rows, config.progress, forward)
    temperatures = fit_temperatures(logits, labels)
    fitted, held = halves(len(rows), config.seed)
    of_half = fit_temperatures(logits[:, fitted], labels[fitted])
    ones = (1.0,) * model.exits
    parts = {
        "before": quality(logits, labels, ones),
        "after": quality(logits, labels, temperatures),
        "held_out_before": quality(logits[:, held], labels[held], ones),
        "held_out_after": quality(logits[:, held], labels[held], of_half),
    }
    if config.plot is not None:
        panels = [scores_of(logits, ones), scores_of(logits, temperatures)]
        curves = [[reliability(scores, labels, k) for k in range(model.exits)] for scores in panels]
        save_plot(config.plot, curves, f"{model.spec.name} on {rows.source}")
    model.calibrated(temperatures, {"calibrated_on": [month.source for month in months]}).save(config.out)
    result: dict[str, Any] = {
        "out": config.out,
        "plot": config.plot,
        "rows": len(rows),
        "temperatures": list(temperatures),
        "temperatures_of_half": list(of_half),
        **{name: vars(part) for name, part in parts.items()},
    }
    if config.format == "text":
        _print(result)
    return result


def _logits(model: Any, rows: Any, progress: bool, forward: Any) -> Any:
    from agents.progress import bar
    from inference.early_exit.preprocessing import distinct

    inputs = model.preprocessor(rows.features)
    with bar("forward", len(distinct(inputs)[0]), shown=progress) as tick:
        return forward(model.network, inputs, tick=tick)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['rows']} rows; held out: fitted on one half, measured on the other")
    for heading in ("exit", "fitted on", "temperature", "NLL", "after", "ECE", "after"):
        table.add_column(heading, justify="right")
    for name, key, prefix in (("all", "temperatures", ""), ("half", "temperatures_of_half", "held_out_")):
        before, after = result[f"{prefix}before"], result[f"{prefix}after"]
        for k, temperature in enumerate(result[key]):
            cells = [f"{part[figure][k]:.4f}" for figure in ("nll", "ece") for part in (before, after)]
            table.add_row(str(k + 1), name, f"{temperature:.4f}", *cells)
    console = Console()
    console.print(table)
    plot = "" if result["plot"] is None else f"; diagrams: {result['plot']}"
    console.print(f"NLL in nats; ECE: expected calibration error, 10 bins. The network: {result['out']}{plot}")


if __name__ == "__main__":
    raise SystemExit(main("inference_calibrate", CalibrateConfig, run, ("checkpoint", "data", "out", "plot")))
