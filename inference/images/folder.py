"""Data sets that are trees of picture files, a folder for each class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.progress import bar
from envs.strict_json import FilePath
from inference.images.image_set import ImageSet, Splits
from inference.images.picture_files import SUFFIXES, PictureFile, picture_files
from inference.images.split import with_test, without_test

Tree = dict[str, list[PictureFile]]
"""Class -> its files, both sorted."""


def load_folder(source: FilePath, *, side: int | None = None, seed: int = 0, progress: bool = False) -> Splits:
    """A data set of ``train/CLASS/*`` and ``test/CLASS/*``, or of ``train/CLASS/*`` or ``CLASS/*`` alone, which is split.

    Grey where all pictures are, otherwise red, green and blue. Classes and files are taken in the order of their names.

    Args:
        source: the folder, or a ``.tar`` of such a tree, which is read where it lies; one folder around all is skipped.
        side: height and width that all pictures are brought to; None: as they are, which must be the same for all.
        seed: of the split, and of the part of the training images that is for validation.
        progress: show a bar while pictures are decoded.

    Raises:
        ValueError: one sentence, with the file: no pictures, a damaged one or one of another size, a single class, a class
            without pictures, or one in test that train does not have.
    """
    place = Path(source)
    trees = _trees(place)
    train = trees["train"]
    if len(train) < 2:
        raise ValueError(f"{place}: has the only class {next(iter(train))}, expected at least 2 folders of classes")
    classes = tuple(train)
    unknown = [name for name in trees.get("test", {}) if name not in train]
    if unknown:
        raise ValueError(f"{place}: test has the class {unknown[0]}, expected one of those of train")
    files = [(part, name, file) for part, tree in trees.items() for name, own in tree.items() for file in own]
    pixels = _decoded([file for _, _, file in files], side, place, progress)
    labels = np.array([classes.index(name) for _, name, _ in files], np.int64)
    where = {part: np.array([of == part for of, _, _ in files]) for part in trees}
    sets = {part: ImageSet(pixels[own], labels[own], classes) for part, own in where.items()}
    name = re.sub(r"\.(tar(\.\w+)?|tgz)$", "", place.resolve().name)
    try:
        if "test" in sets:
            return with_test(name, sets["train"], sets["test"], seed)
        return without_test(name, sets["train"], seed, "there are no test images")
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _trees(place: Path) -> dict[str, Tree]:
    """The files of ``train``, and of ``test`` where there is one, class by class."""
    files, folders = picture_files(place)
    if not files:
        raise ValueError(
            f"{place}: holds no pictures, expected CLASS/*{{{','.join(SUFFIXES[:3])},...}} or train/CLASS/*"
        )
    skip = _around(files)
    tops = {file.parts[skip] for file in files}
    deep = all(len(file.parts) >= skip + 3 for file in files)
    parts = ("train", "test") if tops <= {"train", "test"} or ("train" in tops and deep) else ()
    other = sorted(tops.difference(parts))
    if parts and (other or "train" not in tops):
        beside = f"{other[0]} beside train" if other else "test without train"
        raise ValueError(f"{place}: has {beside}, expected train and test only, or a folder a class")
    trees: dict[str, Tree] = {}
    for file in files:
        rest = file.parts[skip:]
        tree = trees.setdefault(rest[0] if parts else "train", {})
        at = 1 if parts else 0
        if len(rest) < at + 2:
            raise ValueError(f"{file.name}: lies in no folder of a class, expected CLASS/{rest[-1]}")
        tree.setdefault(rest[at], []).append(file)
    above = files[0].parts[:skip] + (("train",) if parts else ())
    for folder in sorted(folders):
        *outer, name = folder or ("",)
        if tuple(outer) == above and name not in trees["train"] and not name.startswith((".", "__")):
            raise ValueError(f"{place}: the folder {'/'.join(folder)} holds no pictures, expected those of a class")
    return dict(sorted(trees.items(), reverse=True))  # train first


def _around(files: Sequence[PictureFile]) -> int:
    """1 where all lies in one folder that is neither train nor a class, otherwise 0."""
    tops = {file.parts[0] for file in files}
    return int(len(tops) == 1 and not tops <= {"train", "test"} and all(len(file.parts) >= 3 for file in files))


def _decoded(files: Sequence[PictureFile], side: int | None, place: Path, progress: bool) -> NDArray[np.uint8]:
    """Pictures (N, C, H, W)."""
    found: list[NDArray[np.uint8]] = []
    with bar(f"read {place.name}", len(files), shown=progress) as tick:
        for file in files:
            found.append(file.decode(side))
            first, now = found[0].shape[1:], found[-1].shape[1:]
            if now != first:
                sizes = f"{now[0]} x {now[1]}, the first picture {first[0]} x {first[1]}"
                raise ValueError(f"{file.name}: is {sizes}, expected one size, or side=... to bring all to")
            tick(len(found))
    channels = max(len(pixels) for pixels in found)
    result = np.empty((len(found), channels, *found[0].shape[1:]), np.uint8)
    for index, pixels in enumerate(found):
        result[index] = pixels  # grey ones are repeated in all channels
    return result
