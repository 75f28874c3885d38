"""What enters a benchmark: learned policies on one or several training seeds, baselines, proven placements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.baselines import baseline
from agents.dqn import MaskableDQN
from agents.evaluation import InstanceSet, Outcome
from agents.learned import LearnedPolicy, load_model, policy_of, with_search
from agents.optimality import gaps, is_solved
from agents.run_folder import RunFolder
from conf.fields import flat
from conf.messages import UserError
from conf.schema import EnvConfig
from envs.distprivacy.replay import replay
from optimal.reference import Reference


@dataclass
class Entry:
    """One policy of a benchmark; several ``policies`` are the same agent on several training seeds."""

    name: str
    kind: str  # learned, baseline
    policies: list[Any]
    labels: list[str]  # of each policy: its run folder, or its name


def learned_entries(
    folders: Sequence[RunFolder], samples: int = 1, local_search: bool = False, *, device: str = "auto", seed: int = 0
) -> list[Entry]:
    """Entries of run folders: those that differ in nothing but the seed are one entry.

    With ``samples`` > 1 or ``local_search`` each entry is followed by one that searches so. Raises ``UserError`` for a model
    that cannot be read.
    """
    entries = []
    for shown, group in grouped(folders):
        policies = [policy_of(load_model(one.best_model, device), one.config, shown) for one in group]
        labels = [str(one.path) for one in group]
        entries.append(Entry(shown, "learned", list[Any](policies), labels))
        if samples > 1 or local_search:
            entries.append(_searching(policies, labels, samples, local_search, seed))
    return entries


def entries_of_runs(
    folders: Sequence[RunFolder], policy_of_run: Callable[[RunFolder, MaskableDQN, str], Any], device: str = "auto"
) -> list[Entry]:
    """Entries of run folders by the greedy policies of their best models: those that differ in nothing but the seed are one.

    Raises ``UserError`` for a model that cannot be read.
    """
    return [
        Entry(
            name,
            "learned",
            [policy_of_run(one, load_model(one.best_model, device), name) for one in group],
            [str(one.path) for one in group],
        )
        for name, group in grouped(folders)
    ]


def grouped(folders: Sequence[RunFolder]) -> list[tuple[str, list[RunFolder]]]:
    """Runs that differ in nothing but the seed, with the name of their policy: the agent's, and a run's where two share it."""
    groups: dict[Any, list[RunFolder]] = {}
    for folder in folders:
        groups.setdefault(_settings(folder), []).append(folder)
    names = [group[0].config.agent.name for group in groups.values()]
    return [
        (f"{name} ({group[0].path.name})" if names.count(name) > 1 else name, group)
        for name, group in zip(names, groups.values(), strict=True)
    ]


def _searching(policies: list[LearnedPolicy], labels: list[str], samples: int, local_search: bool, seed: int) -> Entry:
    """The same policies with search; each seed draws samples of its own."""
    searching = [with_search(policy, samples, local_search, seed + index) for index, policy in enumerate(policies)]
    return Entry(searching[0].name, "learned", list[Any](searching), labels)


def _settings(folder: RunFolder) -> Any:
    """What makes runs the same agent: every key that shapes learning, but the seed."""
    apart = {"seed", "name", "run_root", "resume", "baselines", "final_instances", "checkpoint_every"}
    return tuple(
        (entry.path, str(value))
        for entry, value in flat(folder.config)
        if entry.path not in apart and (not entry.rule.may_change or entry.path == "steps")
    )


def baseline_entries(names: Sequence[str], seed: int = 0) -> list[Entry]:
    """Entries of baselines by name."""
    return [Entry(name, "baseline", [baseline(name, seed)], [name]) for name in names]


def distinct(entries: Sequence[Entry]) -> None:
    """Raise ``UserError`` where two entries have the same name."""
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two policies are named {name}, expected distinct names (agent.name, or the run folders')")


def distinct_names(names: Sequence[str]) -> None:
    """Raise ``UserError`` where runs and baselines to be scored share a name."""
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"run and baselines name {name} twice, expected distinct ones")


def reference_outcome(instances: InstanceSet, references: Sequence[Reference | None]) -> Outcome | None:
    """The replayed placements of references as an outcome; None unless every instance has one.

    It is named "optimum" where all are proven optimal, else "best known". Its decision time is that of the solver.
    """
    solutions = [None if reference is None else reference.solution for reference in references]
    if any(solution is None for solution in solutions):
        return None
    count, width = len(instances), instances.generator.max_requests
    latency, shared = np.full((count, width), np.nan), np.full((count, width), np.nan)
    requests, violations = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for index, (instance, solution) in enumerate(zip(instances.decoded(), solutions, strict=True)):
        assert solution is not None
        report = replay(instance, solution)
        requests[index], violations[index] = len(instance.requests), len(report.violations)
        for request, seconds in enumerate(report.latencies_s):
            if seconds is not None:
                latency[index, request], shared[index, request] = seconds, report.shared_bytes[request]
    proven = all(reference is not None and reference.status == "optimal" for reference in references)
    spent = sum(reference.seconds for reference in references if reference is not None)
    name = "optimum" if proven else "best known"
    outcome = Outcome(name, True, latency, requests, shared, violations, spent / int(requests.sum()))
    if instances.bounds is not None:
        outcome = replace(outcome, gap=gaps(outcome, instances.bounds))
        outcome.solved = is_solved(outcome, instances.bounds)
    return outcome


def open_runs(paths: Sequence[str | Path], env: EnvConfig | None = None) -> list[RunFolder]:
    """Run folders by path. Raises ``UserError`` for one that cannot be opened, or is of another environment than ``env``."""
    folders = [RunFolder.open(path) for path in paths]
    for folder in folders:
        trained = folder.config.env
        if env is not None and type(trained) is not type(env):
            raise UserError(f"runs has {folder.path}, which is of {trained.id}, expected one of {env.id}")
    return folders
