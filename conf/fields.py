"""Keys of a structured config that carry their meaning and their range, for the help text and for the check."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_RULE = "rule"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a key means and which values it takes, beyond its type."""

    meaning: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    path: bool = False
    kind: str = ""
    section: str = ""
    may_change: bool = False


def rule(meaning: str, **limits: Any) -> dict[str, Rule]:
    """The metadata of a dataclass field that is a key, for ``dataclasses.field``; see ``key`` for the limits."""
    return {_RULE: Rule(meaning, **limits)}


def key(default: Any, meaning: str, **limits: Any) -> Any:
    """A dataclass field with a default and a ``Rule``.

    ``unit``: of a number. ``least``, ``most``, ``above``, ``below``: its range. ``choices``: of a text or of the
    entries of a list. ``path``: a text that names a file or folder. ``kind``: what to call a text, in words.
    ``section``: heading that starts here in the help. ``may_change``: a resumed run may be given another value.
    """
    return dataclasses.field(default=default, metadata=rule(meaning, **limits))


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a config class: its dotted path on the command line, its type, its rule."""

    path: str
    type: Any
    rule: Rule

    @property
    def name(self) -> str:
        """The last part of the path: the name of the dataclass field."""
        return self.path.rpartition(".")[2]

    @property
    def optional(self) -> bool:
        """Whether null is a value."""
        return type(None) in typing.get_args(self.type)

    @property
    def base(self) -> Any:
        """The type without its None: bool, int, float, str, ``list[str]`` or a dataclass."""
        kinds = [kind for kind in typing.get_args(self.type) if kind is not type(None)]
        return kinds[0] if isinstance(self.type, types.UnionType) else self.type

    @property
    def is_section(self) -> bool:
        """Whether the key holds further keys."""
        return dataclasses.is_dataclass(self.base)

    @property
    def is_list(self) -> bool:
        """Whether the key holds a list."""
        return typing.get_origin(self.base) is list

    @property
    def entry(self) -> Any:
        """The type of the entries of a list: str, int or float."""
        return typing.get_args(self.base)[0]

    @property
    def expected(self) -> str:
        """What the key takes, in words: "a number > 0", "one of text, json", "a path or null"."""
        rule = self.rule
        if rule.choices:
            words = f"one of {', '.join(rule.choices)}"
            words = f"a list with entries out of {', '.join(rule.choices)}" if self.is_list else words
        elif self.is_list:
            kinds = {int: "whole numbers", float: "numbers"}
            words = f"a list of {'paths' if rule.path else kinds.get(self.entry, 'texts')}"
            words += "" if self.entry is str else _range(rule)
        elif self.base is bool:
            words = "true or false"
        elif self.base is str:
            words = rule.kind or ("a path" if rule.path else "a text")
        else:
            words = ("a whole number" if self.base is int else "a number") + _range(rule)
        return f"{words} or null" if self.optional else words

    def accepts(self, value: Any) -> bool:
        """Whether ``value``, of the right type already, is in range."""
        rule = self.rule
        if value is None:
            return self.optional
        if isinstance(value, list):
            if self.entry is not str:
                return all(math.isfinite(entry) and _in_range(entry, rule) for entry in value)
            return all(isinstance(entry, str) and entry and entry in (rule.choices or (entry,)) for entry in value)
        if isinstance(value, str):
            return bool(value) and value in (rule.choices or (value,))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return math.isfinite(value) and _in_range(value, rule)
        return True


def _range(rule: Rule) -> str:
    low = f"> {rule.above:g}" if rule.above is not None else "" if rule.least is None else f">= {rule.least:g}"
    high = f"< {rule.below:g}" if rule.below is not None else "" if rule.most is None else f"<= {rule.most:.10g}"
    if rule.least is not None and rule.most is not None:
        return f" in {rule.least:g}..{rule.most:.10g}"
    return "".join(f" {part}" for part in (low, "and" if low and high else "", high) if part)


def _in_range(value: float, rule: Rule) -> bool:
    return (
        (rule.least is None or value >= rule.least)
        and (rule.most is None or value <= rule.most)
        and (rule.above is None or value > rule.above)
        and (rule.below is None or value < rule.below)
    )


def keys(schema: type, prefix: str = "") -> Iterator[Key]:
    """The keys of a config class in order, without those of its sections; ``prefix`` ("env.") goes before each path."""
    hints = typing.get_type_hints(schema)
    for entry in dataclasses.fields(schema):
        yield Key(prefix + entry.name, hints[entry.name], entry.metadata.get(_RULE, Rule("")))


def flat(config: Any, prefix: str = "") -> Iterator[tuple[Key, Any]]:
    """Every key of a config object with its value, sections opened, in order."""
    for entry in keys(type(config), prefix):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            yield from flat(value, f"{entry.path}.")
        else:
            yield entry, value


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return '""' if value == "" else str(value)


def validate(config: Any, prefix: str = "") -> None:
    """Check every value of a config object against its rule, then what its ``check()`` says about several keys.

    Raises:
        ValueError: one sentence with key, value and what was expected, e.g. "agent.learning_rate is -1.0, expected a
            number > 0".
    """
    for entry in keys(type(config), prefix):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            validate(value, f"{entry.path}.")
        elif not entry.accepts(value):
            raise ValueError(f"{entry.path} is {shown(value)}, expected {entry.expected}")
    check: Callable[[], None] | None = getattr(config, "check", None)
    if check is not None:
        check()
