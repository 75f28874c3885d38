"""``python -m envs.conformance [steps=5000] [num_envs=2] [env=ID] [case=NAME] [format=json]``: every check, every case.

``steps``: steps of the comparison of scalar and vector environment. Exit code 0: all promises kept, 1: one is broken,
2: wrong input.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from envs.conformance import CHECKS, ConformanceError
from envs.conformance.cases import CASES

_DEFAULTS = {"steps": "5000", "num_envs": "2", "env": "all", "case": "all", "format": "table"}
_HELP = f"""python -m envs.conformance [key=value ...]: what the docs promise of every registered environment, checked.

steps={_DEFAULTS["steps"]}      steps of the comparison of scalar and vector environment, 1 or more; 100_000 take 10 minutes
num_envs={_DEFAULTS["num_envs"]}      environments in the vector environment of that comparison, 1 or more
env={_DEFAULTS["env"]}         one environment: {", ".join(CASES)}
case={_DEFAULTS["case"]}        one case: {", ".join(name for cases in CASES.values() for name in cases)}
format={_DEFAULTS["format"]}    table, or json: one JSON object on standard output

Checks: {", ".join(CHECKS)}.
Exit codes: 0 all promises are kept, 1 one is broken, 2 wrong input."""


def read_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """``key=value`` arguments over the defaults. Raises ``ValueError`` with one sentence."""
    values = dict(_DEFAULTS)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in values:
            raise ValueError(f"argument is {argument!r}, expected one of {', '.join(f'{name}=...' for name in values)}")
        values[key] = value
    for key in ("steps", "num_envs"):
        if not values[key].replace("_", "").isdecimal() or int(values[key].replace("_", "")) < 1:
            raise ValueError(f"{key} is {values[key]!r}, expected a whole number >= 1")
    if values["format"] not in ("table", "json"):
        raise ValueError(f"format is {values['format']!r}, expected table or json")
    if values["env"] not in ("all", *CASES):
        raise ValueError(f"env is {values['env']!r}, expected all or one of {', '.join(CASES)}")
    known = [name for cases in CASES.values() for name in cases]
    if values["case"] not in ("all", *known):
        raise ValueError(f"case is {values['case']!r}, expected all or one of {', '.join(known)}")
    return values


def run_case(env_id: str, case: str, steps: int, num_envs: int) -> dict[str, Any]:
    """Run every check on one case; a row of the report."""
    begun, broken = time.perf_counter(), []
    for name, check in CHECKS.items():
        more = {"steps": steps, "num_envs": num_envs} if name == "scalar_equals_vector" else {}
        try:
            check(env_id, **more, **CASES[env_id][case])
        except ConformanceError as error:
            broken.append(f"{name}: {error}")
    return {"env": env_id, "case": case, "seconds": round(time.perf_counter() - begun, 2), "broken": broken}


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if {"--help", "-h"} & set(arguments):
        print(_HELP)
        return 0
    try:
        values = read_arguments(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    steps, num_envs = (int(values[key].replace("_", "")) for key in ("steps", "num_envs"))
    progress = Console(stderr=True)
    rows = []
    for env_id in CASES if values["env"] == "all" else [values["env"]]:
        for case in CASES[env_id]:
            if values["case"] in ("all", case):
                with progress.status(f"{env_id}: {case}"):
                    rows.append(run_case(env_id, case, steps, num_envs))
    if values["format"] == "json":
        print(json.dumps({"steps": steps, "num_envs": num_envs, "checks": list(CHECKS), "cases": rows}, indent=2))
    else:
        table = Table(
            "environment", "case", "seconds", "result", title=f"{len(CHECKS)} checks a case, {steps} x {num_envs} steps"
        )
        for row in rows:
            result = "[red]" + "\n".join(row["broken"]).replace("[", "\\[") if row["broken"] else "[green]ok"
            table.add_row(row["env"], row["case"], f"{row['seconds']:.1f}", result)
        Console().print(table)
    return int(any(row["broken"] for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
