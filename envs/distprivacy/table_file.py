"""Privacy tables as YAML files, in the form in which Table 2 of the paper is shipped (``ssim_table.yaml``).

```yaml
lenet:
  conv1: {8: 0.99, 4: 0.20}
  conv2: {16: null, 8: 0.73, 4: 0.0}
```

Network -> layer -> maps held -> SSIM of the inverted picture in -1..1; null: unknown, counts as above every target.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from envs.distprivacy.types import PrivacyTable
from envs.strict_json import Field, FilePath, write_text

Tables = dict[str, dict[str, dict[int, float | None]]]
"""Network -> layer -> maps held -> SSIM."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        result: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(result) < len(node.value):
            twice = Counter(key.value for key, _ in node.value).most_common(1)[0][0]
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} is there twice", node.start_mark)
        return result


def load_tables(path: FilePath) -> Tables:
    """Read a file of privacy tables (.yaml).

    Raises:
        ValueError: one sentence with file, field, value and expectation, where it is missing or wrong. Whether a network
            has such layers and so many maps is checked where the network is known (``Task``).
    """
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file, expected a privacy table (.yaml)") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}), expected a privacy table (.yaml)") from None
    return parse_tables(raw, os.fspath(path))


def parse_tables(raw: bytes, where: str) -> Tables:
    """The tables in the bytes of a file; ``where``: its name in errors. Raises ``ValueError`` as ``load_tables``."""
    try:
        data = yaml.load(raw.decode("utf-8-sig"), _Loader)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"{where}: cannot be read as YAML ({problem}), expected a privacy table") from None
    tables = Field(data, where).mapping(empty=False)
    return {
        network: {layer: _read_row(row) for layer, row in table.mapping().items()} for network, table in tables.items()
    }


def _read_row(field: Field) -> dict[int, float | None]:
    if not isinstance(field.value, Mapping) or not field.value:
        raise field.wrong("an object with at least one key")
    row: dict[int, float | None] = {}
    for key, value in field.value.items():
        cell = Field(value, field.where, f"{field.path}[{key}]")
        if not isinstance(key, int) or isinstance(key, bool) or key < 1:
            raise cell.refuse("is no count of maps, expected a whole number >= 1 as key")
        row[key] = None if value is None else cell.number(-1, 1)
    return row


def render_tables(tables: Mapping[str, PrivacyTable], comment: str = "") -> str:
    """The text of a file of tables, most maps first; every line of ``comment`` stands above them behind a ``#``."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for network, table in tables.items():
        lines.append(f"{_scalar(network)}:" + (" {}" if not table else ""))
        for layer, row in table.items():
            cells = (f"{count}: {_scalar(row[count])}" for count in sorted(row, reverse=True))
            lines.append(f"  {_scalar(layer)}: {{{', '.join(cells)}}}")
    return "\n".join(lines) + "\n"


def save_tables(tables: Mapping[str, PrivacyTable], path: FilePath, comment: str = "") -> None:
    """Write a file of tables atomically; it loads as the same ones.

    Raises:
        ValueError: a table holds what could not be loaded again, or ``path`` cannot be written.
    """
    text = render_tables(tables, comment)
    parse_tables(text.encode("utf-8"), os.fspath(path))
    write_text(path, text)


def _scalar(value: str | float | None) -> str:
    """A name or a number as YAML reads it back: in quotes where it would be something else ("0", "no", "a: b")."""
    return yaml.safe_dump(value, allow_unicode=True, width=10**6).removesuffix("\n").removesuffix("\n...")
