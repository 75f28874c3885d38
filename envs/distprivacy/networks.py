"""The four networks of the paper as layer lists (paper section 3.1 and 4.2; spec section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envs.distprivacy.types import Layer, Network


class _Stack:
    """Builds a layer list while it tracks the maps and the side of the picture."""

    def __init__(self, maps: int, side: int) -> None:
        self.layers: list[Layer] = []
        self.maps, self.side, self.units = maps, side, 0

    def conv(self, name: str, out_maps: int, kernel: int, *, padding: bool) -> None:
        self.side -= 0 if padding else kernel - 1
        self.layers.append(Layer(name, "conv", self.maps, out_maps, self.side**2, kernel**2))
        self.maps = out_maps

    def act(self, name: str) -> None:
        self.layers.append(Layer(name, "act", self.maps, self.maps, self.side**2))

    def pool(self, name: str) -> None:
        self.side //= 2
        self.layers.append(Layer(name, "pool", self.maps, self.maps, self.side**2))

    def fc(self, name: str, out_units: int) -> None:
        self.layers.append(Layer(name, "fc", self.units or self.maps * self.side**2, out_units))
        self.units = out_units


def lenet() -> Network:
    """LeNet on 28x28x1: 9 layers, 57 decisions."""
    net = _Stack(1, 28)
    for index, maps in enumerate((8, 16), start=1):
        net.conv(f"conv{index}", maps, 5, padding=False)
        net.act(f"relu{index}")
        net.pool(f"pool{index}")
    for index, units in enumerate((120, 84, 10), start=1):
        net.fc(f"fc{index}", units)
    return Network("lenet", tuple(net.layers))


def _blocks(net: _Stack, blocks: Sequence[tuple[int, int]]) -> None:
    for block, (convs, maps) in enumerate(blocks, start=1):
        for index in range(1, convs + 1):
            net.conv(f"conv{block}{index}", maps, 3, padding=True)
            net.act(f"relu{block}{index}")
        net.pool(f"pool{block}")


def cifar_cnn() -> Network:
    """CIFAR-CNN on 32x32x3: 17 layers, about 1,470 decisions."""
    net = _Stack(3, 32)
    _blocks(net, [(2, 64), (2, 128), (2, 128)])
    net.fc("fc1", 1024)
    net.fc("fc2", 10)
    return Network("cifar_cnn", tuple(net.layers))


def _vgg(name: str, blocks: Sequence[tuple[int, int]], out: int) -> Network:
    net = _Stack(3, 128)
    _blocks(net, blocks)
    for index, units in enumerate((4096, 4096, out), start=1):
        net.fc(f"fc{index}", units)
    return Network(name, tuple(net.layers))


def vgg16() -> Network:
    """VGG16 on 128x128x3, 196 classes (Stanford Cars)."""
    return _vgg("vgg16", [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 196)


def vgg19() -> Network:
    """VGG19 on 128x128x3, 2 classes (a CelebA attribute)."""
    return _vgg("vgg19", [(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)], 2)


NETWORKS: dict[str, Callable[[], Network]] = {"lenet": lenet, "cifar_cnn": cifar_cnn, "vgg16": vgg16, "vgg19": vgg19}
