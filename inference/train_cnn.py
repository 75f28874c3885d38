"""``python -m inference.train_cnn``: an image classifier whose layers can be distributed."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from agents.cli import main
from conf.cnn_schema import TrainCnnConfig

if TYPE_CHECKING:
    from inference.cnn.trained import TrainedCnn
    from inference.cnn.training import CnnTrainingSettings
    from inference.images.image_set import Splits


def settle(config: TrainCnnConfig, typed: Collection[str]) -> TrainCnnConfig:
    """The config to train with: that of the run folder where one is resumed."""
    if config.resume is None:
        return config  # asked first: the rest imports torch
    from inference.cnn.run_folder import RUNS

    return RUNS.resumed(config, typed)


def run(config: TrainCnnConfig) -> dict[str, Any]:
    """Train, and leave a run folder; returns its path, epochs, seconds and the accuracies."""
    import dataclasses

    import torch

    from agents.progress import bar
    from inference.cnn.run_folder import RUNS
    from inference.cnn.training import CnnTraining, layout
    from inference.images.load import load_images
    from inference.training_folder import finish, train_in

    torch.set_num_threads(config.threads)
    splits = load_images(config.dataset, config.data, side=config.side, seed=config.seed, progress=config.progress)
    fresh = _fresh(config, splits)
    settings = _settings(config, splits)
    name = fresh.network.name  # a module that cannot be cut is refused here, before anything is written,
    layout(fresh)  # and so is one that cannot be trained
    folder, state, before = RUNS.start(config, f"{name}-{config.dataset}")
    training = CnnTraining(fresh, splits.train, splits.validation, settings, state)
    seconds = train_in(folder, training, config, f"train {name}", before)

    best = training.state.history[training.state.best_epoch - 1]
    with bar(f"test {name}", len(splits.test), shown=config.progress) as tick:
        accuracy = fresh.accuracy(splits.test, tick)
    notes = {
        "seed": config.seed,
        "dataset": splits.name,
        "notice": splits.notice,
        "epoch": training.state.best_epoch,
        "validation_accuracy": best["validation_accuracy"],
        "test_accuracy": accuracy,
    }
    model = dataclasses.replace(fresh, notes=notes)
    result = {
        "run": str(folder),
        "network": str(folder / "network.pt"),
        "identity": model.identity,
        "parameters": sum(parameter.numel() for parameter in model.module.parameters()),
        "layers": len(model.network.layers),
        "dataset": splits.name,
        "notice": splits.notice,
        "images": {part: len(getattr(splits, part)) for part in ("train", "validation", "test")},
        "epochs": training.state.epoch,
        "best_epoch": training.state.best_epoch,
        "cpu_seconds": seconds,
        "accuracy": {"validation": best["validation_accuracy"], "test": accuracy},
    }
    finish(folder, training.state, result, model.save)
    if config.format == "text":
        _print(result)
    return result


def _fresh(config: TrainCnnConfig, splits: Splits) -> TrainedCnn:
    """The network before its training: weights of the seed, mean and deviation of the training images."""
    import torch

    from inference.cnn.build import build_network
    from inference.cnn.trained import TrainedCnn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        module = build_network(config.network, splits.shape, len(splits.classes))
    mean, std = splits.train.pixel_statistics()
    return TrainedCnn(config.network, module, splits.shape, splits.classes, mean, std)


def _settings(config: TrainCnnConfig, splits: Splits) -> CnnTrainingSettings:
    from inference.cnn.recipes import EDGE, OWN, RECIPES
    from inference.cnn.training import CnnTrainingSettings

    own = RECIPES.get(config.network, OWN)
    optimizer = config.optimizer or own.optimizer
    if optimizer != own.optimizer and config.learning_rate is None:
        raise ValueError(
            f"optimizer is {optimizer} and learning_rate is null, expected a number > 0: that of {config.network} is for "
            f"{own.optimizer}"
        )
    return CnnTrainingSettings(
        epochs=config.epochs or own.epochs,
        batch=config.batch or own.batch,
        optimizer=optimizer,
        learning_rate=config.learning_rate or own.learning_rate,
        weight_decay=own.weight_decay if config.weight_decay is None else config.weight_decay,
        shift=min(splits.shape[1:]) // EDGE if config.shift is None else config.shift,
        flip=splits.shape[0] == 3 if config.flip is None else config.flip,
        bfloat16=config.precision == "bfloat16",
        seed=config.seed,
    )


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("part", "images", "accuracy"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for part, images in result["images"].items():
        accuracy = result["accuracy"].get(part)
        table.add_row(part, f"{images:,}", "-" if accuracy is None else f"{accuracy:.4f}")
    console = Console()  # a title of the table would be broken to its width
    console.print(f"{result['run']}, the best of {result['epochs']} epochs is {result['best_epoch']}", soft_wrap=True)
    console.print(table)
    if result["notice"]:
        console.print(f"{result['dataset']}: {result['notice']}", soft_wrap=True)
    console.print(f"{result['cpu_seconds']:.1f} CPU-seconds; the network: {result['network']}", soft_wrap=True)


if __name__ == "__main__":
    paths = ("network", "data", "run_root", "resume")
    raise SystemExit(main("inference_train_cnn", TrainCnnConfig, run, paths, settle=settle))
