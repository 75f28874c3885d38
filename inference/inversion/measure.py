"""A privacy table, measured: every cell of it attacked with several choices of maps."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy.types import Network
from inference.images.image_set import Splits
from inference.inversion.attack import SHOWN, Outcome, Preparation, attack, prepare
from inference.inversion.capture import Capture
from inference.inversion.cells import Cell, choices_of, default_counts
from inference.inversion.scoring import floor, window_of
from inference.inversion.statistics import Estimate, estimate
from inference.inversion.subject import MOST_VALIDATION, Subject, make_subject
from inference.inversion.training import TuningSettings

LEAST_STEPS = 20
"""Where the time would not suffice for more."""
FULL_SHARE, LEAST_SHARE = 0.1, 0.1
"""SSIM that a linear inverse lacks where an attack gets all steps; share of them that it gets where nothing is lacking."""

Report = Callable[[str, int], Callable[[int], None]]
"""Opens a bar for a piece of work of so many parts; gives what is told how many are done."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be measured."""

    layers: tuple[str, ...]
    counts: tuple[int, ...] = ()  # maps on a device; empty: powers of two and all
    choices: int = 3  # of maps, for each count
    colluders: int = 1  # devices that pool their maps
    also: str | None = None  # a second layer of which the device has as many maps
    pictures: int | None = None  # of training, at most; None: all that memory holds
    test_pictures: int = 1_000  # at most
    seed: int = 0


@dataclass(frozen=True, eq=False)
class CellResult:
    """What came out for a cell."""

    cell: Cell
    also: str | None
    ssim: Estimate
    linear: Estimate  # of the linear inverses alone
    steps: int  # of each attack
    seconds: float  # of the processor, for all attacks of the cell
    shown: NDArray[np.float32]  # (SHOWN, C, H, W) rebuilt with the first choice


@dataclass(eq=False)
class Measurement:
    """A measured table."""

    network: Network
    floor: Estimate  # SSIM of the mean training picture: no map held
    originals: NDArray[np.float32]  # (SHOWN, C, H, W)
    window: int  # side of the window of SSIM, pixels
    test_pictures: int
    train_pictures: dict[str, int]  # of each layer
    steps: int  # of an attack, before its share (``weight_of``)
    seconds: float = 0.0  # of the processor, for everything
    results: list[CellResult] = field(default_factory=list)

    def of(self, layer: str) -> list[CellResult]:
        """The results of a layer, fewest maps first."""
        return sorted((one for one in self.results if one.cell.layer == layer), key=lambda one: one.cell.maps)

    @property
    def layers(self) -> list[str]:
        """The attacked layers in the order of the network."""
        attacked = {one.cell.layer for one in self.results}
        return [layer.name for layer in self.network.layers if layer.name in attacked]


def cells_of(network: Network, capture: Capture, question: Question) -> list[Cell]:
    """The cells of a question, layer by layer.

    Raises ``ValueError``, one sentence, for a layer that the network does not have or counts that none of its layers has.
    """
    position = {layer.name: index for index, layer in enumerate(network.layers)}
    second = 0
    if question.also is not None:
        if question.also not in capture.shapes:
            raise ValueError(
                f"also is {question.also}, expected a layer of {network.name}: {', '.join(capture.shapes)}"
            )
        second = capture.shape(question.also).maps
    cells = []
    for layer in question.layers:
        maps = capture.shape(layer).maps
        kind = network.layers[position[layer]].kind
        counts = sorted({count for count in question.counts if count <= maps}) or default_counts(maps, kind)
        if question.counts and min(question.counts) > maps:
            raise ValueError(f"counts is {list(question.counts)}, expected one of at most {maps}, the maps of {layer}")
        for count in counts:
            seed = (question.seed, position[layer])
            held = choices_of(maps, count, question.choices, question.colluders, seed, second)
            cells.append(Cell(layer, count, question.colluders, held))
    return cells


def weight_of(cell: Cell, score: float, question: Question) -> float:
    """Share of the steps that an attack on a cell gets.

    All of them from a linear inverse of an SSIM (``score``) of at most 0.9 on, a tenth where that lacks nothing. Where
    there is one choice of maps, it gets the steps of all choices: that is the cell of all maps, which has the largest network
    and says from which layer on there is no limit any more.
    """
    lacking = min(1.0, max(LEAST_SHARE, (1 - score) / FULL_SHARE))
    return lacking * max(1, question.choices // len(cell.held))


def measure(
    capture: Capture,
    splits: Splits,
    question: Question,
    settings: TuningSettings,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    report: Report = lambda text, total: lambda done: None,
) -> Measurement:
    """Attack every cell.

    Args:
        capture: the network.
        splits: pictures of the attacker and of the test.
        question: what is attacked.
        settings: how inverse networks are trained.
        seconds: of the processor that all may take: an attack must not be weaker because the machine has other work. They
            are turned into ``steps`` by the times of a few steps of each cell.
        steps: of an attack instead, before its share; the same number makes the same table again.
        report: of progress.

    Raises:
        ValueError: the network has no such layer, or takes other pictures.
    """
    start = time.process_time()
    network = capture.chain.network
    cells = cells_of(network, capture, question)
    most = {
        "train": len(splits.train) if question.pictures is None else min(question.pictures, len(splits.train)),
        "validation": min(MOST_VALIDATION, len(splits.validation)),
        "test": min(question.test_pictures, len(splits.test)),
    }
    subjects: dict[str, Subject] = {}
    for layer in question.layers:
        tick = report(f"maps of {layer}", sum(most.values()))
        subjects[layer] = make_subject(capture, layer, question.also, splits, most, tick)
    ready: dict[Cell, Preparation] = {}
    tick = report("linear inverses", len(cells))
    for cell in cells:
        ready[cell] = prepare(subjects[cell.layer], cell.held[0], settings, _seed(question, 0))
        tick(len(ready))
    shares = {cell: weight_of(cell, one.score, question) for cell, one in ready.items()}
    if steps is None:
        assert seconds is not None
        # the linear inverse of the first choice is not solved again
        fixed = sum(
            one.solve_seconds * (len(cell.held) - 1) + one.fixed_seconds * len(cell.held) for cell, one in ready.items()
        )
        of_a_step = sum(one.step_seconds * len(cell.held) * shares[cell] for cell, one in ready.items())
        left = seconds - (time.process_time() - start) - fixed
        steps = max(LEAST_STEPS, math.floor(left / of_a_step))
    of_cell = {cell: math.ceil(steps * share) for cell, share in shares.items()}
    first = subjects[question.layers[0]]
    test = first.pictures["test"]
    result = Measurement(
        network,
        estimate(floor(first.pictures["train"], test)[None]),
        test[:SHOWN].numpy(),
        window_of(*splits.shape[1:]),
        len(test),
        {layer: len(subject.pictures["train"]) for layer, subject in subjects.items()},
        steps,
    )
    done = itertools.count(1)
    tick = report(f"{len(cells)} cells", sum(len(cell.held) * of_cell[cell] for cell in cells))
    for cell in cells:
        outcomes = [
            attack(
                subjects[cell.layer],
                held,
                of_cell[cell],
                settings,
                seed=_seed(question, choice),
                linear=ready[cell].linear if choice == 0 else None,
                on_step=lambda: tick(next(done)),
            )
            for choice, held in enumerate(cell.held)
        ]
        result.results.append(_as_result(cell, outcomes, of_cell[cell], ready[cell].seconds, question.also))
    result.seconds = time.process_time() - start
    return result


def _as_result(
    cell: Cell, outcomes: Sequence[Outcome], steps: int, prepared_seconds: float, also: str | None
) -> CellResult:
    return CellResult(
        cell,
        also,
        estimate(np.stack([outcome.scores for outcome in outcomes])),
        estimate(np.stack([outcome.linear_scores for outcome in outcomes])),
        steps,
        prepared_seconds + sum(outcome.seconds for outcome in outcomes),
        outcomes[0].shown,
    )


def _seed(question: Question, choice: int) -> int:
    """Of weights, batches and drawn places: the same for all cells, so that they differ by their maps alone."""
    return int(np.random.SeedSequence([question.seed, choice]).generate_state(1)[0])
