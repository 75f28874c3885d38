"""Strict reading of JSON files: every value is checked, and every error names file, field, value and expectation.

The checks answer in one sentence, as a ValueError. Keys written twice, NaN where a number is expected, and unknown keys
are errors. Whole numbers may be written as 8 or 8.0.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from envs.atomic import write_bytes_atomic

FilePath = str | os.PathLike[str]
_T = TypeVar("_T")


class _Object(dict[str, Any]):
    """A JSON object that remembers a key written twice, of which the parser would silently keep the last."""

    twice: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A value and where it stands, so that every error names the file, the field and the value.

    All readers raise ValueError where the value is not what they are asked to read.
    """

    value: Any
    where: str  # name of the file
    path: str = ""  # dotted path of the field in it; empty: the top level

    def refuse(self, problem: str) -> ValueError:
        """The error that this field ``problem`` ("is missing, expected ...")."""
        name = f"field '{self.path}'" if self.path else "the top level"
        return ValueError(f"{self.where}: {name} {problem}")

    def wrong(self, expected: str) -> ValueError:
        """The error that this field is what it is, and not what was ``expected``."""
        if isinstance(self.value, Mapping):
            shown = f"an object with {len(self.value)} keys"
        elif isinstance(self.value, list | tuple):
            shown = f"a list of {len(self.value)} entries"
        else:
            shown = json.dumps(self.value, default=repr)
        return self.refuse(f"is {shown if len(shown) <= 60 else shown[:57] + '...'}, expected {expected}")

    def at(self, key: str | int) -> Field:
        """The field at a key of this object (null where it has none) or an index of this list."""
        value = self.value[key] if isinstance(key, int) else self.value.get(key)
        if isinstance(key, str) and len(key) > 60:
            key = key[:57] + "..."
        if isinstance(key, int) or not re.fullmatch(r"[\w-]+", key, re.ASCII):
            return Field(value, self.where, f"{self.path}[{json.dumps(key)}]")
        return Field(value, self.where, f"{self.path}.{key}" if self.path else key)

    def entries(self) -> list[Field]:
        """The entries of a list, which has at least one."""
        if not isinstance(self.value, list | tuple) or not self.value:
            raise self.wrong("a list with at least one entry")
        return [self.at(index) for index in range(len(self.value))]

    def mapping(self, *, empty: bool = True) -> dict[str, Field]:
        """The fields of an object with any keys; ``empty``: whether it may have none."""
        if not isinstance(self.value, Mapping) or not (empty or self.value):
            raise self.wrong("an object" if empty else "an object with at least one key")
        for key in self.value:
            if not isinstance(key, str):
                raise self.refuse(f"has the key {key!r}, expected a string")
        twice = getattr(self.value, "twice", None)
        if twice is not None:
            raise self.at(twice).refuse("is there twice, expected every key once")
        return {key: self.at(key) for key in self.value}

    def record(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Field]:
        """The fields of an object that has all ``required`` keys and no others than the ``optional`` ones."""
        fields, required = self.mapping(), tuple(required)
        known = (*required, *optional)
        for key, field in fields.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                expected = f"'{near[0]}', the nearest known key" if near else f"only {', '.join(known)}"
                raise field.refuse(f"is an unknown key, expected {expected}")
        for key in required:
            if key not in fields:
                raise self.at(key).refuse(f"is missing, expected the keys {', '.join(required)}")
        return fields

    def document(
        self, form: str, version: int, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> dict[str, Field]:
        """``record`` of a whole file, whose keys "format" and "version" say what it is."""
        # The format first: a file of another kind deserves that answer, not a list of its unknown keys.
        for key, expected in (("format", form), ("version", version)):
            if key not in self.mapping():
                raise self.at(key).refuse(f"is missing, expected {json.dumps(expected)}")
            if isinstance(self.at(key).value, bool) or self.at(key).value != expected:
                raise self.at(key).wrong(json.dumps(expected))
        return self.record(("format", "version", *required), optional)

    def number(self, least: float = -math.inf, most: float = math.inf, *, above: bool = False) -> float:
        """A finite number in ``least``..``most``; ``above``: not ``least`` itself."""
        value = self.value
        try:
            fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        except OverflowError:  # a whole number too large for a float
            fits = False
        if not fits or not least <= value <= most or (above and value == least):
            limit = f" {'>' if above else '>='} {least:g}" if math.isfinite(least) else ""
            raise self.wrong(f"a finite number{f' in {least:g}..{most:g}' if math.isfinite(most) else limit}")
        return value  # type: ignore[no-any-return]

    def count(self, least: int, most: float = math.inf) -> int:
        """A whole number in ``least``..``most``."""
        value = self.value
        whole = isinstance(value, int) and not isinstance(value, bool)
        whole = whole or (isinstance(value, float) and value.is_integer())
        if not whole or not least <= value <= most:
            raise self.wrong(f"a whole number {f'in {least}..{most}' if math.isfinite(most) else f'>= {least}'}")
        return int(value)

    def counts(self, least: int) -> tuple[int, ...]:
        """A list of whole numbers >= ``least``, perhaps empty."""
        if not isinstance(self.value, list | tuple):
            raise self.wrong(f"a list of whole numbers >= {least}")
        # A VGG has 9,400 of them: entries get a path of their own only where one is odd.
        if all(type(entry) is int and entry >= least for entry in self.value):
            return tuple(self.value)
        return tuple(self.at(index).count(least) for index in range(len(self.value)))

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def text(self, choices: Iterable[str] = ()) -> str:
        """A string; with ``choices`` one of them."""
        choices = tuple(choices)
        if not isinstance(self.value, str) or (choices and self.value not in choices):
            raise self.wrong(f"one of {', '.join(choices)}" if choices else "a string")
        return self.value

    def made(self, make: Callable[[], _T]) -> _T:
        """What ``make`` builds of this field; what the type itself refuses gets the name of the file."""
        try:
            return make()
        except ValueError as error:
            raise self.refuse(f"is refused: {error}") from None


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        found.twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
    return found


def parse(raw: bytes, where: str, lines_before: int = 0) -> Any:
    """The JSON value in ``raw``; ``where`` names the file, ``lines_before`` shifts line numbers.

    Raises:
        ValueError: one sentence with file and line.
    """

    def whole(digits: str) -> float:
        return int(digits) if len(digits) < 400 else float(digits)  # infinite, and refused with its path

    try:
        # A byte order mark, as some editors put it, is no reason to refuse a file.
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_pairs, parse_int=whole)
    except UnicodeDecodeError as error:
        line = lines_before + error.object.count(b"\n", 0, error.start) + 1
        problem = f"line {line} holds the byte 0x{error.object[error.start]:02x}, expected UTF-8 text"
    except json.JSONDecodeError as error:
        problem = f"line {lines_before + error.lineno}, column {error.colno} is not valid JSON: {error.msg}"
    except RecursionError:
        problem = f"line {lines_before + 1} opens too many brackets, expected at most some ten levels"
    raise ValueError(f"{where}: {problem}")


def read_bytes(path: FilePath) -> bytes:
    """What a file holds. Raises ValueError, one sentence, where it is missing, a folder or unreadable."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        problem = "there is no such file"
    except OSError as error:
        problem = "is a folder" if Path(path).is_dir() else f"cannot be read ({error.strerror})"
    raise ValueError(f"{path}: {problem}, expected a readable JSON file")


def write_text(path: FilePath, text: str) -> None:
    """Write a file atomically as UTF-8. Raises ValueError, one sentence, where ``path`` cannot be written."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: FilePath, data: bytes) -> None:
    """Write a file atomically. Raises ValueError, one sentence, where ``path`` cannot be written."""
    try:
        write_bytes_atomic(path, data)
    except OSError as error:
        problem = "is a folder" if Path(path).is_dir() else f"cannot be written ({error.strerror})"
        raise ValueError(f"{path}: {problem}, expected a path for a file") from None


def render(value: Any, indent: str = "\n") -> str:
    """JSON with one device, layer or row a line: what holds no further lists or objects stays in one line."""
    entries = list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    if not any(isinstance(entry, dict | list) for entry in entries):
        return json.dumps(value, allow_nan=False)
    keys = [f"{json.dumps(key)}: " for key in value] if isinstance(value, dict) else [""] * len(entries)
    deeper = indent + " "
    body = ("," + deeper).join(key + render(entry, deeper) for key, entry in zip(keys, entries, strict=True))
    return f"{{{deeper}{body}{indent}}}" if isinstance(value, dict) else f"[{deeper}{body}{indent}]"


def or_null(field: Field | None, read: Callable[[Field], _T]) -> _T | None:
    """What ``read`` makes of a field; None where the field is null or absent (None)."""
    try:
        return None if field is None or field.value is None else read(field)
    except ValueError as error:
        raise ValueError(f"{error} or null") from None
