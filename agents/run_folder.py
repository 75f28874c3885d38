"""The folder of one training run: its config, versions, checkpoints, best model, curves and summary.

| file | holds |
|---|---|
| ``config.yaml`` | the composed config of the run, every key |
| ``versions.json`` | Python, platform, packages, git revision, command line |
| ``checkpoints/`` | one file or folder for each checkpoint, the newest last by name |
| ``best_model.zip`` | the model with the best evaluation |
| ``metrics.csv``, ``timing.csv`` | curves of the training, and what took how long |
| ``summary.json`` | the result of the evaluation after training |
| ``events.out.tfevents.*`` | TensorBoard events |
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agents.new_folder import new_folder
from agents.output import plain
from agents.versions import installed_version, versions
from conf.compose import as_object
from conf.fields import flat, shown
from conf.messages import UserError, one_line
from conf.schema import AGENTS, ENVIRONMENTS, TrainConfig
from envs.atomic import write_text_atomic

FORMAT, VERSION = "offramp/run", 1
"""What versions.json says of the layout of the folder."""


class RunFolder:
    """A run folder that exists. Make one with ``create``, open one with ``open``.

    Attributes:
        path: the folder.
        config: the config that the run was started with.
    """

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path, self.config = path, config

    @classmethod
    def create(cls, config: TrainConfig, now: time.struct_time | None = None) -> RunFolder:
        """Make a new folder in ``config.run_root`` and write its config and versions.

        Its name is ``config.name``, or environment, agent, local time and seed; a number follows where that is taken,
        so that runs started at the same moment, also by other processes, never share a folder.

        Raises:
            UserError: the folder cannot be made.
        """
        root = Path(config.run_root)
        try:
            with new_folder(root, config.name or _name(config, now or time.localtime())) as made:
                folder = cls(made.path, config)
                folder.checkpoints.mkdir()
                write_text_atomic(made.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
                folder.write_json("versions.json", {"format": FORMAT, "version": VERSION, **versions()})
            folder.path = made.path
        except OSError as error:
            raise UserError(f"run_root is {root}, where no folder can be made: {one_line(str(error))}") from error
        return folder

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """The run folder at ``path``.

        Raises:
            UserError: one sentence; there is no such folder, it holds no config, its files cannot be read, or they
                were written by a version that this one does not understand.
        """
        folder = Path(path)
        if not folder.is_dir():
            known = "is a file" if folder.exists() else "does not exist"
            raise UserError(f"run folder {folder} {known}, expected a folder that agents.train has written")
        if not (folder / "config.yaml").is_file():
            raise UserError(
                f"run folder {folder} holds no config.yaml, expected a folder that agents.train has written"
            )
        written_by = _check_version(folder / "versions.json")
        return cls(folder, _read_config(folder / "config.yaml", written_by))

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best_model(self) -> Path:
        """The model with the best evaluation; there once one has been made."""
        return self.path / "best_model.zip"

    @property
    def metrics(self) -> Path:
        """Curves of the training, CSV."""
        return self.path / "metrics.csv"

    @property
    def timing(self) -> Path:
        """What took how long, CSV."""
        return self.path / "timing.csv"

    @property
    def summary(self) -> Path:
        """Result of the evaluation after training, JSON."""
        return self.path / "summary.json"

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write ``data`` to the file ``name`` of the folder, atomically; NaN becomes null. Raises OSError."""
        write_text_atomic(self.path / name, json.dumps(plain(data), indent=2, allow_nan=False) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in the file ``name`` of the folder; raises UserError where there is none."""
        return _read_json(self.path / name)


def resume_config(config: TrainConfig, typed: Collection[str]) -> TrainConfig:
    """The config to train with: ``config`` itself, or with ``resume`` that of the run folder.

    A resumed run keeps its config. Of the keys that were typed, those that cannot change its outcome (and ``steps``)
    take effect; others may only repeat what the run has.

    Args:
        config: as composed.
        typed: keys and groups that the user typed.

    Raises:
        UserError: the folder cannot be opened, or a typed key contradicts it.
    """
    if config.resume is None:
        return config
    stored, config = RunFolder.open(config.resume).config, replace(config, env=config.env.settled())
    before = {entry.path: value for entry, value in flat(stored)}
    for entry, value in flat(config):
        if entry.path == "resume" or (entry.rule.may_change and entry.path in typed):
            setattr(stored, entry.path, value)
        elif not entry.rule.may_change and _is_typed(entry.path, typed) and before.get(entry.path) != value:
            kept = f"{config.resume} has {shown(before.get(entry.path))} and a resumed run keeps it"
            raise UserError(f"{entry.path} is {shown(value)}, but {kept}")
    return stored


def _is_typed(path: str, typed: Collection[str]) -> bool:
    """Whether a key was typed, or a group that may bring it; an experiment may bring any but where the run lies."""
    by_experiment = "experiment" in typed and path not in ("run_root", "name")
    return by_experiment or any(path == name or path.startswith(f"{name}.") for name in typed)


def _name(config: TrainConfig, now: time.struct_time) -> str:
    environment = re.sub(r"-v\d+$", "", config.env.id.rpartition("/")[2]).lower()
    name = f"{environment}-{config.agent.name}-{time.strftime('%Y%m%d-%H%M%S', now)}-s{config.seed}"
    return re.sub(r"[^\w.-]", "_", name)


def _check_version(path: Path) -> str:
    """The offramp version that wrote the folder; raises UserError where its layout is not ours."""
    data = _read_json(path)
    if data.get("format") != FORMAT or data.get("version") != VERSION:
        is_now = f"{data.get('format')} version {data.get('version')}"
        raise UserError(f"{path}: is {is_now}, expected {FORMAT} version {VERSION}, which this offramp writes")
    return str(data.get("offramp"))


def _read_config(path: Path, written_by: str) -> TrainConfig:
    whose = f"written by offramp {written_by}, this is {installed_version() or 'an unknown version'}"
    try:
        data = OmegaConf.create(path.read_text(encoding="utf-8"))
        environment, agent = OmegaConf.select(data, "env.id"), OmegaConf.select(data, "agent.algorithm")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path}: cannot be read as YAML: {one_line(str(error))}") from error
    for name, value, classes in (("env.id", environment, ENVIRONMENTS), ("agent.algorithm", agent, AGENTS)):
        if value not in classes:
            raise UserError(f"{path}: {name} is {shown(value)}, expected one of {', '.join(classes)} ({whose})")
    schema = OmegaConf.structured(TrainConfig(env=ENVIRONMENTS[environment](), agent=AGENTS[agent]()))
    OmegaConf.set_struct(schema, True)
    try:
        config = as_object(cast(Any, OmegaConf.merge(schema, data)), TrainConfig)
        return replace(config, env=config.env.settled())
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {error.full_key}: {str(error).splitlines()[0]} ({whose})") from error
    except UserError as error:
        raise UserError(f"{path}: {error} ({whose})") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {one_line(str(error))}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: is no JSON object, expected one")
    return data
