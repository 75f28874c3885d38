"""A tiny classifier with random weights, and pictures of a few blobs, for tests of inversion."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from inference.cnn.trained import TrainedCnn
from inference.images.image_set import ImageSet, Splits

SHAPE = (1, 12, 12)
CLASSES = ("left", "right")


def blobs(count: int, seed: int, shape: tuple[int, int, int] = SHAPE) -> ImageSet:
    """Pictures with one bright square on dark ground; the class says in which half it is."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    images = np.zeros((count, *shape), np.uint8)
    labels = np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        y = rng.integers(height - 4)
        x = rng.integers(width // 2 - 4, width // 2 - 1) - (width // 4) * (1 - 2 * int(label))
        x = int(np.clip(x, 0, width - 4))
        image[:, y : y + 4, x : x + 4] = rng.integers(120, 256, (channels, 1, 1))
    return ImageSet(images, labels.astype(np.int64), CLASSES)


def tiny_splits(shape: tuple[int, int, int] = SHAPE, train: int = 120) -> Splits:
    """120 pictures that teach, 20 that choose, 30 that judge."""
    return Splits("blobs", blobs(train, 0, shape), blobs(20, 1, shape), blobs(30, 2, shape))


def tiny_cnn(shape: tuple[int, int, int] = SHAPE) -> TrainedCnn:
    """conv to 4 maps with norm, ReLU in place, pool, conv to 6 maps, ReLU, fc; weights of a seed."""
    channels, height, width = shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, 4, 3, padding=1),
                norm1=nn.BatchNorm2d(4),
                relu1=nn.ReLU(inplace=True),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(4, 6, 3),
                relu2=nn.ReLU(),
                drop=nn.Dropout(),
                flatten=nn.Flatten(),
                fc1=nn.Linear(6 * (height // 2 - 2) * (width // 2 - 2), 8),
                fc1_relu=nn.ReLU(),
                fc2=nn.Linear(8, 2),
            )
        )
        module.norm1.running_mean.uniform_(-0.5, 0.5)
        module.norm1.weight.data.uniform_(0.5, 2)
    return TrainedCnn("lenet", module, shape, CLASSES, (0.3,) * channels, (0.5,) * channels, {"seed": 0})
