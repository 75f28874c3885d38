"""``python -m inference.train``: a multi-exit network from rows of flow statistics."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from agents.cli import main
from conf.inference_schema import TrainNetworkConfig

if TYPE_CHECKING:
    from inference.early_exit.training import TrainingSettings


def settle(config: TrainNetworkConfig, typed: Collection[str]) -> TrainNetworkConfig:
    """The config to train with: that of the run folder where one is resumed."""
    if config.resume is None:
        return config  # asked first: the rest imports torch
    from inference.early_exit.run_folder import RUNS

    return RUNS.resumed(config, typed)


def run(config: TrainNetworkConfig) -> dict[str, Any]:
    """Train, and leave a run folder; returns its path, epochs, seconds and the accuracy of every exit."""
    import torch

    from inference.early_exit.checkpoint import TrainedNetwork
    from inference.early_exit.forward import score
    from inference.early_exit.months import load_months
    from inference.early_exit.networks import NetworkSpec
    from inference.early_exit.preprocessing import Preprocessor
    from inference.early_exit.rows import Rows
    from inference.early_exit.run_folder import RUNS
    from inference.early_exit.training import Training
    from inference.training_folder import finish, train_in

    torch.set_num_threads(config.threads)
    months = load_months(config.data, config.months, ("month_01",))
    rows = Rows.joined(months)
    labels = rows.labels
    spec = NetworkSpec(config.network, len(rows.names), tuple(config.widths))
    preprocessor = Preprocessor.fit(rows.names, rows.features, spec.layout)
    network = spec.build()
    settings = _settings(config, len(network.exits))
    folder, state, before = RUNS.start(config, f"early-exit-{config.network}")
    training = Training(network, preprocessor(rows.features), labels, settings, state)
    seconds = train_in(folder, training, config, f"train {config.network}", before)

    notes = {"seed": config.seed, "epoch": training.state.best_epoch, "trained_on": [month.source for month in months]}
    model = TrainedNetwork(spec, network, preprocessor, notes=notes)
    accuracy = (score(model, rows.features).predicted == labels).mean(axis=1)
    best = training.state.history[training.state.best_epoch - 1]
    held = [best.get(f"validation_accuracy_exit_{k + 1}") for k in range(model.exits)]
    result = {
        "run": str(folder),
        "network": str(folder / "network.pt"),
        "identity": model.identity,
        "parameters": network.parameter_count(),
        "epochs": training.state.epoch,
        "best_epoch": training.state.best_epoch,
        "cpu_seconds": seconds,
        "accuracy": accuracy.tolist(),
        "validation_accuracy": held if len(training.held) else None,
    }
    finish(folder, training.state, result, model.save)
    if config.format == "text":
        _print(result)
    return result


def _settings(config: TrainNetworkConfig, exits: int) -> TrainingSettings:
    from inference.early_exit.networks import FAMILIES
    from inference.early_exit.training import TrainingSettings

    own = FAMILIES[config.network].recipe
    if config.exit_weights and len(config.exit_weights) != exits:
        raise ValueError(f"exit_weights has {len(config.exit_weights)} entries, expected {exits}, one an exit")
    return TrainingSettings(
        config.epochs or own.epochs,
        config.batch or own.batch,
        config.learning_rate or own.learning_rate,
        tuple(config.exit_weights) or (1.0,) * exits,
        config.validation,
        config.patience,
        config.seed,
    )


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['run']}, {result['epochs']} epochs, the best is {result['best_epoch']}")
    for heading in ("exit", "accuracy on all rows", "on those kept apart"):
        table.add_column(heading, justify="right")
    held = result["validation_accuracy"] or [None] * len(result["accuracy"])
    for k, (value, apart) in enumerate(zip(result["accuracy"], held, strict=True), start=1):
        table.add_row(str(k), f"{value:.4f}", "-" if apart is None else f"{apart:.4f}")
    console = Console()
    console.print(table)
    console.print(f"{result['cpu_seconds']:.1f} CPU-seconds; the network: {result['network']}", soft_wrap=True)


if __name__ == "__main__":
    paths = ("data", "run_root", "resume")
    raise SystemExit(main("inference_train", TrainNetworkConfig, run, paths, settle=settle))
