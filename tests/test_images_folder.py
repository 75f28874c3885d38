"""Trees of picture files, as folders and in archives."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_images import stripes, write_tree

from inference.images.load import load_images

IMAGES = stripes(40, side=8)


def test_a_tree_without_test_images_is_split(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", IMAGES)
    (tmp_path / "photos" / "readme.txt").write_text("not a picture")
    (tmp_path / "photos" / "lying" / ".hidden.png").write_text("not a picture")
    splits = load_images("folder", str(tmp_path / "photos"))
    assert splits.name == "photos" and splits.classes == ("lying", "standing") and splits.shape == (1, 8, 8)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (32, 4, 4)
    assert splits.notice == "there are no test images: split 32 / 4 / 4 by seed 0"
    given = {image.tobytes(): label for image, label in zip(IMAGES.images, IMAGES.labels, strict=True)}
    for part in (splits.train, splits.validation, splits.test):
        assert all(given[image.tobytes()] == label for image, label in zip(part.images, part.labels, strict=True))


@pytest.mark.parametrize("around", ["", "all/"])
def test_a_tree_with_test_images_and_the_archive_of_it_are_the_same(tmp_path: Path, around: str) -> None:
    tree = tmp_path / "tree"
    test = stripes(6, side=8, seed=1)
    write_tree(tree / around / "train", IMAGES)
    write_tree(tree / around / "test", test)
    splits = load_images("folder", str(tree))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 4, 6) and splits.notice == ""
    order = np.argsort(test.labels, kind="stable")  # class by class, then by name
    np.testing.assert_array_equal(splits.test.images, test.images[order])
    for name, mode in (("tree.tar", "w"), ("tree.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
            for path in sorted(tree.rglob("*"), reverse=True):  # in another order than that of the names
                archive.add(path, str(path.relative_to(tree)), recursive=False)
        before = {path.name for path in tmp_path.iterdir()}
        packed = load_images("folder", str(tmp_path / name))
        assert packed.name == "tree" and {path.name for path in tmp_path.iterdir()} == before
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(packed, part).images, getattr(splits, part).images)
            np.testing.assert_array_equal(getattr(packed, part).labels, getattr(splits, part).labels)


def test_training_images_alone_are_split(tmp_path: Path) -> None:
    write_tree(tmp_path / "train", IMAGES)
    assert len(load_images("folder", str(tmp_path)).test) == 4


def test_colour_unequal_sizes_and_turned_pictures(tmp_path: Path) -> None:
    """One picture in colour makes all three channels; grey ones have the same in each."""
    write_tree(tmp_path, IMAGES)
    red = Image.new("RGB", (4, 12), (255, 0, 0))
    red.save(tmp_path / "lying" / "red.png")
    with pytest.raises(ValueError, match=r"red.png: is 12 x 4, the first picture 8 x 8, expected one size, or side="):
        load_images("folder", str(tmp_path))
    splits = load_images("folder", str(tmp_path), side=6)
    every = np.concatenate([part.images for part in (splits.train, splits.validation, splits.test)])
    assert splits.shape == (3, 6, 6) and len(every) == 41
    coloured = (every[:, 0] != every[:, 1]).any(axis=(1, 2))
    assert coloured.sum() == 1 and (every[coloured][0] == np.array([255, 0, 0])[:, None, None]).all()

    (tmp_path / "lying" / "red.png").unlink()
    turned = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned.save(tmp_path / "lying" / "turned.png", exif=exif)
    found = load_images("folder", str(tmp_path))
    every = np.concatenate([part.images for part in (found.train, found.validation, found.test)])
    assert any(np.array_equal(image[0].ravel(), np.arange(64)[::-1]) for image in every)


def _damaged(folder: Path) -> None:
    (folder / "train/lying/0002.png").write_bytes((folder / "train/lying/0002.png").read_bytes()[:60])


def _deep(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "train/lying/0002.png")


def _other_size(folder: Path) -> None:
    Image.new("L", (9, 8)).save(folder / "test/lying/x.png")


def _unknown(folder: Path) -> None:
    (folder / "test/lying").rename(folder / "test/slanting")


def _one(folder: Path) -> None:
    (folder / "train/lying").rename(folder / "lying")
    (folder / "test").rename(folder / ".test")
    (folder / "lying").rename(folder / ".lying")


def _beside(folder: Path) -> None:
    write_tree(folder / "val", stripes(4, side=8))


def _loose(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "train/x.png")


def _no_train(folder: Path) -> None:
    (folder / "train").rename(folder / ".train")


def _nothing(folder: Path) -> None:
    (folder / "train").rename(folder / ".train")
    (folder / "test").rename(folder / ".test")


def _empty_class(folder: Path) -> None:
    (folder / "train/kneeling").mkdir()


def _text(folder: Path) -> None:
    (folder / "test/lying/0002.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_damaged, r"train/lying/0002.png: cannot be read as a picture \(.+\)"),
        (_deep, r"0002.png: cannot be read as a picture \(it has more than 8 bits a pixel and channel\)"),
        (
            _other_size,
            r"test/lying/x.png: is 8 x 9, the first picture 8 x 8, expected one size, or side=... to bring all",
        ),
        (_empty_class, "the folder train/kneeling holds no pictures, expected those of a class"),
        (_text, r"test/lying/0002.png: cannot be read as a picture \(its format is none of a picture\)$"),
        (_unknown, "test has the class slanting, expected one of those of train"),
        (_one, "has the only class standing, expected at least 2 folders of classes"),
        (_beside, "has val beside train, expected train and test only, or a folder a class"),
        (_loose, "train/x.png: lies in no folder of a class, expected CLASS/x.png"),
        (_no_train, "has test without train, expected train and test only, or a folder a class"),
        (_nothing, r"holds no pictures, expected CLASS/\*\{.png,.jpg,.jpeg,...\} or train/CLASS/\*"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, damage: Callable[[Path], None], sentence: str) -> None:
    write_tree(tmp_path / "train", IMAGES)
    write_tree(tmp_path / "test", stripes(6, side=8, seed=1))
    damage(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        load_images("folder", str(tmp_path))


def _add(archive: tarfile.TarFile, name: str, raw: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(raw)
    archive.addfile(member, io.BytesIO(raw))


@pytest.mark.parametrize("name", ["../outside.png", "/etc/a/outside.png", "train/../../outside.png"])
def test_a_path_out_of_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        _add(archive, name, b"x")
    with pytest.raises(ValueError, match=r"a.tar: holds .*outside.png, which leads out of the archive"):
        load_images("folder", str(tmp_path / "a.tar"))


def test_links_of_an_archive_are_passed_over_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("train/lying/x.png")
        member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        archive.addfile(member)
    with pytest.raises(ValueError, match="holds no pictures"):
        load_images("folder", str(tmp_path / "a.tar"))
    (tmp_path / "b.tar").write_bytes(b"nonsense" * 100)
    with pytest.raises(ValueError, match=r"b.tar: cannot be read as a tar archive \(.*\), expected one or a folder"):
        load_images("folder", str(tmp_path / "b.tar"))
    with pytest.raises(
        ValueError, match=r"c.tar: there is no such file or folder, expected a folder or .tar of pictures"
    ):
        load_images("folder", str(tmp_path / "c.tar"))


def test_empty_classes_and_giants_of_an_archive_are_told(tmp_path: Path) -> None:
    write_tree(tmp_path / "all", IMAGES)
    (tmp_path / "all" / "a").mkdir()
    (tmp_path / "all" / ".cache").mkdir()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "all", "all")
    with pytest.raises(ValueError, match=r"a.tar: the folder all/a holds no pictures, expected those of a class"):
        load_images("folder", str(tmp_path / "a.tar"))
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        member = tarfile.TarInfo("lying/huge.png")
        member.size = 10**13
        archive.addfile(member)
    with pytest.raises(ValueError, match=r"b.tar: lying/huge.png has 10000000000000 bytes, expected at most 268435456"):
        load_images("folder", str(tmp_path / "b.tar"))


def test_a_truncated_archive_is_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        _add(archive, "a/x.png", bytes(5000))
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"a.tar: cannot be read as a tar archive"):
        load_images("folder", str(tmp_path / "a.tar"))
