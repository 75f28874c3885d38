"""A trained classifier as an object and as a file, and modules of the user's."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_images import pictures, stripes

from inference.checkpoint_file import CheckpointKind
from inference.cnn.build import build_network
from inference.cnn.trained import KIND, TrainedCnn, load_cnn

SHAPE = (1, 12, 12)
NETS = """
from dataclasses import dataclass
from torch import nn
from beside import WIDTH

@dataclass
class Sizes:
    width: int = WIDTH

def small(shape, classes):
    return nn.Sequential(
        nn.Conv2d(shape[0], Sizes().width, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(classes)
    )

class Residual(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(144, classes)
    def forward(self, x):
        return self.fc((x + self.conv(x)).flatten(1))

def many(shape, classes):
    return small(shape, classes + 1)

def failing(shape, classes):
    raise KeyError("why")

def text(shape, classes):
    return "text"

constant = 3
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "nets.py").write_text(NETS)
    (tmp_path / "own" / "beside.py").write_text("WIDTH = 3\n")
    return str(tmp_path / "own" / "nets.py")


def trained(spec: str, seed: int = 0, notes: dict[str, object] | None = None) -> TrainedCnn:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build_network(spec, SHAPE, 2)
    return TrainedCnn(spec, module, SHAPE, ("lying", "standing"), (0.4,), (0.2,), notes or {})


def test_a_file_holds_the_whole_network(tmp_path: Path, nets: str) -> None:
    model = trained(f"{nets}:small", notes={"seed": 0})
    model.save(tmp_path / "a.pt")
    loaded = load_cnn(tmp_path / "a.pt")
    assert loaded.identity == model.identity and loaded.notes == {"seed": 0} and loaded.classes == model.classes
    assert (loaded.mean, loaded.std, loaded.shape, loaded.spec) == (model.mean, model.std, SHAPE, f"{nets}:small")
    images = pictures(300, *SHAPE)  # more than a batch
    np.testing.assert_array_equal(loaded.logits(images), model.logits(images))
    loaded.save(tmp_path / "b.pt")
    trained(f"{nets}:small", notes={"seed": 0}).save(tmp_path / "c.pt")
    trained(f"{nets}:small", seed=1, notes={"seed": 0}).save(tmp_path / "d.pt")
    files = [(tmp_path / f"{name}.pt").read_bytes() for name in "abcd"]
    assert files[0] == files[1] == files[2] != files[3]
    model.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.save(tmp_path / "e.pt")
    assert (tmp_path / "e.pt").read_bytes() == files[0]


def test_pictures_are_standardised_and_gradients_flow() -> None:
    with torch.random.fork_rng():
        module = build_network("lenet", (1, 28, 28), 2)
    model = TrainedCnn("lenet", module, (1, 28, 28), ("a", "b"), (0.5,), (0.25,))
    images = pictures(3, 1, 28, 28)
    images.flags.writeable = False
    prepared = model.prepare(images)
    assert prepared.dtype == torch.float32 and not model.module.training
    np.testing.assert_allclose(prepared.numpy(), (images / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6)
    pixels = torch.rand(1, 1, 28, 28, requires_grad=True)
    model.module(model.standardise(pixels)).sum().backward()
    assert pixels.grad is not None and pixels.grad.abs().sum() > 0
    for wrong in (pictures(2, 1, 27, 28), pictures(2, 3, 28, 28), images.astype(np.float32)):
        with pytest.raises(ValueError, match=r"images are .*, expected uint8 of \('N', 1, 28, 28\) for lenet"):
            model.prepare(wrong)  # type: ignore[arg-type]
    data = stripes(40)
    done: list[int] = []
    share = model.accuracy(data, done.append)
    assert done == [40] and share == (model.logits(data.images).argmax(1) == data.labels).mean()
    assert model.logits(data.images[:0]).shape == (0, 2)


def test_the_network_is_that_of_the_environment(nets: str) -> None:
    network = trained(f"{nets}:small").network
    assert network.name == "small" and [layer.kind for layer in network.layers] == ["conv", "act", "pool", "fc"]
    with pytest.raises(ValueError, match=r"network 'Residual': the output of the input 'x' is used by .* branches"):
        _ = trained(f"{nets}:Residual").network
    with pytest.raises(
        ValueError, match=r"network 'many': ends with '4' of kind fc and 3 outputs, expected an fc of 2"
    ):
        _ = trained(f"{nets}:many").network


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "but .*nets.py has no class or function missing"),
        ("constant", "but .*nets.py has no class or function constant"),
        ("failing", r"but failing\(\(1, 12, 12\), 2\) fails: KeyError: 'why'"),
        ("text", "which makes a str, expected a torch.nn.Module"),
    ],
)
def test_wrong_modules_of_the_user_are_told(nets: str, name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"network is .*nets.py:{name}, {sentence}"):
        build_network(f"{nets}:{name}", SHAPE, 2)


def test_wrong_files_of_the_user_are_told(nets: str) -> None:
    with pytest.raises(ValueError, match=r"network is no.py:Net, but the file no.py is missing"):
        build_network("no.py:Net", SHAPE, 2)
    with pytest.raises(ValueError, match=r"network is resnet, expected one of lenet, .*, or FILE.py:NAME"):
        build_network("resnet", SHAPE, 2)
    Path(nets).write_text("import nowhere\n")
    with pytest.raises(ValueError, match=r"nets.py fails: ModuleNotFoundError: No module named 'nowhere'"):
        build_network(f"{nets}:small", SHAPE, 2)
    Path(nets).write_text("raise SystemExit(3)\n")
    with pytest.raises(ValueError, match=r"nets.py fails: SystemExit: 3"):
        build_network(f"{nets}:small", SHAPE, 2)
    Path(nets).write_text("def small(shape, classes):\n    raise SystemExit(3)\n")
    with pytest.raises(ValueError, match=r"small\(\(1, 12, 12\), 2\) fails: SystemExit: 3"):
        build_network(f"{nets}:small", SHAPE, 2)
    Path(nets).write_text("def small(:\n")
    with pytest.raises(ValueError, match=r"nets.py fails: SyntaxError: "):
        build_network(f"{nets}:small", SHAPE, 2)


def test_a_file_of_the_user_that_is_gone_or_changed_is_told(tmp_path: Path, nets: str) -> None:
    trained(f"{nets}:small").save(tmp_path / "a.pt")
    before = torch.random.get_rng_state()
    Path(nets).write_text("# a comment changes nothing\n" + NETS)
    load_cnn(tmp_path / "a.pt")
    assert torch.equal(before, torch.random.get_rng_state())
    Path(nets).write_text(NETS.replace("Sizes().width", "5"))
    with pytest.raises(
        ValueError, match=r"a.pt has other weights than .*nets.py makes now \(0.weight: the shape \(3, 1, 3, 3\) in the"
    ):
        load_cnn(tmp_path / "a.pt")
    Path(nets).write_text(NETS.replace("nn.Sequential(", "nn.Sequential(nn.Identity(), "))
    with pytest.raises(ValueError, match=r"\(0.weight: the shape .* in the checkpoint, no such weight there\)"):
        load_cnn(tmp_path / "a.pt")
    Path(nets).write_text(NETS.replace("nn.ReLU()", "nn.Tanh()"))
    with pytest.raises(ValueError, match=r"a.pt answers otherwise than when it was saved: .*nets.py has changed"):
        load_cnn(tmp_path / "a.pt")
    Path(nets).unlink()
    with pytest.raises(
        ValueError, match=r"a.pt cannot be rebuilt: network is .*nets.py:small, but the file .* is missing"
    ):
        load_cnn(tmp_path / "a.pt")


def test_damaged_and_foreign_files_are_refused(tmp_path: Path, nets: str) -> None:
    trained(f"{nets}:small").save(tmp_path / "a.pt")
    raw = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(raw[: len(raw) // 2])
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")  # a module as a pickle: would run code
    CheckpointKind("offramp/other", 1, "another").write(tmp_path / "kind.pt", {}, {})
    KIND.write(tmp_path / "form.pt", {"network": "lenet"}, {})
    KIND.write(tmp_path / "nan.pt", {}, {"a": torch.tensor([float("nan")])})
    for name in ("cut", "whole", "kind", "form", "nan"):
        with pytest.raises(
            ValueError, match=rf"{name}.pt cannot be read \(.*\), expected a file that inference.train_cnn"
        ):
            load_cnn(tmp_path / f"{name}.pt")
    with pytest.raises(ValueError, match=r"none.pt cannot be read: No such file or directory"):
        load_cnn(tmp_path / "none.pt")


def test_changed_metadata_are_refused(tmp_path: Path, nets: str) -> None:
    trained(f"{nets}:small").save(tmp_path / "a.pt")
    data = torch.load(tmp_path / "a.pt", weights_only=True)
    data["metadata"] = json.dumps({**json.loads(data["metadata"]), "mean": [0.1]})
    torch.save(data, tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"b.pt cannot be read \(its identity is not that of its content\)"):
        load_cnn(tmp_path / "b.pt")
    assert zipfile.is_zipfile(tmp_path / "a.pt")


def test_parts_that_do_not_fit_are_refused() -> None:
    module = torch.nn.Linear(2, 2)
    for arguments, sentence in (
        ((SHAPE, ("a", "b"), (0.1, 0.2), (1.0,)), r"mean is \[0.1, 0.2\], expected 1 finite numbers, one a channel"),
        ((SHAPE, ("a", "b"), (0.1,), (0.0,)), r"std is \[0.0\], expected 1 finite numbers > 0, one a channel"),
        ((SHAPE, ("a",), (0.1,), (1.0,)), r"classes is \['a'\], expected at least 2"),
    ):
        with pytest.raises(ValueError, match=sentence):
            TrainedCnn("lenet", module, *arguments)  # type: ignore[arg-type]
