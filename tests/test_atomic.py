"""Atomic writes: all or nothing, links followed, modes as any new file has them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from envs.atomic import atomic_path, write_bytes_atomic, write_text_atomic


def test_atomic_write_leaves_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text_atomic(path, "old\r\n\u00fc")
    assert path.read_bytes() == b"old\r\n\xc3\xbc"

    def interrupted(*_: object) -> None:
        assert len(os.listdir(path.parent)) == 2, "the temporary file stands in the same folder"
        raise KeyboardInterrupt

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, step, interrupted)
            write_text_atomic(path, "new")
        assert path.read_bytes() == b"old\r\n\xc3\xbc" and os.listdir(path.parent) == ["b.txt"]
    write_text_atomic(path, "new")
    assert path.read_text() == "new" and os.listdir(path.parent) == ["b.txt"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_atomic_write_follows_links_and_umask(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    before = os.umask(0o022)
    try:
        write_text_atomic(tmp_path / "link", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o644


def test_atomic_path_is_for_writers_that_take_a_path(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.zip"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".zip" and temporary.parent == path.parent
        temporary.write_bytes(b"1")
        assert not path.exists()
    assert path.read_bytes() == b"1"
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_bytes(b"2")
        raise RuntimeError
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass  # nothing was written
    write_bytes_atomic(path.with_suffix(".bin"), b"\x00")
    assert path.read_bytes() == b"1" and sorted(os.listdir(path.parent)) == ["model.bin", "model.zip"]
    with pytest.raises(IsADirectoryError):
        write_bytes_atomic(path.parent, b"3")
    assert os.listdir(tmp_path) == ["new"]
