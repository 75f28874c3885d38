"""``python -m optimal.early_exit.front``: good thresholds of a network with any number of exits, from its evaluation tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envs.early_exit.types import ExitTable, Thresholds

if TYPE_CHECKING:
    from conf.exits_front_schema import ExitsFrontConfig
    from optimal.early_exit.searched_front import ExitCost, SearchedFront

SHOWN = 12
"""Points of the front that the table shows, at most."""


def run(config: ExitsFrontConfig) -> dict[str, Any]:
    """Search the front, choose a point, write what is asked for; returns the points, the chosen one, and paths.

    Raises ``ValueError`` for bad tables, for work or a link that do not fit them, and where no point is within the limits.
    """
    from envs.atomic import write_text_atomic
    from envs.early_exit.thresholds_file import save_thresholds
    from envs.early_exit.work_file import load_work
    from optimal.early_exit.curate import load
    from optimal.early_exit.operating_point import Rule, choose, with_margin
    from optimal.early_exit.searched_front import ExitCost, searched_front
    from optimal.progress import status_line

    table = ExitTable.joined(load(config.table))
    work = None if config.work is None else load_work(config.work)
    cost = ExitCost.of(config.cost, table.exits, remote_from=config.remote_from, work=work, sends=config.sends)
    tau = with_margin(config.tau, config.margin)
    with status_line() as say:
        front = searched_front(
            table, cost, tau, levels=config.levels, rejects=config.rejects, step=config.step, say=say
        )
    rule = Rule(config.rule, config.budget if config.rule == "budget" else config.weight)
    at = choose(front, rule)
    rows = points(front, at)
    if config.out is not None:
        lines = [",".join(str(value) for value in row.values()) for row in rows]
        write_text_atomic(config.out, "\n".join([",".join(rows[0]), *lines]) + "\n")
    if config.actions is not None:
        save_thresholds(as_actions(front, at), config.actions)
    if config.format == "text":
        title = f"{len(table):,} rows of {table.exits} exits, at least {100 * tau:g} % accepted"
        _print(title, front, cost, at, f"{rule.kind} {rule.amount:g}")
    return {
        "rows": len(table),
        "exits": table.exits,
        "tau": tau,
        "cost": cost.name,
        "unit": cost.unit,
        "chosen": rows[at],
        "points": rows,
        "out": config.out,
        "actions": config.actions,
    }


def points(front: SearchedFront, chosen: int) -> list[dict[str, Any]]:
    """One row a point: its thresholds, by the columns of a file of thresholds, and what it comes to."""
    rows = []
    for at in range(len(front)):
        row: dict[str, Any] = {}
        for k in range(front.thresholds.exits):
            for kind, values in (("accept", front.thresholds.accept), ("reject", front.thresholds.reject)):
                for c, of in enumerate(("normal", "attack")):
                    row[f"{kind}_{k + 1}_{of}"] = float(values[at, k, c])
        for name in ("error", "cost", "share", "acceptance"):
            row[name] = float(getattr(front, name)[at])
        for k, share in enumerate(front.ended[at].tolist()):
            row[f"ended_{k + 1}"] = share
        rows.append(row | {"chosen": int(at == chosen)})
    return rows


def as_actions(front: SearchedFront, chosen: int) -> Thresholds:
    """The chosen point, then the whole front, as named thresholds."""
    names = [
        f"search {100 * error:.2f} % wrong at {share:.4f}"
        for error, share in zip(front.error, front.share, strict=True)
    ]
    order = [chosen, *range(len(front))]
    every = front.thresholds
    return Thresholds(every.accept[order], every.reject[order], (f"chosen: {names[chosen]}", *names))


def _print(title: str, front: SearchedFront, cost: ExitCost, chosen: int, rule: str) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    unit = f", {cost.unit}" if cost.unit else ""
    for head in ("error %", f"{cost.name}{unit}", "accepted %", "ends at exit 1/2/... %"):
        table.add_column(head, justify="right", no_wrap=True)
    shown = np.unique(np.round(np.linspace(0, len(front) - 1, min(SHOWN, len(front)))).astype(int)).tolist()
    for at in sorted({*shown, chosen}):
        table.add_row(
            f"{100 * front.error[at]:.2f}",
            f"{front.cost[at]:.4g}",
            f"{100 * front.acceptance[at]:.1f}",
            "/".join(f"{100 * share:.1f}" for share in front.ended[at]),
        )
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"{len(front)} points; chosen ({rule}): error {100 * front.error[chosen]:.2f} %")
    for k in range(front.thresholds.exits):
        accept, reject = front.thresholds.accept[chosen, k], front.thresholds.reject[chosen, k]
        console.print(
            f"exit {k + 1} answers normal from {accept[0]:.7g}, attack from {accept[1]:.7g}"
            + (f", rejects below {reject[0]:.7g} and {reject[1]:.7g}" if (reject > 0).any() else "")
        )


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.exits_front_schema import ExitsFrontConfig

    raise SystemExit(main("exits_front", ExitsFrontConfig, run, ("table", "work", "out", "actions")))
