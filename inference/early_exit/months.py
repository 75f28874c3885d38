"""Rows of the months that a command is about: from files that the user names, or made up from a seed."""

from __future__ import annotations

from collections.abc import Sequence

from inference.early_exit import synthetic
from inference.early_exit.preprocessing import Preprocessor
from inference.early_exit.rows import Rows, load_rows, row_files

SYNTHETIC_SEED = 0
"""Of the months that stand in for data where none is named."""


def load_months(
    data: Sequence[str], months: Sequence[str], default: Sequence[str], preprocessor: Preprocessor | None = None
) -> list[Rows]:
    """The rows of each month, by ``Rows.source``.

    Args:
        data: files and folders; empty: synthetic months of ``SYNTHETIC_SEED``.
        months: files that are taken of the folders, or synthetic months; empty: all, or ``default``.
        default: synthetic months.
        preprocessor: of the network that they are for, which knows the names of its features; None: any.

    Raises:
        ValueError: one sentence on a file, a row or a month that does not fit.
    """
    names = None if preprocessor is None else preprocessor.names
    if data:
        files = row_files(data, months)
        loaded = [load_rows(file, names) for file in files]
    else:
        chosen = months or default
        for month in chosen:
            if month not in synthetic.MONTHS:
                raise ValueError(
                    f"months has the entry {month}, but without data months are synthetic, expected out of "
                    f"{', '.join(synthetic.MONTHS)}"
                )
        loaded = [synthetic.month(synthetic.MONTHS.index(month), SYNTHETIC_SEED) for month in chosen]
        if names is not None and names != loaded[0].names:
            raise ValueError("data is empty, but the network is for other features than synthetic ones, expected files")
    sources = [rows.source for rows in loaded]
    for source in sources:
        if sources.count(source) > 1:
            raise ValueError(f"data names {source} {sources.count(source)} times, expected every month once")
    return loaded


def among(loaded: Sequence[Rows], months: Sequence[str]) -> list[Rows]:
    """Those of loaded months that are named, in the order of ``months``.

    Raises ``ValueError`` for a name that is none of theirs, or is there twice.
    """
    known = {rows.source: rows for rows in loaded}
    # on a command line 2016_01 is also a way of writing the number 201601, and arrives as that
    plain = {name.replace("_", ""): rows for name, rows in known.items()} | known
    for month in months:
        if month not in plain:
            raise ValueError(f"months has the entry {month}, expected out of {', '.join(known)}")
    found = [plain[month] for month in months]
    for rows in found:
        if found.count(rows) > 1:
            raise ValueError(f"months names {rows.source} {found.count(rows)} times, expected every month once")
    return found
