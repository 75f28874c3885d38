"""Keys of the command ``inference.split``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule, shown
from conf.schema import FORMATS, MOST_SEED

_KIND = "lenet, cifar_cnn, vgg16, vgg19 or FILE.py:NAME"


@dataclass
class SplitConfig:
    """Run a network that is cut by a placement, each device by itself, and compare it with the physics and the whole network.

    Every device has only its share of the weights and the maps that it was sent. The bytes of the payloads are counted where
    they are sent, and must be those of the environment, from whom to whom, layer by layer; the outputs must be those of the
    whole network. Anything else is a defect, with exit code 1.

    Examples:
        {command} instance=instance.json solution=solution.json
        {command} instance=instance.json solution=solution.json checkpoint=runs/digits/network.pt processes=true
        {command} instance=instance.json allocations=100
        {command} scenario=lenet-random allocations=100 network=mine.py:Net shape=[1,28,28]
    """

    COMMAND: ClassVar[str] = "python -m inference.split"

    instance: str | None = key(None, "instance file (.json)", path=True, section="Placement")
    solution: str | None = key(None, "solution file (.json) of that instance", path=True)
    request: int = key(0, "which request of the instance is run, from 0", least=0)
    allocations: int | None = key(
        None, "instead of a solution: so many random ones that keep all constraints", least=1, most=1_000_000
    )
    scenario: str | None = key(None, "instead of an instance: a named scenario, drawn anew for each allocation")
    network: str | None = key(
        None, "what is run, with fresh weights; null: what the request names", kind=_KIND, section="Network"
    )
    shape: list[int] = field(
        default_factory=list,
        metadata=rule("channels, height, width of a picture; empty: those of the paper, for shipped networks", least=1),
    )
    checkpoint: str | None = key(None, "trained network to run instead, network.pt of inference.train_cnn", path=True)
    inputs: int = key(8, "pictures that go through together", least=1, most=10_000)
    processes: bool = key(False, "each device in a process of its own, with sockets between them", section="How")
    timeout: float = key(120.0, "limit for the processes of one placement", unit="seconds", above=0)
    seed: int = key(0, "seed of weights, pictures and allocations", least=0, most=MOST_SEED)
    threads: int = key(1, "threads of torch", least=1)
    progress: bool = key(True, "show a progress bar", section="Output")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for no placement or two, and for a network that is named twice or has no shape."""
        if (self.instance is None) == (self.scenario is None):
            given = f"instance is {shown(self.instance)} and scenario is {shown(self.scenario)}"
            raise ValueError(f"{given}, expected one of them")
        if (self.solution is None) == (self.allocations is None):
            given = f"solution is {shown(self.solution)} and allocations is {shown(self.allocations)}"
            raise ValueError(f"{given}, expected one of them")
        if self.scenario is not None and self.solution is not None:
            raise ValueError(f"scenario is {self.scenario}, expected instance=... beside a solution")
        if self.checkpoint is not None and self.network is not None:
            raise ValueError(f"network is {self.network}, expected null beside a checkpoint")
        if self.shape and (len(self.shape) != 3 or self.checkpoint is not None):
            wanted = "[] beside a checkpoint" if self.checkpoint is not None else "channels, height and width"
            raise ValueError(f"shape is {shown(self.shape)}, expected {wanted}")


ConfigStore.instance().store(name="inference_split_schema", node=SplitConfig, provider="offramp")
