"""Keys of the commands of ``inference``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from conf.fields import key, rule, shown
from conf.schema import FORMATS, MOST_SEED, check_folder_name

EXIT_NETWORKS = ("mlp", "mlp3", "mobilenet", "alexnet")
"""Names that inference.early_exit.networks knows; repeated because that module imports torch."""


_DATA = "files of rows (.csv, .csv.gz) and folders of them; empty: the synthetic months"
_MONTHS = "files that are taken of folders, without ending (2016_01), or synthetic months"
_THREADS = "threads of torch; more is seldom faster for networks this small"


@dataclass
class SynthesizeConfig:
    """Write months of synthetic rows that resemble those of the public intrusion detection data, one CSV file each.

    Mass points, contradictory labels, skewed columns, drift and one hard month, all drawn from a seed.

    Examples:
        {command} out=rows
        {command} out=rows months=3 rows=1000 seed=7
    """

    COMMAND: ClassVar[str] = "python -m inference.synthesize"

    out: str = key(MISSING, "folder of month_01.csv, month_02.csv, ...; made where it is missing", path=True)
    months: int = key(8, "number of months", least=1, most=99, section="What")
    rows: int = key(5_000, "rows of a month", least=1)
    seed: int = key(0, "seed of everything", least=0, most=MOST_SEED)
    format: str = key("text", "a table, or one JSON object", choices=FORMATS, section="Output")


@dataclass
class TrainNetworkConfig:
    """Train a multi-exit network on rows of flow statistics, all exits together, and leave a run folder.

    Examples:
        {command}
        {command} network=mlp data=rows months=2016_01 name=mlp
        {command} network=mlp3 widths=[8,32,128] exit_weights=[1,1,2]
        {command} resume=runs/mlp
    """

    COMMAND: ClassVar[str] = "python -m inference.train"

    network: str = key("mlp", "kind of network", choices=EXIT_NETWORKS, section="Network and rows")
    widths: list[int] = field(
        default_factory=list,
        metadata=rule("widths of the blocks of mlp and mlp3, one an exit; empty: its own", unit="units", least=1),
    )
    data: list[str] = field(default_factory=list, metadata=rule(f"what is trained on: {_DATA}", path=True))
    months: list[str] = field(
        default_factory=list, metadata=rule(f"{_MONTHS}; empty: all of a folder, the first synthetic month")
    )
    epochs: int | None = key(
        None, "passes over the rows, at most; null: the network's own", least=1, section="Training"
    )
    batch: int | None = key(None, "rows of an update; null: the network's own", unit="rows", least=1)
    learning_rate: float | None = key(None, "step size of Adam at the start; null: the network's own", above=0)
    exit_weights: list[float] = field(
        default_factory=list,
        metadata=rule("weight of each exit in the loss; empty: 1 each", least=0),
    )
    validation: float = key(0.1, "share of the rows kept apart, for metrics.csv and patience", least=0, below=1)
    patience: int = key(
        0, "epochs without a lower validation loss after which the best one is taken; 0: the last one is", least=0
    )
    seed: int = key(0, "seed of weights, split, order of the rows and dropout", least=0, most=MOST_SEED)
    threads: int = key(1, _THREADS, least=1, may_change=True)
    run_root: str = key("runs", "folder that the run folder is made in", path=True, section="Output")
    name: str | None = key(None, "name of the run folder; null: network, time, seed")
    resume: str | None = key(None, "run folder to go on with, from its last whole epoch that was saved", path=True)
    save_every: float = key(
        30.0, "time between saves of the state that resume= goes on from", unit="seconds", least=0, may_change=True
    )
    progress: bool = key(True, "show a progress bar", may_change=True)
    format: str = key("text", "a table, or one JSON object", choices=FORMATS, may_change=True)

    def check(self) -> None:
        """Raise ValueError for a name that is no name of a folder, or widths of a network that has none."""
        check_folder_name(self.name)
        if self.widths and not self.network.startswith("mlp"):
            raise ValueError(f"widths is {self.widths}, expected [] for network={self.network}, which has its own")


@dataclass
class CalibrateConfig:
    """Fit one temperature an exit, so that certainties are probabilities, and write the network with them.

    Reports negative log-likelihood and calibration error before and after: fitted and measured on all rows, and fitted on one
    half and measured on the other. Draws reliability diagrams.

    Examples:
        {command} checkpoint=runs/mlp/network.pt data=rows months=2016_02 out=runs/mlp/calibrated.pt
        {command} checkpoint=runs/mlp/network.pt out=calibrated.pt plot=reliability.png
    """

    COMMAND: ClassVar[str] = "python -m inference.calibrate"

    checkpoint: str = key(MISSING, "network of inference.train", path=True, section="On what")
    data: list[str] = field(
        default_factory=list, metadata=rule(f"labelled rows, best not those of the training: {_DATA}", path=True)
    )
    months: list[str] = field(
        default_factory=list, metadata=rule(f"{_MONTHS}; empty: all of a folder, the second synthetic month")
    )
    seed: int = key(0, "seed of the split into halves", least=0, most=MOST_SEED)
    threads: int = key(1, _THREADS, least=1, may_change=True)
    out: str = key(MISSING, "file of the calibrated network", path=True, section="Output")
    plot: str | None = key(None, "picture of the reliability diagrams, .png or .svg; null: none", path=True)
    progress: bool = key(True, "show a progress bar")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for another kind of picture."""
        if self.plot is not None and not self.plot.lower().endswith((".png", ".svg")):
            raise ValueError(f"plot is {self.plot}, expected a path that ends in .png or .svg")


@dataclass
class EvaluateNetworkConfig:
    """Write what every exit says about every row: one evaluation table a month, and the counted work of the network.

    Examples:
        {command} checkpoint=runs/mlp/calibrated.pt data=rows out=tables
        {command} checkpoint=runs/mlp/calibrated.pt out=tables times=false format=json
    """

    COMMAND: ClassVar[str] = "python -m inference.evaluate"

    checkpoint: str = key(MISSING, "network of inference.calibrate or inference.train", path=True, section="On what")
    data: list[str] = field(default_factory=list, metadata=rule(f"labelled rows: {_DATA}", path=True))
    months: list[str] = field(
        default_factory=list, metadata=rule(f"{_MONTHS}; empty: all of a folder, all synthetic months")
    )
    times: bool = key(True, "measure seconds of blocks and exits, the same for all rows", section="Times")
    batch: int = key(64, "rows of a batch that is timed; 1: the latency of a single row", unit="rows", least=1)
    repeats: int = key(9, "batches that are timed, of which the median counts", least=1)
    threads: int = key(1, _THREADS, least=1, may_change=True)
    out: str = key(MISSING, "folder of MONTH.csv and work.yaml; made where it is missing", path=True, section="Output")
    progress: bool = key(True, "show a progress bar")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)


@dataclass
class TreeConfig:
    """Fit a decision tree to raw features, and write what it says about every row: a table of one exit for each month.

    The tree that the networks are measured against. Tables of it beside those of a network, in their folder tree, are what the
    policy tree of early exit plays.

    Examples:
        {command} out=tables/tree
        {command} data=ids months=2016_01 out=tables/tree
    """

    COMMAND: ClassVar[str] = "python -m inference.tree"

    data: list[str] = field(
        default_factory=list,
        metadata=rule(f"labelled rows, all of which get a table: {_DATA}", path=True, section="On what"),
    )
    months: list[str] = field(
        default_factory=list,
        metadata=rule(
            "what the tree is fitted to: names of data's files, without ending (2016_01); empty: the first synthetic month"
        ),
    )
    seed: int = key(0, "seed of the order in which equally good splits are tried", least=0, most=MOST_SEED)
    out: str = key(MISSING, "folder of MONTH.csv; made where it is missing", path=True, section="Output")
    packed: bool = key(False, "write MONTH.csv.gz instead")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for files of which none is named: what the tree was fitted to says little about it."""
        if self.data and not self.months:
            raise ValueError(f"months is [] and data is {shown(self.data)}, expected those that the tree is fitted to")


@dataclass
class InferConfig:
    """Answer every row of a file by all exits; with thresholds also by the exit that is certain enough, or reject it.

    Thresholds are certainties, for normal and attack of exit 1, then of exit 2, and so on: an exit answers from its
    threshold on. A row that the last exit does not answer is rejected.

    Examples:
        {command} checkpoint=runs/mlp/calibrated.pt data=rows.csv out=results.csv
        {command} checkpoint=runs/mlp/calibrated.pt data=rows.csv out=results.csv accept=[0.91,0.73,0.93,0.9]
    """

    COMMAND: ClassVar[str] = "python -m inference.infer"

    checkpoint: str = key(MISSING, "network of inference.calibrate or inference.train", path=True, section="On what")
    data: str = key(MISSING, "file of rows, labelled or not (.csv, .csv.gz)", path=True)
    accept: list[float] = field(
        default_factory=list,
        metadata=rule(
            "least certainty to answer: normal and attack of each exit; 0 always, 2 never; empty: no decision",
            least=0,
            most=2,
            section="Decision",
        ),
    )
    reject: list[float] = field(
        default_factory=list,
        metadata=rule("certainty below which an exit rejects at once, in the same order; empty: 0", least=0, most=2),
    )
    thresholds: str | None = key(None, "file of thresholds (.csv) instead of accept and reject", path=True)
    action: str | None = key(None, "which line of that file: its name, or its number from 0; null: the first")
    threads: int = key(1, _THREADS, least=1, may_change=True)
    out: str = key(MISSING, "CSV file of the answers", path=True, section="Output")
    progress: bool = key(True, "show a progress bar")
    format: str = key("text", "a few lines, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError where thresholds are given twice or for half of the classes."""
        if self.thresholds is not None and (self.accept or self.reject):
            raise ValueError(
                f"thresholds is {self.thresholds} and accept or reject is given, expected only one of them"
            )
        if self.reject and len(self.reject) != len(self.accept):
            raise ValueError(f"reject has {len(self.reject)} entries, expected {len(self.accept)}, as many as accept")
        if self.action is not None and self.thresholds is None:
            raise ValueError(f"action is {self.action}, but there is no file of thresholds, expected thresholds=...")


_store = ConfigStore.instance()
for _name, _schema in (
    ("synthesize", SynthesizeConfig),
    ("train", TrainNetworkConfig),
    ("calibrate", CalibrateConfig),
    ("evaluate", EvaluateNetworkConfig),
    ("tree", TreeConfig),
    ("infer", InferConfig),
):
    _store.store(name=f"inference_{_name}_schema", node=_schema, provider="offramp")
