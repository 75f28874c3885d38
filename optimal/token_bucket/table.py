"""``python -m optimal.token_bucket.table``: all references on 14 cases, beside levels that other code measured before."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.scenarios import scenario
from optimal.token_bucket import baselines
from optimal.token_bucket.belief import belief
from optimal.token_bucket.cases import Case, Level, play
from optimal.token_bucket.clairvoyant import Clairvoyant
from optimal.token_bucket.full_information import full_information
from optimal.token_bucket.gaps import GapLaw
from optimal.token_bucket.iid_mdp import iid_mdp_of
from optimal.token_bucket.policy import Policy
from optimal.token_bucket.published_mdp import published_mdp_of
from optimal.token_bucket.regime_mdp import regime_mdp

if TYPE_CHECKING:
    from conf.token_bucket_schema import TokenBucketTableConfig

TOLERANCE, ERRORS = 1e-3, 3.5
"""A level may differ from the one before by this loss, or by so many pooled standard errors."""
EXACT = 1e-4
"""An exact gain may differ from its simulation by this, or by so many standard errors."""


@dataclass(frozen=True)
class Cell:
    """One column of one case."""

    case: str
    column: str
    loss: float
    error: float | None  # standard error; None: exact
    sends: float | None  # share of the frames that are sent; of the bound: that the rate can pay for
    before: float | None  # what other code measured; None: not measured
    tolerance: float | None
    within: bool | None


@dataclass(frozen=True)
class Check:
    """An exact gain against the simulation of the same policy, on the model that the gain is for."""

    case: str
    policy: str
    exact: float
    simulated: float
    error: float
    within: bool


def run(config: TokenBucketTableConfig) -> dict[str, Any]:
    """Measure, and write table.csv and table.json into ``config.out``; returns cells, checks and paths."""
    from envs.atomic import write_text_atomic
    from optimal.progress import status_line

    started, cells, checks = time.perf_counter(), list[Cell](), list[Check]()
    known = load()
    with status_line() as say:
        for number, entry in enumerate(known["cases"], start=1):
            say(f"case {number} of {len(known['cases'])}: {entry['name']}")
            one_cells, one_checks = measure(entry, known, config.streams, config.length, config.seed)
            cells += one_cells
            checks += one_checks
    folder = Path(config.out)
    result = {
        "streams": config.streams,
        "length": config.length,
        "seed": config.seed,
        "seconds": time.perf_counter() - started,
        "cells": [asdict(cell) for cell in cells],
        "checks": [asdict(check) for check in checks],
    }
    text = io.StringIO()
    table = csv.DictWriter(text, [*Cell.__dataclass_fields__], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(cell) for cell in cells)
    write_text_atomic(folder / "table.csv", text.getvalue())
    write_text_atomic(folder / "table.json", json.dumps(result, indent=1) + "\n")
    if config.format == "text":
        _print(cells, checks)
    return result | {"csv": str(folder / "table.csv"), "json": str(folder / "table.json")}


def load() -> dict[str, Any]:
    """The cases and their levels before, from ``reference_table.yaml``."""
    known: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("reference_table.yaml").read_text(encoding="utf-8"))
    return known


def case_of(entry: dict[str, Any]) -> Case:
    """The case of an entry of ``reference_table.yaml``."""
    gaps = entry.get("gaps")
    generator = scenario(entry["scenario"], reset=entry.get("reset"), gaps=None if gaps is None else tuple(gaps))
    return Case(entry["name"], generator, Bucket.of(entry["rate"], entry["depth"]))


def measure(
    entry: dict[str, Any], known: dict[str, Any], streams: int, length: int, seed: int
) -> tuple[list[Cell], list[Check]]:
    """All columns of one case, and its exact gains against their simulations."""
    case = case_of(entry)
    generator, bucket = case.generator, case.bucket
    blind, aware, informed = (
        iid_mdp_of(generator, bucket),
        regime_mdp(generator, bucket),
        full_information(generator, bucket),
    )
    policies: list[Policy] = [
        baselines.fixed_threshold(generator, bucket),
        baselines.Greedy(),
        baselines.Chance(baselines.send_share(bucket, GapLaw.of(generator.arrivals))),
        published_mdp_of(generator, bucket),
        blind,
        aware,
        belief(generator, bucket),
        informed,
        Clairvoyant(),
        Clairvoyant(realised=True),
    ]
    levels, bound = play(case, policies, streams, length, seed)
    weak = generator.weak_loss
    checks = [_check(case, informed.name, weak - informed.gain, levels[informed.name], length)]
    if not generator.metrics.correlated:
        checks.append(_check(case, aware.name, weak - aware.gain, levels[aware.name], length))
        if generator.arrivals.regimes == 1:
            checks.append(_check(case, blind.name, weak - blind.gain, levels[blind.name], length))
    before = dict(zip(known["columns"], entry["levels"], strict=True))
    # the mix of regimes in the streams moves the bound, and those before had a mix of their own
    cells = [_compared(case, "bound", bound, before["bound"], streams, known["streams"])]
    for name, level in levels.items():
        if name == informed.name:
            cells.append(_exact(case, name, weak - informed.gain, before))
            cells.append(Cell(case.name, f"{name}, played", level.loss, level.error, level.sends, None, None, None))
            continue
        count = known["clairvoyant_streams"] if name.startswith("clairvoyant") else known["streams"]
        cells.append(_compared(case, name, level, before.get(name), streams, count))
    return cells, checks


def _compared(case: Case, name: str, level: Level, before: float | None, streams: int, count: int) -> Cell:
    if before is None:
        return Cell(case.name, name, level.loss, level.error, level.sends, None, None, None)
    pooled = level.spread * (1 / streams + 1 / count) ** 0.5
    tolerance = max(TOLERANCE, ERRORS * pooled)
    within = abs(level.loss - before) <= tolerance
    return Cell(case.name, name, level.loss, level.error, level.sends, before, tolerance, within)


def _exact(case: Case, name: str, loss: float, before: dict[str, float]) -> Cell:
    return Cell(case.name, name, loss, None, None, before[name], TOLERANCE, abs(loss - before[name]) <= TOLERANCE)


def _check(case: Case, name: str, exact: float, level: Level, length: int) -> Check:
    # streams begin with a full bucket, which is worth at most its tokens
    head_start = float(case.bucket.depth) * float(case.generator.distribution.values[-1]) / length
    within = abs(exact - level.loss) <= max(EXACT, ERRORS * level.error) + head_start
    return Check(case.name, name, exact, level.loss, level.error, within)


WIDE = 156
"""Columns of text that the table needs."""
SHOWN = ("bound", "threshold", "iid-MDP", "regime-MDP", "belief", "full information", "clairvoyant m", "clairvoyant R")
"""Columns of the printed table; all are in the files."""


def markdown(cells: list[Cell]) -> Iterator[str]:
    """The table as rows of Markdown: loss, standard error in units of the last digit, and the level before in italics."""
    yield "| case | " + " | ".join(SHOWN) + " |"
    yield "|---|" + "---|" * len(SHOWN)
    for case in dict.fromkeys(cell.case for cell in cells):
        own = {cell.column: cell for cell in cells if cell.case == case}
        yield f"| {case} | " + " | ".join(_text(own[name], " *", "*") for name in SHOWN) + " |"


def _text(cell: Cell, opened: str, closed: str) -> str:
    error = "" if cell.error is None or cell.error < 1e-9 else f"({round(1e5 * cell.error)})"
    before = "" if cell.before is None else f"{opened}{cell.before:.5f}{closed}".replace("0.", ".")
    return f"{cell.loss:.5f}".lstrip("0") + error + before + ("" if cell.within is not False else " !")


def _print(cells: list[Cell], checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = "Mean loss (standard error, units of the last digit), below it the level before; !: out of tolerance"
    table = Table(title=title, title_justify="left")
    for heading in ("case", *SHOWN):
        table.add_column(heading, justify="left" if heading == "case" else "right", no_wrap=True)
    for case in dict.fromkeys(cell.case for cell in cells):
        own = {cell.column: cell for cell in cells if cell.case == case}
        table.add_row(case, *(_text(own[name], "\n", "") for name in SHOWN))
    console = Console()
    if console.width < WIDE:
        console = Console(width=WIDE, soft_wrap=True)
    console.print(table)
    wrong = [check for check in checks if not check.within]
    console.print(f"{len(checks) - len(wrong)} of {len(checks)} exact gains agree with their simulation")
    for check in wrong:
        console.print(f"{check.case}, {check.policy}: exact {check.exact:.5f}, simulated {check.simulated:.5f}")


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.token_bucket_schema import TokenBucketTableConfig

    raise SystemExit(main("token_bucket_table", TokenBucketTableConfig, run, ("out",)))
