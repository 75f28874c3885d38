"""``python -m agents.benchmark env=token_bucket``: many policies on the same held-out streams."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from agents.benchmark_folder import hand_over, name_of, train_seeds, write_files
from agents.entries import Entry, distinct, entries_of_runs, open_runs
from agents.progress import bar
from agents.token_bucket.baselines import available, baseline
from agents.token_bucket.benchmark_result import SCORES, BucketBenchmark, BucketPlayed
from agents.token_bucket.learned import LearnedBucketPolicy
from agents.token_bucket.runs import frames_of_config, policy_of_run
from agents.token_bucket.scores import outcome_of, play
from agents.token_bucket.world import title_of
from conf.benchmark_schema import BenchmarkConfig
from conf.schema import TokenBucketConfig
from envs._jit import announce_compilation
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.build import World
from envs.token_bucket.streams import TEST_SEED, Streams
from optimal.token_bucket.policy import Policy

ALONE = 1_000
"""Frames of one stream that every policy decides alone, to time it and to show what it does."""
ENOUGH, MOST_TIMES = 0.1, 5
"""Seconds, and about how many times, after which timing is over."""


def run(config: BenchmarkConfig) -> dict[str, Any]:
    """Benchmark by ``config``: train, play, write the folder, print the table."""
    import torch

    # more threads than idle cores make small networks many times slower
    torch.set_num_threads(config.threads)
    world = cast(TokenBucketConfig, config.env)
    folders = open_runs(config.runs, world)
    frames = frames_of_config(world)
    streams = Streams.draw(frames.generator, config.final_instances, world.evaluation_length, TEST_SEED)
    name = name_of(config)
    folders += train_seeds(config, name)
    entries = entries_of_runs(folders, policy_of_run, config.device)
    wanted = [*config.baselines, *(["clairvoyant"] if config.optimum else [])]
    result = compare(
        entries,
        list(dict.fromkeys(wanted)),
        frames,
        streams,
        title_of(world, streams),
        seed=config.seed,
        progress=config.progress,
    )
    folder = write_folder(result, config, Path(config.run_root), name)
    return hand_over(result, folder, config, 100)


def compare(
    entries: Sequence[Entry],
    baselines: Sequence[str],
    frames: World,
    streams: Streams,
    title: str = "",
    *,
    seed: int = 0,
    progress: bool = False,
) -> BucketBenchmark:
    """Play learned entries and baselines on ``streams``, with every bucket of ``frames``.

    The policies that scores are relative to are played whether they are asked for or not. Baselines that cannot be had for
    given traces are left out, which standard error says. ``seed``: of the random baseline and the bootstrap.
    """
    wanted = available(list(baselines), frames.generator)
    for name in sorted(set(baselines) - set(wanted)):
        print(f"{name} is left out: it must know how the trace came about, or cannot be made for it", file=sys.stderr)
    distinct([*entries, *(Entry(name, "baseline", [], [name]) for name in wanted)])
    relative = available(list(dict.fromkeys(name for pair in SCORES.values() for name in pair)), frames.generator)
    names = list(dict.fromkeys([*wanted, *relative]))
    first = shortened(streams, ALONE)
    with announce_compilation():
        played = [_play_learned(entry, streams, first, frames.buckets, progress) for entry in entries]
        others: dict[str, BucketPlayed] = {}
        with bar("playing baselines", len(names), shown=progress) as advance:
            for done, name in enumerate(names, start=1):
                policies = [baseline(name, frames.generator, bucket, seed) for bucket in frames.buckets]
                others[name] = _play_baseline(name, policies, streams, first, frames.buckets)
                advance(done)
    played += [others[name] for name in wanted]
    references: Mapping[str, NDArray[np.float64]] = {name: others[name].loss[0] for name in relative}
    return BucketBenchmark(title, played, references, frames.buckets, first, streams.length, seed)


def shortened(streams: Streams, frames: int) -> Streams:
    """The first frames of the first stream."""
    names = ("metric", "reward", "gap", "regime", "location")
    arrays: dict[str, Any] = {name: np.ascontiguousarray(getattr(streams, name)[:1, :frames]) for name in names}
    return replace(streams, **arrays)


def _play_learned(
    entry: Entry, streams: Streams, first: Streams, buckets: Sequence[Bucket], progress: bool
) -> BucketPlayed:
    outcomes, timed = [], []
    policies = cast(list[LearnedBucketPolicy], entry.policies)
    with bar(f"playing {entry.name}", len(policies), shown=progress) as advance:
        for done, policy in enumerate(policies, start=1):
            started = time.perf_counter()
            sent = policy.play_all(streams, buckets)
            seconds = time.perf_counter() - started
            outcomes.append(outcome_of(entry.name, "learned", sent, streams, buckets, seconds))
            timed.append(_alone(policy, first, buckets[0]))
            advance(done)
    seconds = sum(one for one, _ in timed) / len(timed)
    return BucketPlayed(entry.name, "learned", entry.labels, outcomes, seconds, timed[0][1])


def _play_baseline(
    name: str, policies: Sequence[Policy], streams: Streams, first: Streams, buckets: Sequence[Bucket]
) -> BucketPlayed:
    outcome = play(name, policies, streams, buckets)
    seconds, sent = _alone(policies[0], first, buckets[0])
    return BucketPlayed(name, outcome.kind, [name], [outcome], seconds, sent)


def _alone(policy: Policy | LearnedBucketPolicy, first: Streams, bucket: Bucket) -> tuple[float, NDArray[np.bool_]]:
    """Seconds for a frame of one stream that is played alone, and what is sent of it ``(frames,)``.

    The fastest of a few times counts: what else the machine does is no business of the policy.
    """
    best, spent = float("inf"), 0.0
    while spent < ENOUGH:
        started = time.perf_counter()
        sent = policy.play(first, bucket)
        seconds = time.perf_counter() - started
        best, spent = min(best, seconds), spent + max(seconds, ENOUGH / MOST_TIMES)
    return best / sent.size, sent[0]


def write_folder(result: BucketBenchmark, config: BenchmarkConfig, root: Path, name: str) -> Path:
    """Write benchmark.json, streams.csv, config.yaml, plots and report.html into a new folder; returns its path.

    The folder gets its name once it is complete. Raises ``UserError`` where it cannot be made.
    """
    from agents import report
    from agents.token_bucket.benchmark_plots import plots
    from agents.token_bucket.benchmark_result import CAPTION, HEADINGS, cells

    kinds = [row["kind"] for row in result.rows]
    parts = [report.table(HEADINGS, [cells(row) for row in result.rows], kinds), report.caption(CAPTION)]
    if len(result.buckets) > 1:
        headings, rows = result.by_bucket()
        parts.append(report.table(headings, rows, kinds))
    files = {"streams.csv": result.csv()}
    return write_files(config, root, name, result.to_dict(), files, parts, plots(result))
