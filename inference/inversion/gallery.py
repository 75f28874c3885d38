"""Pictures and what was rebuilt of them, by layer and number of maps: the form of the paper's Fig 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.atomic import atomic_path
from envs.strict_json import FilePath
from inference.inversion.measure import Measurement


def save_gallery(measured: Measurement, path: FilePath, title: str) -> None:
    """Draw the originals, and a row for each cell below them, into ``path`` (.png or .svg), atomically. Raises ``OSError``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows: list[tuple[str, NDArray[np.float32]]] = [("original", measured.originals)]
    for layer in measured.layers:
        for one in reversed(measured.of(layer)):
            rows.append(
                (f"{layer}, {one.cell.pooled} map{'s' * (one.cell.pooled > 1)}\nSSIM {one.ssim.mean:.2f}", one.shown)
            )
    count = len(measured.originals)
    figure = Figure(figsize=(1.6 + 0.8 * count, 0.6 + 0.84 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, pictures) in zip(axes, rows, strict=True):
        for place, picture in zip(line, pictures, strict=True):
            grey = picture.shape[0] == 1
            place.imshow(
                picture[0] if grey else picture.transpose(1, 2, 0), cmap="gray" if grey else None, vmin=0, vmax=1
            )
            place.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format=Path(path).suffix[1:].lower())
