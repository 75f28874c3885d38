"""Tracing a torch module into the layer list that segment allocation distributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from envs.distprivacy.networks import lenet, vgg16
from envs.distprivacy.types import Network
from inference.trace import trace_network

PICTURE = torch.zeros(1, 1, 28, 28)


class Forward(nn.Module):
    """A module whose forward is a plain function of itself and its input; submodules are given by name."""

    def __init__(self, forward: Callable[[Any, Tensor], object], **parts: nn.Module) -> None:
        super().__init__()
        self.body = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> object:
        return self.body(self, x)


def sizes(network: Network) -> list[tuple[str, int, int, int, int]]:
    return [(layer.kind, layer.inputs, layer.outputs, layer.out_pixels, layer.kernel_area) for layer in network.layers]


def kinds(network: Network) -> list[str]:
    return [layer.kind for layer in network.layers]


def names(network: Network) -> list[str]:
    return [layer.name for layer in network.layers]


def lenet_module() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def test_a_sequential_lenet_is_the_lenet_of_the_paper() -> None:
    traced = trace_network(lenet_module(), PICTURE, "mine")
    assert traced.name == "mine"
    assert sizes(traced) == sizes(lenet())
    assert names(traced) == ["0", "1", "2", "3", "4", "5", "7", "9", "11"]


def test_vgg16_with_batch_norm_and_dropout_is_the_vgg16_of_the_paper() -> None:
    with torch.device("meta"):
        layers: list[nn.Module] = []
        maps = 3
        for convs, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(convs):
                layers += [nn.Conv2d(maps, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                maps = width
            layers.append(nn.MaxPool2d(2))
        head = [nn.Flatten(), nn.Linear(8192, 4096), nn.BatchNorm1d(4096), nn.ReLU(), nn.Dropout()]
        head += [nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 196), nn.LogSoftmax(dim=1)]
        module = nn.Sequential()
        module.add_module("features", nn.Sequential(*layers))
        module.add_module("classifier", nn.Sequential(*head))
        example = torch.zeros(1, 3, 128, 128)
    traced = trace_network(module, example, "vgg16")
    assert sizes(traced) == sizes(vgg16())
    assert names(traced)[0] == "features.0"
    assert names(traced)[-1] == "classifier.8"


def test_functions_and_tensor_methods_are_layers_named_by_their_nodes() -> None:
    def forward(self: Any, x: Tensor) -> object:
        x = F.max_pool2d(F.gelu(self.conv1(x)), 2)
        x = F.adaptive_avg_pool2d(torch.tanh(self.conv2(x)).relu(), (4, 4))
        x = F.dropout(x.view(x.size(0), -1))
        return torch.softmax(self.fc2(self.fc1(x).sigmoid()), dim=1)

    parts = {"conv1": nn.Conv2d(1, 8, (5, 3)), "conv2": nn.Conv2d(8, 16, 3, dilation=2), "fc1": nn.Linear(256, 20)}
    traced = trace_network(Forward(forward, **parts, fc2=nn.Linear(20, 10)), PICTURE, "functional")
    assert sizes(traced) == [
        ("conv", 1, 8, 24 * 26, 15),
        ("act", 8, 8, 24 * 26, 0),
        ("pool", 8, 8, 12 * 13, 0),
        ("conv", 8, 16, 8 * 9, 9),
        ("act", 16, 16, 8 * 9, 0),
        ("act", 16, 16, 8 * 9, 0),
        ("pool", 16, 16, 16, 0),
        ("fc", 256, 20, 1, 0),
        ("fc", 20, 10, 1, 0),
    ]
    assert names(traced)[:3] == ["conv1", "gelu", "max_pool2d"]


ACTIVATIONS = [nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(), nn.ELU(), nn.Hardswish(), nn.PReLU()]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda part: type(part).__name__)
def test_an_activation_is_a_layer_after_a_conv_and_part_of_an_fc(activation: nn.Module) -> None:
    body = nn.Sequential(nn.Conv2d(1, 2, 3), activation, nn.Flatten(), nn.Linear(2 * 26**2, 4), activation)
    assert kinds(trace_network(body, PICTURE, "net")) == ["conv", "act", "fc"]


def test_an_activation_of_the_flattened_maps_is_one_of_the_maps() -> None:
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.ReLU(), nn.Linear(2 * 26**2, 4))
    assert sizes(trace_network(body, PICTURE, "net"))[1] == ("act", 2, 2, 26**2, 0)


def test_a_module_that_is_called_again_gets_a_name_of_its_own() -> None:
    act = nn.ReLU()
    body = nn.Sequential(nn.Conv2d(1, 2, 3), act, nn.Conv2d(2, 2, 3), act, nn.Conv2d(2, 2, 3), act)
    traced = trace_network(body, PICTURE, "net")
    assert kinds(traced) == ["conv", "act"] * 3
    assert len(set(names(traced))) == 6
    assert names(traced)[1] == "1"


def test_the_module_is_left_as_it_was() -> None:
    def forward(self: Any, x: Tensor) -> object:
        return self.fc(F.dropout(self.norm(self.conv(x)).flatten(1)))  # dropout without `training` draws in eval mode

    body: Any = Forward(forward, conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), fc=nn.Linear(2 * 26**2, 4))
    body.norm.eval()
    before = {name: value.clone() for name, value in body.state_dict().items()}
    state = torch.get_rng_state()
    trace_network(body, PICTURE, "net")
    assert body.training and body.conv.training and not body.norm.training
    assert all(torch.equal(value, before[name]) for name, value in body.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    body.fc = nn.Linear(7, 4)
    with pytest.raises(ValueError, match="does not run"):
        trace_network(body, PICTURE, "net")
    assert body.training and body.conv.training and not body.norm.training


def test_the_example_is_left_as_it_was() -> None:
    example = torch.full((1, 4), -1.0)
    with pytest.raises(ValueError, match="comes first"):
        trace_network(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)), example, "net")
    assert torch.equal(example, torch.full((1, 4), -1.0))


def conv(inputs: int = 1, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, 4, 3, padding=1, **options)  # type: ignore[arg-type]


def bad_modules() -> dict[str, tuple[nn.Module, str]]:
    """What is refused, and what the message must say."""
    plain = nn.BatchNorm2d(4, track_running_stats=False)
    return {
        "residual": (
            Forward(lambda self, x: self.c1(x) + self.c2(self.c1(x)), c1=conv(), c2=conv(4)),
            "the input 'x' is used by module 'c1' of kind Conv2d and module 'c1' of kind Conv2d",
        ),
        "skip": (
            Forward(lambda self, x: (y := self.c1(x)) + self.c2(y), c1=conv(), c2=conv(4)),
            "output of module 'c1' of kind Conv2d is used by module 'c2' of kind Conv2d and node 'add' of kind add",
        ),
        "dense": (
            Forward(lambda self, x: torch.cat([y := self.c1(x), self.c2(y)], 1), c1=conv(), c2=conv(4)),
            "node 'cat' of kind cat",
        ),
        "doubling": (
            Forward(lambda self, x: (y := self.c1(x)) + y, c1=conv()),
            "node 'add' of kind add can't be split",
        ),
        "in place": (
            Forward(lambda self, x: (y := self.c1(x), self.act(y), y)[2], c1=conv(), act=nn.ReLU(inplace=True)),
            "'act' of kind ReLU and the output",
        ),
        "grouped": (nn.Sequential(conv(), conv(4, groups=2)), "module '1' of kind Conv2d has groups = 2, expected 1"),
        "unfolded": (
            Forward(lambda self, x: self.c1(x).view(1, 8, 2, 196), c1=conv()),
            "node 'view' of kind view turns shape (1, 4, 28, 28) into (1, 8, 2, 196)",
        ),
        "norm first": (nn.Sequential(nn.BatchNorm2d(1), conv()), "module '0' of kind BatchNorm2d can't be folded"),
        "norm after act": (nn.Sequential(conv(), nn.ReLU(), nn.BatchNorm2d(4)), "module '2' of kind BatchNorm2d"),
        "norm of the batch": (nn.Sequential(conv(), plain), "module '1' of kind BatchNorm2d can't be folded"),
        "norm of pixels": (
            nn.Sequential(conv(), nn.Flatten(), nn.BatchNorm1d(3136), nn.Linear(3136, 2)),
            "module '2' of kind BatchNorm1d can't be folded",
        ),
        "group norm": (nn.Sequential(conv(), nn.GroupNorm(2, 4)), "module '1' of kind GroupNorm can't be split"),
        "transposed": (nn.Sequential(nn.ConvTranspose2d(1, 4, 3)), "module '0' of kind ConvTranspose2d can't be split"),
        "softmax of maps": (
            nn.Sequential(conv(), nn.Softmax(1)),
            "module '1' of kind Softmax is not after",
        ),
        "softmax inside": (
            nn.Sequential(nn.Flatten(), nn.Linear(784, 4), nn.Softmax(1), nn.Linear(4, 2)),
            "module '2' of kind Softmax is not after the last fc",
        ),
        "not flattened": (
            nn.Sequential(conv(), nn.Linear(28, 4)),
            "module '1' of kind Linear reads shape (1, 4,",
        ),
        "batch flattened": (
            Forward(lambda self, x: self.c1(x).flatten(), c1=conv()),
            "node 'flatten' of kind flatten turns shape (1, 4, 28, 28) into (3136,)",
        ),
        "scaled": (
            Forward(lambda self, x: self.c1(x / 255), c1=conv()),
            "node 'truediv' of kind truediv can't be split",
        ),
        "pool first": (nn.Sequential(nn.MaxPool2d(2), conv()), "module '0' of kind MaxPool2d comes first"),
        "indices": (
            Forward(lambda self, x: self.pool(self.c1(x))[0], c1=conv(), pool=nn.MaxPool2d(2, return_indices=True)),
            "module 'pool' of kind MaxPool2d puts out several tensors",
        ),
        "control flow": (Forward(lambda self, x: self.c1(x) if x.sum() > 0 else x, c1=conv()), "torch.fx can't trace"),
        "two outputs": (Forward(lambda self, x: (self.c1(x),), c1=conv()), "puts out a tuple, expected one tensor"),
        "constant": (Forward(lambda self, x: torch.zeros(1)), "the input 'x' is used by nothing"),
        "wrong maps": (nn.Sequential(conv(3)), "does not run on an example of shape (1, 1, 28, 28)"),
        "one layer": (nn.Sequential(conv()), "has 1 layers, expected at least 2"),
    }


BAD = bad_modules()


@pytest.mark.parametrize("case", list(BAD))
def test_what_cannot_be_split_is_refused_by_name(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, message = BAD[case]
    with pytest.raises(ValueError) as caught:
        trace_network(module, PICTURE, "mine")
    assert str(caught.value).startswith("network 'mine': ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err == ""


def test_an_lstm_is_refused_by_name() -> None:
    def forward(self: Any, x: Tensor) -> object:
        out, _ = self.lstm(self.fc(x))
        return out

    module = Forward(forward, fc=nn.Linear(6, 4), lstm=nn.LSTM(4, 5))
    with pytest.raises(ValueError, match="module 'lstm' of kind LSTM can't be split"):
        trace_network(module, torch.zeros(1, 6), "net")


@pytest.mark.parametrize("example", [torch.zeros(2, 1, 28, 28), torch.zeros(1, 28, 28), [[0.0]]])
def test_an_example_of_another_shape_is_refused(example: Tensor) -> None:
    with pytest.raises(ValueError, match=r"network 'net': field 'example' is .* expected a tensor of shape"):
        trace_network(lenet_module(), example, "net")


def test_a_forward_with_two_inputs_is_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
            return x

    with pytest.raises(ValueError, match=r"forward takes 2 inputs \(x, scale\), expected 1"):
        trace_network(Two(), PICTURE, "net")
