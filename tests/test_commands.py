"""agents.evaluate and agents.rollout: results, files that they write, wrong input in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agents import evaluate, rollout
from agents.baselines import baseline
from agents.cli import main
from agents.evaluation import InstanceSet
from agents.evaluation import evaluate as score
from agents.training import train
from conf.schema import BASELINES, DistPrivacyConfig, DqnConfig, EvaluateConfig, RolloutConfig, TrainConfig
from envs.distprivacy.files import load_solution, save_instance, save_instances
from envs.distprivacy.generator import toy_instance
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario

ROW_KEYS = {
    "policy",
    "respects_privacy",
    "latency_s",
    "latency_interval_s",
    "latency_common_s",
    "worst_latency_s",
    "requests",
    "rejected",
    "rejection_rate",
    "violations",
    "shared_bytes",
    "decision_s",
    "slower_than_greedy",
    "gap_mean",
    "gap_p95",
    "gap_worst",
    "optimal_share",
    "gap_instances",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run folder: a flat agent on four devices, its environment a file of its own."""
    root = tmp_path_factory.mktemp("runs")
    save_instance(toy_instance(), root / "toy.json")
    config = TrainConfig(
        steps=40,
        num_envs=2,
        evaluate_every=20,
        evaluate_instances=1,
        final_instances=1,
        baselines=["greedy"],
        run_root=str(root),
        name="toy-run",
        tensorboard=False,
        progress=False,
        device="cpu",
        env=DistPrivacyConfig(scenario=str(root / "toy.json")),
        agent=DqnConfig(policy="mlp", hidden=16, learning_starts=10, batch_size=8),
    )
    return str(train(config).folder)


def run_evaluate(**values: Any) -> dict[str, Any]:
    config = EvaluateConfig(**{"instances": 3, "format": "json", **values})
    config.check()
    return evaluate.run(config)


def run_rollout(**values: Any) -> dict[str, Any]:
    config = RolloutConfig(**{"format": "json", **values})
    config.check()
    return rollout.run(config)


# --- evaluate --------------------------------------------------------------------------------------------------------
def test_baselines_are_scored_on_one_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_evaluate(baselines=list(BASELINES), out="results/scores.json")
    assert [row["policy"] for row in result["policies"]] == list(BASELINES)
    assert all(set(row) == ROW_KEYS and row["requests"] == 3 for row in result["policies"])
    assert result["title"] == "lenet-random, SSIM 0.6, 3 instances"
    expected = score(baseline("greedy"), InstanceSet.draw(scenario("lenet-random"), 3, 0))
    assert result["policies"][1]["latency_s"] == expected.mean_latency_s
    violations = {row["policy"]: row["violations"] for row in result["policies"]}
    assert violations.pop("per-layer") > 0 == max(violations.values())
    written = json.loads((folder / "results" / "scores.json").read_text())
    assert written["policies"] == json.loads(json.dumps(result["policies"]))
    for entry, row in zip(written["instances"], result["policies"], strict=True):
        assert entry["policy"] == row["policy"] and np.shape(entry["latency_s"]) == (3, 1)
        assert np.mean(entry["latency_s"]) == pytest.approx(row["latency_s"])
        assert np.mean(entry["shared_bytes"]) == pytest.approx(row["shared_bytes"])
        assert sum(entry["violations"]) == row["violations"]
    assert capsys.readouterr().out == ""


def test_scenario_privacy_and_seed_are_obeyed() -> None:
    def latency(name: str = "random", **values: Any) -> float:
        return float(run_evaluate(baselines=[name], **values)["policies"][0]["latency_s"])

    first = latency()
    assert first == latency(seed=0) and latency("greedy") != latency("greedy", seed=1)
    changes = ({"seed": 1}, {"scenario": "lenet-20"}, {"ssim": 0.8}, {"privacy_scope": "layer"}, {"churn": 0.3})
    assert len({first, *(latency(**change) for change in (*changes, {"absent": 2}))}) == 7
    assert latency("greedy", scenario="lenet-10", instances=1) == pytest.approx(0.73700621e-3)
    assert run_evaluate(baselines=["greedy"], scenario="lenet-10", instances=2)["policies"][0]["requests"] == 20


def test_instance_files_are_scored_in_order(folder: Path) -> None:
    generator = scenario("lenet-random")
    rng = np.random.default_rng(0)
    instances = [generator.sample(rng) for _ in range(4)]
    save_instance(instances[2], folder / "one.json")
    save_instances(instances, folder / "some.jsonl")
    many = run_evaluate(baselines=["greedy"], instance="some.jsonl", out="many.json")
    one = run_evaluate(baselines=["greedy"], instance="one.json")
    assert (many["title"], one["title"]) == ("some.jsonl, 4 instances", "one.json, 1 instance")
    latencies = json.loads((folder / "many.json").read_text())["instances"][0]["latency_s"]
    assert len(latencies) == 4 and latencies[2] == [one["policies"][0]["latency_s"]]


def test_the_placement_of_the_first_policy_is_written(folder: Path) -> None:
    instance = scenario("lenet-10", requests=2).sample(np.random.default_rng(0))
    save_instance(instance, "one.json")
    save_instances([instance] * 2, "two.jsonl")
    result = run_evaluate(baselines=["greedy", "random"], instance="one.json", solution="made/solution.json")
    solution = load_solution(folder / "made" / "solution.json")
    report = replay(instance, solution)
    assert report.violations == () and len(solution.requests) == 2
    assert report.objective_s == pytest.approx(2 * result["policies"][0]["latency_s"], rel=1e-9)
    with pytest.raises(ValueError, match=r"solution is no.json, but two.jsonl holds 2 instances, expected one"):
        run_evaluate(baselines=["greedy"], instance="two.jsonl", solution="no.json")
    with pytest.raises(ValueError, match=r"solution is no.json, expected null without an instance file"):
        run_evaluate(baselines=["greedy"], solution="no.json")
    with pytest.raises(ValueError, match=r"solution is no.txt, expected a path that ends in .json"):
        run_evaluate(baselines=["greedy"], instance="one.json", solution="no.txt")
    with pytest.raises(ValueError, match=r"solution is no.json, which is for segment allocation, expected null"):
        run_evaluate(baselines=["greedy"], instance="trace.csv", solution="no.json")
    assert not (folder / "no.json").exists()


def test_a_run_is_scored_next_to_baselines(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_evaluate(run=[trained], baselines=["greedy"], format="text")
    assert [row["policy"] for row in result["policies"]] == ["dqn (toy-run)", "greedy"]
    assert result["policies"][0]["violations"] == 0
    out = capsys.readouterr().out
    assert "dqn (toy-run)" in out and "greedy" in out and "toy.json, 1 instance" in out


# --- rollout ---------------------------------------------------------------------------------------------------------
def test_an_episode_is_written_as_gif_and_as_frames(folder: Path) -> None:
    save_instance(toy_instance(), folder / "toy.json")
    result = run_rollout(baseline="greedy", instance="toy.json", out="a/episode.gif", frames="pictures")
    assert result["written"] == ["a/episode.gif", "pictures"] and not result["rejected"]
    assert result["latency_s"] > 0 and result["policy"] == "greedy"
    pictures = sorted(path.name for path in (folder / "pictures").iterdir())
    assert pictures == [f"frame-{index:04d}.png" for index in range(result["frames"])]
    assert result["frames"] == 1 + sum(layer.segments for layer in toy_instance().task.networks["toy"].distributed)
    with Image.open(folder / "a" / "episode.gif") as gif:
        assert gif.n_frames == result["frames"]  # type: ignore[attr-defined]


def test_a_run_plays_and_tells_in_words(trained: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_rollout(run=trained, format="text", fps=20)
    out = capsys.readouterr().out
    assert out.startswith("dqn (toy-run): latency ") and out.endswith(" frames in episode.gif\n")
    assert not result["rejected"] and (folder / "episode.gif").stat().st_size > 1000


def test_the_seed_chooses_the_instance() -> None:
    played = [
        run_rollout(baseline="packing", out=f"{n}.gif", seed=seed)["latency_s"] for n, seed in enumerate((4, 4, 5))
    ]
    assert played[0] == played[1] != played[2]


# --- wrong input -----------------------------------------------------------------------------------------------------
WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (run_evaluate, {}, r"^run and baselines are both empty, expected at least one of them$"),
    (run_evaluate, {"run": ["nowhere"]}, r"^run folder nowhere does not exist, expected a folder that agents.train"),
    (
        run_evaluate,
        {"baselines": ["greedy", "greedy"]},
        r"^run and baselines name greedy twice, expected distinct ones$",
    ),
    (run_evaluate, {"baselines": ["best"]}, r"^baselines has the entry best, expected out of random, greedy"),
    (run_evaluate, {"baselines": ["greedy"], "instance": "a.txt"}, r"^scenario is 'a.txt', expected one of lenet-10"),
    (run_rollout, {}, r"^expected exactly one of run and baseline, neither is given$"),
    (run_rollout, {"baseline": "greedy", "out": "a.png"}, r"^out is a.png, expected a path that ends in .gif$"),
    (
        run_rollout,
        {"baseline": "greedy", "out": None},
        r"^out and frames are both null, expected at least one of them$",
    ),
    (run_rollout, {"run": "nowhere"}, r"^run folder nowhere does not exist"),
]


@pytest.mark.parametrize(("command", "values", "sentence"), WRONG, ids=range(len(WRONG)))
def test_wrong_input_is_told_in_one_sentence(
    command: Callable[..., Any], values: dict[str, Any], sentence: str, folder: Path
) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        command(**values)
    assert "\n" not in str(caught.value) and list(folder.iterdir()) == []


def test_a_flat_agent_refuses_other_devices(trained: str) -> None:
    sentence = r"^policy dqn \(toy-run\) answers observations of \d+ numbers, expected .*, got 240 numbers$"
    with pytest.raises(ValueError, match=sentence):
        run_evaluate(run=[trained], scenario="lenet-random")
    with pytest.raises(ValueError, match=sentence):
        run_rollout(run=trained, scenario="lenet-random")


def test_files_that_are_missing_or_broken_end_with_exit_code_2(
    trained: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.json").write_text('{"format": ')
    (folder / "taken").write_text("a file")
    evaluations = [
        (["baselines=greedy", "instance=nowhere.json"], "nowhere.json"),
        (["baselines=greedy", "instance=broken.json"], "broken.json"),
        (["baselines=greedy", "instances=1", "out=taken/a.json"], "out is taken/a.json, which cannot be used"),
        ([f"run={trained}", "scenario=lenet-20", "instances=1"], "policy dqn (toy-run) answers observations of"),
        (["baselines=greedy", "absent=70", "instances=1"], "absent"),
    ]
    rollouts = [
        (["baseline=greedy", "instance=nowhere.json"], "nowhere.json"),
        (["baseline=greedy", "out=taken/a.gif"], "out is taken/a.gif, which cannot be used"),
    ]
    commands: list[tuple[str, type, Any, list[tuple[list[str], str]]]] = [
        ("evaluate", EvaluateConfig, evaluate.run, evaluations),
        ("rollout", RolloutConfig, rollout.run, rollouts),
    ]
    for name, schema, run, cases in commands:
        for argv, part in cases:
            code = main(name, schema, run, ("run", "instance", "out", "frames")[: 3 + (name == "rollout")], argv=argv)
            out, err = capsys.readouterr()
            assert (code, out, err.strip().count("\n")) == (2, "", 0) and part in err, (argv, code, err)


@pytest.mark.parametrize(
    ("name", "schema", "run", "argv", "part"),
    [
        ("rollout", RolloutConfig, rollout.run, ["baseline=per-layer", "out=a.gif"], "ignores privacy"),
        (
            "evaluate",
            EvaluateConfig,
            evaluate.run,
            ["baselines=greedy", "instance=a.json", "ssim=0.4"],
            "brings its own",
        ),
        ("evaluate", EvaluateConfig, evaluate.run, ["baselines=greedy", "instance=a.json", "absent=2"], "as it is"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(
    name: str, schema: type, run: Any, argv: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(name, schema, run, ("instance", "out"), argv=argv) == 2
    assert part in capsys.readouterr().err
