"""``python -m optimal.growth``: how the time of a proof grows with devices, requests and layers, for each way to solve."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from conf.solve_schema import GrowthConfig
    from envs.distprivacy.types import Device, Instance

SIZES = {"devices": (4, 6, 8, 10, 12, 20, 30, 50, 70), "requests": (1, 2, 3, 4, 6, 8, 12), "layers": (5, 7, 9, 11, 13)}
"""Sizes of each sweep, ascending. Where it is not swept: 6 devices, 1 request, the 9 layers of LeNet."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of the methods, from Okabe and Ito's palette."""
WINDOW_S = 1.5e-3
"""Sweep of requests: seconds of a device's speed and rate that all requests share; such budgets bind."""


@dataclass(frozen=True)
class Run:
    """One instance solved by one method."""

    sweep: str
    size: int
    method: str
    repeat: int
    seconds: float
    status: str  # optimal, feasible, or none: nothing was found in time
    objective_s: float | None
    gap: float | None


def run(config: GrowthConfig) -> dict[str, Any]:
    """Measure, and write growth.csv and growth.png into ``config.out``; returns the runs and the paths."""
    from envs.atomic import write_text_atomic
    from optimal.progress import status_line
    from optimal.warm_up import warm_up

    warm_up()
    with status_line() as say:
        runs = []
        for done in measure(config):
            runs.append(done)
            say(f"{done.sweep} {done.size}, {done.method}: {done.status} after {done.seconds:.2f} s")
    folder = Path(config.out)
    text = io.StringIO()
    table = csv.DictWriter(text, [*Run.__dataclass_fields__], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(done) for done in runs)
    write_text_atomic(folder / "growth.csv", text.getvalue())
    _plot(runs, config.time_limit, folder / "growth.png")
    if config.format == "text":
        _print(runs)
    return {
        "runs": [asdict(done) for done in runs],
        "csv": str(folder / "growth.csv"),
        "plot": str(folder / "growth.png"),
    }


def measure(config: GrowthConfig) -> Iterator[Run]:
    """Every size, method and repeat in turn; a method that reaches the time limit is left out from there on."""
    for sweep in config.sweeps:
        slow: set[str] = set()
        for size in SIZES[sweep]:
            for method in config.methods:
                if method in slow:
                    continue
                for repeat in range(config.repeats):
                    rng = np.random.default_rng((config.seed, repeat))
                    done = _solve(instance_of(sweep, size, rng), method, config.time_limit, (sweep, size, repeat))
                    yield done
                    if done.status != "optimal":
                        slow.add(method)
                        break


def instance_of(sweep: str, size: int, rng: np.random.Generator) -> Instance:
    """A random instance of a size of a sweep; of the same generator the fleets of all sizes begin alike."""
    from envs.distprivacy.scenarios import scenario
    from envs.distprivacy.types import Request

    base = scenario("lenet-random", privacy_scope="layer").sample(np.random.default_rng(0))
    sources = tuple(random_device(rng, f"source-{r}") for r in range(size if sweep == "requests" else 1))
    devices = tuple(random_device(rng, f"device-{j}") for j in range(size if sweep == "devices" else 6))
    if sweep == "layers":
        return _deep(replace(base, devices=devices, sources=sources), size)
    if sweep == "requests":
        devices = tuple(
            replace(
                device,
                compute_budget=device.mults_per_s * WINDOW_S,
                bandwidth_budget_bytes=device.rate_bytes_per_s * WINDOW_S,
            )
            for device in devices
        )
    requests = tuple(Request(r, "lenet") for r in range(len(sources)))
    return replace(base, devices=devices, sources=sources, requests=requests)


def random_device(rng: np.random.Generator, name: str) -> Device:
    """A device as lenet-random draws them: speed and rate log-uniform."""
    from envs.distprivacy.types import Device

    speed, rate = np.exp(rng.uniform(np.log((40e6, 1e6)), np.log((2000e6, 20e6))))
    return Device(name, float(2**30), float(speed), float(rate))


def _deep(instance: Instance, layers: int) -> Instance:
    """The instance with a network of so many layers: convs of 8 maps, each with its act, then an fc on the source."""
    from envs.distprivacy.types import Layer, Network, Request, Task

    row: list[Layer] = [Layer("conv1", "conv", 1, 8, 144, 9)]
    while len(row) < layers - 1:
        number = len(row) // 2 + 1
        last = row[-1].kind == "conv"
        row.append(Layer(f"relu{number}", "act", 8, 8, 144) if last else Layer(f"conv{number}", "conv", 8, 8, 144, 9))
    row.append(Layer("fc", "fc", 8 * 144, 10))
    limits: dict[str, dict[int, float | None]] = {"conv1": {4: 0.0, 8: 1.0}}
    task = Task({"deep": Network("deep", tuple(row))}, {"deep": limits}, privacy_scope="layer")
    return replace(instance, task=task, requests=(Request(0, "deep"),))


def _solve(instance: Instance, method: str, time_limit: float, at: tuple[str, int, int]) -> Run:
    from optimal.paper_model import solve_paper_model
    from optimal.solve import solve

    sweep, size, repeat = at
    start = time.perf_counter()
    objective: float | None
    gap: float | None
    if method == "paper":
        outcome, solution = solve_paper_model(instance, "highs", time_limit, lambda text: None)
        objective = None if solution is None else solution.objective_s
        gap = None if not objective else max(0.0, 1.0 - outcome.bound / objective)
        status = outcome.status if outcome.status in ("optimal", "feasible") else "none"
    else:
        solver = "cbc" if method == "cbc" else "highs"
        found = solve(instance, solver=solver, time_limit=time_limit, chain=method == "chain")
        objective, gap, status = found.objective_s, found.gap, found.status
    return Run(sweep, size, method, repeat, time.perf_counter() - start, status, objective, gap)


def _plot(runs: list[Run], time_limit: float, path: Path) -> None:
    """One panel a sweep, one line a method: the median time, open where a run reached its limit."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from envs.atomic import atomic_path

    sweeps = list(dict.fromkeys(done.sweep for done in runs))
    figure, axes = pyplot.subplots(1, len(sweeps), figsize=(4.2 * len(sweeps), 3.4), squeeze=False, sharey=True)
    for axis, sweep in zip(axes[0], sweeps, strict=True):
        for number, method in enumerate(dict.fromkeys(done.method for done in runs)):
            own = [done for done in runs if (done.sweep, done.method) == (sweep, method)]
            sizes = sorted({done.size for done in own})
            median = [float(np.median([done.seconds for done in own if done.size == size])) for size in sizes]
            late = [done for done in own if done.status != "optimal"]
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(sizes, median, "o-", color=colour, label=method)
            axis.plot([d.size for d in late], [d.seconds for d in late], "o", color=colour, markerfacecolor="white")
        axis.axhline(time_limit, color="grey", linewidth=0.8, linestyle=":", label="time limit; open: not proven")
        axis.set(xlabel=sweep, yscale="log")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("seconds to the proof")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 0.92))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)


def _print(runs: list[Run]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Median seconds to the proof", title_justify="left")
    methods = list(dict.fromkeys(done.method for done in runs))
    for heading in ("sweep", "size", *methods):
        table.add_column(heading, justify="left" if heading == "sweep" else "right")
    for sweep, size in dict.fromkeys((done.sweep, done.size) for done in runs):
        cells = []
        for method in methods:
            own = [done for done in runs if (done.sweep, done.size, done.method) == (sweep, size, method)]
            late = any(done.status != "optimal" for done in own)
            cells.append(
                "" if not own else "not in time" if late else f"{np.median([done.seconds for done in own]):.2f}"
            )
        table.add_row(sweep, str(size), *cells)
    Console().print(table)


if __name__ == "__main__":
    # Here, so that the library depends on no agent.
    from agents.cli import main
    from conf.solve_schema import GrowthConfig

    raise SystemExit(main("growth", GrowthConfig, run, ("out",)))
