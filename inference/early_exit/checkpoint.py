"""A trained network as one file: weights, and as JSON everything else that serving needs; read without running any code.

| entry | holds |
|---|---|
| ``metadata`` | JSON text: format, version, network, preprocessor, temperatures, what it was trained on, the identity |
| ``weights`` | the tensors by name |
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from envs.atomic import write_bytes_atomic
from envs.strict_json import FilePath
from inference.early_exit.network import ExitNetwork
from inference.early_exit.networks import NetworkSpec
from inference.early_exit.preprocessing import Preprocessor

FORMAT, VERSION = "offramp/early-exit-network", 1
UNREADABLE = (RuntimeError, ValueError, KeyError, TypeError, EOFError, AttributeError, pickle.UnpicklingError)
"""What reading a damaged or foreign file raises."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with all that turns rows into certainties; it becomes one of double precision, whose weights are those of
    single precision (``inference.early_exit.forward`` says why). Raises ``ValueError`` where the parts do not fit.
    """

    spec: NetworkSpec
    network: ExitNetwork  # in eval mode
    preprocessor: Preprocessor
    temperatures: tuple[float, ...] = ()  # (E,) logits are divided by; empty: 1 everywhere, not calibrated
    notes: dict[str, Any] = field(default_factory=dict)  # plain data: seed, training files, ...

    def __post_init__(self) -> None:
        self.network.eval().double()
        exits = len(self.network.exits)
        if not self.temperatures:
            object.__setattr__(self, "temperatures", (1.0,) * exits)
        if len(self.temperatures) != exits or not all(math.isfinite(t) and t > 0 for t in self.temperatures):
            raise ValueError(f"temperatures is {list(self.temperatures)}, expected {exits} numbers > 0")
        if self.preprocessor.layout != self.spec.layout or len(self.preprocessor.names) != self.spec.features:
            raise ValueError(
                f"the preprocessor makes {len(self.preprocessor.names)} features laid out {self.preprocessor.layout}, "
                f"expected {self.spec.features} laid out {self.spec.layout} for {self.spec.name}"
            )

    @property
    def exits(self) -> int:
        """Number of exits E."""
        return len(self.network.exits)

    @property
    def identity(self) -> str:
        """SHA-256 over weights and metadata: two parties with equal ones give equal answers."""
        return _identity(self._metadata(), self._weights())

    def calibrated(self, temperatures: tuple[float, ...], notes: Mapping[str, Any]) -> TrainedNetwork:
        """The same network with other temperatures; ``notes`` are added to its own."""
        return replace(self, temperatures=temperatures, notes={**self.notes, **notes})

    def _metadata(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "network": self.spec.to_dict(),
            "preprocessor": self.preprocessor.to_dict(),
            "temperatures": list(self.temperatures),
            "notes": self.notes,
        }

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.float() for name, value in self.network.state_dict().items()}

    def save(self, path: FilePath) -> None:
        """Write the file atomically; the same network always makes the same bytes. Raises ``OSError``."""
        weights = self._weights()
        metadata = self._metadata()
        metadata["identity"] = _identity(metadata, weights)
        buffer = io.BytesIO()  # torch puts the name of a path into its file, and a temporary name is random
        torch.save({"metadata": json.dumps(metadata, sort_keys=True), "weights": weights}, buffer)
        write_bytes_atomic(path, buffer.getvalue())


def load_network(path: FilePath) -> TrainedNetwork:
    """Read a file of ``TrainedNetwork.save``; no code in it is run.

    Raises ``ValueError``, one sentence, where it is missing, damaged, of another version, or its parts do not fit.
    """
    try:
        check_archive(path)
        data = torch.load(path, map_location="cpu", weights_only=True)
        metadata: dict[str, Any] = json.loads(data["metadata"])
        weights: dict[str, Tensor] = data["weights"]
        if metadata["format"] != FORMAT or metadata["version"] != VERSION:
            raise ValueError(f"is {metadata['format']} version {metadata['version']}, expected {FORMAT} {VERSION}")
        if metadata.pop("identity") != _identity(metadata, weights):
            raise ValueError("its identity is not that of its content")
        named = metadata["network"]
        spec = NetworkSpec(str(named["name"]), int(named["features"]), tuple(map(int, named["widths"])))
        network = spec.build()
        network.load_state_dict(weights)
        if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
            raise ValueError("a weight is not finite")
        temperatures = tuple(map(float, metadata["temperatures"]))
        return TrainedNetwork(
            spec, network, Preprocessor.from_dict(metadata["preprocessor"]), temperatures, dict(metadata["notes"])
        )
    except OSError as error:
        raise ValueError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
    except UNREADABLE as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"checkpoint {path} cannot be read ({first}), expected a file that inference.train or inference.calibrate has "
            "written"
        ) from error


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
