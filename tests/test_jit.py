"""Compiled kernels: the cache follows every source that is compiled into one."""

from __future__ import annotations

import re
from pathlib import Path

import envs
from envs._jit import cache_folder, kernel_sources

ROOT = Path(envs.__file__).parent.parent


def test_every_module_that_a_kernel_module_takes_numbers_from_is_hashed() -> None:
    hashed = kernel_sources(ROOT)
    assert ROOT / "envs/distprivacy/dynamics.py" in hashed
    for source in hashed:
        text = source.read_text()
        modules = re.findall(r"^from (envs\.\w+) import (\w+) as", text, re.M)
        modules += [
            tuple(path.rsplit(".", 1))
            for path, names in re.findall(
                r"^from ((?:envs|agents|optimal)\.\w+(?:\.\w+)?) import ([^(\n]+|\([^)]*\))", text, re.M
            )
            if re.search(r"\b[A-Z_]{3,}\b", names)
        ]
        for package, name in modules:
            assert ROOT / package.replace(".", "/") / f"{name}.py" in hashed, (
                f"{source} compiles numbers of {package}.{name}"
            )


def test_a_changed_offset_changes_the_cache_folder_and_a_changed_viewer_does_not(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    folders = []
    for name, text in (
        ("state.py", "AT = 1"),
        ("state.py", "AT = 2"),
        ("viewer.py", "WIDTH = 1"),
        ("viewer.py", "WIDTH = 2"),
    ):
        (tmp_path / "envs" / name).write_text(text)
        folders.append(cache_folder(tmp_path))
    assert folders[0] != folders[1] == folders[2] == folders[3]
