"""agents.benchmark: the figures are those of the outcomes, the folder is complete, the report stands alone."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_optimality import brute_force, reference
from test_standard_sets import variants
from tiny_runs import tiny

from agents.baselines import baseline
from agents.benchmark import compare, run, write_folder
from agents.benchmark_result import COLUMNS
from agents.cli import main
from agents.entries import Entry, baseline_entries, learned_entries, open_runs, reference_outcome
from agents.evaluation import InstanceSet, evaluate
from agents.optimality import Bounds
from agents.training import train
from conf.benchmark_schema import BenchmarkConfig
from envs.distprivacy.files import save_instances
from envs.distprivacy.generator import InstanceList
from envs.distprivacy.scenarios import scenario
from optimal.standard_sets import find_references

PATHS = ("runs", "run_root", "env.scenario")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two seeds of one agent, one of another."""
    root = tmp_path_factory.mktemp("runs")
    few = {"steps": 240, "checkpoint_every": 0, "final_instances": 1, "baselines": ["greedy"]}
    made = [train(tiny(root, seed=seed, name=f"seed-{seed}", **few)).folder for seed in (0, 1)]
    made.append(train(tiny(root, name="wide", agent={"hidden": 24}, **few)).folder)
    return [str(folder) for folder in made]


def toys(count: int) -> InstanceSet:
    instances = variants(count)
    chosen = InstanceSet.of(InstanceList(instances), instances)
    chosen.bounds = Bounds.of([brute_force(instance) for instance in instances])
    return chosen


# --- entries ---------------------------------------------------------------------------------------------------------
def test_runs_that_differ_in_the_seed_alone_are_one_policy(trained: list[str]) -> None:
    entries = learned_entries(open_runs(trained), samples=4, local_search=True, device="cpu")
    names = [entry.name for entry in entries]
    both, searching = "dqn (seed-0)", "dqn (seed-0) + best of 4 + local search"
    assert names == [both, searching, "dqn (wide)", "dqn (wide) + best of 4 + local search"]
    assert [len(entry.policies) for entry in entries] == [2, 2, 1, 1] and entries[0].labels == trained[:2]
    (alone,) = learned_entries(open_runs(trained[:2]), device="cpu")
    assert alone.name == "dqn" and len(alone.policies) == 2


# --- figures ---------------------------------------------------------------------------------------------------------
def test_figures_are_those_of_the_outcomes() -> None:
    instances = toys(4)
    references = [brute_force(instance) for instance in instances.decoded()]
    seeds = [baseline("random", seed) for seed in (0, 1, 2)]
    entries = [
        Entry("random", "baseline", list[Any](seeds), ["a", "b", "c"]),
        *baseline_entries(["greedy", "per-layer"]),
    ]
    result = compare(entries, instances, references, "toys", progress=False)
    data = {row["policy"]: row for row in result.to_dict()["policies"]}
    assert next(iter(data)) == "optimum" and list(data)[-1] == "per-layer"
    alone = np.stack([evaluate(policy, instances).latency_s for policy in seeds])
    row = data["random"]
    assert (row["seeds"], row["requests"], row["rejected"], row["violations"]) == (3, 12, 0, 0)
    assert row["latency_s"]["mean"] == pytest.approx(alone.mean()) and row["latency_s"]["worst"] == alone.max()
    bound = np.array([one.bound_s for one in references])
    assert row["gap"]["mean"] == pytest.approx((alone[..., 0] / bound - 1).mean())
    assert row["gap"]["interval"][0] <= row["gap"]["mean"] <= row["gap"]["interval"][1]
    assert data["optimum"]["gap"]["worst"] == 0.0 and data["optimum"]["optimal_share"] == 1.0
    assert data["optimum"]["shared_bytes"]["mean"] > 0 and data["optimum"]["kind"] == "reference"
    assert data["per-layer"]["gap_instances"] == 0 and data["per-layer"]["violations"] > 0
    rows = list(csv.DictReader(io.StringIO(result.csv())))
    assert tuple(rows[0]) == COLUMNS and len(rows) == (3 + 1 + 1 + 1) * 4
    of_b = [float(entry["latency_s"]) for entry in rows if entry["run"] == "b"]
    assert of_b == pytest.approx(alone[1, :, 0].tolist(), rel=0)
    assert {entry["gap"] for entry in rows if entry["policy"] == "per-layer"} == {""}


def test_rejections_come_first_and_means_are_compared_on_common_requests() -> None:
    periods = InstanceSet.draw(scenario("mixed-70", ssim=0.4), 1, 0)
    result = compare(baseline_entries(["greedy", "packing"]), periods, progress=False)
    first, second = result.rows
    assert (first["policy"], second["policy"]) == ("packing", "greedy")
    assert 0 < first["rejection_rate"] < second["rejection_rate"] < 1
    served = [np.isfinite(one.latency_s[0]) for one in result.played]
    common = served[0] & served[1]
    for row, one in zip(result.rows, result.played, strict=True):
        assert row["latency_common_s"] == pytest.approx(one.latency_s[0][common].mean())
    assert first["gap_instances"] == 0 and "gap" not in __import__("agents.benchmark_plots").benchmark_plots.plots(
        result
    )


def test_references_enter_only_where_all_instances_have_one() -> None:
    instances = toys(2)
    first, second = (brute_force(instance) for instance in instances.decoded())
    assert reference_outcome(instances, [first, None]) is None
    assert reference_outcome(instances, [first, reference(None, 1.0)]) is None
    proven = reference_outcome(instances, [first, second])
    assert proven is not None and proven.policy == "optimum" and proven.solved.all()
    weaker = reference(second.objective_s, 0.5 * second.objective_s, second.solution)  # type: ignore[operator]
    instances.bounds = Bounds.of([first, weaker])
    found = reference_outcome(instances, [first, weaker])
    assert found is not None and found.policy == "best known" and found.gap.tolist() == pytest.approx([0.0, 1.0])


def test_the_shipped_optimum_enters_by_default() -> None:
    instances = InstanceSet.draw(scenario("lenet-10"), 1, 0).with_shipped_bounds()
    references = find_references(instances.generator.task, instances.decoded())
    result = compare(baseline_entries(["greedy"]), instances, references, progress=False)
    assert {row["policy"]: row["optimal_share"] for row in result.rows} == {"optimum": 1.0, "greedy": 1.0}


# --- the command -----------------------------------------------------------------------------------------------------
class Page(HTMLParser):
    """Notes every address that a page refers to, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_a_benchmark_leaves_a_complete_folder(
    trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = f"runs=[{','.join(trained[:2])}]"
    argv = [runs, "baselines=[greedy,per-layer]", "final_instances=3", "samples=3", f"run_root={tmp_path}", "name=b"]
    assert main("benchmark", BenchmarkConfig, run, PATHS, argv=[*argv, "format=json", "device=cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    folder = tmp_path / "b"
    assert result["folder"] == str(folder) and [path.name for path in tmp_path.iterdir()] == ["b"]
    plots = {"latency.svg", "latency_data.svg", "gap.svg", "gap_profile.svg", "gap_time.svg"}
    assert {path.name for path in folder.iterdir()} == plots | {
        "benchmark.json",
        "instances.csv",
        "config.yaml",
        "report.html",
    }
    stored = json.loads((folder / "benchmark.json").read_text())
    assert stored["policies"] == result["policies"] and stored["versions"]["python"]
    assert stored["policies"][0]["policy"] == "optimum" and stored["bounds"] == 3
    learned = [row for row in stored["policies"] if row["kind"] == "learned"]
    assert [row["seeds"] for row in learned] == [2, 2]
    text = (folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.addresses and all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    assert "script" not in page.tags and page.tags.count("img") == len(plots)
    assert not re.search(r"(?:src|href)=.?https?:|@import|url\(", text)
    assert all(row["policy"] in text for row in stored["policies"])


def test_seeds_are_trained_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["steps=80", "num_envs=4", "agent.learning_starts=20", "agent.buffer_size=200", "evaluate_every=0"]
    rest = ["checkpoint_every=0", "tensorboard=false", "progress=false", "device=cpu", "final_instances=2", "name=t"]
    argv = [*sizes, *rest, "train_seeds=[3,4]", "baselines=[greedy]", "optimum=false", f"run_root={tmp_path}"]
    assert main("benchmark", BenchmarkConfig, run, PATHS, argv=argv) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"t", "t-seed-3", "t-seed-4"}
    stored = json.loads((tmp_path / "t" / "benchmark.json").read_text())
    rows = {row["policy"]: row for row in stored["policies"]}
    assert set(rows) == {"dqn", "greedy"} and rows["dqn"]["seeds"] == 2
    assert rows["dqn"]["runs"] == [str(tmp_path / f"t-seed-{seed}") for seed in (3, 4)]
    assert "benchmark folder" in capsys.readouterr().out


def test_other_instances_are_solved_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    save_instances([scenario("lenet-random").sample(rng) for _ in range(2)], tmp_path / "own.jsonl")
    argv = [
        f"env.scenario={tmp_path / 'own.jsonl'}",
        "train_seeds=[]",
        "baselines=greedy",
        f"run_root={tmp_path}",
        "name=s",
    ]
    assert main("benchmark", BenchmarkConfig, run, PATHS, argv=[*argv, "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["bounds"] == 0
    assert main("benchmark", BenchmarkConfig, run, PATHS, argv=[*argv, "format=json", "solve=true"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["bounds"] == 2 and result["policies"][0]["policy"] == "optimum"
    assert result["folder"].endswith("s-2"), "a folder that is there is kept"


def test_standard_sets_are_played_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["set=lenet-10-0.8", "train_seeds=[]", "baselines=[greedy]", f"run_root={tmp_path}", "format=json"]
    assert main("benchmark", BenchmarkConfig, run, PATHS, argv=argv) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["title"] == "standard set lenet-10-0.8, 1 instance, 1 with a proven bound"
    assert result["policies"][0]["latency_s"]["mean"] == pytest.approx(0.73700621e-3)


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = compare(baseline_entries(["greedy"]), toys(2), progress=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envs.atomic.write_text_atomic", full)
    with pytest.raises(ValueError, match=r"^run_root is .*, where no folder can be made: .*No space left"):
        write_folder(result, BenchmarkConfig(), tmp_path / "out", "name")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["train_seeds=[]", "baselines=[]"], "runs, train_seeds and baselines are all empty, expected at least one"),
        (["train_seeds=[1,1]"], "train_seeds is [1, 1], expected no entry twice"),
        (["train_seeds=[-1]"], "train_seeds is [-1], expected a list of whole numbers in 0..2147483647 or null"),
        (["train_seeds=[a]"], "train_seeds"),
        (["train_seeds=[]", "samples=4"], "samples and local_search are about learned policies"),
        (["resume=somewhere"], "resume is somewhere, which agents.train takes"),
        (["set=lenet"], "set is lenet, expected one of lenet-random-0.8"),
        (["runs=nowhere"], "run folder nowhere does not exist"),
        (["train_seeds=[]", "env.scenario=nowhere.json"], "nowhere.json"),
        (["experiment=nothing"], "experiment is nothing, expected one of"),
    ],
)
def test_wrong_input_is_told_in_one_sentence(
    argv: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("benchmark", BenchmarkConfig, run, PATHS, argv=argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.strip().count("\n") == 0 and sentence in err and list(tmp_path.iterdir()) == []
