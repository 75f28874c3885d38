"""The optimality gap: what is compared with a bound, what is not, and runs that beat a proof."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import rows, scalars, tiny

from agents.baselines import baseline
from agents.evaluation import InstanceSet, Outcome, evaluate
from agents.optimality import Bounds, gap_summary, gaps, is_solved
from agents.training import train
from conf.schema import DistPrivacyConfig
from envs.distprivacy.files import save_instance
from envs.distprivacy.generator import InstanceList, toy_instance
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.types import Instance, RequestSolution, Solution
from optimal.reference import Reference


def brute_force(instance: Instance) -> Reference:
    """The optimum of the one request of an instance, by trying every placement."""
    layers = instance.task.networks[instance.requests[0].network].distributed
    devices = range(len(instance.devices))
    best: Solution | None = None
    for flat in itertools.product(devices, repeat=sum(layer.segments for layer in layers)):
        left = iter(flat)
        entry = RequestSolution(
            False, None, {layer.name: tuple(itertools.islice(left, layer.segments)) for layer in layers}
        )
        report = replay(instance, Solution((entry,), 0.0))
        if not report.violations and (best is None or report.objective_s < best.objective_s):
            best = Solution((entry,), report.objective_s)
    assert best is not None
    return reference(best.objective_s, best.objective_s, best)


def reference(
    objective: float | None, bound: float | None, solution: Solution | None = None, least: int = 0
) -> Reference:
    status = "optimal" if objective is not None and objective == bound else "feasible" if objective else "bound"
    kind = "optimum" if status == "optimal" else "bound"
    return Reference(objective, bound, None, 0, least, status, kind, 0.0, "by hand", solution)


def made(latency: list[list[float]], violations: list[int] | None = None) -> Outcome:
    """An outcome by hand: nan is a rejected request."""
    seconds = np.array(latency)
    count = np.full(len(seconds), seconds.shape[1])
    broken = np.array(violations or [0] * len(seconds))
    return Outcome("by hand", True, seconds, count, 1e3 * seconds, broken, 0.001)


# --- gaps of single runs ---------------------------------------------------------------------------------------------
def test_gaps_are_over_the_bound_and_only_of_valid_complete_runs() -> None:
    references = [reference(2.0, 2.0), reference(2.0, 1.6), None, reference(None, 4.0), reference(9.0, 9.0, least=1)]
    bounds = Bounds.of([*references, references[0], references[0]])
    assert bounds.known == 5
    outcome = made(
        [[1.0, 1.2], [1.0, 1.0], [5.0, 5.0], [2.0, 2.0], [np.nan, 9.0], [0.5, 0.5], [np.nan, 1.0]], [0] * 5 + [3, 0]
    )
    gap = gaps(outcome, bounds)
    assert gap[:2] == pytest.approx([0.1, 0.25]) and gap[3] == 0.0
    assert np.isnan(gap[[2, 4, 5, 6]]).all(), "no bound, unavoidable rejection, violation, own rejection"
    outcome.gap = gap
    outcome.solved = is_solved(outcome, bounds)
    assert outcome.solved.tolist() == [False, False, False, True, False, False, False]
    summary = gap_summary(gap, outcome.solved)
    assert summary["gap_mean"] == pytest.approx(0.35 / 3) and summary["gap_worst"] == pytest.approx(0.25)
    assert (summary["gap_instances"], summary["optimal_share"]) == (3, pytest.approx(1 / 3))
    assert summary["gap_p95"] == pytest.approx(np.percentile([0.1, 0.25, 0.0], 95))


def test_a_proven_optimum_counts_as_solved_although_its_bound_is_a_little_lower() -> None:
    nearly = replace(reference(1.0, 1.0), bound_s=1.0 - 0.9e-6)
    bounds = Bounds.of([nearly, nearly])
    outcome = made([[1.0], [1.0 + 1e-4]])
    outcome.gap = gaps(outcome, bounds)
    assert is_solved(outcome, bounds).tolist() == [True, False]


def test_no_bounds_no_figures() -> None:
    outcome = made([[1.0]])
    gap = gaps(outcome, Bounds.of([None]))
    assert gap_summary(gap, np.zeros(1, np.bool_)) == {
        "gap_mean": None,
        "gap_p95": None,
        "gap_worst": None,
        "optimal_share": None,
        "gap_instances": 0,
    }


def test_a_run_that_beats_a_proof_fails_loudly() -> None:
    bounds = Bounds.of([reference(1.0, 1.0)])
    assert gaps(made([[1.0 - 1e-10]]), bounds)[0] == 0.0
    with pytest.raises(
        RuntimeError, match=r"^policy by hand, instance 0: 0\.99.* without a violation, but 1\.0 s is a p"
    ):
        gaps(made([[1.0 - 1e-8]]), bounds)
    assert np.isnan(gaps(made([[0.5]], [1]), bounds)[0]), "with a violation it proves nothing"
    with pytest.raises(RuntimeError, match=r"0 requests rejected without a violation, but 1 rejections are proven"):
        gaps(made([[1.0, 1.0]]), Bounds.of([reference(1.0, 1.0, least=1)]))


# --- policies on instances -------------------------------------------------------------------------------------------
def test_policies_on_the_toy_against_brute_force() -> None:
    instance = toy_instance()
    optimum = brute_force(instance)
    instances = InstanceSet.of(InstanceList([instance]), [instance])
    instances.bounds = Bounds.of([optimum])
    assert optimum.bound_s is not None
    for name in ("greedy", "local-search", "random"):
        played = evaluate(baseline(name), instances)
        assert played.gap[0] == pytest.approx(played.latency_s[0, 0] / optimum.bound_s - 1.0) and played.gap[0] >= 0.0
    assert np.isnan(evaluate(baseline("per-layer"), instances).gap[0]), "it breaks privacy"
    assert len(evaluate(baseline("greedy"), instances, check=False).gap) == 0, "unchecked runs are not compared"
    instances.bounds = Bounds.of([replace(optimum, bound_s=2 * optimum.bound_s)])
    with pytest.raises(RuntimeError, match="is a proven lower bound"):
        evaluate(baseline("greedy"), instances)


def test_held_out_instances_find_their_shipped_references() -> None:
    known = InstanceSet.draw(scenario("lenet-random"), 202, 0).with_shipped_bounds()
    assert known.bounds is not None and np.isfinite(known.bounds.bound_s).tolist() == [True] * 200 + [False] * 2
    assert InstanceSet.draw(scenario("lenet-random"), 5, 1).with_shipped_bounds().bounds is not None
    for other in (scenario("lenet-random", churn=0.5), scenario("lenet-70"), scenario("lenet-random", ssim=0.7)):
        unknown = InstanceSet.draw(other, 3, 0).with_shipped_bounds().bounds
        assert unknown is not None and unknown.known == 0
    played = evaluate(baseline("subset"), InstanceSet.draw(scenario("lenet-random"), 20, 0).with_shipped_bounds())
    assert 0.01 < np.nanmean(played.gap) < 0.2


# --- training --------------------------------------------------------------------------------------------------------
def test_training_shows_the_gap(tmp_path: Path) -> None:
    first = train(tiny(tmp_path, tensorboard=True))
    assert first.folder is not None
    metrics = rows(first.folder / "metrics.csv")
    assert all(float(row["eval_gap_p95"]) >= float(row["eval_gap"]) > 0 for row in metrics)
    assert scalars(first.folder, "eval_gap") == {
        int(row["step"]): pytest.approx(float(row["eval_gap"])) for row in metrics
    }
    assert str(list(first.table().columns)[-1].header) == "gap"
    assert all(cell.endswith(" %") for cell in list(first.table().columns)[-1].cells)


def test_without_references_there_is_a_dash(tmp_path: Path) -> None:
    save_instance(toy_instance(), tmp_path / "toy.json")
    world = DistPrivacyConfig(scenario=str(tmp_path / "toy.json"))
    scores = train(tiny(tmp_path / "runs", env=world, agent={"policy": "mlp"}))
    assert list(list(scores.table().columns)[-1].cells) == ["-", "-"]
    assert scores.folder is not None
    assert all(row["eval_gap"] == row["eval_optimal_share"] == "" for row in rows(scores.folder / "metrics.csv"))
