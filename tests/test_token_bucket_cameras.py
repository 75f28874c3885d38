"""Cameras behind one switch: the rules of a turn, a slow simulation beside the kernel, and the comparison of schemes."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents.cli import main
from conf.cameras_schema import DISTRIBUTIONS, CamerasConfig
from conf.compose import Composer, without_hydra
from envs.token_bucket import metrics as metric_laws
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.cameras import as_one_device, draw_metrics, simulate
from envs.token_bucket.metrics import IidMetrics, LocalReset, distribution
from envs.token_bucket.streams import Streams, replay
from optimal.token_bucket import cameras

SMALL = {"training_streams": 3, "training_length": 1000, "streams": 12, "length": 3000, "depths_step": 1.0}


def always(bucket: Bucket) -> NDArray[np.float64]:
    return np.full(bucket.capacity + 1, -np.inf)


# --- the simulation --------------------------------------------------------------------------------------------------
def test_turns_by_hand() -> None:
    """Two cameras that always send; the switch holds one token and gains half a token after each turn."""
    metric = np.array([[[0.1, 0.2], [0.4, 0.8]]])
    own, switch = Bucket.of(1, 1), Bucket.of("1/2", 1)
    found = simulate(metric, [own] * 2, [always(own)] * 2, switch)
    # camera 1 passes (1 -> .5), camera 2 is dropped (.5 -> 1), camera 1 passes, camera 2 is dropped
    assert found.sent.tolist() == [[2, 2]] and found.dropped.tolist() == [[0, 2]]
    assert found.value[0] == (0.1 + 0.4) / 4
    slow = Bucket.of("1/2", 1)
    # a dropped send costs the camera its token: camera 2 has none in the second slot, camera 1 neither
    found = simulate(metric, [slow] * 2, [always(slow)] * 2, switch)
    assert found.sent.tolist() == [[1, 1]] and found.dropped.tolist() == [[0, 1]] and found.value[0] == 0.1 / 4


def by_fractions(
    metric: NDArray[np.float64], buckets: list[Bucket], thresholds: list[NDArray[np.float64]], switch: Bucket | None
) -> tuple[float, list[int], list[int]]:
    """One stream ``(T, N)`` with levels as fractions of a token."""
    level, shared = [one.depth for one in buckets], switch.depth if switch else Fraction(0)
    gained, sent, dropped = 0.0, [0] * len(buckets), [0] * len(buckets)
    for slot in metric:
        for c, value in enumerate(slot):
            one = buckets[c]
            if level[c] >= 1 and value >= thresholds[c][int(level[c] * one.cost)]:
                level[c] -= 1
                sent[c] += 1
                if switch is None or shared >= 1:
                    shared -= 1
                    gained += value
                else:
                    dropped[c] += 1
            if switch is not None:
                shared = min(switch.depth, shared + switch.rate)
            level[c] = min(one.depth, level[c] + one.rate)
    return gained / metric.size, sent, dropped


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 30), st.booleans())
def test_the_kernel_equals_a_slow_simulation(seed: int, count: int, slots: int, behind: bool) -> None:
    rng = np.random.default_rng(seed)
    rates, depths = ("1/10", "1/4", "1/3", "9/10"), ("1", "3/2", "3")
    buckets = [Bucket.of(str(rng.choice(rates)), str(rng.choice(depths))) for _ in range(count)]
    thresholds = [rng.random(one.capacity + 1) for one in buckets]
    switch = Bucket.of(str(rng.choice(rates)), str(rng.choice(depths))) if behind else None
    metric = rng.random((2, slots, count))
    found = simulate(metric, buckets, thresholds, switch)
    for s in range(2):
        value, sent, dropped = by_fractions(metric[s], buckets, thresholds, switch)
        assert found.value[s] == pytest.approx(value, abs=1e-12)
        assert found.sent[s].tolist() == sent and found.dropped[s].tolist() == dropped


def test_one_camera_is_the_environment() -> None:
    bucket, rng = Bucket.of(0.1, 2), np.random.default_rng(0)
    metric = rng.random((3, 200, 1))
    thresholds = np.linspace(1, 0, bucket.capacity + 1)
    found = simulate(metric, [bucket], [thresholds])
    sent = np.zeros((3, 200), np.bool_)
    for s in range(3):
        n = bucket.capacity
        for t in range(200):
            sent[s, t] = n >= bucket.cost and metric[s, t, 0] >= thresholds[n]
            n = min(bucket.capacity, n - bucket.cost * sent[s, t] + bucket.refill)
    unknown = np.full((3, 200), np.nan)
    streams = Streams(metric[:, :, 0], unknown, np.ones((3, 200), np.int64), unknown, unknown, 0.0)
    assert replay(streams, bucket, sent).violations.sum() == 0
    assert (found.sent[:, 0] == sent.sum(axis=1)).all() and np.allclose(found.value, -streams.losses(sent))


def test_a_switch_with_room_for_all_drops_nothing() -> None:
    metric = np.random.default_rng(1).random((2, 500, 3))
    own = Bucket.of(0.25, 2)
    thresholds = np.linspace(1, 0, own.capacity + 1)
    free, behind = (simulate(metric, [own] * 3, [thresholds] * 3, switch) for switch in (None, Bucket.of(1, 1)))
    assert behind.dropped.sum() == 0 and (free.value == behind.value).all()


def test_streams_of_cameras() -> None:
    law = distribution("strong-pair")
    first = draw_metrics(IidMetrics(), law, 3, 4, 50, 7)
    assert first.shape == (4, 50, 3) and (first == draw_metrics(IidMetrics(), law, 3, 4, 50, 7)).all()
    assert not (first == draw_metrics(IidMetrics(), law, 3, 4, 50, 8)).any()
    assert as_one_device(first)[1, 3:6, 0].tolist() == first[1, 1].tolist(), "camera by camera within a slot"
    bands = draw_metrics(LocalReset(0.1, 0.01), distribution("standard"), 2, 1, 4000, 0)[0]
    assert np.corrcoef(bands[1:, 0], bands[:-1, 0])[0, 1] > 0.8 and abs(np.corrcoef(bands.T)[0, 1]) < 0.4


def test_shapes_that_do_not_fit_are_refused() -> None:
    bucket = Bucket.of(0.5, 1)
    with pytest.raises(ValueError, match=r"metrics has the shape \(5, 2\), expected \(streams, slots, cameras\)"):
        simulate(np.zeros((5, 2)), [bucket] * 2, [always(bucket)] * 2)
    with pytest.raises(ValueError, match="one array of thresholds a camera, not 2 and 1"):
        simulate(np.zeros((1, 5, 2)), [bucket] * 2, [always(bucket)])
    with pytest.raises(ValueError, match=r"thresholds of camera 1 have the shape \(4,\), expected \(3,\)"):
        simulate(np.zeros((1, 5, 2)), [bucket] * 2, [always(bucket), np.zeros(4)])


# --- the command -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def rows() -> list[cameras.Row]:
    return cameras.measure(CamerasConfig(cameras=[2, 4], **SMALL))


def test_simulated_losses_are_the_exact_ones(rows: list[cameras.Row]) -> None:
    assert [(row.depth, row.cameras, row.scheme) for row in rows] == [
        (depth, count, scheme) for depth in (1, 2) for count in (2, 4) for scheme in cameras.SCHEMES
    ]
    for row in rows:
        if row.exact_loss is not None:
            # a bucket that starts full gains its depth once
            head_start = 0.325 * row.own_depth / (3000 * (row.cameras if row.scheme == "shared" else 1))
            assert abs(row.loss - row.exact_loss) < 4 * row.standard_error + head_start


def test_sharing_pays_and_the_switch_never_beats_one_device(rows: list[cameras.Row]) -> None:
    table = {(row.depth, row.cameras, row.scheme): row for row in rows}
    for depth in (1, 2):
        for count in (2, 4):
            isolated, between, shared = (table[depth, count, scheme] for scheme in cameras.SCHEMES)
            assert isolated.gain == 0 and isolated.dropped == 0 and shared.dropped == 0 and between.dropped > 0
            assert between.gain > 4 * between.gain_error
            assert shared.loss < between.loss < isolated.loss
            assert between.own_rate >= 0.1 and between.own_depth >= depth
            for row in (isolated, between, shared):
                assert row.published is not None and abs(row.loss - row.published) < 0.0015
        assert table[depth, 4, "shared"].loss < table[depth, 2, "shared"].loss
        assert table[depth, 4, "hierarchical"].loss < table[depth, 2, "hierarchical"].loss


def test_the_grid_is_the_published_one() -> None:
    config = CamerasConfig()
    points = list(cameras.grid(config, Fraction(1)))
    assert len(points) == len(set(points)) == 17 * 37
    assert min(points) == (Fraction(1, 10), 1) and max(points) == (Fraction(1, 2), 10)
    assert len(list(cameras.grid(config, Fraction(2)))) == 17 * 33
    odd = CamerasConfig(rate=0.11)
    assert {rate for rate, _ in cameras.grid(odd, Fraction(1))} >= {Fraction(11, 100), Fraction(1, 8)}
    wide = CamerasConfig(rate=0.7)
    assert {rate for rate, _ in cameras.grid(wide, Fraction(1))} == {Fraction(7, 10)}
    assert cameras.search(CamerasConfig(depths=[20.0], **SMALL), 2, Fraction(20)) == (Fraction(1, 10), 20)


def test_published_levels() -> None:
    assert cameras.published("hierarchical", 8, 0.1, 1.0, "strong-pair") == 0.0798
    for other in (("isolated", 5, 0.1, 1.0, "strong-pair"), ("isolated", 4, 0.2, 1.0, "strong-pair"),
                  ("isolated", 4, 0.1, 1.5, "strong-pair"), ("isolated", 4, 0.1, 1.0, "standard")):  # fmt: skip
        assert cameras.published(*other) is None


def call(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main("cameras", CamerasConfig, cameras.run, ("out",), argv=argv)
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def test_the_command_writes_a_table_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["training_streams=1", "training_length=50", "streams=2", "length=100", "depths_step=3", "rates_step=0.2"]
    out = tmp_path / "new"
    code, text, _ = call(capsys, "cameras=[2]", f"out={out}", *few, "format=json")
    assert code == 0
    result = json.loads(text)
    assert [row["scheme"] for row in result["rows"]] == list(cameras.SCHEMES) * 2
    lines = list(csv.DictReader((out / "cameras.csv").read_text().splitlines()))
    assert [float(line["loss"]) for line in lines] == [row["loss"] for row in result["rows"]]
    assert (out / "cameras.png").stat().st_size > 10_000
    code, text, _ = call(capsys, "cameras=3", "depths=1.5", "distribution=standard", f"out={out}", *few)
    assert code == 0 and "hierarchical" in text and "shared" in text


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("cameras=0", "cameras is [0], expected a list of whole numbers in 1..100"),
        ("cameras=[]", "cameras is [], expected at least one number"),
        ("depths=0.5", "depths is [0.5], expected a list of numbers >= 1"),
        ("rate=0", "rate is 0.0, expected a number > 0 and <= 1"),
        ("streams=1", "streams is 1, expected a whole number >= 2"),
        ("distribution=gauss", "distribution is gauss, expected one of standard, strong-pair, beta"),
        ("rates_step=0.0123456789", "expected at most 10,000,000"),
    ],
)
def test_wrong_keys_are_one_sentence(
    argument: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, told = call(capsys, argument, f"out={tmp_path}", "length=10", "training_length=10")
    last = told.splitlines()[-1]
    assert code == 2 and text == "" and sentence in last


def test_the_yaml_file_holds_the_defaults_of_the_class() -> None:
    from omegaconf import OmegaConf

    composer = Composer("cameras", CamerasConfig)
    try:
        composed: Any = without_hydra(composer.compose([]))
    finally:
        composer.close()
    assert composed == OmegaConf.structured(CamerasConfig)
    assert DISTRIBUTIONS == metric_laws.DISTRIBUTIONS
