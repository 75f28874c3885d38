"""The folder of one training of a network.

| file | holds |
|---|---|
| ``config.yaml`` | every key of the run |
| ``versions.json`` | Python, platform, packages, git revision, command line |
| ``metrics.csv`` | what was measured, epoch by epoch |
| ``network.pt`` | the network of the best epoch; there once the run is over |
| ``summary.json`` | the result |
| ``state.pt`` | what ``resume=`` goes on from; gone once the run is over |
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agents.cli import Interrupted
from agents.new_folder import new_folder
from agents.output import plain
from agents.progress import bar
from agents.versions import versions
from conf.compose import as_object
from conf.fields import flat, shown
from conf.messages import UserError, one_line
from envs.atomic import atomic_path, write_text_atomic
from inference.checkpoint_file import UNREADABLE, check_archive
from inference.epochs import EpochTraining, TrainingState

_STATE_VERSION = 1


class RunConfig(Protocol):
    """The keys that every training has."""

    run_root: str
    name: str | None
    resume: str | None
    seed: int
    save_every: float
    progress: bool


_T = TypeVar("_T", bound=RunConfig)


@dataclass(frozen=True)
class RunKind(Generic[_T]):
    """One kind of run: what versions.json says it is, its config class and the command that makes it."""

    format: str
    version: int
    schema: type[_T]
    command: str  # for messages: "inference.train"

    def start(self, config: _T, name: str) -> tuple[Path, TrainingState | None, float]:
        """The run folder, and the state and the seconds of a run that is gone on with.

        A new folder is called ``config.name``, or ``name`` with time and seed. Raises ``UserError``.
        """
        if config.resume is None:
            return self._create(config, name), None, 0.0
        state, seconds = load_state(Path(config.resume)) or (None, 0.0)
        return Path(config.resume), state, seconds

    def _create(self, config: _T, name: str) -> Path:
        """Make a run folder with config and versions; a number follows its name where that is taken."""
        now = time.strftime("%Y%m%d-%H%M%S")
        root = Path(config.run_root)
        try:
            with new_folder(root, config.name or f"{name}-{now}-s{config.seed}") as made:
                write_text_atomic(made.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
                text = json.dumps(plain({"format": self.format, "version": self.version, **versions()}), indent=2)
                write_text_atomic(made.path / "versions.json", text + "\n")
        except OSError as error:
            raise UserError(f"run_root is {root}, where no folder can be made: {one_line(str(error))}") from error
        return made.path

    def resumed(self, config: _T, typed: Collection[str]) -> _T:
        """The config to train with: ``config`` itself, or with ``resume`` that of the run folder.

        Of the keys that were typed, those that cannot change the outcome take effect; others may only repeat what the run
        has.

        Raises:
            UserError: the folder cannot be read, its run is over, or a typed key contradicts it.
        """
        if config.resume is None:
            return config
        folder = Path(config.resume)
        stored = self._read_config(folder)
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

    def _read_config(self, folder: Path) -> _T:
        try:
            found = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
            if (found.get("format"), found.get("version")) != (self.format, self.version):
                raise ValueError(f"versions.json is of {found.get('format')} {found.get('version')}")
            data = OmegaConf.create((folder / "config.yaml").read_text(encoding="utf-8"))
            merged: Any = OmegaConf.merge(OmegaConf.structured(self.schema), data)
            return as_object(merged, self.schema)
        except (OSError, ValueError, AttributeError, yaml.YAMLError, OmegaConfBaseException, UserError) as error:
            problem = one_line(str(error))
            raise UserError(
                f"resume is {folder}, which cannot be gone on with ({problem}), expected a run folder of {self.command}"
            ) from error


def train_in(folder: Path, training: EpochTraining, config: RunConfig, title: str, before: float) -> float:
    """Run a training to its end with a progress bar, saving its state as it goes; returns the CPU-seconds of all of it.

    Args:
        folder: of the run.
        training: from its beginning, or from a state.
        config: says how often to save, and whether to show the bar.
        title: of the bar.
        before: CPU-seconds of the run before it was stopped.

    Raises:
        Interrupted: Ctrl-C, with a sentence on how to go on.
    """
    started, saved = time.process_time(), time.monotonic()

    def seconds() -> float:
        return before + time.process_time() - started

    def on_epoch(state: TrainingState) -> None:
        nonlocal saved
        if time.monotonic() - saved >= config.save_every:
            save_state(folder, state, seconds())
            write_metrics(folder, state)
            saved = time.monotonic()

    with bar(title, training.all_steps, shown=config.progress) as tick:
        training.on_step = tick
        try:
            training.run(on_epoch)
        except KeyboardInterrupt:
            raise Interrupted(f"resume={folder} goes on from the last epoch that was saved") from None
    return seconds()


def finish(folder: Path, state: TrainingState, result: Mapping[str, Any], save: Callable[[Path], None]) -> None:
    """Write what a run leaves, the network last, and remove its state. Raises ``OSError``."""
    write_metrics(folder, state)
    write_text_atomic(folder / "summary.json", json.dumps(plain(dict(result)), indent=2) + "\n")
    save(folder / "network.pt")
    (folder / "state.pt").unlink(missing_ok=True)


def save_state(folder: Path, state: TrainingState, seconds: float) -> None:
    """Write the state of a run that is under way; ``seconds``: of computing so far. Raises ``OSError``."""
    with atomic_path(folder / "state.pt") as temporary:
        torch.save({"version": _STATE_VERSION, "seconds": seconds, **vars(state)}, temporary)


def load_state(folder: Path) -> tuple[TrainingState, float] | None:
    """The last state of a run and its seconds; None where none was written. Raises ``UserError`` for a damaged file."""
    path = folder / "state.pt"
    if not path.exists():
        return None
    try:
        check_archive(path)
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data.pop("version") != _STATE_VERSION:
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
