"""A trained multi-exit network and its file, whose layout is that of ``inference.checkpoint_file``.

The metadata hold network, preprocessor, temperatures and what the network was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from envs.strict_json import FilePath
from inference.checkpoint_file import CheckpointKind
from inference.early_exit.network import ExitNetwork
from inference.early_exit.networks import NetworkSpec
from inference.early_exit.preprocessing import Preprocessor

KIND = CheckpointKind("offramp/early-exit-network", 1, "inference.train or inference.calibrate")


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
        return KIND.identity(self._metadata(), self._weights())

    def calibrated(self, temperatures: tuple[float, ...], notes: Mapping[str, Any]) -> TrainedNetwork:
        """The same network with other temperatures; ``notes`` are added to its own."""
        return replace(self, temperatures=temperatures, notes={**self.notes, **notes})

    def _metadata(self) -> dict[str, Any]:
        return {
            "network": self.spec.to_dict(),
            "preprocessor": self.preprocessor.to_dict(),
            "temperatures": list(self.temperatures),
            "notes": self.notes,
        }

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.float() for name, value in self.network.state_dict().items()}

    def save(self, path: FilePath) -> None:
        """Write the file atomically; the same network always makes the same bytes. Raises ``OSError``."""
        KIND.write(path, self._metadata(), self._weights())


def load_network(path: FilePath) -> TrainedNetwork:
    """Read a file of ``TrainedNetwork.save``; no code in it is run.

    Raises ``ValueError``, one sentence, where it is missing, damaged, of another version, or its parts do not fit.
    """
    return KIND.read(path, _build)


def _build(metadata: dict[str, Any], weights: dict[str, Tensor]) -> TrainedNetwork:
    named = metadata["network"]
    spec = NetworkSpec(str(named["name"]), int(named["features"]), tuple(map(int, named["widths"])))
    network = spec.build()
    network.load_state_dict(weights)
    temperatures = tuple(map(float, metadata["temperatures"]))
    return TrainedNetwork(
        spec, network, Preprocessor.from_dict(metadata["preprocessor"]), temperatures, dict(metadata["notes"])
    )
