"""Measured seconds of each block and exit of a network."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from inference.early_exit.checkpoint import TrainedNetwork

WARM_UP = 3
"""Batches before the first that is timed."""


def stage_seconds(
    model: TrainedNetwork, *, batch: int, repeats: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wall-clock seconds a row of each block and of each exit ``(E,)`` twice.

    The median over ``repeats`` of the time of one batch, by its rows: one number for all rows, because the noise of the
    batch that a row happens to lie in must not look like a property of the row. ``batch=1`` is the latency of a row. In
    single precision, as a device would compute.
    """
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(batch, *model.preprocessor.shape, generator=generator)
    taken = np.empty((2, repeats, model.exits))
    network = model.spec.build().eval()
    network.load_state_dict(model.network.state_dict())  # to single precision without a second copy in double
    with torch.no_grad():
        for repeat in range(-WARM_UP, repeats):
            values = start
            for k, (block, leave) in enumerate(zip(network.blocks, network.exits, strict=True)):
                before = time.perf_counter()
                values = block(values)
                between = time.perf_counter()
                leave(values)
                after = time.perf_counter()
                if repeat >= 0:
                    taken[:, repeat, k] = between - before, after - between
    block_s, exit_s = np.median(taken, axis=1) / batch
    return block_s, exit_s
