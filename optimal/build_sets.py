"""``python -m optimal.build_sets``: solve the standard sets, one instance after the other, resumable.

Every solved instance is added to ``NAME.partial.jsonl`` in the folder ``out``; a run that is started again goes on there. A
set that is complete is written as ``NAME.json``, which ``standard_sets`` reads once it lies in ``optimal/sets/``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.cli import Interrupted, main
from conf.benchmark_schema import BuildSetsConfig
from conf.messages import UserError

if TYPE_CHECKING:
    from envs.distprivacy.types import Instance
    from optimal.reference import Reference
    from optimal.standard_sets import Recipe

    Solve = Callable[[Instance], Reference]


def run(config: BuildSetsConfig) -> dict[str, Any]:
    """Build the sets of ``config``; returns for each its file and how many instances are proven optimal."""
    from optimal.solve import solve

    def solver(instance: Instance) -> Reference:
        return solve(instance, time_limit=config.time_limit)

    result = {}
    for name in config.sets:
        entries = build(name, Path(config.out), solver)
        proven = sum(entry["status"] == "optimal" for entry in entries)
        result[name] = {
            "file": str(Path(config.out) / f"{name}.json"),
            "instances": len(entries),
            "optimal": proven,
            "seconds": sum(entry["seconds"] for entry in entries),
        }
        print(f"{name}: {len(entries)} instances, {proven} proven optimal", file=sys.stderr)
    return {"sets": result}


def build(name: str, out: Path, solve: Solve, recipe: Recipe | None = None) -> list[dict[str, Any]]:
    """Solve a set, going on where an earlier call stopped, and write it; returns the entries of its instances.

    Args:
        name: name of the set.
        out: folder of the file and of what is half done.
        solve: gives the reference of an instance.
        recipe: where the instances come from; None: the shipped recipe of this name.

    Raises:
        UserError: what is half done in ``out`` cannot be read.
    """
    from envs.atomic import write_text_atomic
    from envs.distprivacy.files import content_hash
    from optimal.standard_sets import FORMAT, RECIPES, VERSION, entry_of

    recipe = RECIPES[name] if recipe is None else recipe
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f"{name}.partial.jsonl"
    done = _read_partial(partial)
    instances = recipe.instances()
    hashes = [content_hash(instance) for instance in instances]
    try:
        with _progress(name, len(instances)) as advance, open(partial, "a", encoding="utf-8") as file:
            for instance, digest in zip(instances, hashes, strict=True):
                if digest not in done:
                    done[digest] = entry_of(instance, solve(instance))
                    file.write(json.dumps(done[digest], allow_nan=False) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                advance()
    except KeyboardInterrupt:
        raise Interrupted(f"the same command goes on after the {len(done)} instances in {partial}") from None
    entries = [done[digest] for digest in hashes]
    made_by = {"scenario": recipe.scenario, "overrides": dict(recipe.overrides)}
    head = {"format": FORMAT, "version": VERSION, "recipe": {**made_by, "seed": recipe.seed, "count": recipe.count}}
    # One line an instance: readable differences, small files.
    lines = ",\n".join(json.dumps(entry, separators=(",", ":"), allow_nan=False) for entry in entries)
    write_text_atomic(out / f"{name}.json", json.dumps(head)[:-1] + f', "instances": [\n{lines}\n]}}\n')
    partial.unlink()
    return entries


def _read_partial(path: Path) -> dict[str, dict[str, Any]]:
    """Entries by hash; a last line without its end, which a kill leaves, is cut off."""
    if not path.exists():
        return {}
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    try:
        entries = [json.loads(line) for line in whole.splitlines()]
        return {entry["sha256"]: entry for entry in entries}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({error}), expected a file that this command has written") from error


class _progress:
    """Context manager: a bar on standard error where that is a terminal; gives the function that advances it."""

    def __init__(self, name: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(file=sys.stderr)
        columns = (TextColumn(f"[bold]solving {name}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(name, total=total)

    def __enter__(self) -> Callable[[], None]:
        self._bar.start()
        return lambda: self._bar.advance(self._task)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


if __name__ == "__main__":
    raise SystemExit(main("build_sets", BuildSetsConfig, run, ("out",)))
