"""Making a folder that appears under its name only once it is complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(root: Path, name: str) -> Iterator[NewFolder]:
    """A folder in ``root`` to write to; on leaving it is given its name, with a number where that is taken.

    Runs started at the same moment, also by other processes, never share a folder, and a run killed on the way leaves none
    that looks complete. After an exception nothing is left. Raises ``OSError``.
    """
    root.mkdir(parents=True, exist_ok=True)
    made = NewFolder(Path(tempfile.mkdtemp(prefix=".new-", dir=root)))
    try:
        made.path.chmod(0o777 & ~_umask())
        yield made
        made.path = _named(made.path, root, name)
    except BaseException:
        shutil.rmtree(made.path, ignore_errors=True)
        raise


class NewFolder:
    """``path``: where the folder lies now; its final place once ``new_folder`` has been left."""

    def __init__(self, path: Path) -> None:
        self.path = path


def _named(made: Path, root: Path, name: str) -> Path:
    """Give the folder ``made`` its name, with a number where that is taken."""
    number = 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            if not path.exists():
                made.rename(path)
                return path
        except OSError as error:  # taken, perhaps this very moment by another process
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        number += 1


def _umask() -> int:
    """The process's umask, which mkdtemp does not ask."""
    mask = os.umask(0o22)
    os.umask(mask)
    return mask
