"""Keys of the command ``optimal.token_bucket.cameras``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule
from conf.schema import FORMATS, MOST_SEED

DISTRIBUTIONS = ("standard", "strong-pair", "beta")
"""Names that envs.token_bucket.metrics knows; repeated because that module's package compiles kernels on import."""


@dataclass
class CamerasConfig:
    """Compare three ways to share a bucket among cameras: each its own, over-subscribed behind a switch, or all as one device.

    Every camera has independent frames of one kind, one a slot. Tables, a CSV file and a plot; losses with standard errors.

    Examples:
        {command} out=runs/cameras
        {command} cameras=[2,4] depths=1 training_length=1000 length=2000 format=json
    """

    COMMAND: ClassVar[str] = "python -m optimal.token_bucket.cameras"

    cameras: list[int] = field(
        default_factory=lambda: [2, 3, 4, 6, 8],
        metadata=rule("numbers of cameras", least=1, most=100, section="What"),
    )
    rate: float = key(0.1, "fair share of the rate", unit="tokens a slot and camera", above=0, most=1)
    depths: list[float] = field(
        default_factory=lambda: [1.0, 2.0], metadata=rule("fair shares of the depth", unit="tokens", least=1)
    )
    distribution: str = key("strong-pair", "distribution of the metric", choices=DISTRIBUTIONS)
    rates_step: float = key(0.025, "step of the grid of the cameras' own rates, up to half a token", above=0, most=0.5)
    depths_step: float = key(0.25, "step of the grid of their own depths, up to ten tokens", above=0, most=9)
    training_streams: int = key(10, "streams on which the grid is searched", least=1, section="How long")
    training_length: int = key(20_000, "slots of each", least=1)
    streams: int = key(100, "streams on which the losses are measured", least=2)
    length: int = key(20_000, "slots of each", least=1)
    seed: int = key(0, "seed of all streams", least=0, most=MOST_SEED // 2)
    out: str = key("runs/cameras", "folder of cameras.csv and cameras.png", path=True, section="Output")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """What the rules of single keys do not say."""
        for name in ("cameras", "depths"):
            if not getattr(self, name):
                raise ValueError(f"{name} is [], expected at least one number")


ConfigStore.instance().store(name="cameras_schema", node=CamerasConfig, provider="offramp")
