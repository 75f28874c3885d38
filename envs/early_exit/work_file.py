"""The counted work of a network as a YAML file, so that costs need neither the network nor torch.

```yaml
format: offramp/network-work
version: 1
block_macs: [1856, 73728]
exit_macs: [64, 512]
feature_bytes: [128, 0]
input_bytes: 232
```
"""

from __future__ import annotations

import os

import yaml

from envs.csv_table import read_file
from envs.early_exit.costs import NetworkWork
from envs.strict_json import Field, FilePath, write_text

FORMAT, VERSION = "offramp/network-work", 1
_KEYS = ("block_macs", "exit_macs", "feature_bytes", "input_bytes")


def load_work(path: FilePath) -> NetworkWork:
    """Read a work file (.yaml). Raises ``ValueError``, one sentence with file and field, where it is missing or wrong."""
    return parse_work(read_file(path, "work file (.yaml)"), os.fspath(path))


def parse_work(raw: bytes, file: str) -> NetworkWork:
    """The work in the bytes of a file; ``file``: its name in errors. Raises ``ValueError`` as ``load_work``."""
    try:
        data = yaml.safe_load(raw.decode("utf-8-sig"))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"{file}: cannot be read as YAML ({problem}), expected a work file") from None
    top = Field(data, file)
    fields = top.document(FORMAT, VERSION, _KEYS, ())
    blocks, exits, features = (fields[name].counts(0) for name in _KEYS[:3])
    given = fields["input_bytes"].count(0)
    return top.made(lambda: NetworkWork(blocks, exits, features, given))


def render_work(work: NetworkWork) -> str:
    """The text of a work file."""
    lines = [f"format: {FORMAT}", f"version: {VERSION}"]
    lines += [f"{name}: {list(getattr(work, name))}" for name in _KEYS[:3]]
    return "\n".join([*lines, f"input_bytes: {work.input_bytes}"]) + "\n"


def save_work(work: NetworkWork, path: FilePath) -> None:
    """Write a work file atomically; it loads as the same one. Raises ``ValueError`` where it cannot be written."""
    write_text(path, render_work(work))
