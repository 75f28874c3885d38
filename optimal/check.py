"""``python -m optimal.check``: replay any solution in the environment's physics, and name every violated constraint."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agents.cli import main
from conf.schema import CheckConfig

if TYPE_CHECKING:
    from envs.distprivacy.replay import Report, Violation
    from envs.distprivacy.types import Instance, Solution

CLAIM_TOLERANCE = 1e-9
"""Largest relative difference between what a solution file claims and what the replay finds."""
UNITS = {
    "memory": "bytes",
    "compute": "multiplications",
    "bandwidth": "bytes",
    "privacy": "maps",
    "assignment": "segments",
    "must_be_on_source": "segments",
    "must_not_be_on_source": "segments",
}
"""Kind of violation -> unit of its amount."""


def check(config: CheckConfig) -> dict[str, Any]:
    """Replay ``config.solution`` and report latencies and violations; prints a table where ``format`` is text.

    Returns:
        The report: objective_s and latencies_s in seconds (None: rejected), shared_bytes, violations
        (docs/distprivacy.md, "Files").

    Raises:
        ValueError: one sentence; a file is missing or wrong, or the solution does not fit the instance.
    """
    # Here, not above: the physics is compiled on import, and --help needs none of it.
    from envs.distprivacy.files import check_fits, load_instance, load_solution
    from envs.distprivacy.replay import replay

    instance = load_instance(config.instance)
    solution = load_solution(config.solution)
    check_fits(solution, instance, config.solution)
    report = replay(instance, solution)
    for sentence in wrong_claims(solution, report, states_objective(config.solution)):
        print(f"warning: {config.solution}: {sentence}", file=sys.stderr)
    if config.format == "text":
        _print_tables(instance, report)
    return report.to_dict()


def states_objective(path: str) -> bool:
    """Whether a solution file states its objective; where it does not, the loaded solution holds a sum."""
    with open(path, encoding="utf-8-sig") as file:
        return "objective_s" in json.load(file)


def wrong_claims(solution: Solution, report: Report, objective_stated: bool = True) -> Iterator[str]:
    """A sentence for each latency or objective of ``solution`` that the replay does not confirm (1e-9 relative)."""
    pairs = zip(solution.requests, report.latencies_s, strict=True)
    claims = [
        (f"requests[{index}].latency_s", request.latency_s, found) for index, (request, found) in enumerate(pairs)
    ]
    if objective_stated:
        claims.append(("objective_s", solution.objective_s, report.objective_s))
    for name, claim, found in claims:
        if claim is not None and found is not None and abs(claim - found) > CLAIM_TOLERANCE * max(claim, found):
            yield f"{name} is stated as {claim!r} s, the replay gives {found!r} s"


def _print_tables(instance: Instance, report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # On paper or in a pipe there is no width to keep to: wide enough that rich cuts no number.
    console = Console(width=None if sys.stdout.isatty() else 120)
    requests = Table(title="Requests", title_justify="left")
    for heading in ("request", "network", "source", "latency, ms", "shared, bytes"):
        requests.add_column(
            heading, justify="right" if heading in ("request", "latency, ms", "shared, bytes") else "left"
        )
    for index, request in enumerate(instance.requests):
        latency, source = report.latencies_s[index], instance.sources[request.source].name
        shown = "rejected" if latency is None else f"{1e3 * latency:.6f}"
        row = (str(index), request.network, source, shown, f"{report.shared_bytes[index]:,.0f}")
        requests.add_row(*map(Text, row))  # Text: names of the user's may hold what rich takes for markup
    console.print(requests)
    if report.violations:
        broken = Table(title="Violated constraints", title_justify="left")
        for heading in ("constraint", "request", "layer", "device", "over the limit by"):
            broken.add_column(heading, justify="right" if heading in ("request", "over the limit by") else "left")
        for violation in report.violations:
            place = "" if violation.request is None else str(violation.request)
            unit = UNITS[violation.kind]
            amount = f"{violation.amount:,.10g} {unit[:-1] if violation.amount == 1 else unit}"
            row = (violation.kind, place, violation.layer or "", _device_name(instance, violation), amount)
            broken.add_row(*map(Text, row))
        console.print(broken)
    rejected = sum(latency is None for latency in report.latencies_s)
    console.print(
        Text(f"objective: {1e3 * report.objective_s:.6f} ms over {len(report.latencies_s) - rejected} served")
    )
    console.print(Text(f"rejected: {rejected}; violated constraints: {len(report.violations)}"))


def _device_name(instance: Instance, violation: Violation) -> str:
    if violation.device is None:
        return ""
    if violation.device >= 0:
        return instance.devices[violation.device].name
    if violation.request is not None:
        return instance.sources[instance.requests[violation.request].source].name
    # The budget of a source: the report does not say of which.
    return instance.sources[0].name if len(instance.sources) == 1 else "a source"


if __name__ == "__main__":
    raise SystemExit(main("check", CheckConfig, check, ("instance", "solution")))
