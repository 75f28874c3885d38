"""Keys of the commands on image classifiers, as in ``conf.schema``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, shown
from conf.names import FORMATS, MOST_SEED, check_folder_name

CNN_NETWORKS = ("lenet", "cifar_cnn", "vgg16", "vgg19")
"""Names that inference.cnn.networks knows; repeated, as those of the data sets are, because their modules load torch."""
IMAGE_DATASETS = ("digits", "mnist", "cifar10", "folder")
NETWORK_KIND = f"one of {', '.join(CNN_NETWORKS)}, or FILE.py:NAME"


def check_network(network: str) -> None:
    """Raise ValueError for what is no name of a network; whether a file and the name in it exist is seen when it is built."""
    if network not in CNN_NETWORKS and not re.fullmatch(r".+\.py:[^\W\d]\w*", network):
        raise ValueError(f"network is {network}, expected {NETWORK_KIND}")


def check_data(dataset: str, data: str | None) -> None:
    """Raise ValueError for a data set without the place of its files, or with one that it does not need."""
    if (data is None) != (dataset == "digits"):
        wanted = "null, as digits come with scikit-learn" if data is not None else "the folder of its files"
        raise ValueError(f"data is {shown(data)} with dataset={dataset}, expected {wanted}")


@dataclass
class TrainCnnConfig:
    """Train an image classifier whose layers can be distributed, and leave a run folder.

    The network is one of the four of the segment allocation problem, or a class or function in a Python file: it is called
    with the shape of a picture (channels, height, width) and the number of classes, and gives a torch.nn.Module. Kept is the
    epoch with the fewest errors on the validation images; the test images are asked once, at the end.

    Examples:
        {command}
        {command} dataset=mnist data=mnist name=mnist
        {command} network=cifar_cnn dataset=folder data=cifar10.tar precision=bfloat16
        {command} network=nets.py:Small dataset=cifar10 data=cifar-10-batches-bin epochs=5
        {command} resume=runs/mnist
    """

    COMMAND: ClassVar[str] = "python -m inference.train_cnn"

    network: str = key("lenet", "what is trained", kind=NETWORK_KIND, section="Network and images")
    dataset: str = key(
        "digits", "what is trained on: scikit-learn's digits, files of MNIST or CIFAR, pictures", choices=IMAGE_DATASETS
    )
    data: str | None = key(
        None,
        "folder of the files of dataset, for folder also a .tar of train/CLASS/*; null: digits needs none",
        path=True,
    )
    side: int | None = key(
        None, "height and width that all pictures are brought to; null: as they are, digits 28", unit="pixels", least=1
    )
    epochs: int | None = key(
        None, "passes over the training images; null: the network's own", least=1, section="Training"
    )
    batch: int | None = key(None, "images of an update; null: the network's own", unit="images", least=1)
    optimizer: str | None = key(
        None, "Adam with decoupled weight decay, or SGD with momentum; null: the network's own", choices=("adam", "sgd")
    )
    learning_rate: float | None = key(
        None, "highest step size, after a quarter of the training; null: the network's own", above=0
    )
    weight_decay: float | None = key(None, "weight decay; null: the network's own", least=0)
    shift: int | None = key(
        None,
        "pixels by which a picture is moved at random, at most; null: a twelfth of the side",
        unit="pixels",
        least=0,
    )
    flip: bool | None = key(None, "mirror half of the pictures at random; null: those in colour")
    precision: str = key(
        "float32",
        "numbers of forward and backward in training; bfloat16 is faster where the processor has it",
        choices=("float32", "bfloat16"),
    )
    seed: int = key(0, "seed of weights, split, order, moves and dropout", least=0, most=MOST_SEED)
    threads: int = key(1, "threads of torch; several lose on a machine that has other work", least=1, may_change=True)
    run_root: str = key("runs", "folder that the run folder is made in", path=True, section="Output")
    name: str | None = key(None, "name of the run folder; null: network, data set, time, seed")
    resume: str | None = key(None, "run folder to go on with, from its last whole epoch that was saved", path=True)
    save_every: float = key(
        0.0,
        "time between saves of the state that resume= goes on from; 0: after every epoch",
        unit="seconds",
        least=0,
        may_change=True,
    )
    progress: bool = key(True, "show progress bars", may_change=True)
    format: str = key("text", "a table, or one JSON object", choices=FORMATS, may_change=True)

    def check(self) -> None:
        """Raise ValueError for an unknown network, data that do not fit the data set, or a name that is none of a folder."""
        check_folder_name(self.name)
        check_network(self.network)
        if self.resume is None:
            check_data(self.dataset, self.data)


ConfigStore.instance().store(name="inference_train_cnn_schema", node=TrainCnnConfig, provider="offramp")
