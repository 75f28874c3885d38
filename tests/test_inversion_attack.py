"""Inversion as a whole, on a tiny network: what it reaches, that it repeats, what it writes."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_inversion import tiny_cnn, tiny_splits

from agents.cli import main
from conf.invert_schema import TABLE_ENTRIES, InvertConfig
from envs.distprivacy.files import load_instance
from envs.distprivacy.table_file import load_tables
from inference.inversion.attack import attack, solve
from inference.inversion.capture import Capture
from inference.inversion.measure import Measurement, Question, cells_of, measure, weight_of
from inference.inversion.report import write
from inference.inversion.shape import departures
from inference.inversion.subject import Subject, make_subject
from inference.inversion.table import COLUMNS, ENTRIES, as_csv, comment_of, table_of
from inference.inversion.training import Pairs, TuningSettings, rebuilt, tune
from inference.invert import run

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = TuningSettings(batch=32)
MOST = {"train": 10**6, "validation": 10**6, "test": 10**6}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def capture() -> Capture:
    return Capture(tiny_cnn())


@pytest.fixture(scope="module")
def subject(capture: Capture) -> Subject:
    return make_subject(capture, "relu2", None, tiny_splits(), MOST)


@pytest.fixture(scope="module")
def measured(capture: Capture) -> Measurement:
    torch.set_num_threads(1)
    question = Question(layers=("relu1", "relu2"), counts=(1, 4, 6), choices=2)
    return measure(capture, tiny_splits(), question, SETTINGS, steps=15)


# --- subjects --------------------------------------------------------------------------------------------------------
def test_maps_are_normalised_by_training_pictures(subject: Subject) -> None:
    maps = subject.maps["train"]
    torch.testing.assert_close(maps.mean((0, 2, 3)), torch.zeros(6), atol=1e-4, rtol=0)
    spread = maps.std((0, 2, 3))
    assert all(value == pytest.approx(1, abs=1e-3) or value == 0 for value in spread.tolist())
    assert [len(subject.pictures[part]) for part in ("train", "validation", "test")] == [120, 20, 30]


def test_two_layers_are_seen_at_once(capture: Capture) -> None:
    splits, told = tiny_splits(), list[int]()
    both = make_subject(capture, "pool1", "conv1", splits, {**MOST, "train": 50}, told.append)
    assert both.maps["train"].shape == (50, 8, 12, 12) and both.frame.stride == 1 and told[-1] == 100
    alone = make_subject(capture, "pool1", None, splits, {**MOST, "train": 50})
    repeated = alone.maps["test"].repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(both.maps["test"][:, :4], repeated, atol=1e-4, rtol=1e-3)  # n and 4 n places


def test_fewer_test_pictures_are_drawn_from_all(capture: Capture) -> None:
    """Those of a folder stand class by class: the first ones would be of a few classes."""
    splits = tiny_splits()
    splits = dataclasses.replace(splits, test=splits.test.take(np.argsort(splits.test.labels, kind="stable")))
    some = make_subject(capture, "relu2", None, splits, {"train": 5, "validation": 4, "test": 10})
    of = [
        int(np.flatnonzero((splits.test.images == np.uint8(255 * one + 0.5)).all((1, 2, 3)))[0])
        for one in some.pictures["test"].numpy()
    ]
    assert len(of) == 10 and {int(label) for label in splits.test.labels[of]} == {0, 1} and max(of) >= 15
    np.testing.assert_array_equal(some.pictures["train"] * 255, splits.train.images[:5])


# --- attacks ---------------------------------------------------------------------------------------------------------
def test_training_improves_on_the_linear_inverse_and_repeats(subject: Subject) -> None:
    outcomes = [attack(subject, (0, 1, 2, 3, 4, 5), 60, SETTINGS, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (outcome.scores for outcome in outcomes)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.mean() > outcomes[0].linear_scores.mean() + 0.01
    assert outcomes[0].shown.shape == (8, 1, 12, 12) and 0 <= outcomes[0].shown.min() <= outcomes[0].shown.max() <= 1


def test_without_steps_the_linear_inverse_is_what_is_scored(subject: Subject) -> None:
    outcome = attack(subject, (1, 2), 0, SETTINGS)
    np.testing.assert_allclose(outcome.scores, outcome.linear_scores, atol=1e-6)
    linear, _ = solve(subject, (1, 2), 0)
    assert linear.kind == outcome.linear


def test_the_best_look_is_kept(subject: Subject) -> None:
    """A step size that ruins the network leaves the guess that it began as."""
    from inference.inversion.networks import make_inverse

    linear, _ = solve(subject, (0, 1), 0)
    pairs = {
        part: Pairs(subject.maps[part][:, :2], linear(subject.maps[part][:, :2]), subject.pictures[part])
        for part in ("train", "validation")
    }
    network = make_inverse(subject.frame, 2, 0)
    settings = dataclasses.replace(SETTINGS, learning_rate=1e4)
    tune(network, pairs["train"], pairs["validation"], 8, settings, torch.Generator().manual_seed(0))
    held = pairs["validation"]
    torch.testing.assert_close(rebuilt(network, held.maps, held.guess), held.guess.clamp(0, 1))


def test_half_precision_comes_near(subject: Subject) -> None:
    full, half = (
        attack(subject, (0, 1, 2), 30, dataclasses.replace(SETTINGS, bfloat16=bfloat16)).scores.mean()
        for bfloat16 in (False, True)
    )
    assert half == pytest.approx(full, abs=0.03)


# --- tables ----------------------------------------------------------------------------------------------------------
def test_a_measured_table(measured: Measurement) -> None:
    table = table_of(measured)
    assert {layer: list(row) for layer, row in table.items()} == {"relu1": [1, 4], "relu2": [1, 4, 6]}
    assert measured.floor.mean < min(value for row in table.values() for value in row.values() if value is not None)
    assert table["relu1"][4] is not None and table["relu1"][4] > 0.9
    assert [one.steps for one in measured.of("relu2")] == [15, 15, 30], "the cell of all maps gets those of all choices"
    few = [weight_of(one.cell, 0.99, Question(layers=("relu2",), choices=2)) for one in measured.of("relu2")]
    assert few == pytest.approx([0.1, 0.1, 0.2])
    for entry, figure in (("high", "high"), ("worst", "worst")):
        assert table_of(measured, entry)["relu2"][1] == round(getattr(measured.of("relu2")[0].ssim, figure), 4)
    rows = list(csv.DictReader(as_csv(measured).splitlines()))
    assert tuple(rows[0]) == COLUMNS and [(row["layer"], int(row["maps"])) for row in rows] == [
        ("relu1", 1), ("relu1", 4), ("relu2", 1), ("relu2", 4), ("relu2", 6),
    ]  # fmt: skip
    assert all(float(row["low"]) <= float(row["ssim"]) <= float(row["high"]) for row in rows)
    assert ENTRIES == TABLE_ENTRIES


def test_the_same_steps_make_the_same_table(capture: Capture) -> None:
    question = Question(layers=("relu2",), counts=(2,), choices=2)
    tables = [measure(capture, tiny_splits(), question, SETTINGS, steps=5) for _ in range(2)]
    assert as_csv(tables[0]) == as_csv(tables[1])


def test_time_becomes_steps(capture: Capture) -> None:
    question = Question(layers=("relu2",), counts=(2,), choices=2)
    short, long = (measure(capture, tiny_splits(), question, SETTINGS, seconds=seconds) for seconds in (0.01, 3.0))
    assert short.steps == 20 < long.steps and long.seconds < 9
    repeated = measure(capture, tiny_splits(), question, SETTINGS, steps=long.steps)
    assert as_csv(long) == as_csv(repeated)


def test_colluders_and_a_second_layer(capture: Capture) -> None:
    network = capture.chain.network
    pooled = cells_of(network, capture, Question(layers=("relu2",), counts=(2, 4), colluders=2))
    assert [(cell.maps, cell.pooled, len(cell.held)) for cell in pooled] == [(2, 4, 3), (4, 6, 1)]
    alone = cells_of(network, capture, Question(layers=("relu2",), counts=(4,)))
    assert alone[0].held == pooled[0].held, "two devices with two maps each see what one with those four sees"
    question = Question(layers=("relu1",), counts=(2,), also="pool1")
    measured = measure(capture, tiny_splits(), question, SETTINGS, steps=3)
    assert measured.results[0].cell.pooled == 4 and "as many others of pool1" in comment_of(measured, {})
    with pytest.raises(ValueError, match=r"counts is \[9\], expected one of at most 4, the maps of relu1"):
        cells_of(network, capture, Question(layers=("relu1",), counts=(9,)))


def test_departures_from_the_shape_are_told(measured: Measurement) -> None:
    weak = dataclasses.replace(measured, results=list(measured.results))
    cells = {(one.cell.layer, one.cell.maps): index for index, one in enumerate(weak.results)}
    for place, value in {("relu1", 4): 0.5, ("relu1", 1): 0.6, ("relu2", 6): 0.7}.items():
        one = weak.results[cells[place]]
        weak.results[cells[place]] = dataclasses.replace(one, ssim=dataclasses.replace(one.ssim, mean=value))
    found = " | ".join(departures(weak))
    assert "relu1: 4 maps give 0.500, less than 1 (0.600)" in found
    assert "all maps of relu2 give 0.700, more than those of relu1 (0.500)" in found
    assert "all maps of relu1 give 0.500, less than 0.9" in found


def test_all_files_are_written(measured: Measurement, tmp_path: Path) -> None:
    files = write(measured, tmp_path / "deep" / "t.yaml", "mean", {"pictures": "blobs"})
    assert {Path(path).name for path in files.values()} == {"t.yaml", "t.csv", "t_curves.png", "t_pictures.png"}
    assert all(Path(path).stat().st_size > 0 for path in files.values())
    assert load_tables(files["table"]) == {"lenet": table_of(measured)}
    text = Path(files["table"]).read_text()
    assert text.startswith("# SSIM of black-box inversion") and "# pictures: blobs\n" in text


# --- the command -----------------------------------------------------------------------------------------------------
def command(*arguments: str) -> int:
    paths = ("network", "checkpoint", "data", "run_root", "out")
    return main("inference_invert", InvertConfig, run, paths, argv=arguments)


@pytest.fixture
def lenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file of a LeNet that was never trained."""
    from inference.cnn.networks import make_cnn
    from inference.cnn.trained import TrainedCnn

    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = make_cnn("lenet", (1, 28, 28), 10)
    TrainedCnn("lenet", module, (1, 28, 28), tuple("0123456789"), (0.3,), (0.3,), {"seed": 3}).save("network.pt")
    return tmp_path


def test_from_network_to_instance(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from conf.instance_schema import InstanceConfig
    from inference.instance import run as make_instance

    given = ("checkpoint=network.pt", "layers=[pool2,conv2]", "counts=[2,8]", "choices=1", "steps=2", "pictures=200")
    assert command(*given, "test_pictures=50", "out=t.yaml", "format=json") == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [(cell["layer"], cell["maps"], cell["paper"]) for cell in said["cells"]] == [
        ("conv2", 2, None), ("conv2", 8, 0.73), ("pool2", 2, None), ("pool2", 8, None),
    ]  # fmt: skip
    assert said["test_pictures"] == 50 and said["train_pictures"] == {"pool2": 200, "conv2": 200}
    assert "by seed 3" in said["notice"], "pictures are split as for the training of the network"
    assert {path.name for path in lenet.iterdir()} == {"network.pt", *map(os.path.basename, said["files"].values())}
    arguments = ["checkpoint=network.pt", "table=t.yaml", "ssim=0.9", "out=mine.json"]
    assert (
        main("inference_instance", InstanceConfig, make_instance, ("checkpoint", "table", "out"), argv=arguments) == 0
    )
    assert load_instance("mine.json").task.privacy == load_tables("t.yaml")
    assert command(*given[:-1], "pictures=100", "test_pictures=20", "out=u.yaml", "counts=[2]", "also=relu2") == 0
    assert "as many others of relu2 are seen too" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("minutes=1",), "out is missing, expected a path"),
        (("out=t.yaml",), "minutes is null and steps is null, expected one of the two"),
        (("out=t.yaml", "minutes=1", "steps=5"), "minutes is 1 and steps is 5, expected one of the two"),
        (("out=t.csv", "steps=5"), "out is t.csv, expected a path that ends in .yaml"),
        (("out=t.yaml", "steps=5", "network=alexnet"), "network is alexnet, expected one of lenet"),
        (("out=t.yaml", "steps=5", "dataset=mnist"), "data is null with dataset=mnist, expected the folder"),
        (("out=t.yaml", "steps=5", "entry=best"), "entry is best, expected one of mean, high, worst"),
        (("out=t.yaml", "steps=5", "layers=[conv1]", "also=conv1"), "also is conv1, which is one of layers"),
        (("out=t.yaml", "steps=5", "counts=[0]"), "counts is [0], expected a list of whole numbers >= 1"),
        (("out=t.yaml", "steps=5", "checkpoint=gone.pt"), "gone.pt"),
        (("out=t.yaml", "steps=5", "checkpoint=network.pt", "layers=[conv3]"), "layers has the entry conv3, expected layers"),
        (("out=t.yaml", "steps=5", "checkpoint=network.pt", "also=conv3"), "also is conv3, expected a layer of lenet"),
        (("out=t.yaml", "steps=5", "checkpoint=network.pt", "layers=[conv1]", "counts=[9]"), "counts is [9], expected one of"),
        (("out=t.yaml", "steps=5", "strength=9"), "strength is an unknown key"),
    ],
)  # fmt: skip
def test_wrong_input_writes_nothing(
    arguments: tuple[str, ...], sentence: str, lenet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert sentence in err and err.count("\n") == 1 and out == ""
    assert os.listdir(lenet) == ["network.pt"]


def test_help_needs_no_heavy_package() -> None:
    code = (
        "import sys; from agents.cli import main; from conf.invert_schema import InvertConfig as C\n"
        "from inference.invert import run\n"
        "assert main('inference_invert', C, run, argv=['--help']) == 0\n"
        "heavy = {'torch', 'torchmetrics', 'scipy', 'numpy', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"minutes" in done.stdout
