"""Wrong input in one sentence each: what is wrong, its value, what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from conf.fields import Key


class UserError(ValueError):
    """Wrong input; its text is the one sentence that the user reads. Ends a command with exit code 2."""


def one_line(text: str) -> str:
    """``text`` with line ends and runs of spaces as single spaces."""
    return " ".join(text.split())


def unknown_key(name: str, known: Sequence[str]) -> str:
    """The sentence on an unknown key, with the nearest known one: by its last part, then by likeness."""
    known = [entry for entry in known if entry != name]  # a key of another environment or agent than the chosen one
    section, _, last = name.rpartition(".")
    leaves = {entry.rpartition(".")[2]: entry for entry in reversed(known)}
    within = [entry for entry in known if entry.rpartition(".")[0] == section]
    near = [leaves[last]] if last in leaves else difflib.get_close_matches(name, within, 1)
    near = near or [leaves[leaf] for leaf in difflib.get_close_matches(last, list(leaves), 1)]
    if not near and section:
        near = difflib.get_close_matches(name, [entry for entry in known if "." in entry], 1, 0.8)
    expected = f"{near[0]}, the nearest known key" if near else "one of those that --help lists"
    return f"{name} is an unknown key, expected {expected}"


def composition_error(
    error: Exception, overrides: Sequence[str], known: Sequence[Key], groups: Mapping[str, Sequence[str]]
) -> str:
    """The sentence for what Hydra or OmegaConf raised while composing.

    ``known``: keys of the config; ``groups``: config groups with their choices.
    """
    text = str(error)
    if isinstance(error, OverrideParseException):
        return _grammar_error(text, error.override)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group} is {choice}, expected one of {', '.join(error.options)}"
    if isinstance(error, yaml.YAMLError):
        return f"a configuration file is not valid YAML: {one_line(text)}"
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '([^=]+)=(.*?)'(?:\n| requires)", text):
        return f"{match[1]} is {match[2]}, expected one value; --multirun runs each of them"
    if match := re.match(r"Could not override '([^']+)'", text):
        return unknown_key(match[1], [entry.path for entry in known] + list(groups))
    if match := re.match(r"Error merging override \+*([^=]+)=(.*)", text, re.DOTALL):
        return _type_error(match[1], match[2], known, str(error.__cause__))
    if match := re.match(r"In '([^']+)': \w+ raised while composing config:\n(.*)", text, re.DOTALL):
        return _file_error(match[1], match[2], known)
    if match := re.match(r"Could not append to config. An item is already at '([^']+)'", text):
        return f"+{match[1]} adds a key that is there already, expected {match[1]}=... without the +"
    if text.startswith("Config group override must be"):
        for name, _, value in (override.partition("=") for override in overrides):
            if name in groups and value not in groups[name]:
                return f"{name} is {value or 'empty'}, expected one of {', '.join(groups[name])}"
    known_class = isinstance(error, HydraException | OmegaConfBaseException)
    # An empty message of Hydra's leaves its cause.
    return one_line(f"{'' if known_class else type(error).__name__ + ': '}{text or error.__cause__}")


def _grammar_error(text: str, override: str) -> str:
    if match := re.search(r"Unknown function '([^']+)'", text):
        return f"{override!r} calls an unknown function {match[1]}, expected key=value"
    expected = "expected key=value, the value in quotes where it holds any of ()[]{},:= or a quote"
    return f"{override!r} cannot be read, {expected}"


def _type_error(name: str, value: str, known: Sequence[Key], cause: str) -> str:
    for entry in known:
        if entry.path == name and not entry.is_section:
            return f"{name} is {one_line(value) or 'empty'}, expected {entry.expected}"
        if name.startswith(f"{entry.path}.") and not entry.is_section:
            return f"{name} is an unknown key, expected {entry.path}, which is {entry.expected}"
    return f"{name} is {one_line(value)}, which is refused: {cause.splitlines()[0]}"


def _file_error(file: str, detail: str, known: Sequence[Key]) -> str:
    where, full_key = f"configuration file {file}.yaml", re.search(r"full_key: (\S+)", detail)
    if full_key and re.match(r"Key '[^']*' not in", detail):
        return f"{where}: {unknown_key(full_key[1], [entry.path for entry in known])}"
    expected = next((f", expected {entry.expected}" for entry in known if full_key and entry.path == full_key[1]), "")
    return f"{where}: {full_key[1] if full_key else 'it'} is refused: {detail.splitlines()[0]}{expected}"
