"""The commands from training to answers: what they write fits together, and wrong input ends with one sentence and code 2."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.cli import main
from conf.inference_schema import (
    EXIT_NETWORKS,
    CalibrateConfig,
    EvaluateNetworkConfig,
    InferConfig,
    SynthesizeConfig,
    TrainNetworkConfig,
    TreeConfig,
)
from envs.early_exit.build import SHIPPED
from envs.early_exit.costs import NetworkWork
from envs.early_exit.table_file import load_table
from envs.early_exit.thresholds_file import save_thresholds
from envs.early_exit.types import Thresholds
from envs.early_exit.work_file import load_work, save_work
from inference import calibrate, evaluate, infer, synthesize, train, tree
from inference.early_exit.checkpoint import load_network
from inference.early_exit.months import SYNTHETIC_SEED
from inference.early_exit.networks import FAMILIES
from inference.early_exit.rows import Rows, load_rows, save_rows
from inference.early_exit.synthetic import month
from inference.early_exit.training import Training

COMMANDS: dict[str, tuple[type, Callable[[Any], Any], tuple[str, ...]]] = {
    "synthesize": (SynthesizeConfig, synthesize.run, ("out",)),
    "train": (TrainNetworkConfig, train.run, ("data", "run_root", "resume")),
    "calibrate": (CalibrateConfig, calibrate.run, ("checkpoint", "data", "out", "plot")),
    "evaluate": (EvaluateNetworkConfig, evaluate.run, ("checkpoint", "data", "out")),
    "tree": (TreeConfig, tree.run, ("data", "out")),
    "infer": (InferConfig, infer.run, ("checkpoint", "data", "thresholds", "out")),
}
SHORT = ("epochs=8", "widths=[8,16]", "progress=false")


def call(command: str, *arguments: str) -> int:
    schema, run, paths = COMMANDS[command]
    settle = train.settle if command == "train" else None
    return main(f"inference_{command}", schema, run, paths, settle=settle, argv=arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two months of 500 rows, a network, and the same one calibrated."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("inference")
    assert call("synthesize", f"out={made}/rows", "months=2", "rows=500") == 0
    assert call("train", f"data={made}/rows", "months=month_01", f"run_root={made}", "name=run", *SHORT) == 0
    checkpoint = f"checkpoint={made}/run/network.pt"
    assert call("calibrate", checkpoint, f"data={made}/rows", "months=month_02", f"out={made}/calibrated.pt") == 0
    yield made
    torch.set_num_threads(threads)


def test_a_run_leaves_its_folder(folder: Path) -> None:
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {"config.yaml", "versions.json", "metrics.csv", "network.pt", "summary.json"}
    lines = (folder / "run" / "metrics.csv").read_text().splitlines()
    assert len(lines) == 9 and lines[0].startswith("epoch,learning_rate,loss_exit_1,loss_exit_2,accuracy_exit_1")
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["epochs"] == 8 and summary["identity"] == load_network(folder / "run" / "network.pt").identity


def test_calibration_lowers_the_likelihood_loss(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (f"checkpoint={folder}/run/network.pt", f"data={folder}/rows", "months=month_02")
    out = (f"out={folder}/again.pt", f"plot={folder}/plots/curves.png")
    assert call("calibrate", *arguments, *out, "format=json") == 0
    found = json.loads(capsys.readouterr().out)
    assert all(np.array(found["after"]["nll"]) <= np.array(found["before"]["nll"]))
    assert found["after"]["accuracy"] == found["before"]["accuracy"]
    assert load_network(folder / "again.pt").temperatures == tuple(found["temperatures"])
    assert (folder / "again.pt").read_bytes() == (folder / "calibrated.pt").read_bytes()
    assert (folder / "plots" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_inference_answers_as_the_evaluation_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Row by row, also for rows in another order and without labels."""
    checkpoint = f"checkpoint={folder}/calibrated.pt"
    assert call("evaluate", checkpoint, f"data={folder}/rows", f"out={folder}/tables", "times=false") == 0
    table = load_table(folder / "tables" / "month_02.csv")
    assert table.block_time is None and load_work(folder / "tables" / "work.yaml").exits == 2
    rows = load_rows(folder / "rows" / "month_02.csv")
    order = np.random.default_rng(0).permutation(len(rows))[:300]
    save_rows(type(rows)(rows.names, rows.features[order], None), folder / "shuffled.csv")
    assert call("infer", checkpoint, f"data={folder}/shuffled.csv", f"out={folder}/shuffled.out.csv") == 0
    lines = [line.split(",") for line in (folder / "shuffled.out.csv").read_text().splitlines()]
    assert lines[0] == ["exit_1_certainty", "exit_1_prediction", "exit_2_certainty", "exit_2_prediction"]
    found = np.array(lines[1:], dtype=np.float64)
    np.testing.assert_array_equal(found[:, [0, 2]], table.certainty.T[order])
    np.testing.assert_array_equal(found[:, [1, 3]], table.predicted.T[order])
    assert "Exit 1: Avg Certainty: 0." in capsys.readouterr().out


def test_decisions_follow_the_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, data = f"checkpoint={folder}/calibrated.pt", f"data={folder}/rows/month_02.csv"
    call("evaluate", checkpoint, data, f"out={folder}/timed", "repeats=1")
    table = load_table(folder / "timed" / "month_02.csv")
    assert table.block_time is not None and (np.ptp(table.block_time, axis=1) == 0).all()
    capsys.readouterr()
    accept = "accept=[0.8,0.7,0.75,0.6]"
    assert call("infer", checkpoint, data, f"out={folder}/decided.csv", accept, "format=json") == 0
    found = json.loads(capsys.readouterr().out)["decision"]
    lines = (folder / "decided.csv").read_text().splitlines()
    assert lines[0].endswith("exit_2_prediction,final_exit,final_certainty,final_prediction,class")
    limits = np.array([[0.8, 0.7], [0.75, 0.6]])
    right = rejected = offloaded = 0
    for row, line in enumerate(lines[1:]):
        *_, asked, certainty, answer, label = line.split(",")
        k = 0 if table.certainty[0, row] >= limits[0, table.predicted[0, row]] else 1
        accepted = table.certainty[k, row] >= limits[k, table.predicted[k, row]]
        assert int(asked) == k + 1 and int(label) == table.label[row]
        assert answer == (str(table.predicted[k, row]) if accepted else "rejected")
        assert certainty == (f"{table.certainty[k, row]:.6f}" if accepted else "rejected")
        right += answer == label
        rejected += not accepted
        offloaded += k
    assert 0 < rejected < 500
    assert found["rejected"] == rejected / 500 and found["offloaded"] == offloaded / 500
    assert found["accuracy"] == pytest.approx(right / (500 - rejected))

    shape = (1, 2, 2)
    many = Thresholds(np.concatenate([np.zeros(shape), limits[None]]), np.zeros((2, 2, 2)), ("all", "chosen"))
    save_thresholds(many, folder / "thresholds.csv")
    from_file = (checkpoint, data, f"thresholds={folder}/thresholds.csv")
    assert call("infer", *from_file, f"out={folder}/by_file.csv", "action=chosen") == 0
    assert (folder / "by_file.csv").read_bytes() == (folder / "decided.csv").read_bytes()
    text = capsys.readouterr().out
    assert f"Rejection: {rejected / 500:.2%}" in text and f"Offloaded: {offloaded / 500:.2%}" in text
    assert call("infer", *from_file, f"out={folder}/by_file.csv", "action=other") == 2


def test_a_killed_run_is_gone_on_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    epoch = Training._epoch

    def interrupted(self: Training) -> None:
        if self.state.epoch == 5:
            raise KeyboardInterrupt
        epoch(self)

    arguments = (f"data={folder}/rows", "months=month_01", f"run_root={tmp_path}", "name=run", *SHORT)
    monkeypatch.setattr(Training, "_epoch", interrupted)
    assert call("train", *arguments, "save_every=0") == 130
    assert f"resume={tmp_path}/run goes on" in capsys.readouterr().err
    assert not (tmp_path / "run" / "network.pt").exists()
    monkeypatch.setattr(Training, "_epoch", epoch)
    assert call("train", f"resume={tmp_path}/run", "seed=4") == 2
    assert "seed is 4, but" in capsys.readouterr().err
    assert call("train", f"resume={tmp_path}/run", "format=json") == 0
    assert (tmp_path / "run" / "network.pt").read_bytes() == (folder / "run" / "network.pt").read_bytes()
    assert not (tmp_path / "run" / "state.pt").exists()
    assert call("train", f"resume={tmp_path}/run") == 2
    assert "whose run is over" in capsys.readouterr().err
    assert call("train", f"resume={tmp_path}") == 2


def test_the_default_training_is_good_two_months_later(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few seconds of one core; a weak first exit would make its thresholds an easy game."""
    assert call("train", f"run_root={tmp_path}", "name=run") == 0
    checkpoint = f"checkpoint={tmp_path}/run/network.pt"
    capsys.readouterr()
    assert call("evaluate", checkpoint, "months=month_03", f"out={tmp_path}/tables", "times=false", "format=json") == 0
    (entry,) = json.loads(capsys.readouterr().out)["months"]
    assert entry["accuracy"][0] > 0.88 and entry["accuracy"][1] > 0.9
    assert entry["accuracy"][1] > entry["accuracy"][0] + 0.005


# --- tree ------------------------------------------------------------------------------------------------------------
def test_the_shipped_tables_of_a_tree_are_those_that_the_command_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("tree", f"out={tmp_path}/tree", "packed=true", "format=json") == 0
    found = json.loads(capsys.readouterr().out)
    names = [path.name for path in sorted((SHIPPED / "tree").iterdir())]
    assert names == sorted(path.name for path in SHIPPED.glob("month_*.csv.gz"))
    assert names == sorted(path.name for path in (tmp_path / "tree").iterdir())
    assert found["fitted_to"] == ["month_01"] and [one["month"] for one in found["months"]] == [n[:8] for n in names]
    for name, one in zip(names, found["months"], strict=True):
        made, shipped = tmp_path / "tree" / name, SHIPPED / "tree" / name
        assert gzip.decompress(made.read_bytes()) == gzip.decompress(shipped.read_bytes()), name
        table, network = load_table(shipped), load_table(SHIPPED / name)
        assert table.exits == 1 and table.block_time is None and np.array_equal(table.label, network.label)
        assert one["accuracy"] == pytest.approx((table.predicted[0] == table.label).mean())
        assert one["rows"] == 5_000 and one["accuracy"] > 0.85


def test_a_tree_is_that_of_scikit_learn_on_the_months_that_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its columns by name: those of the second file stand in another order."""
    from sklearn.tree import DecisionTreeClassifier

    first, other = (load_rows(folder / "rows" / f"month_0{k}.csv") for k in (1, 2))
    save_rows(first, tmp_path / "rows" / "2016_01.csv")
    save_rows(Rows(other.names[::-1], other.features[:, ::-1], other.label), tmp_path / "rows" / "2016_02.csv")
    asked = (f"data={tmp_path}/rows", f"out={tmp_path}/tables/tree", "seed=3")
    assert call("tree", *asked, "months=2016_01") == 0
    text = capsys.readouterr().out
    assert "fitted to 2016_01" in text and "2016_02" in text
    model = DecisionTreeClassifier(max_depth=8, min_samples_leaf=10, random_state=3).fit(first.features, first.labels)
    for name, rows in (("2016_01", first), ("2016_02", other)):
        table = load_table(tmp_path / "tables" / "tree" / f"{name}.csv")
        share = model.predict_proba(rows.features)
        assert np.array_equal(table.predicted[0], model.predict(rows.features)) and np.array_equal(
            table.label, rows.label
        )
        assert np.array_equal(table.certainty[0], np.round(share.max(axis=1), 6))
    # both months, in their order: not the same tree any more
    assert call("tree", *asked, "months=[2016_02,2016_01]", "format=json") == 0
    assert json.loads(capsys.readouterr().out)["fitted_to"] == ["2016_02", "2016_01"]
    both = DecisionTreeClassifier(max_depth=8, min_samples_leaf=10, random_state=3)
    both.fit(np.concatenate([other.features[:, ::-1], first.features[:, ::-1]]), np.append(other.labels, first.labels))
    table = load_table(tmp_path / "tables" / "tree" / "2016_01.csv")
    assert np.array_equal(table.predicted[0], both.predict(first.features[:, ::-1]))


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("train", ["network=vgg"], "network is vgg, expected one of mlp"),
        ("train", ["widths=[8]", "run_root={tmp}"], "widths has 1 entries, expected one for each of 2 exits"),
        ("train", ["network=alexnet", "widths=[8,8]"], "widths is [8, 8], expected []"),
        ("train", ["exit_weights=[1]", "run_root={tmp}"], "exit_weights has 1 entries, expected 2"),
        ("train", ["data={folder}/none.csv", "run_root={tmp}"], "none.csv: there is no such file"),
        ("train", ["data={folder}/shuffled_rows.csv", "run_root={tmp}"], "column 'class' is missing"),
        ("train", ["depth=3"], "depth is an unknown key"),
        ("calibrate", ["checkpoint={folder}/rows/month_01.csv", "out={tmp}/a.pt"], "month_01.csv cannot be read"),
        ("calibrate", ["checkpoint={folder}/calibrated.pt", "out={tmp}/a.pt", "plot=a.gif"], "ends in .png or .svg"),
        ("evaluate", ["checkpoint={folder}/none.pt", "out={tmp}/t"], "none.pt cannot be read: No such file"),
        ("evaluate", ["checkpoint={folder}/calibrated.pt", "out={tmp}/t", "months=2016_01"], "months are synthetic"),
        ("infer", ["checkpoint={folder}/calibrated.pt", "data={folder}/rows/month_01.csv"], "out is missing"),
        (
            "infer",
            ["checkpoint={folder}/calibrated.pt", "data={folder}/rows/month_01.csv", "out={tmp}/a.csv", "accept=[0.5]"],
            "accept has 1 entries, expected 4",
        ),
        ("infer", ["checkpoint=a", "data=b", "out=c", "action=d"], "there is no file of thresholds"),
        ("tree", [], "out is missing"),
        ("tree", ["data={folder}/rows", "out={tmp}/t"], "rows], expected those that the tree is fitted to"),
        ("tree", ["data={folder}/none", "months=a", "out={tmp}/t"], "none: there is no such file"),
        ("tree", ["data={folder}/rows", "months=2016_01", "out={tmp}/t"], "expected out of month_01, month_02"),
        ("tree", ["months=month_09", "out={tmp}/t"], "months has the entry month_09, expected out of month_01, "),
        (
            "tree",
            ["months=[month_01,month_01]", "out={tmp}/t"],
            "months names month_01 2 times, expected every month once",
        ),
        (
            "tree",
            ["data={folder}/shuffled_rows.csv", "months=shuffled_rows", "out={tmp}/t"],
            "column 'class' is missing",
        ),
        (
            "tree",
            ["data=[{folder}/shuffled_rows.csv,{folder}/rows]", "months=month_01", "out={tmp}/t"],
            "column 'class' is missing",
        ),
        ("tree", ["data={folder}/normal.csv", "months=normal", "out={tmp}/t"], "normal: has rows of one class alone"),
        (
            "tree",
            ["data={folder}/rows", "months=month_01", "out={folder}/rows"],
            "/rows, which holds data, expected a folder",
        ),
        (
            "tree",
            ["out={folder}/net"],
            "/net, which holds tables of a network, expected a folder of its own ({folder}/net/tree)",
        ),
        ("tree", ["out={folder}/normal.csv"], "/normal.csv/month_01.csv: cannot be written (File exists)"),
        ("tree", ["depth=3"], "depth is an unknown key"),
        ("synthesize", ["out={tmp}/rows", "months=0"], "months is 0, expected a whole number in 1..99"),
    ],
)
def test_wrong_input_is_told_in_one_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], sentence: str
) -> None:
    rows = month(0, SYNTHETIC_SEED, 20)
    save_rows(type(rows)(rows.names, rows.features, None), folder / "shuffled_rows.csv")
    save_rows(type(rows)(rows.names, rows.features, np.zeros_like(rows.labels)), folder / "normal.csv")
    save_work(NetworkWork((1, 1), (1, 1), (1, 0), 1), folder / "net" / "work.yaml")
    capsys.readouterr()
    assert call(command, *(text.format(folder=folder, tmp=tmp_path) for text in arguments)) == 2
    told = capsys.readouterr().err.strip()
    assert sentence.format(folder=folder) in told and "\n" not in told
    assert not list(tmp_path.iterdir())


def test_help_explains_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    for command, (schema, _, _) in COMMANDS.items():
        assert call(command, "--help") == 0
        text = capsys.readouterr().out
        assert f"python -m inference.{command}" in text
        assert all(f"  {field.name}=" in text for field in dataclasses.fields(schema))
    assert tuple(FAMILIES) == EXIT_NETWORKS
