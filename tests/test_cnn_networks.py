"""The networks of the paper as torch modules."""

from __future__ import annotations

import pytest
import torch

from envs.distprivacy.networks import NETWORKS
from inference.cnn.networks import CNNS, make_cnn
from inference.trace import trace_network

PAPER = {"lenet": (1, 28, 28, 10), "cifar_cnn": (3, 32, 32, 10), "vgg16": (3, 128, 128, 196), "vgg19": (3, 128, 128, 2)}


@pytest.mark.parametrize("name", CNNS)
def test_the_traced_layers_are_those_of_the_environment(name: str) -> None:
    *shape, classes = PAPER[name]
    with torch.device("meta"):
        module = make_cnn(name, (shape[0], shape[1], shape[2]), classes)
        traced = trace_network(module, torch.zeros(1, *shape), name)
    assert traced == NETWORKS[name]()


def test_wrong_networks_are_told() -> None:
    with pytest.raises(ValueError, match="network is 'resnet', expected one of lenet, cifar_cnn, vgg16, vgg19"):
        make_cnn("resnet", (1, 28, 28), 10)
    with pytest.raises(ValueError, match="lenet: pictures of 12 x 12 are too small for its layers"):
        make_cnn("lenet", (1, 12, 12), 10)
    with pytest.raises(ValueError, match="lenet: is for 1 class, expected at least 2"):
        make_cnn("lenet", (1, 28, 28), 1)
