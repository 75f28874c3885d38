"""The picture files of a folder or of a tar archive, which is read where it lies, and decoding them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
"""Endings of files that are taken for pictures, in any case; others are passed over."""


LARGEST = 1 << 28
"""Bytes of a picture in an archive, at most: the headers of a small archive may promise what no memory holds."""


@dataclass(frozen=True)
class PictureFile:
    """A picture that is not decoded yet."""

    parts: tuple[str, ...]  # of its path below the folder or within the archive
    name: str  # for messages
    content: Path | bytes

    def decode(self, side: int | None) -> NDArray[np.uint8]:
        """Its pixels, (3, H, W) or for grey (1, H, W), turned as its camera was; ``side``: brought to that height and width.

        Raises ``ValueError`` for a file that cannot be decoded, or one of more than 8 bits a channel.
        """
        source = io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content
        try:
            with Image.open(source) as opened:
                picture = ImageOps.exif_transpose(opened)
                if picture.mode.startswith(("I", "F")):
                    raise ValueError("it has more than 8 bits a pixel and channel")
                picture = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
                if side is not None:
                    picture = picture.resize((side, side), Image.Resampling.BILINEAR)
                pixels = np.asarray(picture)
        except UnidentifiedImageError as error:  # names a file, or where in memory the bytes of an archive are
            raise ValueError(f"{self.name}: cannot be read as a picture (its format is none of a picture)") from error
        except Exception as error:  # decoders raise nearly anything for damaged files
            raise ValueError(f"{self.name}: cannot be read as a picture ({error})") from error
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def picture_files(source: Path) -> tuple[list[PictureFile], set[tuple[str, ...]]]:
    """All pictures of a folder, however deep, or of a ``.tar`` (packed or not), sorted by path, and the folders in it.

    Raises ``ValueError`` where there is no such folder or archive, where it is damaged, or where a path in it leads outside.
    """
    folders: set[tuple[str, ...]] = set()
    if source.is_dir():
        found = list(_walk(source, folders))
    elif source.is_file():
        try:
            with tarfile.open(source) as archive:
                found = list(_members(archive, source, folders))
        except (tarfile.TarError, EOFError, OSError) as error:
            first = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
            raise ValueError(
                f"{source}: cannot be read as a tar archive ({first}), expected one or a folder"
            ) from error
    else:
        raise ValueError(f"{source}: there is no such file or folder, expected a folder or .tar of pictures")
    return sorted(found, key=lambda file: file.parts), folders


def _walk(source: Path, folders: set[tuple[str, ...]]) -> Iterator[PictureFile]:
    for path in source.rglob("*"):
        parts = path.relative_to(source).parts
        if path.is_dir():
            folders.add(parts)
        elif _is_picture(parts) and path.is_file():
            yield PictureFile(parts, str(path), path)


def _members(archive: tarfile.TarFile, source: Path, folders: set[tuple[str, ...]]) -> Iterator[PictureFile]:
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{source}: holds {member.name}, which leads out of the archive, expected paths within it")
        if member.isdir():
            folders.add(path.parts)
        elif member.isfile() and _is_picture(path.parts):
            if member.size > LARGEST:
                raise ValueError(
                    f"{source}: {member.name} has {member.size} bytes, expected at most {LARGEST} for a picture"
                )
            content = archive.extractfile(member)
            assert content is not None  # it is a regular file
            yield PictureFile(path.parts, f"{source}: {member.name}", content.read())


def _is_picture(parts: tuple[str, ...]) -> bool:
    return parts[-1].lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in parts)
