"""Checkpoints of a training run: written atomically, the latest two kept."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, cast

import torch as th

from agents.dqn import MaskableDQN
from conf.messages import UserError
from envs.atomic import atomic_path

KEEP = 2
_VERSION = 1
UNREADABLE = (
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    OSError,
    AttributeError,
    ImportError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What reading a damaged or foreign file raises."""


_OTHER = re.compile(
    r"Error\(s\) in loading state_dict|parameter group|unexpected keyword argument|required positional argument"
    r"|Can't get attribute|No module named|^'policy_class'$"
)


def is_of_another_version(error: Exception) -> bool:
    """Whether reading an undamaged file failed since its network, or what that is made of, is no longer the same here."""
    return _OTHER.search(str(error)) is not None


def save_checkpoint(folder: Path, model: MaskableDQN, progress: dict[str, Any]) -> Path:
    """Write weights, optimizer, replay buffer, random states and ``progress`` (of the callbacks) at this step."""
    path = folder / f"step-{model.num_timesteps:012d}.pt"
    data = {
        "version": _VERSION,
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "training": model.get_training_state(replay_buffer=False),
        "replay_buffer": model.replay_buffer,
        "progress": progress,
    }
    with atomic_path(path) as temporary:
        th.save(data, temporary)
    for old in _checkpoints(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def _checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(folder.glob("step-*.pt"))


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest finished checkpoint; what a killed write left behind is removed."""
    for left in folder.glob(".*.tmp.pt"):
        left.unlink(missing_ok=True)
    found = _checkpoints(folder)
    return found[-1] if found else None


def check_archive(path: Path) -> None:
    """Compare the checksums of a zip file (torch reads damaged ones silently). Raises ``ValueError``, ``OSError``."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    if damaged is not None:
        raise ValueError(f"damaged at {damaged}")


def load_checkpoint(path: Path, model: MaskableDQN) -> dict[str, Any]:
    """Put a checkpoint into ``model`` (built from the same config); returns the callbacks' ``progress``.

    Raises ``UserError`` when the file cannot be read or is of another network than that of the config.
    """
    try:
        check_archive(path)
        data = th.load(path, map_location=model.device, weights_only=False)
        if data["version"] != _VERSION:
            raise ValueError(f"version {data['version']}")
        model.policy.load_state_dict(data["policy"])
        model.policy.optimizer.load_state_dict(data["optimizer"])
        model.replay_buffer = data["replay_buffer"]
        model.replay_buffer.device = model.device
        model.set_training_state(data["training"])
    except UNREADABLE as error:
        if is_of_another_version(error):
            raise UserError(
                f"checkpoint {path} was written by another version of the network, or the run's config.yaml was changed "
                "since; expected the version that wrote it, or train again"
            ) from error
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"checkpoint {path} cannot be read ({first}), expected a file that agents.train has written; without it the run "
            "goes on from the one before"
        ) from error
    return cast(dict[str, Any], data["progress"])
