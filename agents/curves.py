"""The curves of a training run: ``metrics.csv``, ``timing.csv`` and TensorBoard events.

``metrics.csv`` holds nothing that depends on the clock, so equal seeds give equal bytes; ``timing.csv`` holds the rest.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.atomic import write_text_atomic

LEARNING_COLUMNS: dict[str, str] = {
    "exploration": "epsilon of the most exploratory environment",
    "learning_rate": "step size of Adam",
    "loss": "Huber loss of the latest updates",
    "q_mean": "mean Q of the sampled actions in them",
    "target_mean": "mean target in them",
    "grad_norm": "norm of the gradient before clipping",
    "updates": "updates so far",
}
"""Columns about learning, whatever the environment; the others are its judge's."""
TIMING_COLUMNS = ("step", "seconds", "steps_per_s", "evaluation_s")


class Curves:
    """Rows of both files, kept in memory and rewritten atomically, so that a killed run never leaves half a line."""

    def __init__(self, folder: Path, columns: Sequence[str], tensorboard: bool) -> None:
        self._folder, self._columns = folder, tuple(columns)
        self._rows: list[dict[str, float]] = []
        self._timing: list[dict[str, float]] = []
        self._tensorboard = tensorboard
        self._writer: Any = None

    def add(self, row: dict[str, float], timing: dict[str, float]) -> None:
        """Append one row to each file and to TensorBoard."""
        self._rows.append(row)
        self._timing.append(timing)
        self.write()
        if self._tensorboard:
            writer = self._open(int(row["step"]))
            for name, value in row.items():
                if name != "step" and value == value:
                    writer.add_scalar(f"offramp/{name}", value, int(row["step"]))
            writer.add_scalar("time/steps_per_s", timing["steps_per_s"], int(row["step"]))
            writer.flush()

    def _open(self, step: int) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # after a resume, events of an earlier sitting from this step on are superseded
            earlier = any(self._folder.glob("events.out.tfevents.*"))
            self._writer = SummaryWriter(str(self._folder), purge_step=step if earlier else None)
        return self._writer

    def write(self) -> None:
        """Write both files from the rows in memory."""
        write_text_atomic(self._folder / "metrics.csv", _as_csv(self._columns, self._rows))
        write_text_atomic(self._folder / "timing.csv", _as_csv(TIMING_COLUMNS, self._timing))

    def state(self) -> dict[str, Any]:
        """Rows so far, for a checkpoint."""
        return {"rows": list(self._rows), "timing": list(self._timing)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the rows of a checkpoint; later ones are dropped from the files."""
        self._rows, self._timing = list(state["rows"]), list(state["timing"])
        self.write()

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _as_csv(columns: tuple[str, ...], rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _number(row[name]) for name in columns})
    return text.getvalue()


def _number(value: float) -> str:
    return "" if value != value else repr(int(value)) if float(value).is_integer() else repr(float(value))
