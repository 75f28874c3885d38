"""Files of the MNIST family: what is read, how it is split, and every error in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_images import idx_bytes, pictures, write_idx

from inference.images.idx import read_idx
from inference.images.load import load_images

LABELS = np.arange(40, dtype=np.uint8) % 4


def write_pair(folder: Path, part: str, *, count: int = 40, gz: str = "", mark: str = "-", seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_idx(folder / f"{part}-images{mark}idx3-ubyte{gz}", pictures(count, 6, 5, seed=seed))
    write_idx(folder / f"{part}-labels{mark}idx1-ubyte{gz}", LABELS[:count])


@pytest.mark.parametrize(("gz", "mark"), [("", "-"), (".gz", "-"), ("", "."), (".gz", ".")])
def test_both_parts_are_read_in_every_spelling(tmp_path: Path, gz: str, mark: str) -> None:
    write_pair(tmp_path, "train", gz=gz, mark=mark, seed=1)
    write_pair(tmp_path, "t10k", gz=gz, mark=mark, seed=2)
    splits = load_images("mnist", str(tmp_path))
    assert splits.shape == (1, 6, 5) and splits.classes == ("0", "1", "2", "3") and splits.notice == ""
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 4, 40)
    np.testing.assert_array_equal(splits.test.images[:, 0], pictures(40, 6, 5, seed=2))
    np.testing.assert_array_equal(splits.test.labels, LABELS)
    # every training image is in one of the two parts, with its label
    found = np.concatenate([splits.train.images, splits.validation.images])[:, 0]
    labels = np.concatenate([splits.train.labels, splits.validation.labels])
    given = {image.tobytes(): label for image, label in zip(pictures(40, 6, 5, seed=1), LABELS, strict=True)}
    assert {image.tobytes(): label for image, label in zip(found, labels, strict=True)} == given


def test_a_missing_part_is_cut_from_the_other(tmp_path: Path) -> None:
    write_pair(tmp_path, "t10k", gz=".gz")
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", LABELS)  # labels alone are no part
    splits = load_images("mnist", str(tmp_path))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (32, 4, 4)
    assert splits.notice == "train-images-idx3-ubyte is missing: split 32 / 4 / 4 by seed 0"
    for part in (splits.train, splits.validation, splits.test):
        assert np.ptp(np.bincount(part.labels, minlength=4)) == 0  # classes have equal shares
    again, other = load_images("mnist", str(tmp_path)), load_images("mnist", str(tmp_path), seed=1)
    np.testing.assert_array_equal(again.test.images, splits.test.images)
    assert not np.array_equal(other.test.images, splits.test.images)


def test_pictures_are_brought_to_another_side(tmp_path: Path) -> None:
    write_pair(tmp_path, "t10k")
    assert load_images("mnist", str(tmp_path), side=9).shape == (1, 9, 9)


def _cut(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-3])


def _swap(folder: Path) -> None:
    write_idx(folder / "t10k-images-idx3-ubyte", LABELS)


def _short(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")


def _fewer(folder: Path) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte", LABELS[:39])


def _unlabelled(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()


def _half_packed(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b half")


def _one_class(folder: Path) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros_like(LABELS))


def _empty(folder: Path) -> None:
    write_idx(folder / "t10k-images-idx3-ubyte", pictures(0, 6, 5))
    write_idx(folder / "t10k-labels-idx1-ubyte", LABELS[:0])


def _other_size(folder: Path) -> None:
    write_idx(folder / "train-images-idx3-ubyte", pictures(40, 7, 5))
    write_idx(folder / "train-labels-idx1-ubyte", LABELS)


def _nothing(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_cut, r"t10k-images-idx3-ubyte: has 1197 bytes after its header, expected 1200 for 40 x 6 x 5"),
        (_swap, r"t10k-images-idx3-ubyte: begins with 0x00000801, expected 0x00000803, an idx file of images"),
        (_short, r"t10k-images-idx3-ubyte: has 4 bytes, expected an idx file of images, which has a header of 16"),
        (_fewer, r"t10k-labels-idx1-ubyte: has 39 labels, expected 40 as .*t10k-images-idx3-ubyte has images"),
        (_unlabelled, r"t10k-labels-idx1-ubyte: is missing, expected the labels of .*t10k-images-idx3-ubyte"),
        (_half_packed, r"t10k-labels-idx1-ubyte.gz: is no whole gzip file .*, expected a readable idx file of labels"),
        (_one_class, r"all labels are 0, expected at least 2 classes"),
        (_empty, r"t10k-images-idx3-ubyte: has images of the shape \(0, 6, 5\), expected at least one of one pixel"),
        (_other_size, r"test has images of \(1, 6, 5\) in 4 classes, expected \(1, 7, 5\) in 4 as those of train"),
        (_nothing, r"holds no images, expected train-images-idx3-ubyte or t10k-images-idx3-ubyte, .gz or not"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, damage: Callable[[Path], None], sentence: str) -> None:
    write_pair(tmp_path, "t10k")
    damage(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        load_images("mnist", str(tmp_path))


def test_no_folder_and_too_few_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: is no folder, expected train-images"):
        load_images("mnist", str(tmp_path / "nowhere"))
    write_pair(tmp_path, "t10k", count=3)
    with pytest.raises(ValueError, match="there are 3 images, too few to be split 80%/10%/10%"):
        load_images("mnist", str(tmp_path))


def test_labels_of_the_test_that_training_lacks_are_no_error(tmp_path: Path) -> None:
    """The files do not name their classes: the largest label of both parts says how many there are."""
    write_pair(tmp_path, "train")
    write_idx(tmp_path / "t10k-images-idx3-ubyte", pictures(2, 6, 5))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([0, 5], np.uint8))
    assert len(load_images("mnist", str(tmp_path)).classes) == 6


def test_an_array_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(idx_bytes(LABELS))
    np.testing.assert_array_equal(read_idx(tmp_path / "x", 1), LABELS)
