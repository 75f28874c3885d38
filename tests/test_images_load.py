"""Data sets by name, and how they are split."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_images import pictures

from conf.cnn_schema import IMAGE_DATASETS
from inference.images.image_set import ImageSet
from inference.images.load import DATASETS, load_images
from inference.images.resize import resized
from inference.images.split import split


def test_the_schema_repeats_the_data_sets() -> None:
    assert IMAGE_DATASETS == DATASETS


def test_digits_are_always_there() -> None:
    splits = load_images("digits", None)
    assert splits.shape == (1, 28, 28) and splits.classes == tuple("0123456789")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1438, 179, 180)
    assert splits.train.images.min() == 0 and splits.train.images.max() == 255
    assert load_images("digits", None, side=8).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fashion", "x"), "dataset is fashion, expected one of digits, mnist, cifar10, folder"),
        (("digits", "x"), "data is x, but dataset=digits comes with scikit-learn, expected null"),
        (("mnist", None), r"dataset is mnist, but there is no data=..., expected where its files are"),
    ],
)
def test_wrong_arguments_are_told(arguments: tuple[str, str | None], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        load_images(*arguments)
    with pytest.raises(ValueError, match="side is 0, expected a whole number >= 1"):
        load_images("digits", None, side=0)


def test_parts_have_all_images_and_classes_in_equal_shares() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(5, 503, p=[0.5, 0.3, 0.1, 0.08, 0.02])
    numbers = np.arange(503)
    images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8).reshape(-1, 1, 2, 1)
    whole = ImageSet(images, labels, tuple("abcde"))
    parts = split(whole, (0.8, 0.1, 0.1), seed=7)
    assert [len(part) for part in parts] == [402, 51, 50]
    found = np.concatenate([part.images for part in parts]).reshape(-1, 2).astype(int) @ [256, 1]
    assert sorted(found) == list(range(503))
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        counts = np.bincount(part.labels, minlength=5)
        assert (np.abs(counts - share * np.bincount(labels, minlength=5)) <= 1.5).all()


def test_a_class_of_one_image_is_in_training() -> None:
    images = ImageSet(pictures(21, 1, 2, 2), np.array([0] * 20 + [1]), ("many", "one"))
    assert (split(images, (0.8, 0.1, 0.1), seed=0)[0].labels == 1).sum() == 1


def test_pixel_statistics_are_those_of_the_pixels() -> None:
    images = ImageSet(pictures(9, 3, 5, 4), np.arange(9) % 2, ("a", "b"))
    mean, std = images.pixel_statistics()
    np.testing.assert_allclose(mean, images.images.mean(axis=(0, 2, 3)) / 255)
    np.testing.assert_allclose(std, images.images.std(axis=(0, 2, 3)) / 255)
    assert ImageSet(np.zeros((2, 1, 3, 3), np.uint8), np.arange(2), ("a", "b")).pixel_statistics() == ((0.0,), (1.0,))


def test_pictures_of_the_right_size_are_left_as_they_are() -> None:
    images = pictures(3, 1, 6, 6)
    assert resized(images, None) is images and resized(images, 6) is images
    flat = np.full((2, 3, 4, 4), 7, np.uint8)
    assert (resized(flat, 9) == 7).all() and resized(flat, 9).shape == (2, 3, 9, 9)
