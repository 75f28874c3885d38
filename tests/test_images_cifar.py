"""CIFAR in binary and as pickles: what is read, and that a pickle can do nothing but hold numbers."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_images import pictures

from inference.images.cifar import CIFAR10
from inference.images.load import load_images
from inference.images.safe_pickle import load_plain

LABELS = np.arange(10)
ROWS = pictures(10, 3072)
PARTS = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def write_binary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(PARTS):
        records = np.concatenate([LABELS[:, None].astype(np.uint8), pictures(10, 3072, seed=seed)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def write_pickles(folder: Path, content: dict[Any, Any], protocol: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))


def check(data: NDArray[np.uint8], labels: NDArray[np.int64], seed: int) -> None:
    np.testing.assert_array_equal(data.reshape(10, -1), pictures(10, 3072, seed=seed))
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("sub", ["", "cifar-10-batches-bin"])
def test_binary_batches_are_read(tmp_path: Path, sub: str) -> None:
    write_binary(tmp_path / sub)
    splits = load_images("cifar10", str(tmp_path))
    assert splits.name == "cifar10" and splits.shape == (3, 32, 32) and splits.classes == CIFAR10
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45, 5, 10)
    check(splits.test.images, splits.test.labels, seed=5)
    assert load_images("cifar10", str(tmp_path), side=16).shape == (3, 16, 16)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_pickled_batches_are_read(tmp_path: Path, protocol: int, as_bytes: bool) -> None:
    """Texts of Python 2 come as Latin-1; files that Python 3 has written again may have bytes for keys."""
    content = {"data": pictures(10, 3072, seed=5), "labels": LABELS.tolist(), "filenames": ["a.png"] * 10}
    write_pickles(tmp_path, {k.encode(): v for k, v in content.items()} if as_bytes else content, protocol)
    splits = load_images("cifar10", str(tmp_path))
    check(splits.test.images, splits.test.labels, seed=5)


def test_a_pickle_of_python_2_is_read() -> None:
    """As the published files are: strings of 8 bits, the numpy of that time."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\nI3\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x01\\x02\\x03\\xff\\x05\\x06'\ntb"
    )
    found = load_plain(b"(dS'data'\n" + array + b"sS'labels'\n(lI7\naI9\nas.")
    assert found["labels"] == [7, 9]
    np.testing.assert_array_equal(found["data"], np.array([[1, 2, 3], [255, 5, 6]], np.uint8))


def test_cifar_100_has_fine_labels(tmp_path: Path) -> None:
    labels = np.arange(10, dtype=np.uint8)[:, None] * 11
    for folder, names in (("binary", ("train.bin", "test.bin")), ("python", ("train", "test"))):
        (tmp_path / folder).mkdir()
        for name in names:
            raw = np.concatenate([labels // 5, labels, ROWS], axis=1).tobytes()
            content = {"data": ROWS, "fine_labels": labels[:, 0].tolist(), "coarse_labels": [0] * 10}
            (tmp_path / folder / name).write_bytes(raw if folder == "binary" else pickle.dumps(content))
        splits = load_images("cifar10", str(tmp_path / folder))
        assert splits.name == "cifar100" and len(splits.classes) == 100
        np.testing.assert_array_equal(splits.test.labels, labels[:, 0])
        np.testing.assert_array_equal(splits.test.images.reshape(10, -1), ROWS)


class _Evil:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path: Path, protocol: int) -> None:
    write_pickles(tmp_path, {"data": _Evil(os.mkdir, str(tmp_path / "made")), "labels": []}, protocol)
    with pytest.raises(
        ValueError, match=r"data_batch_1: is no batch of CIFAR \(it holds posix.mkdir, expected nothing"
    ):
        load_images("cifar10", str(tmp_path))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        _Evil(eval, "1"),
        _Evil(getattr, "", "join"),
        _Evil(np.memmap, "file"),
        np.array([{}], object),
        _Evil(np.dtype, "O"),
        _Evil(np.dtype, [("a", "u1")]),
        np.float64(1),  # a number, but made by a function of numpy's
        pickle.PickleBuffer,
    ],
    ids=["eval", "getattr", "memmap", "objects", "dtype of objects", "dtype of records", "scalar", "class"],
)
def test_nothing_but_plain_data_and_arrays_of_numbers_is_read(content: Any) -> None:
    with pytest.raises(pickle.UnpicklingError):
        load_plain(pickle.dumps(content, protocol=2))


def test_arrays_of_other_classes_are_refused() -> None:
    raw = pickle.dumps(np.zeros(3, np.uint8), protocol=2).replace(b"cnumpy\nndarray\n", b"cnumpy\nmatrix\n")
    with pytest.raises(pickle.UnpicklingError, match=r"it holds numpy.matrix"):
        load_plain(raw)
    with pytest.raises(pickle.UnpicklingError, match="expected nothing but plain data"):
        load_plain(pickle.dumps(np.ma.MaskedArray([1, 2])))


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x: is no folder of CIFAR, expected data_batch_1.bin or .*dataset=folder"):
        load_images("cifar10", str(tmp_path / "x"))
    with pytest.raises(ValueError, match="holds no batch of CIFAR"):
        load_images("cifar10", str(tmp_path))
    write_binary(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(
        ValueError, match=r"data_batch_4.bin: there is no such file, expected a readable batch of CIFAR"
    ):
        load_images("cifar10", str(tmp_path))
    write_binary(tmp_path)
    raw = (tmp_path / "test_batch.bin").read_bytes()
    (tmp_path / "test_batch.bin").write_bytes(raw[:-1])
    with pytest.raises(
        ValueError, match=r"test_batch.bin: has 30729 bytes, expected a whole number of records of 3073"
    ):
        load_images("cifar10", str(tmp_path))
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" + raw[1:])
    with pytest.raises(ValueError, match=r"test_batch.bin: image 0 has the label 10, expected 0..9"):
        load_images("cifar10", str(tmp_path))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"data": ROWS[:, :9], "labels": [0] * 10},
            r"its data have the shape \(10, 9\), expected \(N, 3072\) of bytes",
        ),
        ({"data": ROWS, "labels": [0] * 9}, "it has 9 labels for 10 images, expected as many, at least one"),
        ({"data": ROWS[:0], "labels": []}, "it has 0 labels for 0 images, expected as many, at least one"),
        ({"data": ROWS, "labels": ["a"] * 10}, "it has 10 labels for 10 images"),
        ({"labels": [0]}, "'data'"),
        ([1], "'list' object has no attribute 'items'"),
        ({"data": ROWS, "labels": [11] * 10}, "data_batch_1: image 0 has the label 11, expected 0..9"),
    ],
)
def test_wrong_pickles_are_told(tmp_path: Path, content: Any, sentence: str) -> None:
    write_pickles(tmp_path, content, protocol=4)
    with pytest.raises(ValueError, match=sentence):
        load_images("cifar10", str(tmp_path))


def test_a_damaged_pickle_is_told(tmp_path: Path) -> None:
    write_pickles(tmp_path, {})
    for raw in (b"", b"nonsense", pickle.dumps({"data": ROWS})[:-40]):
        (tmp_path / "data_batch_1").write_bytes(raw)
        with pytest.raises(ValueError, match="data_batch_1: is no batch of CIFAR"):
            load_images("cifar10", str(tmp_path))
