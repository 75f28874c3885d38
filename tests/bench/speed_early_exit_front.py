"""Speed and quality of early-exit threshold search against its bars: ``python tests/bench/speed_early_exit_front.py --help``.

One thread. Bars for 5,000 rows: one threshold vector in .6 ms, or 5 us each of many; 21^4 choices in 50 ms; the exact front of
all thresholds in 5 s; a front over 31 mass-aware levels in .1 s; the integer program for 31 levels in 2 s and equal to
enumeration to 1e-6. Without ``--tables`` on a synthetic month; with them NSGA-II at its published settings runs on each, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from tiny_exits import month

from envs.early_exit.routing import REJECTED, routes
from envs.early_exit.table_file import load_table
from envs.early_exit.types import ExitTable
from optimal.early_exit.evaluator import Evaluator
from optimal.early_exit.exact_front import Front, exact_front
from optimal.early_exit.levels import Levels, all_distinct, mass_aware, thresholds, uniform
from optimal.early_exit.methods import find
from optimal.early_exit.nsga2 import GENERATIONS, compared
from optimal.early_exit.operating_point import Rule, choose, with_margin
from optimal.early_exit.pair_tables import pair_tables
from optimal.early_exit.pareto import hypervolume
from optimal.early_exit.row_costs import offload_cost
from optimal.early_exit.threshold_milp import best_levels


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, compilation left out."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def by_rows(table: ExitTable, values: np.ndarray) -> tuple[int, int]:
    """Accepted and wrong rows of one threshold vector, row by row."""
    where = routes(table, thresholds(values))[0]
    answered = where < REJECTED
    said = np.where(where == 0, table.predicted[0], table.predicted[1])
    return int(answered.sum()), int((answered & (said != table.label)).sum())


def speeds(table: ExitTable, repeats: int) -> Table:
    """Times of single pieces of work, beside their bars."""
    cost, few = offload_cost(table), mass_aware(table, 31)
    evaluate, tables = Evaluator.of(table, cost), pair_tables(table, few)
    many = np.random.default_rng(0).uniform(0.5, 1.0, (20_000, 4))
    grid = tables.grid()
    allowed = (grid.accepted >= 0.7 * len(table)) & (grid.offloaded <= 0.15 * len(table))
    least = float(np.where(allowed, grid.wrong / np.maximum(grid.accepted, 1), np.inf).min())
    off = abs(best_levels(tables, 0.7, 0.15).objective - least)

    def front(levels: Levels, tau: float = 0.9) -> Front:
        return exact_front(table, levels, cost, tau)

    out = Table(title=f"{len(table):,} rows, medians of {repeats}", title_justify="left")
    for heading in ("what", "measured", "bar"):
        out.add_column(heading, justify="left" if heading == "what" else "right")
    shape = " x ".join(map(str, all_distinct(table).shape))
    cases: list[tuple[str, float, float, str, Callable[[], object]]] = [
        ("one threshold vector, row by row", 1e3, 0.6, "ms", lambda: by_rows(table, many[:1])),
        ("one of 20,000 threshold vectors, by tables", 1e6 / len(many), 5, "us", lambda: evaluate(many)),
        ("counts of 21^4 choices, tables included", 1e3, 50, "ms", lambda: pair_tables(table, uniform(21)).grid()),
        (f"exact front, all {shape} thresholds, tau .9", 1e3, 5e3, "ms", lambda: front(all_distinct(table))),
        ("the same, tau .7", 1e3, 5e3, "ms", lambda: front(all_distinct(table), 0.7)),
        ("front over 31 mass-aware levels, tau .9", 1e3, 100, "ms", lambda: front(mass_aware(table, 31))),
        ("integer program, 31 levels, offload at most .15", 1, 2, "s", lambda: best_levels(tables, 0.7, 0.15)),
    ]
    for name, scale, bar, unit, work in cases:
        out.add_row(name, f"{scale * seconds(work, repeats):.3g} {unit}", f"{bar:g} {unit}")
    out.add_row("integer program against enumeration: error differs by", f"{off:.1e}", "1e-6")
    return out


def quality(files: list[str], tau: float, generations: int) -> Table:
    """One line a table: the exact front, and the share of its hypervolume that others reach."""
    out = Table(title=f"hypervolumes by that of the exact front, tau {tau:g}", title_justify="left")
    heads = ("table", "thresholds", "points", "exact s", "hypervolume", "mass-aware 31", "31 of second", "grid 21")
    for heading in (*heads, "reject at exit 1", "NSGA-II", "dominated", "NSGA-II s"):
        out.add_column(heading, justify="left" if heading == "table" else "right")
    loaded = [load_table(file) for file in files]
    fixed = mass_aware(loaded[min(1, len(loaded) - 1)], 31)
    for file, table in zip(files, loaded, strict=True):
        cost = offload_cost(table)
        exact = find("exact", table, cost, tau)
        area = hypervolume(exact.front.points)
        fronts = [
            find("mass-aware", table, cost, tau).front,
            exact_front(table, fixed, cost, tau),
            find("grid", table, cost, tau).front,
            find("reject-at-exit-1", table, cost, tau).front,
        ]
        searched = find("nsga2", table, cost, tau, generations=generations)
        against = compared(searched.front, exact.front)
        out.add_row(
            "/".join(Path(file).parts[-2:]),
            f"{np.prod([float(k) for k in all_distinct(table).shape]):.1e}",
            str(len(exact.front)),
            f"{exact.seconds:.3f}",
            f"{area:.6f}",
            *(f"{hypervolume(front.points) / area:.4f}" for front in fronts),
            f"{against.ratio:.4f}",
            f"{100 * against.dominated:.0f} %",
            f"{searched.seconds:.1f}",
        )
    return out


def kept(files: list[str], tau: float) -> Table:
    """Thresholds chosen on the second table (least error + .1 * share offloaded), on all of them, without and with a margin."""
    out = Table(title=f"chosen on the second table, tau {tau:g}: error / accepted / offloaded, %", title_justify="left")
    out.add_column("table")
    loaded = [load_table(file) for file in files]
    chosen, cost = loaded[min(1, len(loaded) - 1)], offload_cost(loaded[min(1, len(loaded) - 1)])
    margins = [margin for margin in (0.0, 0.02, 0.05) if tau + margin <= 1]
    rules = []
    for margin in margins:
        out.add_column(f"margin {margin:g}", justify="right")
        found = exact_front(chosen, all_distinct(chosen), cost, with_margin(tau, margin))
        rules.append(found.values[choose(found, Rule("weight", 0.1))][None])
    for file, table in zip(files, loaded, strict=True):
        cells = []
        for values in rules:
            counts, _ = Evaluator.of(table, offload_cost(table))(values)
            accepted, offloaded = 100 * counts.accepted[0] / len(table), 100 * counts.offloaded[0] / len(table)
            short = " !" if accepted < 100 * tau - 1e-9 else ""
            cells.append(f"{100 * counts.error[0]:.2f} / {accepted:.1f}{short} / {offloaded:.1f}")
        out.add_row("/".join(Path(file).parts[-2:]), *cells)
    return out


def main(files: list[str], tau: float, repeats: int, generations: int) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(speeds(load_table(files[0]) if files else month(), repeats))
    if files:
        console.print(kept(files, tau))
        console.print(quality(files, tau, generations))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each case (default: 5)")
    parser.add_argument("--tables", nargs="*", default=[], metavar="FILE", help="evaluation tables of two exits")
    parser.add_argument("--tau", type=float, default=0.9, help="least acceptance on them (default: 0.9)")
    parser.add_argument("--generations", type=int, default=GENERATIONS, help="of NSGA-II (default: 1000)")
    arguments = parser.parse_args()
    main(arguments.tables, arguments.tau, arguments.repeats, arguments.generations)
