"""Speed of the token-bucket references against their bars: ``python tests/bench/speed_token_bucket_references.py --help``.

One thread each. Bars: thresholds by tokens played at 20 million frames/s; the independent-frames program with 400 micro-tokens
in 0.5 s; regimes in 1 s; the belief policy built in 20 s; the clairvoyant program of a million frames in 1 s, capacity 40; the
cumulative linear program of 200 frames in 1 s.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.scenarios import scenario
from envs.token_bucket.streams import Streams
from optimal.token_bucket.belief import belief
from optimal.token_bucket.clairvoyant import best_sends
from optimal.token_bucket.clairvoyant_lp import cumulative_lp
from optimal.token_bucket.full_information import full_information
from optimal.token_bucket.iid_mdp import iid_mdp_of
from optimal.token_bucket.policy import Policy
from optimal.token_bucket.regime_mdp import regime_mdp


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, compilation left out."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def main(repeats: int) -> None:
    """Print the table."""
    bucket = Bucket.of(0.1, 4)
    table = Table(title=f"medians of {repeats}", title_justify="left")
    for heading in ("what", "measured", "bar"):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    for name in ("iid", "s1", "s3"):
        generator = scenario(name)
        streams = Streams.draw(generator, 10, 100_000, 0)
        policies: list[tuple[Policy, str]] = [
            (iid_mdp_of(generator, bucket), "20 M/s"),
            (belief(generator, bucket), ""),
        ]
        for policy, bar in policies:
            spent = seconds(lambda policy=policy, streams=streams: policy.play(streams, bucket), repeats)  # type: ignore[misc]
            table.add_row(f"{policy.name} played on {name}", f"{streams.metric.size / spent / 1e6:.1f} M/s", bar)

    rng = np.random.default_rng(0)
    value, gap = rng.random(1_000_000), np.ones(1_000_000, np.int64)
    cases: list[tuple[str, str, Callable[[], object]]] = [
        ("iid-MDP, 41 levels", "", lambda: iid_mdp_of(scenario("iid"), bucket)),
        ("iid-MDP, 201 levels", "", lambda: iid_mdp_of(scenario("iid"), Bucket.of(0.1, 20))),
        ("iid-MDP, 401 levels", "0.5 s", lambda: iid_mdp_of(scenario("iid"), Bucket.of(0.05, 20))),
        ("regime-MDP, two regimes, 41 levels", "1 s", lambda: regime_mdp(scenario("s2"), bucket)),
        ("full information, s1, 200 cells, 41 levels", "", lambda: full_information(scenario("s1"), bucket)),
        ("belief, s3, two regimes, 200 cells, 41 levels", "20 s", lambda: belief(scenario("s3"), bucket)),
        ("belief, s1-slow, 200 cells, 201 levels", "20 s", lambda: belief(scenario("s1-slow"), Bucket.of(0.1, 20))),
        ("clairvoyant, a million frames, 41 levels", "1 s", lambda: best_sends(value, gap, bucket)),
        ("cumulative linear program, 200 frames", "1 s", lambda: cumulative_lp(value[:200], gap[:200], bucket)),
    ]
    for name, bar, work in cases:
        table.add_row(name, f"{seconds(work, repeats):.3f} s", bar)
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each case (default: 3)")
    main(parser.parse_args().repeats)
