"""A trained network as one file: weights, and as JSON everything else; read without running any code in it.

| entry | holds |
|---|---|
| ``metadata`` | JSON text: format, version, what the kind of network needs, the identity |
| ``weights`` | the tensors by name |
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from envs.atomic import write_bytes_atomic
from envs.strict_json import FilePath

UNREADABLE = (RuntimeError, ValueError, KeyError, TypeError, EOFError, AttributeError, pickle.UnpicklingError)
"""What reading a damaged or foreign file raises."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class CheckpointKind:
    """One kind of file: what its metadata says it is, and which commands write it."""

    format: str
    version: int
    written_by: str  # for messages: "inference.train"

    def identity(self, metadata: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
        """SHA-256 over weights and metadata (plain data): networks with equal ones give equal answers."""
        return _identity(self._complete(metadata), weights)

    def write(self, path: FilePath, metadata: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Write a file atomically; equal content always makes the same bytes. Raises ``OSError``."""
        complete = self._complete(metadata)
        complete["identity"] = _identity(complete, weights)
        buffer = io.BytesIO()  # torch puts the name of a path into its file, and a temporary name is random
        torch.save({"metadata": json.dumps(complete, sort_keys=True), "weights": dict(weights)}, buffer)
        write_bytes_atomic(path, buffer.getvalue())

    def read(self, path: FilePath, build: Callable[[dict[str, Any], dict[str, Tensor]], _T]) -> _T:
        """What ``build`` makes of the metadata and the weights of a file.

        Raises ``ValueError``, one sentence, where the file is missing, damaged, of another kind or version, where a weight
        is not finite, or where ``build`` raises something of ``UNREADABLE``.
        """
        try:
            check_archive(path)
            data = torch.load(path, map_location="cpu", weights_only=True)
            metadata: dict[str, Any] = json.loads(data["metadata"])
            weights: dict[str, Tensor] = data["weights"]
            if metadata["format"] != self.format or metadata["version"] != self.version:
                is_now = f"is {metadata['format']} version {metadata['version']}"
                raise ValueError(f"{is_now}, expected {self.format} {self.version}")
            if metadata.pop("identity") != _identity(metadata, weights):
                raise ValueError("its identity is not that of its content")
            if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
                raise ValueError("a weight is not finite")
            return build(metadata, weights)
        except OSError as error:
            raise ValueError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
        except UNREADABLE as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"checkpoint {path} cannot be read ({first}), expected a file that {self.written_by} has written"
            ) from error

    def _complete(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {"format": self.format, "version": self.version, **metadata}


def check_archive(path: FilePath) -> None:
    """Compare the checksums of a zip file (torch reads damaged ones silently). Raises ``ValueError``, ``OSError``."""
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    if damaged is not None:
        raise ValueError(f"damaged at {damaged}")


def _identity(metadata: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()
