"""Keys of the command ``inference.instance``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from conf.env_schema import SCENARIOS
from conf.fields import key, shown
from conf.names import FORMATS, MOST_SEED

SHIPPED_NETWORKS = ("lenet", "cifar_cnn", "vgg16", "vgg19")
"""Names that envs.distprivacy.networks knows; repeated, so that --help needs no numpy."""


@dataclass
class InstanceConfig:
    """Put a network, its privacy table and a fleet together: the instance file that env=distprivacy learns on.

    The network is one of the four of the paper, by its name, or that of a checkpoint; the table is a YAML file as
    inference.invert writes it. Every request of the fleet then asks for this network.

    Examples:
        {command} network=lenet table=table.yaml out=instance.json
        {command} checkpoint=runs/mine/network.pt table=table.yaml fleet=lenet-random instances=200 out=fleets.jsonl
        {command} network=lenet table=table.yaml fleet=fleet.json ssim=0.4 privacy_scope=layer out=mine.json
    """

    COMMAND: ClassVar[str] = "python -m inference.instance"

    network: str | None = key(
        None, "one of the paper's networks", choices=SHIPPED_NETWORKS, section="Network and table"
    )
    checkpoint: str | None = key(None, "network of inference.train_cnn, instead", path=True)
    table: str = key(MISSING, "privacy table (.yaml) with an entry for the network", path=True)
    ssim: float = key(0.6, "privacy target: SSIM of an inverted picture that no device may exceed", least=-1, most=1)
    tolerance: float = key(0.01, "added to it when the table is read", least=0)
    privacy_scope: str = key("group", "which layers' maps are counted together", choices=("layer", "group"))
    colluders: int = key(1, "devices that may pool their maps", unit="devices", least=1)
    fleet: str = key(
        "lenet-random",
        f"devices, cameras and requests: {', '.join(SCENARIOS)}, a fleet file (.json), or an instance file (.json, .jsonl)",
        path=True,
        kind="a name or a path",
        section="Fleet",
    )
    instances: int | None = key(
        None, "periods drawn of a scenario (null: 1); null for a file: all that it holds", least=1
    )
    requests: int | None = key(
        None,
        "requests a period, from one source after the other; null: as the fleet has, or one of each source",
        least=1,
    )
    seed: int = key(0, "seed of the fleets that are drawn", least=0, most=MOST_SEED)
    out: str = key(MISSING, "instance file: .json for one, .jsonl for any number", path=True, section="Output")
    format: str = key("text", "the limits of every layer as a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for other than one network, an unknown fleet, or another kind of file."""
        if (self.network is None) == (self.checkpoint is None):
            given = f"network is {shown(self.network)} and checkpoint is {shown(self.checkpoint)}"
            raise ValueError(f"{given}, expected one of the two")
        is_file = self.fleet.endswith((".json", ".jsonl"))
        if not is_file and self.fleet not in SCENARIOS:
            raise ValueError(
                f"fleet is {self.fleet}, expected one of {', '.join(SCENARIOS)}, or a .json or .jsonl file"
            )
        if is_file and self.instances is not None:
            raise ValueError(f"instances is {self.instances}, expected null with a file, whose instances are all taken")
        if not self.out.lower().endswith((".json", ".jsonl")):
            raise ValueError(f"out is {self.out}, expected a path that ends in .json or .jsonl")
        if self.out.lower().endswith(".json") and (self.instances or 1) > 1:
            raise ValueError(f"out is {self.out} with instances={self.instances}, expected a path that ends in .jsonl")


ConfigStore.instance().store(name="inference_instance_schema", node=InstanceConfig, provider="offramp")
