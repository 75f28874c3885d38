"""Cut networks of every kind of layer give what the whole ones do, with the bytes that the physics counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_split import Forward, cut, run_anyhow, small_net
from torch import Tensor, nn

from inference.split.layers import SplitNetwork, WholeConv, WholeFc


def conv(inputs: int = 2, outputs: int = 3, kernel: int | tuple[int, int] = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **options)


def functional(self: Any, x: Tensor) -> Tensor:
    x = F.max_pool2d(F.leaky_relu(self.c1(x), negative_slope=0.3), (2, 1))
    x = torch.tanh(self.c2(x)).relu_()
    x = F.avg_pool2d(x, x.size()[2:])  # global: the size is read off the maps
    return torch.softmax(F.elu(self.f1(x.view(x.size(0), -1)), 0.5), dim=1)


# name -> module for pictures of 2 x 9 x 8
NETS: dict[str, nn.Module] = {
    "small": small_net(),
    "strided": nn.Sequential(conv(stride=2), nn.ReLU(), conv(3, 4, (2, 3), stride=(2, 1), padding=1), nn.Sigmoid()),
    "dilated": nn.Sequential(
        conv(dilation=(1, 2)), nn.GELU(), conv(3, 4, 3, padding="same", dilation=(3, 1)), nn.ReLU()
    ),
    "valid": nn.Sequential(conv(padding="valid"), nn.SiLU(), conv(3, 2, 1), nn.Flatten()),
    "reflected": nn.Sequential(conv(), nn.ReLU(), conv(3, 4, padding=(2, 1), padding_mode="reflect"), nn.ReLU()),
    "circular": nn.Sequential(
        conv(), nn.ReLU(), conv(3, 4, (3, 5), padding="same", padding_mode="circular"), nn.ReLU()
    ),
    "replicated": nn.Sequential(conv(padding=1, padding_mode="replicate"), nn.ReLU(), conv(3, 2)),
    "conv to conv": nn.Sequential(conv(), conv(3, 4), conv(4, 5)),
    "conv to pool": nn.Sequential(conv(), conv(3, 4), nn.MaxPool2d(3, 2, padding=1, dilation=1), nn.AvgPool2d(2)),
    "conv to fc": nn.Sequential(conv(), conv(3, 4), nn.Flatten(), nn.Linear(4 * 5 * 4, 3), nn.Linear(3, 2)),
    "conv ends": nn.Sequential(conv(), nn.ReLU(), nn.Identity(), conv(3, 4)),
    "pool ends": nn.Sequential(conv(), nn.ReLU(), conv(3, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "adaptive": nn.Sequential(conv(), nn.AdaptiveMaxPool2d((3, None)), nn.Hardswish(), conv(3, 2, 2)),
    "two norms": nn.Sequential(conv(), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.ReLU(), conv(3, 2)),
    "norm of a layer inside": nn.Sequential(conv(), conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 2)),
    "slope": nn.Sequential(conv(), nn.PReLU(), conv(3, 4), nn.PReLU(4), conv(4, 2)),
    "slopes of pixels": nn.Sequential(conv(), conv(3, 4), nn.Flatten(), nn.PReLU(80), nn.Linear(80, 2)),
    "slopes of units": nn.Sequential(conv(), nn.Flatten(), nn.Linear(126, 4), nn.PReLU(4), nn.Linear(4, 2)),
    "activation of the flattened": nn.Sequential(conv(), conv(3, 4), nn.Flatten(), nn.Tanh(), nn.Linear(80, 2)),
    "no convs": nn.Sequential(
        nn.Flatten(), nn.Linear(144, 6), nn.ReLU(), nn.Linear(6, 5), nn.Linear(5, 3), nn.Softmax(1)
    ),
    "functional": Forward(functional, c1=conv(), c2=conv(3, 4), f1=nn.Linear(4, 3)),
    "one map": nn.Sequential(conv(2, 1), nn.PReLU(1), conv(1, 1), nn.ReLU(), conv(1, 2)),
    "shared activation": Forward(
        lambda self, x: self.act(self.c2(self.act(self.c1(x)))), act=nn.ReLU(inplace=True), c1=conv(), c2=conv(3, 4)
    ),
}
for slope in (part for net in NETS.values() for part in net.modules() if isinstance(part, nn.PReLU)):
    torch.nn.init.normal_(slope.weight)


@pytest.mark.parametrize("name", NETS)
def test_a_cut_network_gives_what_the_whole_one_does(name: str) -> None:
    split = cut(NETS[name])
    for seed in range(4):
        found = run_anyhow(split, seed)
        found.check()
        assert found.output.shape == found.expected.shape
        assert found.physics.sent_bytes.sum() > 0 or seed > 0


def test_features_instead_of_pictures() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    found = run_anyhow(cut(net, (6,)), seed=2)
    found.check()


def test_normalization_is_folded_into_weights_and_bias() -> None:
    module = small_net()
    split = cut(module)
    first, fc = split.layers[0], split.layers[5]
    assert isinstance(first, WholeConv) and isinstance(fc, WholeFc)
    norm: Any = module[1]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight: Any = module[0].weight
    assert torch.allclose(first.weight, weight * scale[:, None, None, None], atol=1e-6)
    assert first.bias is not None  # the conv has none: it is the normalization's
    assert torch.allclose(first.bias, norm.bias - norm.running_mean * scale, atol=1e-6)
    x = torch.randn(4, 24)
    by_module = torch.relu(module[9](module[8](x)))
    assert torch.allclose(fc.part((0,))(x[:, :, None, None]).flatten(1), by_module, atol=1e-5)


def test_the_module_stays_as_it_is() -> None:
    module = small_net().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run_anyhow(SplitNetwork.of(module, (2, 9, 8)))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Weighted(nn.ReLU):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


Weighted.__module__ = "torch.nn.custom"  # what torch.fx does not look into


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (
            nn.Sequential(conv(), nn.ReLU()).double(),
            "network 'tiny': 0.weight is float64 on cpu, expected float32 on cpu",
        ),
        (
            Forward(lambda self, x: self.c2(F.dropout(self.c1(x))), c1=conv(), c2=conv(3, 2)),
            "network 'tiny': its output is random, expected none in eval mode",
        ),
        (nn.Sequential(conv(), Weighted(), conv(3, 2)), "network 'tiny': module '1' of kind Weighted has weights"),
        (nn.Sequential(conv(), nn.GroupNorm(1, 3), conv(3, 2)), "module '1' of kind GroupNorm can't be split"),
    ],
)
def test_what_cannot_be_cut_is_refused(module: nn.Module, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^network 'tiny'") as caught:
        SplitNetwork.of(module, (2, 9, 8), "tiny")
    assert sentence in str(caught.value)
