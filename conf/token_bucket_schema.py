"""Keys of the commands of ``optimal.token_bucket``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule
from conf.schema import (
    FORMATS,
    MOST_SEED,
    TOKEN_BASELINES,
    TOKEN_PRESET,
    TOKEN_SCENARIOS,
    is_token_scenario,
    unknown_scenario,
)


@dataclass
class TokenBucketTableConfig:
    """Play all references of token-bucket offloading on 14 cases, beside levels that were measured by other code before.

    Every case has streams of its own, the same for all policies. Mean losses come with standard errors over streams; a level is
    out of tolerance where it differs by more than max(.0010, 3.5 pooled standard errors).

    Examples:
        {command} out=runs/token_bucket_table
        {command} streams=12 length=20_000 format=json
    """

    COMMAND: ClassVar[str] = "python -m optimal.token_bucket.table"

    streams: int = key(48, "streams of each case", least=2, section="What")
    length: int = key(100_000, "frames of a stream", least=1)
    seed: int = key(0, "seed of the streams", least=0, most=MOST_SEED)
    out: str = key("runs/token_bucket_table", "folder of table.csv and table.json", path=True, section="Output")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)


@dataclass
class TokenBucketCurvesConfig:
    """Play the references on every point of the published sweeps of token-bucket offloading, and plot both.

    Scenarios 1 and 2 of Qiu et al. (arXiv 2208.00485), their figures 5, 6, 8 and 9; scenario 3, of which no loss was
    published, is played too. Metrics are synthetic (``standard``), those of the paper come from ImageNet.

    Examples:
        {command} out=runs/token_bucket_curves
        {command} streams=4 length=20_000 format=json
    """

    COMMAND: ClassVar[str] = "python -m optimal.token_bucket.curves"

    streams: int = key(24, "streams of each point", least=2, section="What")
    length: int = key(100_000, "frames of a stream", least=1)
    seed: int = key(0, "seed of the streams", least=0, most=MOST_SEED)
    out: str = key(
        "runs/token_bucket_curves", "folder of curves.csv, scenario1.png and scenario2.png", path=True, section="Output"
    )
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)


@dataclass
class TimelineConfig:
    """Draw a stretch of a trace: what each frame is worth, when it comes, which policy sends it, and their buckets.

    The first 1,000 frames after ``start`` of a held-out stream, or of a trace file.

    Examples:
        {command} run=runs/NAME scenario=s1-slow out=s1.png
        {command} baselines=[belief,iid-mdp] scenario=s3 start=5_000 count=500
        {command} baselines=[belief,iid-mdp] scenario=fig8-gap6-leave-1.5
        {command} run=runs/NAME instance=trace.csv
    """

    COMMAND: ClassVar[str] = "python -m agents.timeline"

    run: list[str] = field(
        default_factory=list,
        metadata=rule("run folders whose best model decides", path=True, section="Who decides"),
    )
    baselines: list[str] = field(
        default_factory=lambda: ["iid-mdp"],
        metadata=rule("policies that need no training", choices=TOKEN_BASELINES),
    )
    scenario: str | None = key(
        None,
        "another scenario than the run's; without a run s1",
        kind=f"one of {', '.join(TOKEN_SCENARIOS)}, a preset such as {TOKEN_PRESET}",
        section="On what",
    )
    instance: str | None = key(None, "trace file (.csv) instead of a scenario", path=True)
    rate: float | None = key(
        None,
        "what the bucket gains; null: the preset's, else the run's, or 0.1",
        unit="tokens a time unit",
        above=0,
        most=1,
    )
    depth: float | None = key(
        None, "what the bucket holds; null: the preset's, else the run's, or 4", unit="tokens", least=1
    )
    seed: int = key(0, "seed of the stream", least=0, most=MOST_SEED)
    start: int = key(0, "first frame that is drawn", least=0)
    count: int = key(1_000, "frames that are drawn", least=1)
    out: str = key("timeline.png", "picture, .png or .svg", path=True, section="Output")
    format: str = key("text", "a few lines, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError where nobody decides, on two things at once or unknown ones, or for another kind of picture."""
        if self.scenario is not None and not is_token_scenario(self.scenario):
            raise ValueError(unknown_scenario("scenario", self.scenario))
        if not self.run and not self.baselines:
            raise ValueError("run and baselines are both empty, expected at least one of them")
        if self.scenario is not None and self.instance is not None:
            raise ValueError(f"scenario is {self.scenario} and instance is {self.instance}, expected only one of them")
        if not self.out.lower().endswith((".png", ".svg")):
            raise ValueError(f"out is {self.out}, expected a path that ends in .png or .svg")


_store = ConfigStore.instance()
_store.store(name="timeline_schema", node=TimelineConfig, provider="offramp")
_store.store(name="token_bucket_table_schema", node=TokenBucketTableConfig, provider="offramp")
_store.store(name="token_bucket_curves_schema", node=TokenBucketCurvesConfig, provider="offramp")
