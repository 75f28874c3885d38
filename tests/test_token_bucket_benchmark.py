"""agents.benchmark env=token_bucket: figures are those of the streams, scores are paired, the folder is complete."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.benchmark import run
from agents.cli import main
from agents.run_folder import RunFolder
from agents.token_bucket.baselines import baseline
from agents.token_bucket.benchmark import compare, write_folder
from agents.token_bucket.benchmark_result import COLUMNS, HEADINGS, share_of_gain, with_half
from conf.benchmark_schema import BenchmarkConfig
from conf.schema import TokenBucketConfig, TrainConfig
from envs.token_bucket.build import make_world
from envs.token_bucket.streams import Streams
from envs.token_bucket.trace_file import save_trace

PATHS = ("runs", "run_root", "env.scenario")
DOCS = Path(__file__).resolve().parent.parent / "docs" / "token_bucket_benchmark.md"
TINY = [
    "env=token_bucket", "steps=400", "num_envs=4", "agent.learning_starts=40", "agent.batch_size=32", "agent.hidden=8",
    "agent.buffer_size=4000", "env.length=40", "env.evaluation_length=500", "evaluate_every=0", "checkpoint_every=0",
    "final_instances=3", "tensorboard=false", "progress=false", "device=cpu",
]  # fmt: skip


def benchmark(root: Path, *argv: str) -> int:
    return main("benchmark", BenchmarkConfig, run, PATHS, argv=[*TINY, f"run_root={root}", *argv])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two seeds, trained on the spot, with a folder for each next to its own."""
    root = tmp_path_factory.mktemp("benchmark")
    assert benchmark(root, "train_seeds=[3,4]", "baselines=[belief,iid-mdp,fixed]", "name=t", "format=json") == 0
    return root


# --- scores ----------------------------------------------------------------------------------------------------------
def test_scores_are_paired_over_streams_and_given_for_every_seed() -> None:
    rng = np.random.default_rng(0)
    base, gain = rng.normal(0.3, 0.1, 12), rng.uniform(0.01, 0.03, 12)
    half = share_of_gain(np.stack([base - 0.5 * gain] * 2), base, base - gain)
    assert half["mean"] == pytest.approx(0.5) and half["interval"] == pytest.approx([0.5, 0.5])
    mixed = share_of_gain(np.stack([base - 0.2 * gain, base - 0.8 * gain]), base, base - gain)
    assert mixed["mean"] == pytest.approx(0.5) and mixed["seeds"] == pytest.approx([0.2, 0.8])
    assert mixed["interval"] == pytest.approx([0.2, 0.8])
    nothing = share_of_gain(base[None], base, base)
    assert np.isnan([nothing["mean"], *nothing["interval"], *nothing["seeds"]]).all()


def test_a_score_is_printed_with_half_its_interval() -> None:
    assert with_half({"mean": 0.9648, "interval": [0.9581, 0.9713]}, "±") == "0.965±0.007"
    assert with_half({"mean": -17.175, "interval": [-17.817, -16.580]}, " ± ") == "-17.18 ± 0.62"


def test_figures_are_those_of_the_streams_and_of_every_bucket() -> None:
    frames = make_world("s1", rates=[0.1, 0.25], depths=[2, 4])
    streams = Streams.draw(frames.generator, 4, 600, 7)
    result = compare([], ["random", "iid-mdp"], frames, streams, "two", seed=5)
    rows = {row["policy"]: row for row in result.rows}
    assert list(rows) == ["iid-mdp", "random"] and set(result.references) == {
        "iid-mdp",
        "belief",
        "fixed",
        "clairvoyant",
    }
    losses = np.empty((4, 4))
    for at, bucket in enumerate(frames.buckets):
        losses[at] = streams.losses(baseline("random", frames.generator, bucket, 5).play(streams, bucket))
        part = rows["random"]["buckets"][at]
        assert (part["rate"], part["depth"]) == (float(bucket.rate), float(bucket.depth))
        assert part["loss"]["mean"] == pytest.approx(losses[at].mean())
    row = rows["random"]
    assert row["loss"]["mean"] == pytest.approx(losses.mean())
    assert row["loss"]["worst"] == pytest.approx(losses.mean(axis=0).max())
    base, best = result.references["iid-mdp"].mean(), result.references["belief"].mean()
    assert row["score"]["mean"] == pytest.approx((base - losses.mean()) / (base - best)), "a ratio of mean gains"
    assert rows["iid-mdp"]["score"]["mean"] == 0.0 and rows["iid-mdp"]["score"]["interval"] == [0.0, 0.0]
    fixed, ideal = result.references["fixed"].mean(), result.references["clairvoyant"].mean()
    assert row["score_clairvoyant"]["mean"] == pytest.approx((fixed - losses.mean()) / (fixed - ideal))
    assert len(list(csv.DictReader(io.StringIO(result.csv())))) == 2 * 4 * 4
    headings, cells = result.by_bucket()
    assert headings[1:] == [f"{bucket}: loss (C)" for bucket in frames.buckets]
    assert [row[0] for row in cells] == list(rows) and f"{losses[0].mean():.5f} (" in cells[1][1]


# --- the command -----------------------------------------------------------------------------------------------------
def test_a_benchmark_leaves_a_complete_folder(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {"t", "t-seed-3", "t-seed-4"}
    plots = {"loss.svg", "loss_time.svg", "score.svg", "timeline.svg"}
    files = {"benchmark.json", "streams.csv", "config.yaml", "report.html"}
    assert {path.name for path in (trained / "t").iterdir()} == plots | files
    text = (trained / "t" / "report.html").read_text()
    assert text.count('src="data:image/svg+xml;base64,') == len(plots) == text.count("<img")
    assert "<script" not in text and not re.search(r"(?:src|href)=.?https?:|@import|url\(", text)


def test_json_and_csv_agree(trained: Path) -> None:
    stored = json.loads((trained / "t" / "benchmark.json").read_text())
    rows = {row["policy"]: row for row in stored["policies"]}
    assert set(rows) == {"dqn", "belief", "iid-mdp", "fixed", "clairvoyant"}
    assert (rows["dqn"]["seeds"], rows["dqn"]["kind"]) == (2, "learned")
    assert rows["dqn"]["runs"] == [str(trained / f"t-seed-{seed}") for seed in (3, 4)]
    assert rows["belief"]["score"] == {"mean": 1.0, "interval": [1.0, 1.0], "seeds": [1.0]}
    assert rows["iid-mdp"]["score"]["mean"] == 0.0 and rows["clairvoyant"]["score_clairvoyant"]["mean"] == 1.0
    assert rows["fixed"]["score_clairvoyant"]["mean"] == 0.0
    with open(trained / "t" / "streams.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS and len(lines) == (2 + 4) * 3
    keys = {"loss_realised": "loss_realised", "offload_rate": "offload_rate", "lost_tokens": "lost_tokens"}
    for name, row in rows.items():
        mine = [line for line in lines if line["policy"] == name]
        assert row["loss"]["mean"] == pytest.approx(np.mean([float(line["loss"]) for line in mine]))
        assert row["loss"]["worst"] == pytest.approx(max(float(line["loss"]) for line in mine))
        for key, column in keys.items():
            assert row[key] == pytest.approx(np.mean([float(line[column]) for line in mine]))
    assert stored["references"]["belief"] == pytest.approx(rows["belief"]["loss"]["mean"])
    for label, score in zip(rows["dqn"]["runs"], rows["dqn"]["score"]["seeds"], strict=True):
        loss = np.mean([float(line["loss"]) for line in lines if line["run"] == label])
        base, best = (stored["references"][one] for one in ("iid-mdp", "belief"))
        assert score == pytest.approx((base - loss) / (base - best))


def test_runs_play_other_buckets_than_they_were_trained_for(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = f"runs=[{trained / 't-seed-3'},{trained / 't-seed-4'}]"
    assert benchmark(trained, runs, "env.scenario=s3", "env.depths=[2,8]", "baselines=[fixed]", "name=o") == 0
    out = capsys.readouterr().out
    assert "s3, r 0.1, b 2, 8, 3 held-out streams of 500 frames" in out and "benchmark folder" in out
    assert max(map(len, out.replace(str(trained), "").splitlines())) <= 100
    stored = json.loads((trained / "o" / "benchmark.json").read_text())
    row = next(row for row in stored["policies"] if row["policy"] == "dqn")
    assert row["seeds"] == 2 and [one["depth"] for one in row["buckets"]] == [2.0, 8.0]
    assert row["loss"]["mean"] == pytest.approx(np.mean([one["loss"]["mean"] for one in row["buckets"]]))
    assert (trained / "o" / "buckets.svg").is_file() and "r 0.1, b 8" in (trained / "o" / "report.html").read_text()


def test_given_traces_have_no_causal_optimum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = make_world("s1").generator.draw(np.random.default_rng(0), 400)
    save_trace(trace, tmp_path / "own.csv")
    asked = ["train_seeds=[]", "baselines=[belief,iid-mdp]", "name=own", "format=json", "final_instances=1"]
    assert benchmark(tmp_path, f"env.scenario={tmp_path / 'own.csv'}", *asked) == 0
    out, err = capsys.readouterr()
    result: dict[str, Any] = json.loads(out)
    assert "belief is left out" in err and [row["policy"] for row in result["policies"]] == ["iid-mdp", "clairvoyant"]
    assert all(row["score"]["mean"] is None for row in result["policies"]) and result["frames"] == 399
    assert not (tmp_path / "own" / "score.svg").exists()


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = make_world("iid")
    result = compare([], ["iid-mdp"], frames, Streams.draw(frames.generator, 2, 50, 0), "few")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envs.atomic.write_text_atomic", full)
    with pytest.raises(ValueError, match=r"^run_root is .*, where no folder can be made: .*No space left"):
        write_folder(result, BenchmarkConfig(env=TokenBucketConfig(), baselines=[]), tmp_path / "out", "name")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["samples=4"], "samples is 4, but offramp/TokenBucket-v0 has no use for it, expected 1"),
        (["local_search=true"], "local_search is true, but offramp/TokenBucket-v0 has no use for it, expected false"),
        (["solve=true"], "solve is true, but"),
        (["time_limit=5"], "time_limit is 5.0, but"),
        (["set=lenet-20-0.6"], "set is lenet-20-0.6, but"),
        (["baselines=[subset]"], "baselines has the entry subset, expected out of belief"),
        (["train_seeds=[]", "env.scenario=nowhere.csv"], "nowhere.csv: there is no such file"),
        (["runs=nowhere"], "run folder nowhere does not exist"),
        (["runs=placement"], "which is of offramp/DistPrivacy-v0, expected one of offramp/TokenBucket-v0"),
    ],
)
def test_wrong_input_is_told_in_one_sentence(
    argv: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    RunFolder.create(TrainConfig(run_root=".", name="placement"))
    assert benchmark(tmp_path, *argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.strip().count("\n") == 0 and sentence in err
    assert [path.name for path in tmp_path.iterdir()] == ["placement"]


def test_runs_of_a_bucket_are_refused_by_segment_allocation(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["env=distprivacy", f"runs={trained / 't-seed-3'}", "final_instances=1"]
    assert main("benchmark", BenchmarkConfig, run, PATHS, argv=argv) == 2
    assert "which is of offramp/TokenBucket-v0, expected one of offramp/DistPrivacy-v0" in capsys.readouterr().err


# --- docs ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("heading", "names"), [("The table", HEADINGS), ("Rows by stream", COLUMNS)])
def test_columns_are_explained_in_order(heading: str, names: tuple[str, ...]) -> None:
    match = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", DOCS.read_text(encoding="utf-8"), re.M | re.S)
    assert match is not None
    assert re.findall(r"^\| `([^`]+)` \|", match.group(1), re.M) == list(names)
