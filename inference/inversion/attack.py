"""One attack: from the maps that are held to pictures, trained on pairs of both (paper section 3.1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.inversion.least_squares import LinearInverse, linear_inverses
from inference.inversion.networks import make_inverse
from inference.inversion.scoring import ssim
from inference.inversion.subject import Subject
from inference.inversion.training import LOOKS, Pairs, TuningSettings, descend, rebuilt, tune

SHOWN = 8
"""Pictures of which the rebuilt ones are kept."""
TIMED_STEPS = 5


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one attack reached on pictures that neither it nor the classifier has seen."""

    scores: NDArray[np.float64]  # SSIM of each test picture (N,)
    linear_scores: NDArray[np.float64]  # the same of the linear inverse alone
    shown: NDArray[np.float32]  # the first rebuilt pictures (SHOWN, C, H, W)
    linear: str  # kind of the linear inverse
    seconds: float  # of the processor


def solve(subject: Subject, held: tuple[int, ...], seed: int) -> tuple[LinearInverse, float]:
    """The linear inverse that is best on validation pictures, and its mean SSIM there."""
    maps, pictures = _held(subject, "train", held), subject.pictures
    trial = _held(subject, "validation", held)
    generator = torch.Generator().manual_seed(seed)
    best: tuple[LinearInverse, float] | None = None
    for inverse in linear_inverses(subject.frame, maps, pictures["train"], generator):
        score = float(ssim(inverse(trial), pictures["validation"]).mean())
        if best is None or score > best[1]:
            best = (inverse, score)
    assert best is not None  # there is always the local kind, or the whole one
    return best


def attack(
    subject: Subject,
    held: tuple[int, ...],
    steps: int,
    settings: TuningSettings,
    *,
    seed: int = 0,
    linear: LinearInverse | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Outcome:
    """Solve the linear inverse, train the network on top of it, and score it.

    Args:
        subject: the maps of the layer, and the pictures.
        held: numbers of the maps that the attacker has.
        steps: of the training.
        settings: of the training.
        seed: of weights and batches.
        linear: as ``solve`` gives it for the same maps and seed, where it is known.
        on_step: called after every step.
    """
    start = time.process_time()
    linear = linear or solve(subject, held, seed)[0]
    network = make_inverse(subject.frame, len(held), seed)
    train, validation = (_pairs(subject, part, held, linear) for part in ("train", "validation"))
    tune(network, train, validation, steps, settings, torch.Generator().manual_seed(seed), on_step)
    test = _pairs(subject, "test", held, linear)
    made = rebuilt(network, test.maps, test.guess)
    return Outcome(
        ssim(made, test.pictures),
        ssim(test.guess, test.pictures),
        made[:SHOWN].numpy().astype(np.float32),
        linear.kind,
        time.process_time() - start,
    )


@dataclass(frozen=True, eq=False)
class Preparation:
    """What is known of an attack before it is trained."""

    linear: LinearInverse
    score: float  # mean SSIM of the linear inverse on validation pictures
    solve_seconds: float  # of the processor, for the linear inverse
    fixed_seconds: float  # for all that an attack does beside it and its steps: guesses, looks, the test
    step_seconds: float  # for a step
    seconds: float  # that this took


def prepare(subject: Subject, held: tuple[int, ...], settings: TuningSettings, seed: int) -> Preparation:
    """Solve the linear inverse, and measure what the attack on top of it will take."""
    start = time.process_time()
    linear, score = solve(subject, held, seed)
    solved = time.process_time()
    network = make_inverse(subject.frame, len(held), seed)
    train, validation, test = (_pairs(subject, part, held, linear) for part in ("train", "validation", "test"))
    ssim(rebuilt(network, test.maps, test.guess), test.pictures)
    tested = time.process_time()
    ssim(rebuilt(network, validation.maps, validation.guess), validation.pictures)
    looked = time.process_time()
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(seed)
    times = []
    for _ in range(TIMED_STEPS):
        begun = time.process_time()
        rows = torch.randint(len(train.maps), (settings.batch,), generator=generator)
        descend(network, optimizer, train, rows, settings)
        times.append(time.process_time() - begun)
    return Preparation(
        linear,
        score,
        solve_seconds=solved - start,
        fixed_seconds=(tested - solved) + (LOOKS + 1) * (looked - tested),
        step_seconds=sorted(times)[TIMED_STEPS // 2],
        seconds=time.process_time() - start,
    )


def _held(subject: Subject, part: str, held: tuple[int, ...]) -> Tensor:
    maps = subject.maps[part]
    return maps if len(held) == maps.shape[1] else maps[:, list(held)]


def _pairs(subject: Subject, part: str, held: tuple[int, ...], linear: LinearInverse) -> Pairs:
    maps = _held(subject, part, held)
    return Pairs(maps, linear(maps), subject.pictures[part])
