"""Writing a file so that a reader, or a crash, never meets half of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``: the file holds either its old content or all of the new one.

    The text goes to a temporary file in the same folder, is flushed to disk and then renamed over ``path``. Missing
    parent folders are made; line ends stay as they are; a link is followed, so that its target is what changes.

    Raises:
        OSError: the file cannot be written (``path`` is a folder, no permission, disk full). ``path`` is then as
            before and the temporary file is gone, also after an interrupt.
        UnicodeEncodeError: ``text`` holds a lone surrogate; nothing has been touched.
    """
    data = text.encode("utf-8")
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # Not tempfile: its files are private (mode 600), and the rename would make the result private too.
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
