"""References kept on disk as solution files, found again by what the instance says and by the code that solved it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from envs.distprivacy.files import check_fits, content_hash, load_solution, save_solution
from envs.distprivacy.replay import replay
from envs.distprivacy.types import Instance
from optimal.reference import Reference

_AGREEMENT = 1e-12
"""Largest relative difference between a kept objective and its replay."""


@lru_cache(maxsize=1)
def _sources() -> bytes:
    """SHA-256 of the code that solves and of the physics: another version of it finds nothing."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in ("optimal", "envs"):
        for source in sorted((root / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.digest()


def cache_path(folder: Path, instance: Instance, solver: str, chain: bool) -> Path:
    """File of a reference; ``solver`` with its version."""
    made_by = hashlib.sha256(f"{solver} {chain} ".encode() + _sources()).hexdigest()
    return folder / f"{content_hash(instance)[:32]}-{made_by[:16]}.json"


def recall(path: Path, instance: Instance, time_limit: float | None) -> Reference | None:
    """The kept reference, if there is one and it is proven or took at least ``time_limit`` seconds.

    The placement is replayed; a file that cannot be read, does not fit or does not replay as stated counts as none.
    """
    if not path.is_file():
        return None
    try:
        solution = load_solution(path)
        check_fits(solution, instance, str(path))
    except ValueError:
        return None
    if solution.rejections_bound is None or solution.seconds is None or solution.solver is None:
        return None
    if solution.status != "optimal" and (time_limit is None or solution.seconds < time_limit):
        return None
    report = replay(instance, solution)
    if report.violations or abs(report.objective_s - solution.objective_s) > _AGREEMENT * report.objective_s:
        return None
    return Reference.of(solution)


def keep(path: Path, reference: Reference) -> None:
    """Write a reference, atomically. Raises ValueError where the file cannot be written."""
    if reference.solution is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_solution(reference.solution, path)
