"""What users type, before Hydra reads it: paths are taken as they are, one entry of a list needs no brackets."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from hydra.core.override_parser.types import Quote, QuotedString

from conf.fields import Key, keys


def quoted(arguments: Sequence[str], schema: type, path_keys: Collection[str], *, multirun: bool = False) -> list[str]:
    """``key=value`` arguments with the values of path keys quoted for Hydra's grammar.

    A path may hold spaces, commas, ``=``, quotes and brackets; an empty path is null (missing, where it must be
    given). With ``multirun`` a path with commas that does not exist stands for several. A list takes one bare entry,
    and without ``multirun`` several with commas between them; paths in a list are told apart by brackets.

    Args:
        arguments: as typed, options left out.
        schema: the config class of the command.
        path_keys: dotted keys whose values are paths, e.g. "run", "env.scenario".
    """
    known = {entry.path: entry for entry in keys(schema)}
    result = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        entry = known.get(name.lstrip("+"))
        if equals and name.lstrip("+") in path_keys:
            value = _path_value(value, entry, multirun)
        elif equals and entry is not None and entry.is_list and not multirun:
            value = value if value.startswith("[") or value == "null" else f"[{value}]"
        result.append(name + equals + value)
    return result


def _path_value(value: str, entry: Key | None, multirun: bool) -> str:
    is_list = entry is not None and entry.is_list
    if value in ("", "null"):
        must = entry is not None and not entry.optional
        return "[]" if is_list else "???" if must else "null"
    if is_list and value.startswith("[") and value.endswith("]") and not os.path.exists(value):
        return value
    # A sweep over paths reads as everywhere else in Hydra, unless the commas belong to a name.
    parts = value.split(",") if multirun and not os.path.exists(value) else [value]
    written = [QuotedString(part, Quote.single).with_quotes() for part in parts]
    return ",".join(f"[{part}]" if is_list else part for part in written)
