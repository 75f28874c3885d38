"""Actions of early exit as CSV files: ``name,accept_1_normal,accept_1_attack,reject_1_normal,reject_1_attack,accept_2_...``.

One line an action. The reject columns may be left out: nothing is then rejected before the last exit.
"""

from __future__ import annotations

import os
import re

import numpy as np

from envs.csv_table import read_file, shown_name, split_csv
from envs.early_exit.types import Thresholds
from envs.strict_json import FilePath, write_text

_CLASSES = ("normal", "attack")
_COLUMN = re.compile(r"(accept|reject)_([1-9][0-9]?)_(normal|attack)")
_FORM = "name,accept_1_normal,accept_1_attack[,reject_1_normal,reject_1_attack],accept_2_normal,..."


def load_thresholds(path: FilePath) -> Thresholds:
    """Read a file of actions (.csv). Raises ``ValueError``, one sentence, where it is missing or wrong."""
    return parse_thresholds(read_file(path, "file of thresholds (.csv)"), os.fspath(path))


def save_thresholds(thresholds: Thresholds, path: FilePath) -> None:
    """Write a file of actions atomically; it loads as actions that do the same.

    Numbers outside 0..2 are written as 0 or 2, commas of names as semicolons, line ends in them as spaces.
    """
    write_text(path, render_thresholds(thresholds))


def parse_thresholds(raw: bytes, file: str) -> Thresholds:
    """The actions in the bytes of a file; ``file``: its name in errors. Raises ``ValueError`` as ``load_thresholds``."""
    table = split_csv(raw, file, _FORM)
    names, where = list(table.columns), f"{file}, line {table.first_line - 1}"
    matches = [_COLUMN.fullmatch(name) for name in names]
    for name, match in zip(names, matches, strict=True):
        if match is None and name != "name":
            raise ValueError(f"{where}: {shown_name(name)} is an unknown column, expected {_FORM}")
    exits = max((int(match[2]) for match in matches if match), default=1)
    rejects = any(match and match[1] == "reject" for match in matches)
    for kind in ("accept", "reject") if rejects else ("accept",):
        for k in range(1, exits + 1):
            for of in _CLASSES:
                if f"{kind}_{k}_{of}" not in names:
                    raise ValueError(f"{where}: column '{kind}_{k}_{of}' is missing, expected {_FORM}")
    if not len(table):
        raise ValueError(f"{file}: holds no actions, expected at least one")

    def read(kind: str) -> list[list[np.ndarray]]:
        expected = "a threshold in 0..2: 0 for every certainty, 2 for none"
        return [
            [table.checked(f"{kind}_{k}_{of}", lambda v: (v >= 0) & (v <= 2), expected) for of in _CLASSES]
            for k in range(1, exits + 1)
        ]

    accept = np.ascontiguousarray(np.moveaxis(np.array(read("accept")), 2, 0))
    reject = np.ascontiguousarray(np.moveaxis(np.array(read("reject")), 2, 0)) if rejects else np.zeros_like(accept)
    texts = tuple(text.strip() for text in table.columns["name"]) if "name" in names else ()
    return Thresholds(accept, reject, texts)


def render_thresholds(thresholds: Thresholds) -> str:
    """The text of a file of actions; numbers by their shortest repr."""
    columns: dict[str, list[str]] = {}
    if thresholds.names:
        columns["name"] = [" ".join(name.replace(",", ";").split()) for name in thresholds.names]
    for k in range(thresholds.exits):
        for kind, values in (("accept", thresholds.accept), ("reject", thresholds.reject)):
            for c, of in enumerate(_CLASSES):
                columns[f"{kind}_{k + 1}_{of}"] = list(map(repr, np.clip(values[:, k, c], 0.0, 2.0).tolist()))
    rows = map(",".join, zip(*columns.values(), strict=True))
    return ",".join(columns) + "\n" + "\n".join(rows) + "\n"
