"""``python -m agents.benchmark``: many policies on the same instances, with intervals, gaps, plots and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agents.cli import main
from conf.benchmark_schema import BenchmarkConfig
from conf.schema import DistPrivacyConfig, EarlyExitConfig, TokenBucketConfig

if TYPE_CHECKING:
    from agents.benchmark_result import BenchmarkResult, Played
    from agents.entries import Entry
    from agents.evaluation import InstanceSet
    from optimal.reference import Reference

ALONE = 20
"""About so many requests are asked of a learned policy one at a time, to time it."""


def run(config: BenchmarkConfig) -> dict[str, Any]:
    """Benchmark by ``config``: train, play, write the folder, print the table."""
    if isinstance(config.env, TokenBucketConfig):
        from agents.token_bucket.benchmark import run as benchmark_tokens

        return benchmark_tokens(config)
    if isinstance(config.env, EarlyExitConfig):
        from agents.early_exit.benchmark import run as benchmark_exits

        return benchmark_exits(config)
    import torch

    from agents.benchmark_folder import hand_over, name_of, train_seeds
    from agents.entries import baseline_entries, distinct, learned_entries, open_runs

    # more threads than idle cores make small networks many times slower
    torch.set_num_threads(config.threads)
    folders = open_runs(config.runs, config.env)
    instances, references, title = instances_of(config)
    name = name_of(config)
    folders += train_seeds(config, name)
    entries = learned_entries(folders, config.samples, config.local_search, device=config.device, seed=config.seed)
    entries += baseline_entries(config.baselines, config.seed)
    distinct(entries)
    shown = references if config.optimum else []
    result = compare(entries, instances, shown, title, seed=config.seed, progress=config.progress)
    folder = write_folder(result, config, Path(config.run_root), name)
    return hand_over(result, folder, config, 150)


def instances_of(config: BenchmarkConfig) -> tuple[InstanceSet, list[Reference | None], str]:
    """The instances of a config with their bounds, their references, and the title of the table."""
    from agents.evaluation import InstanceSet
    from agents.optimality import Bounds
    from envs.distprivacy.build import as_generator
    from envs.distprivacy.generator import InstanceList
    from optimal.standard_sets import TEST_SEED, find_references, load

    references: list[Reference | None]
    if config.set is not None:
        standard = load(config.set)
        instances = InstanceSet.draw(standard.recipe.generator(), standard.recipe.count, standard.recipe.seed)
        references, title = list(standard.references), f"standard set {config.set}"
    else:
        world = cast(DistPrivacyConfig, config.env)
        names = ("ssim", "privacy_scope", "colluders", "churn", "requests", "absent")
        generator = as_generator(world.scenario, **{name: getattr(world, name) for name in names})
        if isinstance(generator, InstanceList):
            instances, title = InstanceSet.of(generator, generator.instances), world.scenario
        else:
            instances = InstanceSet.draw(generator, config.final_instances, TEST_SEED)
            title = f"{world.scenario}, SSIM {world.ssim:g}"
        references = find_references(generator.task, instances.decoded())
    if config.solve:
        references = _solved(instances, references, config)
    instances.bounds = Bounds.of(references)
    count, known = len(instances), instances.bounds.known
    return instances, references, f"{title}, {count} instance{'s' * (count > 1)}, {known} with a proven bound"


def _solved(
    instances: InstanceSet, references: Sequence[Reference | None], config: BenchmarkConfig
) -> list[Reference | None]:
    """``references`` with the missing ones solved now."""
    from agents.progress import bar
    from optimal.solve import solve

    missing = [index for index, reference in enumerate(references) if reference is None]
    decoded, result = instances.decoded(), list(references)
    with bar("solving", len(missing), shown=config.progress) as advance:
        for done, index in enumerate(missing, start=1):
            result[index] = solve(decoded[index], time_limit=config.time_limit)
            advance(done)
    return result


def compare(
    entries: Sequence[Entry],
    instances: InstanceSet,
    references: Sequence[Reference | None] = (),
    title: str = "",
    *,
    seed: int = 0,
    timed: bool = True,
    progress: bool = True,
) -> BenchmarkResult:
    """Play every entry on ``instances``, which carry their bounds; proven placements enter where every instance has one.

    Every placement is replayed. ``timed``: ask learned policies for some requests one at a time, to time them; else their
    decision time is that of a batch. Raises ``RuntimeError`` where a run beats a proven bound.
    """
    import numpy as np

    from agents.benchmark_result import BenchmarkResult, Played
    from agents.entries import reference_outcome
    from envs.distprivacy.files import content_hash

    played = [_play(entry, instances, timed, progress) for entry in entries]
    proven = reference_outcome(instances, references) if len(references) else None
    if proven is not None:
        played.append(Played(proven.policy, "reference", [proven.policy], [proven], proven.seconds))
    bounds = np.full(len(instances), np.nan) if instances.bounds is None else instances.bounds.bound_s
    return BenchmarkResult(title, played, [content_hash(instance) for instance in instances.decoded()], bounds, seed)


def _play(entry: Entry, instances: InstanceSet, timed: bool, progress: bool) -> Played:
    """All policies of an entry on all instances, and the time that one request takes when it is asked alone."""
    from agents.benchmark_result import Played
    from agents.evaluation import InstanceSet, evaluate
    from agents.progress import bar

    outcomes, seconds = [], []
    few = InstanceSet(instances.generator, instances.heads[: max(1, ALONE // instances.generator.max_requests)])
    for number, policy in enumerate(entry.policies, start=1):
        text = f"{entry.name}, {number} of {len(entry.policies)}" if len(entry.policies) > 1 else entry.name
        with bar(f"playing {text}", len(instances), shown=progress) as advance:
            outcome = evaluate(policy, instances, progress=advance)
        outcomes.append(outcome)
        one_by_one = hasattr(policy, "place_request") or not timed
        seconds.append(outcome.seconds if one_by_one else evaluate(policy, few, check=False, batch_size=1).seconds)
    return Played(entry.name, entry.kind, entry.labels, outcomes, sum(seconds) / len(seconds))


def write_folder(result: BenchmarkResult, config: BenchmarkConfig, root: Path, name: str) -> Path:
    """Write benchmark.json, instances.csv, config.yaml, plots and report.html into a new folder; returns its path.

    The folder gets its name once it is complete. Raises ``UserError`` where it cannot be made.
    """
    from agents import report
    from agents.benchmark_folder import write_files
    from agents.benchmark_plots import plots
    from agents.benchmark_result import CAPTION, HEADINGS, cells

    rows, kinds = [cells(row) for row in result.rows], [row["kind"] for row in result.rows]
    parts = [report.table(HEADINGS, rows, kinds), report.caption(CAPTION)]
    files = {"instances.csv": result.csv()}
    return write_files(config, root, name, result.to_dict(), files, parts, plots(result))


if __name__ == "__main__":
    raise SystemExit(main("benchmark", BenchmarkConfig, run, ("runs", "run_root", "env.scenario")))
