"""How near the searches of a menu for three exits come to the best of all choices of levels, and how long they take.

The best of all: every choice at exit 1, and for each the exact best of exits 2 and 3 (docs/early_exit_references.md).

    python tests/bench/gap_early_exit_menu.py --tables tables/month_0[2-5].csv --step 5
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np

from envs.early_exit.table_file import load_table
from envs.early_exit.types import ExitTable
from optimal.early_exit.actions import RowPrices, aim_of, best_of_search, needs, shares, values
from optimal.early_exit.exit_choices import Aim, Choices, Search
from optimal.early_exit.levels import by_exit
from optimal.early_exit.uses import uses_of


def exact(search: Search, aim: Aim) -> float:
    """What the best of all choices costs."""
    options, pair, best = search.choices.count, np.array([[1, 2]]), np.inf
    start = search.choices.opening()
    for start[0, 0], start[0, 1] in product(range(options[0, 0]), range(options[0, 1])):
        best = min(best, search.descended(aim, start, pair)[0])
    return best


def drawn(seed: int, ordered: bool, rows: int = 1_500, kinds: int = 60) -> ExitTable:
    """Three exits that know different kinds of rows, the later the better if ``ordered``."""
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.5, 1, (3, kinds))
    skill = np.sort(skill, axis=0) if ordered else skill
    kind, label = rng.integers(0, kinds, rows), rng.integers(0, 2, rows).astype(np.int8)
    certainty = np.clip(skill[:, kind] + rng.normal(0, 0.05, (3, rows)), 0.5, 1)
    right = rng.random((3, rows)) < skill[:, kind]
    return ExitTable(label, np.where(right, label, 1 - label).astype(np.int8), np.round(certainty, 3))


def main() -> None:
    """Print a line for each table and place of the link."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tables", nargs="*", default=[], help="evaluation tables of three exits; none: random ones")
    parser.add_argument("--levels", type=int, default=11)
    parser.add_argument("--rejects", type=int, default=4)
    parser.add_argument("--step", type=int, default=5, help="every so many needs are compared")
    given = parser.parse_args()
    tables = {file: load_table(file) for file in given.tables}
    if not tables:
        tables = {f"drawn {seed}": drawn(seed, seed % 2 == 0) for seed in range(6)}
    prices = RowPrices()
    for (name, table), remote_from in product(tables.items(), (2, 3)):
        use, choices = uses_of(3, remote_from=remote_from), Choices.of(by_exit(table, given.levels), given.rejects)
        started = time.perf_counter()
        index = best_of_search(table, choices, use, needs(), prices)
        seconds = time.perf_counter() - started
        found = np.diag(values(shares(table, choices.thresholds(index), use), needs(), prices))[:: given.step]
        search = Search.of(table, choices, use)
        best = [exact(search, aim_of(need, prices, len(table))) / len(table) for need in needs()[:: given.step]]
        gap = found - np.array(best)
        print(
            f"{name}, link before exit {remote_from}, {len(search.cells.rows)} kinds of rows: {seconds:.2f} s for all needs; "
            f"{(gap > 1e-9).sum()} of {len(gap)} not the best, mean gap {gap.mean():.1e}, most {gap.max():.1e}, "
            f"least {gap.min():.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
