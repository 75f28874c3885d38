"""``python -m inference.invert``: a privacy table, measured by black-box inversion of a trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.cli import main
from conf.invert_schema import InvertConfig

if TYPE_CHECKING:
    from inference.cnn.trained import TrainedCnn
    from inference.images.image_set import Splits
    from inference.inversion.measure import Question


def run(config: InvertConfig) -> dict[str, Any]:
    """Measure, and write table, figures and pictures; returns what ``inference.inversion.report`` lists.

    Raises:
        ValueError: one sentence; a file is missing or wrong, the pictures do not fit the network, or a layer is unknown.
    """
    import torch

    from inference.inversion.capture import Capture
    from inference.inversion.measure import measure
    from inference.inversion.report import as_data, print_measured, write
    from inference.inversion.training import TuningSettings

    torch.set_num_threads(config.threads)
    model = _model(config)
    splits = _pictures(config, model)
    capture = Capture(model)
    question = _question(config, model)
    with _bars(config.progress) as report:
        measured = measure(
            capture,
            splits,
            question,
            TuningSettings(config.batch, config.learning_rate, config.precision == "bfloat16"),
            seconds=None if config.minutes is None else 60 * config.minutes,
            steps=config.steps,
            report=report,
        )
    about = {"pictures": splits.name, "network": model.identity, "seed": config.seed}
    files = write(measured, Path(config.out), config.entry, about)
    result = as_data(measured, files, model.notes, splits)
    if config.format == "text":
        print_measured(measured, result)
    return result


def _model(config: InvertConfig) -> TrainedCnn:
    """The network of the checkpoint, or one that is trained now."""
    from inference.cnn.trained import load_cnn

    if config.checkpoint is not None:
        return load_cnn(config.checkpoint)
    from conf.cnn_schema import TrainCnnConfig
    from inference.train_cnn import run as train

    made = train(
        TrainCnnConfig(
            network=config.network,
            dataset=config.dataset,
            data=config.data,
            seed=config.seed,
            threads=config.threads,
            run_root=config.run_root,
            progress=config.progress,
            format=config.format,
        )
    )
    return load_cnn(made["network"])


def _pictures(config: InvertConfig, model: TrainedCnn) -> Splits:
    """The data set, split as for the training of the network: its test pictures must be new to it."""
    from inference.images.load import load_images

    seed = model.notes.get("seed", config.seed)
    side = model.shape[1] if model.shape[1] == model.shape[2] else None
    splits = load_images(config.dataset, config.data, side=side, seed=int(seed), progress=config.progress)
    if splits.shape != model.shape:
        raise ValueError(
            f"{config.data or config.dataset}: pictures are {splits.shape}, expected {model.shape} for {config.checkpoint}"
        )
    return splits


def _question(config: InvertConfig, model: TrainedCnn) -> Question:
    from inference.inversion.cells import default_layers
    from inference.inversion.measure import Question

    return Question(
        layers=tuple(dict.fromkeys(config.layers)) or default_layers(model.network),
        counts=tuple(config.counts),
        choices=config.choices,
        colluders=config.colluders,
        also=config.also,
        pictures=config.pictures,
        test_pictures=config.test_pictures,
        seed=config.seed,
    )


@contextmanager
def _bars(shown: bool) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Opens one bar after the other; each closes the one before."""
    from agents.progress import bar

    with ExitStack() as stack:

        def report(text: str, total: int) -> Callable[[int], None]:
            stack.close()
            return stack.enter_context(bar(text, total, shown=shown))

        yield report


if __name__ == "__main__":
    raise SystemExit(main("inference_invert", InvertConfig, run, ("network", "checkpoint", "data", "run_root", "out")))
