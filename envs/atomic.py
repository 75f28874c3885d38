"""Writing a file so that a reader, or a crash, never meets half of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of ``path`` to write to; on leaving, the file is renamed over ``path``.

    For what writes files itself, such as ``model.save``: the temporary name has the same ending. Missing parent folders
    are made; a link is followed, so that its target is what changes. The file is flushed to disk before the rename.

    Raises:
        OSError: the file cannot be written (``path`` is a folder, no permission, disk full), or none was written.
            ``path`` is then as before and the temporary file is gone, also after an interrupt.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private (mode 600), and the rename would make the result private too.
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp{target.suffix}")
    try:
        yield temporary
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path``: the file holds either its old content or all of the new one. Raises OSError."""
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        file.write(data)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, line ends as they are: all of it or, after a failure, nothing.

    Raises:
        OSError: the file cannot be written; ``path`` is then as before.
        UnicodeEncodeError: ``text`` holds a lone surrogate; nothing has been touched.
    """
    write_bytes_atomic(path, text.encode("utf-8"))
