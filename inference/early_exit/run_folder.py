"""The folder of one training of a multi-exit network.

| file | holds |
|---|---|
| ``config.yaml`` | every key of the run |
| ``versions.json`` | Python, platform, packages, git revision, command line |
| ``metrics.csv`` | loss and accuracy of every exit, epoch by epoch, training and validation |
| ``network.pt`` | the network of the best epoch; there once the run is over |
| ``summary.json`` | the result |
| ``state.pt`` | what ``resume=`` goes on from; gone once the run is over |
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agents.new_folder import new_folder
from agents.output import plain
from agents.versions import versions
from conf.compose import as_object
from conf.fields import flat, shown
from conf.inference_schema import TrainNetworkConfig
from conf.messages import UserError, one_line
from envs.atomic import atomic_path, write_text_atomic
from inference.checkpoint_file import UNREADABLE, check_archive
from inference.early_exit.training import TrainingState

FORMAT, VERSION = "offramp/early-exit-run", 1
"""What versions.json says of the layout of the folder."""


def create_run(config: TrainNetworkConfig) -> Path:
    """Make a run folder with config and versions; a number follows its name where that is taken. Raises ``UserError``."""
    now = time.strftime("%Y%m%d-%H%M%S")
    root, name = Path(config.run_root), config.name or f"early-exit-{config.network}-{now}-s{config.seed}"
    try:
        with new_folder(root, name) as made:
            write_text_atomic(made.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
            text = json.dumps(plain({"format": FORMAT, "version": VERSION, **versions()}), indent=2)
            write_text_atomic(made.path / "versions.json", text + "\n")
    except OSError as error:
        raise UserError(f"run_root is {root}, where no folder can be made: {one_line(str(error))}") from error
    return made.path


def resumed(config: TrainNetworkConfig, typed: Collection[str]) -> TrainNetworkConfig:
    """The config to train with: ``config`` itself, or with ``resume`` that of the run folder.

    Of the keys that were typed, those that cannot change the outcome take effect; others may only repeat what the run has.

    Raises:
        UserError: the folder cannot be read, its run is over, or a typed key contradicts it.
    """
    if config.resume is None:
        return config
    folder = Path(config.resume)
    stored = _read_config(folder)
    if (folder / "network.pt").is_file():
        raise UserError(f"resume is {folder}, whose run is over: the network is {folder / 'network.pt'}")
    before = {entry.path: value for entry, value in flat(stored)}
    for entry, value in flat(config):
        if entry.path == "resume" or (entry.rule.may_change and entry.path in typed):
            setattr(stored, entry.path, value)
        elif not entry.rule.may_change and entry.path in typed and before[entry.path] != value:
            kept = f"{folder} has {shown(before[entry.path])} and a resumed run keeps it"
            raise UserError(f"{entry.path} is {shown(value)}, but {kept}")
    return stored


def _read_config(folder: Path) -> TrainNetworkConfig:
    try:
        found = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
        if (found.get("format"), found.get("version")) != (FORMAT, VERSION):
            raise ValueError(f"versions.json is of {found.get('format')} {found.get('version')}")
        data = OmegaConf.create((folder / "config.yaml").read_text(encoding="utf-8"))
        merged: Any = OmegaConf.merge(OmegaConf.structured(TrainNetworkConfig), data)
        return as_object(merged, TrainNetworkConfig)
    except (OSError, ValueError, AttributeError, yaml.YAMLError, OmegaConfBaseException, UserError) as error:
        problem = one_line(str(error))
        raise UserError(
            f"resume is {folder}, which cannot be gone on with ({problem}), expected a run folder of inference.train"
        ) from error


def save_state(folder: Path, state: TrainingState, seconds: float) -> None:
    """Write the state of a run that is under way; ``seconds``: of computing so far. Raises ``OSError``."""
    with atomic_path(folder / "state.pt") as temporary:
        torch.save({"version": VERSION, "seconds": seconds, **vars(state)}, temporary)


def load_state(folder: Path) -> tuple[TrainingState, float] | None:
    """The last state of a run and its seconds; None where none was written. Raises ``UserError`` for a damaged file."""
    path = folder / "state.pt"
    if not path.exists():
        return None
    try:
        check_archive(path)
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data.pop("version") != VERSION:
            raise ValueError("another version")
        seconds = float(data.pop("seconds"))
        return TrainingState(**data), seconds
    except (*UNREADABLE, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: cannot be read ({first}); without it the run starts again") from error


def write_metrics(folder: Path, state: TrainingState) -> None:
    """Write metrics.csv, one line an epoch. Raises ``OSError``."""
    lines = [",".join(state.history[0])] if state.history else []
    lines += [",".join(f"{value:.9g}" for value in entry.values()) for entry in state.history]
    write_text_atomic(folder / "metrics.csv", "\n".join(lines) + "\n")
