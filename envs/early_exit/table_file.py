"""Evaluation tables as CSV files in the public format of the early-exit intrusion detection system, any number of exits.

``y,y_exit_1,cnf_exit_1,bb_time_exit_1,exit_time_exit_1,y_exit_2,...``: true class, then for each exit its class, certainty,
and measured seconds of the backbone's block and of the exit itself. The times of all exits may be left out.
"""

from __future__ import annotations

import os
import re

import numpy as np
from numpy.typing import NDArray

from envs.csv_table import CsvTable, read_file, shown_name, split_csv, write_file
from envs.early_exit.types import DECIMALS, ExitTable
from envs.strict_json import FilePath

_FIELDS = ("y", "cnf", "bb_time", "exit_time")
_COLUMN = re.compile(rf"({'|'.join(_FIELDS)})_exit_([1-9][0-9]?)")
_FORM = "y,y_exit_1,cnf_exit_1,bb_time_exit_1,exit_time_exit_1,y_exit_2,..."


def load_table(path: FilePath) -> ExitTable:
    """Read an evaluation table (.csv or .csv.gz). Raises ``ValueError``, one sentence, where it is missing or wrong."""
    return parse_table(read_file(path, "evaluation table (.csv, .csv.gz)"), os.fspath(path))


def save_table(table: ExitTable, path: FilePath) -> None:
    """Write an evaluation table atomically, packed where the name ends in ``.gz``; it loads as the same one.

    Raises ``ValueError`` where it cannot be written.
    """
    write_file(path, render_table(table))


def parse_table(raw: bytes, file: str) -> ExitTable:
    """The table in the bytes of a file; ``file``: its name in errors. Raises ``ValueError`` as ``load_table``."""
    table = split_csv(raw, file, _FORM)
    exits, timed = _check_header(list(table.columns), f"{file}, line {table.first_line - 1}")
    if not len(table):
        raise ValueError(f"{file}: holds no rows, expected at least one")

    def stack(field: str) -> NDArray[np.float64]:
        return np.stack([_column(table, f"{field}_exit_{k}") for k in range(1, exits + 1)])

    return ExitTable(
        _column(table, "y").astype(np.int8),
        stack("y").astype(np.int8),
        np.round(stack("cnf"), DECIMALS),
        stack("bb_time") if timed else None,
        stack("exit_time") if timed else None,
    )


def _column(table: CsvTable, name: str) -> NDArray[np.float64]:
    if name.startswith("y"):
        return table.checked(name, lambda v: (v == 0) | (v == 1), "0 (normal) or 1 (attack)")
    if name.startswith("cnf"):
        return table.checked(name, lambda v: (v >= 0) & (v <= 1), "a certainty in 0..1")
    return table.checked(name, lambda v: v >= 0, "a number of seconds >= 0")


def _check_header(names: list[str], where: str) -> tuple[int, bool]:
    """Number of exits, and whether times are there. Raises ``ValueError`` for a header of another form."""
    exits, timed = 0, False
    for name in names:
        match = _COLUMN.fullmatch(name)
        if match:
            exits = max(exits, int(match[2]))
            timed |= match[1].endswith("time")
        elif name != "y":
            raise ValueError(f"{where}: {shown_name(name)} is an unknown column, expected {_FORM}")
    fields = _FIELDS if timed else _FIELDS[:2]
    for name in ["y", *(f"{field}_exit_{k}" for k in range(1, max(exits, 1) + 1) for field in fields)]:
        if name not in names:
            raise ValueError(f"{where}: column '{name}' is missing, expected {_FORM}")
    return exits, timed


def render_table(table: ExitTable) -> str:
    """The text of a table's file; times by their shortest repr."""
    columns: dict[str, list[str]] = {"y": list(map(str, table.label.tolist()))}
    for k in range(table.exits):
        columns[f"y_exit_{k + 1}"] = list(map(str, table.predicted[k].tolist()))
        columns[f"cnf_exit_{k + 1}"] = [f"{value:.{DECIMALS}f}" for value in table.certainty[k].tolist()]
        if table.block_time is not None and table.exit_time is not None:
            columns[f"bb_time_exit_{k + 1}"] = list(map(repr, table.block_time[k].tolist()))
            columns[f"exit_time_exit_{k + 1}"] = list(map(repr, table.exit_time[k].tolist()))
    rows = map(",".join, zip(*columns.values(), strict=True))
    return ",".join(columns) + "\n" + "\n".join(rows) + "\n"
