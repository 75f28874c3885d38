"""``python -m inference.front``: the best thresholds of a network with two exits, from its evaluation tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conf.front_schema import FrontConfig
    from envs.early_exit.types import ExitTable
    from optimal.early_exit.row_costs import RowCost


def run(config: FrontConfig) -> dict[str, Any]:
    """Find the fronts, choose a point, write what is asked for; returns summaries, the chosen point, points and paths."""
    from envs.atomic import write_text_atomic
    from optimal.early_exit import methods
    from optimal.early_exit.front_plot import plot
    from optimal.early_exit.front_report import as_actions, as_csv, points, print_fronts, summary
    from optimal.early_exit.operating_point import Rule, choose, with_margin
    from optimal.progress import status_line

    table = load(config.table)
    cost = cost_of(config, table)
    tau = with_margin(config.tau, config.margin)
    with status_line() as say:
        if config.compare:
            every = methods.all_found(table, cost, tau, generations=config.generations, seed=config.seed, say=say)
        else:
            every = [
                methods.find(
                    config.method,
                    table,
                    cost,
                    tau,
                    levels=config.levels,
                    generations=config.generations,
                    seed=config.seed,
                    say=say,
                )
            ]
    chooser = next(one for one in every if one.method == config.method)
    rule = Rule(config.rule, config.budget if config.rule == "budget" else config.weight)
    at = choose(chooser.front, rule)
    rows = [row for one in every for row in points(one, at if one is chooser else None)]
    chosen = next(row for row in rows if row["chosen"])
    title = f"{name_of(config.table)}, {len(table):,} rows, at least {100 * tau:g} % accepted"
    if config.out is not None:
        write_text_atomic(config.out, as_csv(rows))
    if config.actions is not None:
        from envs.early_exit.thresholds_file import save_thresholds

        save_thresholds(as_actions(chooser, at), config.actions)
    if config.picture is not None:
        plot(title, every, cost, (chooser, at), Path(config.picture))
    if config.format == "text":
        print_fronts(title, every, cost, chosen, f"{rule.kind} {rule.amount:g}")
    return {
        "rows": len(table),
        "tau": tau,
        "cost": cost.name,
        "unit": cost.unit,
        "methods": [summary(one) for one in every],
        "chosen": chosen,
        "points": [row for row in rows if row["method"] == chooser.method],
        "out": config.out,
        "actions": config.actions,
        "picture": config.picture,
    }


def load(files: list[str]) -> ExitTable:
    """The rows of evaluation tables. Raises ``ValueError``, one sentence, where one is wrong or has not two exits."""
    from envs.early_exit.table_file import load_table
    from envs.early_exit.types import ExitTable

    tables = []
    for file in files:
        table = load_table(file)
        if table.exits != 2:
            raise ValueError(
                f"{file}: has {table.exits} exits, expected 2 (python -m optimal.early_exit.front takes more)"
            )
        tables.append(table)
    return ExitTable.joined(tables)


def cost_of(config: FrontConfig, table: ExitTable) -> RowCost:
    """The cost that is asked for. Raises ``ValueError`` for a table without times, or work of other than two exits."""
    from envs.early_exit.costs import Deployment, stage_costs
    from optimal.early_exit.row_costs import measured_cost, offload_cost, stage_cost

    if config.cost == "offload":
        return offload_cost(table)
    if config.cost == "measured":
        return measured_cost(table)
    from envs.early_exit.work_file import load_work

    work = load_work(str(config.work))
    if work.exits != 2:
        raise ValueError(f"{config.work}: field 'block_macs' has {work.exits} entries, expected 2, one an exit")
    deployment = Deployment(sends=config.sends)
    costs = stage_costs(work, deployment)
    if config.cost == "energy":
        return stage_cost(table, costs.joules, "energy of the edge", "J")
    return stage_cost(table, costs.seconds(deployment), "latency", "s")


def name_of(files: list[str]) -> str:
    """What the title calls the tables: the first, and how many more."""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{Path(files[0]).parent.name}/{Path(files[0]).name}".lstrip("/") + more


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.front_schema import FrontConfig

    raise SystemExit(main("front", FrontConfig, run, ("table", "work", "out", "actions", "picture")))
