"""Strict reading of CSV files of numbers: every wrong input is answered in one sentence: file, line, field, expectation."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.strict_json import FilePath, write_bytes

_NUMBERS = b"0123456789.eE+- "


@dataclass(frozen=True, eq=False)
class CsvTable:
    """The fields of a file as texts, and where each stands."""

    file: str
    first_line: int  # line of the first row of numbers
    columns: dict[str, Sequence[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def refuse(self, row: int, column: str, expected: str) -> ValueError:
        """The error that one field is what it is, and not what was ``expected``."""
        text = self.columns[column][row].strip()
        shown = text if re.fullmatch(r"[-+]?[.0-9][-+./0-9eE]*", text) else json.dumps(text, ensure_ascii=False)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return ValueError(
            f"{self.file}, line {self.first_line + row}: field '{column}' is {shown}, expected {expected}"
        )

    def numbers(self, column: str, expected: str = "a finite number") -> NDArray[np.float64]:
        """A column of finite numbers. Raises ``ValueError`` at the first other field."""
        texts = self.columns[column]
        if _is_numeric("".join(texts)):
            try:
                values = np.fromiter(map(float, texts), np.float64, len(texts))
            except ValueError:
                pass
            else:
                if np.isfinite(values).all():
                    return values
        raise self.refuse(next(row for row, text in enumerate(texts) if not _is_finite(text)), column, expected)

    def checked(
        self, column: str, good: Callable[[NDArray[np.float64]], NDArray[np.bool_]], expected: str
    ) -> NDArray[np.float64]:
        """A column of numbers that are all ``good``. Raises ``ValueError`` at the first other field."""
        values = self.numbers(column, expected)
        bad = np.flatnonzero(~good(values))
        if len(bad):
            raise self.refuse(int(bad[0]), column, expected)
        return values


def _is_numeric(text: str) -> bool:
    """Whether a text has no other characters than numbers have: no ``nan``, no ``1_000``, no digits of other scripts."""
    return not text.encode().translate(None, _NUMBERS)


def _is_finite(text: str) -> bool:
    try:
        return _is_numeric(text) and math.isfinite(float(text))
    except ValueError:
        return False


def read_file(path: FilePath, kind: str) -> bytes:
    """The bytes of a file, unpacked where its name ends in ``.gz``; ``kind``: what it should be, for errors.

    Raises ``ValueError``, one sentence, where the file is missing, a folder, not readable or damaged.
    """
    file = os.fspath(path)
    try:
        raw = Path(path).read_bytes()
        return gzip.decompress(raw) if file.endswith(".gz") else raw
    except FileNotFoundError:
        problem = "there is no such file"
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = f"is no whole gzip file ({error})"
    except OSError as error:
        problem = "is a folder" if Path(path).is_dir() else f"cannot be read ({error.strerror})"
    raise ValueError(f"{file}: {problem}, expected a readable {kind}")


def write_file(path: FilePath, text: str) -> None:
    """Write a file atomically, packed where its name ends in ``.gz``; the same text gives the same bytes at any time.

    Raises ``ValueError``, one sentence, where it cannot be written.
    """
    raw = text.encode("utf-8")
    if os.fspath(path).endswith(".gz"):
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:  # neither name nor time inside
            file.write(raw)
        raw = packed.getvalue()
    write_bytes(path, raw)


def split_csv(raw: bytes, file: str, form: str) -> CsvTable:
    """The fields of a CSV file by column; lines before the header that begin with # are skipped.

    Args:
        raw: the bytes of the file, UTF-8.
        file: its name in errors.
        form: the expected header, in words.

    Raises:
        ValueError: one sentence, for bytes that are no text, no header, a column twice or a row of another length.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise ValueError(f"{file}: line {line} holds the byte 0x{byte:02x}, expected UTF-8 text") from None
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    if head == len(lines) or not lines[head].strip():
        raise ValueError(f"{file}: line {min(head, len(lines)) + 1} holds no header, expected {form}")
    names = [name.strip() for name in lines[head].split(",")]
    for name in names:
        if names.count(name) > 1:
            where = f"{file}, line {head + 1}"
            raise ValueError(f"{where}: column '{name}' is there {names.count(name)} times, expected once")
    rows = lines[head + 1 :]
    commas = [row.count(",") for row in rows]
    if rows and (min(commas) < len(names) - 1 or max(commas) > len(names) - 1 or "" in rows):
        bad = next(k for k, row in enumerate(rows) if not row or commas[k] != len(names) - 1)
        count = commas[bad] + 1 if rows[bad] else 0
        raise ValueError(f"{file}, line {head + 2 + bad}: the number of fields is {count}, expected {len(names)}")
    fields = ",".join(rows).split(",") if rows else []
    return CsvTable(file, head + 2, {name: fields[k :: len(names)] for k, name in enumerate(names)})


def shown_name(name: str) -> str:
    """A column's name as errors quote it, cut where it is long."""
    return json.dumps(name if len(name) <= 40 else name[:37] + "...", ensure_ascii=False)
