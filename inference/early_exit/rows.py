"""Rows of flow statistics from CSV files: 58 named features and, where they are labelled, a column ``class``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.csv_table import CsvTable, read_file, shown_name, split_csv
from envs.early_exit.types import ATTACK, NORMAL
from envs.strict_json import FilePath, write_text

N_FEATURES = 58
"""Features of a row of the public data set."""
CLASS = "class"
"""Name of the column of labels."""
ENDINGS = (".csv", ".csv.gz")
"""What files of rows end in."""
_CLASSES = {"0": NORMAL, "1": ATTACK, "normal": NORMAL, "attack": ATTACK}
_FORM = f"the names of {N_FEATURES} features and, for labelled rows, {CLASS}"


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows of F features. Raises ``ValueError`` where the arrays do not fit together."""

    names: tuple[str, ...]  # (F,) of the features
    features: NDArray[np.float64]  # (N, F) as they stand in the file
    label: NDArray[np.int8] | None  # (N,) true class, 0 (normal) or 1 (attack); None: unlabelled
    source: str = "rows"  # what they are called in errors and in tables: the file's name without folder and ending

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.shape[1] != len(self.names) or not len(self.features):
            raise ValueError(
                f"{self.source}: features has the shape {self.features.shape}, expected (rows, {len(self.names)})"
            )
        if self.label is not None and self.label.shape != self.features.shape[:1]:
            raise ValueError(f"{self.source}: label has the shape {self.label.shape}, expected ({len(self.features)},)")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def labels(self) -> NDArray[np.int8]:
        """The labels; raises ``ValueError`` where there are none."""
        if self.label is None:
            raise ValueError(f"{self.source}: column '{CLASS}' is missing, expected labelled rows")
        return self.label

    def in_order(self, names: Sequence[str]) -> NDArray[np.float64]:
        """The features with their columns in the order of ``names`` ``(N, F)``.

        Raises ``ValueError`` where one of them is missing, or another one is there.
        """
        _check_names(list(self.names), names, self.source)
        return self.features if self.names == tuple(names) else self.features[:, [*map(self.names.index, names)]]

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of several files one after the other, columns in the order of the first; labelled only if all are.

        Raises ``ValueError`` for none, or where the features have different names.
        """
        if not parts:
            raise ValueError("there are no rows, expected at least one file of them")
        features = [part.in_order(parts[0].names) for part in parts]
        labels = [part.label for part in parts]
        known = [label for label in labels if label is not None]
        return cls(
            parts[0].names,
            np.concatenate(features),
            np.concatenate(known) if len(known) == len(labels) else None,
            parts[0].source if len(parts) == 1 else f"{parts[0].source}..{parts[-1].source}",
        )


def stem(path: FilePath) -> str:
    """The name of a file of rows without its folder and ending, e.g. ``2016_01``."""
    name = Path(path).name
    return next((name[: -len(end)] for end in sorted(ENDINGS, key=len, reverse=True) if name.endswith(end)), name)


def load_rows(path: FilePath, names: Sequence[str] | None = None) -> Rows:
    """Read rows from a .csv or .csv.gz file; columns may stand in any order.

    Args:
        path: the file.
        names: the features that are expected, in the order wanted; None: any 58 in the order of the file.

    Raises:
        ValueError: one sentence with file, line and column: the file is missing or empty, a column is missing, unknown or
            there twice, a field is no finite number, or a class is none of 0, 1, normal, attack.
    """
    file = os.fspath(path)
    table = split_csv(read_file(path, "file of rows (.csv, .csv.gz)"), file, _FORM)
    where = f"{file}, line {table.first_line - 1}"
    found = [name for name in table.columns if name != CLASS]
    if names is not None:
        _check_names(found, names, where)
    elif len(found) != N_FEATURES:
        raise ValueError(f"{where}: the number of features is {len(found)}, expected {N_FEATURES}")
    if not len(table):
        raise ValueError(f"{file}: holds no rows, expected at least one")
    order = tuple(found if names is None else names)
    features = np.stack([table.numbers(name) for name in order], axis=1)
    return Rows(order, features, _labels(table) if CLASS in table.columns else None, stem(path))


def save_rows(rows: Rows, path: FilePath) -> None:
    """Write rows atomically, numbers by their shortest repr; they load as the same ones. Raises ``ValueError``."""
    header = [*rows.names] if rows.label is None else [*rows.names, CLASS]
    lines = [",".join(map(repr, row)) for row in rows.features.tolist()]
    if rows.label is not None:
        lines = [f"{line},{label}" for line, label in zip(lines, rows.label.tolist(), strict=True)]
    write_text(path, "\n".join([",".join(header), *lines]) + "\n")


def _check_names(found: Sequence[str], names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in found:
            raise ValueError(f"{where}: column {shown_name(name)} is missing, expected {len(names)} features")
    for name in found:
        if name not in names:
            raise ValueError(
                f"{where}: {shown_name(name)} is an unknown column, expected {len(names)} features and {CLASS}"
            )


def _labels(table: CsvTable) -> NDArray[np.int8]:
    texts = [text.strip() for text in table.columns[CLASS]]
    for row, text in enumerate(texts):
        if text not in _CLASSES:
            raise table.refuse(row, CLASS, "0 (normal), 1 (attack), normal or attack")
    return np.array([_CLASSES[text] for text in texts], np.int8)


def row_files(data: Sequence[FilePath], months: Sequence[str] = ()) -> list[Path]:
    """The files that ``data`` names, files and folders mixed; of a folder all files of rows, by name.

    ``months``: names without ending (``2016_01``) that are taken of the folders, in this order; empty: all. Raises
    ``ValueError`` where a folder has no such file.
    """
    files = list[Path]()
    for entry in map(Path, data):
        if not entry.is_dir():
            files.append(entry)
            continue
        inside = {stem(path): path for path in sorted(entry.iterdir()) if path.name.endswith(ENDINGS)}
        if not inside:
            raise ValueError(f"{entry}: the folder holds no file of rows, expected .csv or .csv.gz files")
        # on a command line 2016_01 is also a way of writing the number 201601, and arrives as that
        plain = {name.replace("_", ""): path for name, path in inside.items()} | inside
        for month in months or inside:
            if month not in plain:
                raise ValueError(
                    f"{entry}: there is no {month}.csv or {month}.csv.gz, expected one of {', '.join(inside)}"
                )
            files.append(plain[month])
    return files
