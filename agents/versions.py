"""What a run ran on: Python, platform, packages, git revision. Never fails: what is unknown is null."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any


def versions() -> dict[str, Any]:
    """Plain data for versions.json."""
    return {
        "offramp": installed_version(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": list(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": _packages(),
        "git": git_revision(Path(__file__)),
    }


def installed_version() -> str | None:
    """Version of the installed offramp package; None where it runs from its folder without being installed."""
    try:
        return metadata.version("offramp")
    except metadata.PackageNotFoundError:
        return None


def git_revision(file: Path) -> dict[str, Any] | None:
    """Revision of the git tree that tracks ``file``, and whether tracked files differ from it; None without one."""

    def git(*arguments: str) -> str:
        # A git hook sets GIT_DIR, which would name another tree than that of the file.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-C", str(file.parent), *arguments]
        done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        # Installed in a .venv, the file lies in somebody's tree but is not part of it.
        git("ls-files", "--error-unmatch", file.name)
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None


def _packages() -> dict[str, str]:
    try:
        found = {str(entry.metadata["Name"]): str(entry.version) for entry in metadata.distributions()}
    except Exception:  # a broken package of somebody else's is no reason not to train
        return {}
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))
