"""``python -m optimal.solve`` and ``optimal.solve(instance)``: the best placement of an instance, with proof."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conf.solve_schema import SolveConfig
    from envs.distprivacy.types import Instance
    from optimal.progress import Say
    from optimal.reference import Reference


def solve(
    instance: Instance,
    *,
    solver: str = "highs",
    time_limit: float | None = None,
    cache: Path | None = None,
    chain: bool = True,
    say: Say | None = None,
) -> Reference:
    """The reference of an instance: fewest rejections, then the least summed latency (docs/optimal.md).

    Args:
        instance: what is to be solved.
        solver: "highs" or "cbc", for what the chain method cannot decide.
        time_limit: seconds after which the best known is returned, with what is proven by then; None: none.
        cache: folder in which results are kept and found again by the content of the instance; None: none.
        chain: try the exact chain method for single requests first; False: integer programs alone.
        say: called with a short text now and then, to show progress; None: silence.

    Raises:
        ValueError: ``solver`` is unknown.
        RuntimeError: a result is not confirmed by the replay in the environment's physics.
    """
    # Here, not above: kernels and solvers are imported, and --help needs none of them.
    from optimal.backends import version
    from optimal.cache import cache_path, keep, recall
    from optimal.method import Method
    from optimal.period import solve_period
    from optimal.warm_up import warm_up

    made_by = version(solver)  # refuses an unknown name
    path = None if cache is None else cache_path(cache, instance, made_by, chain)
    if path is not None:
        kept = recall(path, instance, time_limit)
        if kept is not None:
            return kept
    warm_up()
    method = Method(solver, chain, time_limit)
    if say is not None:
        method.say = say
    reference = solve_period(instance, method)
    if path is not None:
        keep(path, reference)
    return reference


def run(config: SolveConfig) -> dict[str, Any]:
    """Solve ``config.instance``, write the solution file, and return the reference without its placement.

    Raises:
        ValueError: one sentence; the instance file is missing or wrong, or the solution cannot be written.
    """
    from envs.distprivacy.files import load_instance, save_solution
    from optimal.progress import status_line

    instance = load_instance(config.instance)
    with status_line() as say:
        reference = solve(
            instance,
            solver=config.solver,
            time_limit=config.time_limit,
            cache=None if config.cache is None else Path(config.cache),
            chain=config.chain,
            say=say,
        )
    if reference.solution is not None:
        save_solution(reference.solution, config.out)
    if config.format == "text":
        _print(reference, config.out)
    return {**reference.claims(), "out": config.out if reference.solution is not None else None}


def _print(reference: Reference, out: str) -> None:
    from rich.console import Console
    from rich.text import Text

    def ms(seconds: float | None) -> str:
        return "unknown" if seconds is None else f"{1e3 * seconds:.7f} ms"

    gap = "unknown" if reference.gap is None else f"{100 * reference.gap:.4g} %"
    differ = reference.rejections != reference.rejections_bound
    with_so_many = f" with {reference.rejections_bound} rejections" if differ else ""
    console = Console(highlight=False)
    for line in (
        f"status: {reference.status} ({reference.solver}, {reference.seconds:.2f} s)",
        f"objective: {ms(reference.objective_s)}; bound: {ms(reference.bound_s)}{with_so_many}; gap: {gap}",
        f"rejections: {reference.rejections}, at least {reference.rejections_bound}",
        f"placement: {out}",
    ):
        console.print(Text(line), soft_wrap=True)


class _Solve(ModuleType):
    """The module is the function too: whoever imports it, ``optimal.solve(instance)`` works."""

    def __call__(self, instance: Instance, **options: Any) -> Reference:
        """See ``solve``."""
        return solve(instance, **options)


sys.modules[__name__].__class__ = _Solve

if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.solve_schema import SolveConfig

    raise SystemExit(main("solve", SolveConfig, run, ("instance", "out", "cache")))
