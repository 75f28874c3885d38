"""The four networks of the paper as torch modules, whose traced layers are those of ``envs.distprivacy.networks``.

LeNet on MNIST, CIFAR-CNN on CIFAR-10, VGG16 and VGG19 (paper section 3.1). Other pictures and classes than the paper's are
possible where the layers leave at least one pixel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

Shape = tuple[int, int, int]
"""Channels, height, width."""


class _Stack:
    """Collects named modules while it tracks the maps and the size of the picture."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name, self.shape = name, shape
        self.maps, self.height, self.width = shape
        self.modules: OrderedDict[str, nn.Module] = OrderedDict()
        self.units = 0

    def conv(self, name: str, maps: int, kernel: int, *, padding: bool, norm: bool = False) -> None:
        lost = 0 if padding else kernel - 1
        self._resize(self.height - lost, self.width - lost)
        self.modules[name] = nn.Conv2d(self.maps, maps, kernel, padding=kernel // 2 if padding else 0, bias=not norm)
        if norm:
            self.modules[f"norm{name.removeprefix('conv')}"] = nn.BatchNorm2d(maps)
        self.maps = maps

    def relu(self, name: str) -> None:
        self.modules[name] = nn.ReLU()

    def pool(self, name: str) -> None:
        self._resize(self.height // 2, self.width // 2)
        self.modules[name] = nn.MaxPool2d(2)

    def fc(self, name: str, units: int, *, last: bool) -> None:
        if not self.units:
            self.modules["flatten"] = nn.Flatten()
        self.modules[name] = nn.Linear(self.units or self.maps * self.height * self.width, units)
        self.units = units
        if not last:
            self.modules[f"{name}_relu"] = nn.ReLU()

    def _resize(self, height: int, width: int) -> None:
        if height < 1 or width < 1:
            raise ValueError(f"{self.name}: pictures of {self.shape[1]} x {self.shape[2]} are too small for its layers")
        self.height, self.width = height, width


def _lenet(shape: Shape, classes: int) -> nn.Sequential:
    net = _Stack("lenet", shape)
    for index, maps in enumerate((8, 16), start=1):
        net.conv(f"conv{index}", maps, 5, padding=False)
        net.relu(f"relu{index}")
        net.pool(f"pool{index}")
    for index, units in enumerate((120, 84, classes), start=1):
        net.fc(f"fc{index}", units, last=index == 3)
    return nn.Sequential(net.modules)


def _blocks(name: str, shape: Shape, blocks: Sequence[tuple[int, int]], units: Sequence[int]) -> nn.Sequential:
    net = _Stack(name, shape)
    for block, (convs, maps) in enumerate(blocks, start=1):
        for index in range(1, convs + 1):
            # normalization folds into the conv: the layers that are distributed know nothing of it
            net.conv(f"conv{block}{index}", maps, 3, padding=True, norm=True)
            net.relu(f"relu{block}{index}")
        net.pool(f"pool{block}")
    for index, count in enumerate(units, start=1):
        net.fc(f"fc{index}", count, last=index == len(units))
    return nn.Sequential(net.modules)


def _cifar_cnn(shape: Shape, classes: int) -> nn.Sequential:
    return _blocks("cifar_cnn", shape, [(2, 64), (2, 128), (2, 128)], [1024, classes])


def _vgg16(shape: Shape, classes: int) -> nn.Sequential:
    return _blocks("vgg16", shape, [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], [4096, 4096, classes])


def _vgg19(shape: Shape, classes: int) -> nn.Sequential:
    return _blocks("vgg19", shape, [(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)], [4096, 4096, classes])


CNNS: dict[str, Callable[[Shape, int], nn.Sequential]] = {
    "lenet": _lenet,
    "cifar_cnn": _cifar_cnn,
    "vgg16": _vgg16,
    "vgg19": _vgg19,
}
"""Name -> maker; the modules are named as the layers of the environment."""


def make_cnn(name: str, shape: Shape, classes: int) -> nn.Sequential:
    """A network with fresh weights (of torch's seed) for pictures of ``shape``.

    Raises ``ValueError`` for an unknown name, fewer than 2 classes, or pictures that are too small.
    """
    if name not in CNNS:
        raise ValueError(f"network is {name!r}, expected one of {', '.join(CNNS)}")
    if classes < 2:
        raise ValueError(f"{name}: is for {classes} class{'es' * (classes != 1)}, expected at least 2")
    return CNNS[name](shape, classes)
