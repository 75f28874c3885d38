"""The data of early exit: what the exits of a network say about rows, and thresholds that decide which of them answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL, ATTACK, N_CLASSES = range(3)
"""The two classes."""

DECIMALS = 6
"""Certainties are rounded to so many decimals, or rows with equal features could differ by the order of a sum."""


@dataclass(frozen=True, eq=False)
class ExitTable:
    """What E exits of a network say about N rows, whether or not anybody asks them.

    Raises ``ValueError`` where the arrays do not fit together or hold what cannot be.
    """

    label: NDArray[np.int8]  # (N,) true class
    predicted: NDArray[np.int8]  # (E, N) class that the exit would answer
    certainty: NDArray[np.float64]  # (E, N) its probability in [0, 1], rounded to ``DECIMALS``
    block_time: NDArray[np.float64] | None = (
        None  # (E, N) measured seconds from the exit before, without the exit itself
    )
    exit_time: NDArray[np.float64] | None = None  # (E, N) measured seconds of the exit itself

    def __post_init__(self) -> None:
        shape = self.predicted.shape
        if len(shape) != 2 or shape[0] < 1 or shape[1] < 1:
            raise ValueError(f"predicted has the shape {shape}, expected (exits, rows), at least one of each")
        if self.label.shape != shape[1:]:
            raise ValueError(f"label has the shape {self.label.shape}, expected {shape[1:]}")
        for name in ("certainty", "block_time", "exit_time"):
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise ValueError(f"{name} has the shape {values.shape}, expected {shape}")
        for name, values in (("label", self.label), ("predicted", self.predicted)):
            if values.min() < 0 or values.max() >= N_CLASSES:
                raise ValueError(f"{name} holds a class other than 0 (normal) and 1 (attack)")
        if not ((self.certainty >= 0) & (self.certainty <= 1)).all():
            raise ValueError("certainty has an entry outside 0..1")

    def __len__(self) -> int:
        return int(self.predicted.shape[1])

    @property
    def exits(self) -> int:
        """Number of exits E."""
        return int(self.predicted.shape[0])

    def rows(self, index: NDArray[np.int64]) -> ExitTable:
        """The table of the rows ``index`` ``(M,)``, in their order."""

        def part(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if values is None else np.ascontiguousarray(values[:, index])

        return ExitTable(
            self.label[index],
            np.ascontiguousarray(self.predicted[:, index]),
            np.ascontiguousarray(self.certainty[:, index]),
            part(self.block_time),
            part(self.exit_time),
        )

    @classmethod
    def joined(cls, tables: list[ExitTable]) -> ExitTable:
        """The rows of several tables, one after the other. Raises ``ValueError`` for none, or unequal numbers of exits."""
        if not tables or len({table.exits for table in tables}) > 1:
            raise ValueError(
                "tables have different numbers of exits or there is none, expected the same in all of them"
            )

        def join(name: str) -> NDArray[np.float64] | None:
            values = [getattr(table, name) for table in tables]
            return None if any(one is None for one in values) else np.concatenate(values, axis=1)

        return cls(
            np.concatenate([table.label for table in tables]),
            np.concatenate([table.predicted for table in tables], axis=1),
            np.concatenate([table.certainty for table in tables], axis=1),
            join("block_time"),
            join("exit_time"),
        )


@dataclass(frozen=True, eq=False)
class Thresholds:
    """A ways of deciding which exit answers: at exit k with predicted class c and certainty s,

    - the exit answers where s >= ``accept[a, k, c]``, else
    - the row is rejected where s < ``reject[a, k, c]``, else
    - it goes on to the next exit; after the last one it is rejected.

    0 accepts (or rejects) nothing less than everything, 2 the reverse. Raises ``ValueError`` where the arrays do not fit.
    """

    accept: NDArray[np.float64]  # (A, E, 2)
    reject: NDArray[np.float64]  # (A, E, 2); what stands at the last exit has no effect
    names: tuple[str, ...] = ()  # (A,) what each is for, in a few words; empty: none have names

    def __post_init__(self) -> None:
        shape = self.accept.shape
        if len(shape) != 3 or shape[0] < 1 or shape[1] < 1 or shape[2] != N_CLASSES or self.reject.shape != shape:
            raise ValueError(
                f"accept and reject have the shapes {shape} and {self.reject.shape}, expected (actions, exits, 2) twice"
            )
        if not (np.isfinite(self.accept).all() and np.isfinite(self.reject).all()):
            raise ValueError("a threshold is not finite, expected numbers, 0 for everything and 2 for nothing")
        if self.names and len(self.names) != len(self.accept):
            raise ValueError(f"names has {len(self.names)} entries, expected {len(self.accept)}")

    def __len__(self) -> int:
        return len(self.accept)

    @property
    def exits(self) -> int:
        """Number of exits E."""
        return int(self.accept.shape[1])
