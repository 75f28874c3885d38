"""Keys of the commands of ``optimal.token_bucket``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key
from conf.schema import FORMATS, MOST_SEED


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


_store = ConfigStore.instance()
_store.store(name="token_bucket_table_schema", node=TokenBucketTableConfig, provider="offramp")
_store.store(name="token_bucket_curves_schema", node=TokenBucketCurvesConfig, provider="offramp")
