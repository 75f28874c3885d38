"""inference.train_cnn: what it learns and leaves, that a run follows from its seed, and wrong input in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_images import pictures, stripes, write_tree

from agents.cli import main
from conf.cnn_schema import CNN_NETWORKS, TrainCnnConfig
from envs.distprivacy.networks import NETWORKS
from inference import train_cnn
from inference.cnn.augment import augmented
from inference.cnn.networks import CNNS
from inference.cnn.recipes import OWN as OWN_RECIPE
from inference.cnn.recipes import RECIPES
from inference.cnn.trained import TrainedCnn, load_cnn
from inference.cnn.training import CnnTraining, CnnTrainingSettings, rate

PATHS = ("network", "data", "run_root", "resume")
SHORT = ("epochs=3", "batch=16", "progress=false")
OWN = """
from torch import nn

def chain(shape, classes):
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(4 * 6 * 6, classes),
    )

class Branch(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(784, classes)

    def forward(self, x):
        return self.fc((x + self.conv(x)).flatten(1))

class Viewing(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(shape[0], 4, 7), nn.Linear(4 * 22 * 22, classes)

    def forward(self, x):
        return self.fc(self.conv(x).view(-1, 4 * 22 * 22))

class One(Viewing):
    def forward(self, x):
        return self.fc(self.conv(x).reshape(1, -1))

class Torn(Viewing):
    def forward(self, x):
        return self.fc(self.conv(x[:1]).flatten(1)) if self.training else super().forward(x)

class Branching(Viewing):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)

class Two(Viewing):
    def forward(self, x):
        logits = super().forward(x)
        return logits, logits

def wide(shape, classes):
    return Viewing(shape, classes + 1)

def frozen(shape, classes):
    return Viewing(shape, classes).requires_grad_(False)
"""


def call(*arguments: str) -> int:
    return main("inference_train_cnn", TrainCnnConfig, train_cnn.run, PATHS, settle=train_cnn.settle, argv=arguments)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """200 pictures of two classes, and modules of the user's beside them."""
    write_tree(tmp_path / "images", stripes(200))
    (tmp_path / "own.py").write_text(OWN)
    return str(tmp_path / "images")


def images(data: str) -> tuple[str, str]:
    return "dataset=folder", f"data={data}"


def test_a_run_learns_and_leaves_its_folder(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = ("network=lenet", *images(data), *SHORT, f"run_root={tmp_path}", "learning_rate=0.01")
    assert call(*shared, "name=a", "format=json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy"] == {"validation": 1.0, "test": 1.0} and result["layers"] == 9
    assert result["images"] == {"train": 160, "validation": 20, "test": 20}
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"config.yaml", "versions.json", "metrics.csv", "network.pt", "summary.json"}
    assert json.loads((tmp_path / "a" / "summary.json").read_text()) == result
    lines = (tmp_path / "a" / "metrics.csv").read_text().splitlines()
    assert lines[0] == "epoch,learning_rate,loss,accuracy,validation_loss,validation_accuracy" and len(lines) == 4
    model = load_cnn(tmp_path / "a" / "network.pt")
    assert model.identity == result["identity"] and model.accuracy(stripes(50, seed=9)) == 1.0
    assert model.notes["test_accuracy"] == 1.0 and model.network.name == "lenet"
    mean, std = stripes(200).pixel_statistics()
    np.testing.assert_allclose([*model.mean, *model.std], [*mean, *std], atol=0.01)

    assert call(*shared, "name=b") == 0
    assert "200" not in (out := capsys.readouterr().out) and "CPU-seconds; the network:" in out and "split 160" in out
    for file in ("metrics.csv", "network.pt"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert call(*shared, "name=c", "seed=1") == 0
    assert (tmp_path / "a" / "network.pt").read_bytes() != (tmp_path / "c" / "network.pt").read_bytes()


@pytest.mark.parametrize("options", [(), ("optimizer=sgd", "learning_rate=0.05", "precision=bfloat16", "flip=true")])
def test_a_killed_run_is_gone_on_with(
    data: str,
    tmp_path: Path,
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A module of the user's with normalisation and dropout ends with the same bytes."""
    shared = (f"network={tmp_path}/own.py:chain", *images(data), *SHORT, f"run_root={tmp_path}", *options)
    assert call(*shared, "name=whole") == 0
    update, left = CnnTraining._update, 25  # in the middle of the third epoch of 10 updates

    def interrupted(self: CnnTraining, *arguments: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return update(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(CnnTraining, "_update", interrupted)
        assert call(*shared, "name=run") == 130
    assert f"resume={tmp_path}/run goes on" in capsys.readouterr().err
    assert (tmp_path / "run" / "state.pt").exists()
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
    assert call(f"resume={tmp_path}/run", "seed=4") == 2
    assert "seed is 4, but" in capsys.readouterr().err
    assert call(f"resume={tmp_path}/run", "progress=false") == 0
    for file in ("metrics.csv", "network.pt"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "run" / file).read_bytes()
    assert not (tmp_path / "run" / "state.pt").exists()
    assert call(f"resume={tmp_path}/run") == 2
    assert "whose run is over" in capsys.readouterr().err


def test_a_run_whose_images_have_changed_is_not_gone_on_with(data: str) -> None:
    parts = stripes(40).take(np.arange(40))
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 2))
    model = TrainedCnn("own.py:x", module, (1, 28, 28), parts.classes, (0.5,), (0.3,))
    settings = CnnTrainingSettings(1, 10, "adam", 1e-3)
    first = CnnTraining(model, parts, parts, settings)
    first.run()
    with pytest.raises(ValueError, match="the images are not those that the run was started with"):
        CnnTraining(model, stripes(40, seed=5), parts, settings, first.state)


def test_a_module_that_views_its_maps_is_trained(data: str, tmp_path: Path) -> None:
    """With channels last in memory a view of all features is none."""
    given = (f"network={tmp_path}/own.py:Viewing", *images(data), *SHORT, f"run_root={tmp_path}/runs", "name=v")
    assert call(*given) == 0
    assert load_cnn(tmp_path / "runs" / "v" / "network.pt").spec.endswith("own.py:Viewing")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("network=OWN:One",), "own.py:One, which does not run in training mode on 2 pictures: RuntimeError: mat1 and"),
        (("network=OWN:Torn",), "own.py:Torn, which makes (1, 10) of 2 pictures, expected (2, 10)"),
        (("network=OWN:frozen",), "own.py:frozen, in which no weight can be trained, expected requires_grad"),
        (("network=OWN:wide",), "ends with 'fc' of kind fc and 11 outputs, expected an fc of 10, one a class"),
        (("network=OWN:Two",), "network 'Two': puts out a tuple, expected one tensor"),
        (("network=OWN:Branching",), "torch.fx can't trace Branching, expected a forward without control flow that"),
        (("network=OWN:Absent",), "own.py has no class or function Absent"),
        (("network=resnet",), "network is resnet, expected one of lenet, cifar_cnn, vgg16, vgg19, or FILE.py:NAME"),
        (("network=own.py:",), "network is own.py:, expected one of"),
        (("network=none.py:Net",), "network is none.py:Net, but the file none.py is missing"),
        (("network=OWN:Branch",), "network 'Branch': the output of the input 'x' is used by"),
        (("network=vgg16",), "vgg16: pictures of 28 x 28 are too small for its layers"),
        (("dataset=mnist",), "data is null with dataset=mnist, expected the folder of its files"),
        (("data=x",), "data is x with dataset=digits, expected null, as digits come with scikit-learn"),
        (("dataset=fashion",), "dataset is fashion, expected one of digits, mnist, cifar10, folder"),
        (("dataset=mnist", "data=x"), "x: is no folder, expected train-images-idx3-ubyte or t10k-images-idx3-ubyte"),
        (
            ("optimizer=sgd",),
            "optimizer is sgd and learning_rate is null, expected a number > 0: that of lenet is for adam",
        ),
        (("learning_rate=0",), "learning_rate is 0.0, expected a number > 0 or null"),
        (("learning_rate=1e30", "epochs=1", "shift=0"), "learning_rate is 1e+30, with which the loss is no number"),
        (("epoch=1",), "epoch is an unknown key, expected epochs"),
        (("name=a/b",), "name is a/b, expected a name without /"),
        (("resume=nowhere",), "resume is nowhere, which cannot be gone on with"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    given = [argument.replace("OWN", f"{tmp_path}/own.py") for argument in arguments]
    assert call(*given, f"run_root={root}", "progress=false") == 2
    out, err = capsys.readouterr()
    assert out == "" and sentence in err and err.count("\n") == 1
    if "1e30" not in str(arguments):  # which is seen only in the training
        assert not root.exists()


def test_pictures_are_moved_and_mirrored() -> None:
    given = pictures(64, 2, 7, 6)
    rng = np.random.default_rng(0)
    assert augmented(given, 0, False, rng) is given
    mirrored = augmented(given, 0, True, rng)
    as_they_were = (mirrored == given).all(axis=(1, 2, 3))
    assert 0 < as_they_were.sum() < 64
    np.testing.assert_array_equal(mirrored[~as_they_were], given[~as_they_were][..., ::-1])
    padded = np.pad(given, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    places = set()
    for image, moved in zip(padded, augmented(given, 2, False, rng), strict=True):
        windows = {(y, x): image[:, y : y + 7, x : x + 6] for y in range(5) for x in range(5)}
        places.add(next(place for place, window in windows.items() if np.array_equal(window, moved)))
    assert len(places) > 15


def test_the_step_size_rises_and_falls_once() -> None:
    rates = np.array([rate(step / 100) for step in range(101)])
    assert rates[0] == pytest.approx(0.04) and rates.argmax() == 25 and rates[25] == 1 and rates[-1] == pytest.approx(0)
    assert (np.diff(rates[:26]) > 0).all() and (np.diff(rates[25:]) < 0).all()


def test_every_network_has_a_recipe() -> None:
    assert tuple(CNNS) == CNN_NETWORKS == tuple(RECIPES)


def test_a_run_of_the_digits_learns_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few seconds: the defaults, cut to five epochs."""
    assert call("epochs=5", f"run_root={tmp_path}", "progress=false", "format=json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["test"] > 0.95


def test_the_page_says_how_networks_are_trained_and_how_large_they_are() -> None:
    page = (Path(__file__).parent.parent / "docs" / "cnn.md").read_text(encoding="utf-8")
    for name, recipe in {**RECIPES, "FILE.py:NAME": OWN_RECIPE}.items():
        values = (
            recipe.epochs,
            recipe.batch,
            recipe.optimizer,
            f"{recipe.learning_rate:g}",
            f"{recipe.weight_decay:g}",
        )
        assert f"| `{name}` | {' | '.join(map(str, values))} |" in page
    for name, make in NETWORKS.items():
        layers = make().layers
        work = sum(layer.kernel_area * layer.inputs * layer.outputs * layer.out_pixels for layer in layers)
        work += sum(layer.inputs * layer.outputs for layer in layers if layer.kind == "fc")
        millions = f"{work / 1e6:.2f}" if work < 1e6 else f"{work / 1e6:,.0f}"
        assert re.search(rf"\| `{name}` \|.*\| {len(layers)} \| [\d,]+ \| {millions} M \|", page)
