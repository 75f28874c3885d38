"""The picture files of a folder or of a tar archive, which is read where it lies, and decoding them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
"""Endings of files that are taken for pictures, in any case; others are passed over."""


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
        except Exception as error:  # decoders raise nearly anything for damaged files
            raise ValueError(f"{self.name}: cannot be read as a picture ({error})") from error
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def picture_files(source: Path) -> list[PictureFile]:
    """All pictures of a folder, however deep, or of a ``.tar`` (packed or not), sorted by path.

    Raises ``ValueError`` where there is no such folder or archive, where it is damaged, or where a path in it leads outside.
    """
    if source.is_dir():
        found = [PictureFile(parts, str(source.joinpath(*parts)), source.joinpath(*parts)) for parts in _walk(source)]
    elif source.is_file():
        try:
            with tarfile.open(source) as archive:
                found = list(_members(archive, source))
        except (tarfile.TarError, EOFError, OSError) as error:
            first = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
            raise ValueError(
                f"{source}: cannot be read as a tar archive ({first}), expected one or a folder"
            ) from error
    else:
        raise ValueError(f"{source}: there is no such file or folder, expected a folder or .tar of pictures")
    return sorted(found, key=lambda file: file.parts)


def _walk(source: Path) -> Iterator[tuple[str, ...]]:
    for path in source.rglob("*"):
        parts = path.relative_to(source).parts
        if _is_picture(parts) and path.is_file():
            yield parts


def _members(archive: tarfile.TarFile, source: Path) -> Iterator[PictureFile]:
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{source}: holds {member.name}, which leads out of the archive, expected paths within it")
        if member.isfile() and _is_picture(path.parts):
            content = archive.extractfile(member)
            assert content is not None  # it is a regular file
            yield PictureFile(path.parts, f"{source}: {member.name}", content.read())


def _is_picture(parts: tuple[str, ...]) -> bool:
    return parts[-1].lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in parts)
