"""Composing a command's config with Hydra, so that whatever is wrong with it is told in one sentence."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from hydra import version
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from conf.fields import Key, keys, validate
from conf.messages import UserError, composition_error, one_line, unknown_key

_T = TypeVar("_T")


def parse(overrides: Sequence[str]) -> list[Override]:
    """Hydra's reading of ``key=value`` arguments that have been composed before, hence are well-formed."""
    return OverridesParser.create().parse_overrides(list(overrides))


class Composer:
    """Hydra, set up for one command: composes configs, runs sweeps. ``close()`` clears Hydra's globals.

    Args:
        config_name: name of a YAML file in ``conf/``, without its ending.
        schema: its dataclass.
        config_dir: a folder of the user's own with further YAML files (option ``--config-dir``), or None.

    Raises:
        UserError: the folder does not exist.
    """

    def __init__(self, config_name: str, schema: type, config_dir: str | None = None) -> None:
        self.config_name, self.schema = config_name, schema
        search_path = create_config_search_path("pkg://conf")
        if config_dir is not None:
            if not os.path.isdir(config_dir):
                raise UserError(f"--config-dir is {config_dir}, expected a folder that exists")
            address = f"file://{os.path.abspath(config_dir)}"
            search_path.prepend("command-line", address, SearchPathQuery(provider="schema"))
        version.setbase("1.3")
        GlobalHydra.instance().clear()
        # Not hydra.main: it writes a folder before the config is checked, and ends every failure with exit code 1.
        self.hydra = Hydra.create_main_hydra2(config_name, search_path)

    def close(self) -> None:
        """Leave Hydra's globals as they were before."""
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None

    def compose(self, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
        """The composed config, Hydra's own part included (key ``hydra``).

        Raises:
            UserError: one sentence on the override, group choice or file that does not fit.
        """
        for text in overrides:
            if text.startswith("=") or ("=" not in text and not text.startswith("~")):
                raise UserError(f"{text!r} is no override, expected key=value")
        try:
            config = self._compose(overrides, RunMode.MULTIRUN if multirun else RunMode.RUN)
        # Only overrides and files of the user can be wrong here, and Hydra raises nearly every class for them.
        except Exception as error:
            raise UserError(composition_error(error, overrides, self._known(overrides), self.groups())) from error
        HydraConfig.instance().set_config(config)
        return config

    def _compose(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        return self.hydra.compose_config(self.config_name, list(overrides), mode, with_log_configuration=False)

    def children(self, overrides: Sequence[str], config: DictConfig) -> list[list[str]]:
        """Overrides of each run of a sweep; for other sweepers than Hydra's own, what all runs have in common."""
        parsed = parse(overrides)
        own = [text for text, override in zip(overrides, parsed, strict=True) if override.is_hydra_override()]
        task = [override for override in parsed if not override.is_hydra_override()]
        sweeper = config.hydra.sweeper
        if not str(sweeper.get("_target_")).endswith(".BasicSweeper"):
            return [own + [str(override.input_line) for override in task if not override.is_sweep_override()]]
        params = parse([f"{name}={value}" for name, value in (sweeper.get("params") or {}).items()])
        return [own + child for batch in BasicSweeper.split_arguments(params + task, None) for child in batch]

    def sweep(self, overrides: Sequence[str], task: TaskFunction) -> Any:
        """Run ``task`` for every run of a sweep through Hydra's sweeper and launcher; returns what the sweeper does."""
        return self.hydra.multirun(self.config_name, task, list(overrides))

    def groups(self) -> dict[str, list[str]]:
        """Config groups and their choices; of Hydra's own only the launcher and the sweeper."""
        loader = self.hydra.config_loader
        names = [name for name in loader.list_groups("") if name not in ("hydra", "schema")]
        names += [inner for name in names for inner in self.hydra.list_all_config_groups(name)]
        choices = {name: loader.get_group_options(name) for name in (*names, "hydra/launcher", "hydra/sweeper")}
        return {name: list(options) for name, options in choices.items() if options}

    def _known(self, overrides: Sequence[str]) -> list[Key]:
        """Keys of the config with the groups that ``overrides`` choose, where that can be composed."""
        groups = self.groups()
        chosen = [text for text in overrides if text.lstrip("+").partition("=")[0] in groups]
        for tried in (chosen, []):
            try:
                return list(all_keys(self._compose(tried, RunMode.RUN), self.schema))
            except Exception:  # a wrong group choice: the sentence on it is already under way
                continue
        return list(keys(self.schema))


def all_keys(config: DictConfig, schema: type, prefix: str = "") -> Iterator[Key]:
    """Keys of ``schema``, each section followed by the keys of the class that it has in ``config``."""
    for entry in keys(schema, prefix):
        yield entry
        section = config.get(entry.name) if entry.is_section else None
        if isinstance(section, DictConfig):
            yield from all_keys(section, OmegaConf.get_type(section) or entry.base, f"{entry.path}.")


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a composed config without Hydra's own part."""
    result = copy.deepcopy(config)
    with open_dict(result):
        result.pop("hydra", None)
    return result


def as_object(config: DictConfig, schema: type[_T]) -> _T:
    """A composed config, without Hydra's part, as a checked object of its dataclass.

    Raises:
        UserError: one sentence on an unknown or missing key (``+key``, ``~key``), a mandatory value that is not given,
            an interpolation that leads nowhere, or a value out of range.
    """
    _check_keys(config, schema, "")
    try:
        result = cast(_T, OmegaConf.to_object(config))
        validate(result)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key} is refused: {str(error).splitlines()[0]}") from error
    except ValueError as error:
        raise UserError(one_line(str(error))) from error
    return result


def _check_keys(config: DictConfig, schema: type, prefix: str) -> None:
    known = {entry.name: entry for entry in keys(schema, prefix)}
    for name in config:
        if name not in known:
            raise UserError(unknown_key(prefix + str(name), [entry.path for entry in known.values()]))
    for name, entry in known.items():
        if name not in config:  # taken away (~key), or a value that must be given (???)
            raise UserError(f"{entry.path} is missing, expected {entry.expected} ({entry.path}=...)")
        if not entry.is_section:
            continue
        if not isinstance(config[name], DictConfig):
            raise UserError(f"{entry.path} is null, expected a choice of the group {entry.path}")
        _check_keys(config[name], OmegaConf.get_type(config[name]) or entry.base, f"{entry.path}.")
