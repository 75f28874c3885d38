"""The packages carry their data: what an installed wheel needs is found through importlib.resources."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from importlib import metadata, resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("envs", "agents", "optimal", "inference", "conf")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_found_and_typed(package: str) -> None:
    assert resources.files(package).joinpath("__init__.py").is_file()
    assert resources.files(package).joinpath("py.typed").is_file()


def test_configuration_and_tables_are_found() -> None:
    configs = [entry.name for entry in resources.files("conf").iterdir()]
    assert any(name.endswith(".yaml") for name in configs)
    assert resources.files("envs.distprivacy").joinpath("ssim_table.yaml").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_data_file_is_in_the_wheel(package: str) -> None:
    """A file that no pattern of package-data takes would be missing in an installed wheel only."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    missing = [
        str(path.relative_to(ROOT))
        for path in files
        if path.suffix != ".py" and not any(fnmatch(path.name, pattern) for pattern in patterns)
    ]
    assert files
    assert missing == []


def test_every_requirement_of_the_dev_install_is_pinned() -> None:
    project = PROJECT["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {name.lower().replace("_", "-") for name in pins}
    wanted = [line for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    names = {line.split(">")[0].lower().replace("_", "-") for line in wanted}
    assert names - pinned == set()
    assert not any("+" in version for version in pins.values())


def test_the_installed_version_is_that_of_the_citation() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['project']['version']}\n" in citation
    try:
        installed = metadata.version("offramp")
    except metadata.PackageNotFoundError:
        pytest.skip("offramp is not installed in this environment")
    assert installed == PROJECT["project"]["version"]
