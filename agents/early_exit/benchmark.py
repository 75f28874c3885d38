"""``python -m agents.benchmark env=early_exit``: many policies on the same held-out episodes, within every budget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from agents.benchmark_folder import hand_over, name_of, train_seeds, write_files
from agents.early_exit.benchmark_result import BASES, LEARNED, ExitBenchmark, ExitPlayed, Values
from agents.early_exit.held_out import held_out_episodes, title_of, tuning_episodes
from agents.early_exit.runs import check_played, policy_of_run
from agents.entries import Entry, distinct, entries_of_runs, open_runs
from agents.progress import bar
from conf.benchmark_schema import BenchmarkConfig
from conf.schema import EarlyExitConfig
from envs._jit import announce_compilation
from optimal.early_exit.episode_gaps import BEST, bounds, check_references, references
from optimal.early_exit.episode_milp import KnapsackPolicy
from optimal.early_exit.episodes import Episodes
from optimal.early_exit.outside import Outside, play_any
from optimal.early_exit.playing import FUTURE, Game, Played, Policy

RUN_S = 1.0
"""Seconds of a run of the knapsack's integer program, after which the best that it has found is played."""


def run(config: BenchmarkConfig) -> dict[str, Any]:
    """Benchmark by ``config``: train, play, write the folder, print the table."""
    import torch

    # more threads than idle cores make small networks many times slower
    torch.set_num_threads(config.threads)
    world = cast(EarlyExitConfig, config.env)
    folders = open_runs(config.runs, world)
    check_played(folders, world)
    with announce_compilation():
        training, test = tuning_episodes(world), held_out_episodes(world, config.final_instances)
    wanted = [one for one in config.baselines if one != BEST] + [BEST] * config.optimum
    for episodes in (training, test):  # before minutes of training
        check_references(episodes.world, wanted)
    name = name_of(config)
    folders += train_seeds(config, name)
    entries = entries_of_runs(folders, policy_of_run, config.device)
    title = title_of(world, test)
    result = compare(entries, wanted, training, test, title, seed=config.seed, progress=config.progress)
    folder = write_folder(result, config, Path(config.run_root), name)
    return hand_over(result, folder, config, 110)


def compare(
    entries: Sequence[Entry],
    baselines: Sequence[str],
    training: Episodes,
    test: Episodes,
    title: str = "",
    *,
    seed: int = 0,
    progress: bool = False,
) -> ExitBenchmark:
    """Play learned entries and baselines on ``test``, within every budget of its world.

    The policies that differences and shares are relative to are played whether they are asked for or not; without the knapsack,
    shares run to the bound of the linear program. ``training``: what baselines learn from. ``seed``: of the bootstrap.
    """
    distinct([*entries, *(Entry(name, "baseline", [], [name]) for name in baselines)])
    games = [Game.of(test, budget) for budget in test.world.budgets]
    names = list(dict.fromkeys([*baselines, *BASES]))
    with announce_compilation():
        known: dict[str, Policy | Outside] = {one.name: one for one in references(training, names)}
        known[BEST] = KnapsackPolicy(RUN_S)
        shown = [_play(entry.name, LEARNED, entry.policies, entry.labels, games, progress) for entry in entries]
        others = {name: _play(name, known[name].kind, [known[name]], [name], games, progress) for name in names}
    relative: dict[str, Values] = {
        name: others[name].of("cost_per_row")[0] for name in (*BASES, BEST) if name in others
    }
    if BEST not in relative:
        relative["bound"] = np.stack([bounds(game) for game in games])
    return ExitBenchmark(title, [*shown, *(others[name] for name in baselines)], relative, games, seed)


def _play(
    name: str, kind: str, policies: Sequence[Any], labels: list[str], games: Sequence[Game], progress: bool
) -> ExitPlayed:
    played: list[list[Played]] = []
    with bar(f"playing {name}", len(policies) * len(games), shown=progress) as advance:
        for policy in policies:
            played.append([])
            for game in games:
                played[-1].append(play_any(policy, game))
                advance(sum(map(len, played)))
    return ExitPlayed(name, kind, labels, played, _seconds(policies[0], kind, games[0], played[0][0]))


def _seconds(policy: Any, kind: str, game: Game, played: Played) -> float:
    """Time to decide a window of one episode that is played alone; what knows the future decides all of them beforehand.

    The median over windows: what else the machine does is no business of the policy. nan for what decides row by row.
    """
    if isinstance(policy, Outside):
        return float("nan")
    if kind == FUTURE:
        return played.seconds / played.actions.size
    one = Game(game.episodes.head(1), game.budget, game.least)
    choose, state, spent = policy.start(one), one.first, []
    for t in range(one.episodes.windows):
        started = time.perf_counter()
        actions = choose(t, state)
        spent.append(time.perf_counter() - started)
        state = one.world.dynamics.outcomes(state, np.ascontiguousarray(one.episodes.frames[:, t]), actions)[0]
    return float(np.median(spent))


def write_folder(result: ExitBenchmark, config: BenchmarkConfig, root: Path, name: str) -> Path:
    """Write benchmark.json, episodes.csv, config.yaml, plots and report.html into a new folder; returns its path.

    The folder gets its name once it is complete. Raises ``UserError`` where it cannot be made.
    """
    from agents import report
    from agents.early_exit.benchmark_plots import plots
    from agents.early_exit.benchmark_result import CAPTION, HEADINGS, budget_text, cells

    parts = []
    for at, budget in enumerate(result.budgets):
        rows, last = result.ordered(at), result.bound_cells(at)
        kinds = [row["kind"] for row in rows] + ["bound"] * len(last)
        parts.append(report.caption(f"Budget: {budget_text(budget)}"))
        parts.append(report.table(HEADINGS, [cells(row, at) for row in rows] + last, kinds))
    parts.append(report.caption(CAPTION))
    return write_files(config, root, name, result.to_dict(), {"episodes.csv": result.csv()}, parts, plots(result))
