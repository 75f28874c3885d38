"""Keys of the command ``inference.invert``, as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from conf.cnn_schema import IMAGE_DATASETS, NETWORK_KIND, check_data, check_network
from conf.fields import key, rule
from conf.names import FORMATS, MOST_SEED

TABLE_ENTRIES = ("mean", "high", "worst")
"""Names that inference.inversion.table knows; repeated, as the others are, because those modules load torch."""


@dataclass
class InvertConfig:
    """Measure a privacy table: how like the original an attacker rebuilds a picture from some maps of a layer.

    For each layer and number of maps an inverse network is trained on pairs of maps and picture (black-box inversion) and
    scored by SSIM on pictures that neither it nor the classifier has seen, for several choices of which maps. Writes the
    table that env=distprivacy reads (inference.instance makes an instance of it), and beside it every figure with its interval
    as CSV, the curves, and rebuilt pictures: table.yaml, table.csv, table_curves.png, table_pictures.png.

    Examples:
        {command} out=table.yaml minutes=5
        {command} checkpoint=runs/mnist/network.pt dataset=mnist data=mnist out=mnist.yaml minutes=20
        {command} checkpoint=runs/mnist/network.pt dataset=mnist data=mnist out=again.yaml steps=400
        {command} out=two.yaml layers=[relu1] colluders=2 minutes=3
        {command} out=both.yaml layers=[relu1] also=pool1 minutes=3
    """

    COMMAND: ClassVar[str] = "python -m inference.invert"

    network: str = key(
        "lenet", "what is attacked, trained first where there is no checkpoint", kind=NETWORK_KIND, section="On what"
    )
    checkpoint: str | None = key(
        None, "network of inference.train_cnn; null: network is trained first, by its own recipe", path=True
    )
    dataset: str = key(
        "digits", "pictures: training teaches the attacker, test is what it is scored on", choices=IMAGE_DATASETS
    )
    data: str | None = key(
        None, "folder of the files of dataset, for folder also a .tar; null: digits needs none", path=True
    )
    layers: list[str] = field(
        default_factory=list,
        metadata=rule(
            "layers whose output is attacked; empty: those of the paper's table, of other networks every conv",
            section="What is attacked",
        ),
    )
    counts: list[int] = field(
        default_factory=list,
        metadata=rule("maps that a device holds; empty: powers of two, and all", unit="maps", least=1),
    )
    choices: int = key(3, "choices of which maps, for each number of them", least=1)
    colluders: int = key(1, "devices that pool their maps; the table is still by maps on one device", least=1)
    also: str | None = key(None, "second layer of which the device sees as many other maps at the same time")
    minutes: float | None = key(
        None, "processor time for all attacks; null: as steps say", unit="minutes", above=0, section="How hard",
    )  # fmt: skip
    steps: int | None = key(
        None, "steps of an attack instead, for a table that can be made again; null: as minutes say", least=1
    )
    batch: int = key(64, "pictures of a step", unit="pictures", least=2)
    learning_rate: float = key(4e-3, "highest step size of Adam", above=0)
    precision: str = key(
        "float32",
        "numbers of forward and backward in training; bfloat16 is faster where the processor has it",
        choices=("float32", "bfloat16"),
    )
    pictures: int | None = key(
        None, "pictures that the attacker learns from, at most; null: all that fit into 1 GiB", unit="pictures", least=2
    )
    test_pictures: int = key(1_000, "pictures that it is scored on, at most", unit="pictures", least=2)
    seed: int = key(0, "seed of choices, weights and batches", least=0, most=MOST_SEED)
    threads: int = key(1, "threads of torch; several lose on a machine that has other work", least=1)
    run_root: str = key("runs", "folder of the run of a network that is trained first", path=True, section="Output")
    out: str = key(MISSING, "the table, .yaml; the other files get its name", path=True)
    entry: str = key(
        "mean",
        "what of a cell goes into the table: mean, upper end of its interval, or worst choice",
        choices=TABLE_ENTRIES,
    )
    progress: bool = key(True, "show progress bars")
    format: str = key("text", "a table, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError for no or two budgets, unknown networks, data that do not fit the data set, or another file."""
        if (self.minutes is None) == (self.steps is None):
            given = ["null" if one is None else f"{one:g}" for one in (self.minutes, self.steps)]
            raise ValueError(f"minutes is {given[0]} and steps is {given[1]}, expected one of the two")
        check_network(self.network)
        check_data(self.dataset, self.data)
        if not self.out.lower().endswith((".yaml", ".yml")):
            raise ValueError(f"out is {self.out}, expected a path that ends in .yaml")
        if self.also is not None and self.also in self.layers:
            raise ValueError(f"also is {self.also}, which is one of layers, expected a second layer")


ConfigStore.instance().store(name="inference_invert_schema", node=InvertConfig, provider="offramp")
