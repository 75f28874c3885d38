"""optimal.solve against every placement there is, its solvers against each other, known numbers, limits, cache and command."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pulp
import pytest
from tiny_periods import best, random_period

import optimal
from agents import baseline
from agents.cli import main
from agents.evaluation import InstanceSet, evaluate
from conf import solve_schema
from conf.solve_schema import GrowthConfig, SolveConfig
from envs.distprivacy.files import check_fits, load_solution, save_instance
from envs.distprivacy.generator import toy_instance
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.types import Instance
from optimal import backends, growth, milp
from optimal.backends import Outcome, version
from optimal.incumbent import greedy, thrifty
from optimal.layer_bounds import layer_bounds
from optimal.paper_model import solve_paper_model
from optimal.reference import Reference
from optimal.request_data import request_data
from optimal.solve import run, solve

FUZZ = int(os.environ.get("OFFRAMP_FUZZ", "0"))
"""0: the same instances on every run; n > 0: n times as many, drawn anew."""


def assert_sound(instance: Instance, found: Reference) -> None:
    """Objective and rejections are those of the replay, without a violation; the claims fit together."""
    assert found.solution is not None and found.objective_s is not None and found.bound_s is not None
    check_fits(found.solution, instance)
    report = replay(instance, found.solution)
    assert not report.violations
    assert report.objective_s == pytest.approx(found.objective_s, rel=1e-12)
    assert found.rejections == sum(latency is None for latency in report.latencies_s)
    assert found.rejections_bound <= found.rejections
    assert (found.status == "optimal") == (found.gap is not None and found.gap <= 1e-6) == (found.kind == "optimum")
    if found.rejections == found.rejections_bound:
        assert found.bound_s <= found.objective_s
    for key, value in found.claims().items():
        assert key == "kind" or getattr(found.solution, key) == value


# --- against every placement ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(4))
def test_no_combination_of_placements_is_better(seed: int) -> None:
    rng = np.random.default_rng(None if FUZZ else seed)
    told = Counter[str]()
    for _ in range(40 * max(FUZZ, 1)):
        instance = random_period(rng)
        rejections, objective = best(instance)
        for chain in (True, False):
            found = solve(instance, chain=chain)
            assert_sound(instance, found)
            assert (found.status, found.rejections) == ("optimal", rejections), instance
            assert found.objective_s == pytest.approx(objective, rel=1e-9), instance
            told[f"{found.solver}, {'some' if 0 < rejections < len(instance.requests) else 'all or none'}"] += 1
    assert len(told) >= 4, told  # with and without a program, with and without a choice of whom to reject


def test_highs_and_cbc_agree_without_the_chain() -> None:
    rng = np.random.default_rng(None if FUZZ else 11)
    told = Counter[str]()
    for _ in range(25 * max(FUZZ, 1)):
        instance = random_period(rng)
        found = [solve(instance, solver=solver, chain=False) for solver in ("highs", "cbc")]
        assert found[0].rejections == found[1].rejections, instance
        assert found[0].objective_s == pytest.approx(found[1].objective_s, rel=1e-9), instance
        told.update(one.solver for one in found)
    assert told[version("highs")] >= 8 and told[version("cbc")] >= 8


@pytest.mark.parametrize("scope", ["layer", "group"])
def test_chain_and_program_agree_on_whole_lenets(scope: str) -> None:
    rng = np.random.default_rng(4)
    whole = scenario("lenet-random", privacy_scope=scope).sample(rng)
    instance = replace(whole, devices=whole.devices[:4])
    chain, program = solve(instance), solve(instance, chain=False)
    assert chain.solver == "chain" and program.solver == version("highs")
    assert chain.status == program.status == "optimal"
    assert chain.objective_s == pytest.approx(program.objective_s, rel=1e-9)


def test_the_papers_own_program_agrees() -> None:
    rng = np.random.default_rng(None if FUZZ else 2)
    served = 0
    for _ in range(25 * max(FUZZ, 1)):
        instance = random_period(rng, most_requests=2)
        if instance.task.privacy_scope != "layer" or instance.task.colluders != 1:
            with pytest.raises(ValueError, match="expected layer and 1"):
                solve_paper_model(instance, "highs", None, print)
            instance = replace(instance, task=replace(instance.task, privacy_scope="layer", colluders=1))
        found, (outcome, solution) = solve(instance), solve_paper_model(instance, "highs", None, print)
        if found.rejections:
            assert outcome.status == "infeasible" and solution is None
        else:
            assert outcome.status == "optimal" and solution is not None
            assert solution.objective_s == pytest.approx(found.objective_s, rel=1e-6), instance
            served += 1
    assert served >= 8


# --- known numbers ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ssim", [0.8, 0.6])
@pytest.mark.parametrize("chain", [True, False])
def test_the_known_optimum_of_ten_requests(ssim: float, chain: bool) -> None:
    instance = scenario("lenet-10", ssim=ssim, requests=10).sample(np.random.default_rng(0))
    found = solve(instance, chain=chain)
    assert_sound(instance, found)
    assert found.status == "optimal" and found.objective_s == pytest.approx(7.3700621e-3, rel=1e-8)
    one = solve(replace(instance, requests=instance.requests[:1]), chain=chain)
    assert one.objective_s == pytest.approx(0.7370062e-3, rel=1e-7)


def test_requests_that_share_too_little_are_placed_together() -> None:
    free = replace(toy_instance(), requests=toy_instance().requests * 3)
    assert solve(free).solver == "chain"
    report = replay(free, solve(free).solution or pytest.fail("no solution"))
    devices = tuple(
        replace(device, compute_budget=0.6 * used[1], bandwidth_budget_bytes=max(0.8 * used[2], 100.0))
        for device, used in zip(free.devices, report.used, strict=False)
    )
    bound = replace(free, devices=devices)
    found, witness = solve(bound), solve(bound, solver="cbc", chain=False)
    assert_sound(bound, found)
    assert (found.status, found.rejections) == ("optimal", witness.rejections)
    assert found.objective_s == pytest.approx(witness.objective_s, rel=1e-9)
    assert version("highs") in found.solver


# --- bounds, limits, claims -------------------------------------------------------------------------------------------
def test_bounds_of_the_layers_hold_and_shrink_no_optimum_away() -> None:
    for seed in range(12):
        instance = scenario("lenet-random").sample(np.random.default_rng(seed))
        found = solve(instance)
        assert found.objective_s is not None and found.solution is not None
        data = request_data(instance, 0)
        tight = layer_bounds(data, found.objective_s)
        assert layer_bounds(data).total <= tight.total <= found.objective_s * (1 + 1e-9)
        placed = found.solution.requests[0].layers
        for k, name in enumerate(data.layer_names[1:-1], start=1):
            counts = np.bincount([j for j in placed[name] if j >= 0], minlength=len(instance.devices))
            assert (counts <= tight.data.room[k]).all()


@pytest.mark.parametrize("chain", [True, False])
def test_a_run_out_of_time_says_what_is_left(chain: bool) -> None:
    instance = scenario("lenet-20").sample(np.random.default_rng(1))
    exact, cut = solve(instance), solve(instance, chain=chain, time_limit=1e-3)
    assert_sound(instance, cut)
    assert exact.objective_s is not None and cut.objective_s is not None and cut.bound_s is not None
    assert cut.bound_s <= exact.objective_s * (1 + 1e-9) and cut.objective_s >= exact.objective_s * (1 - 1e-9)
    assert cut.status == "feasible" and cut.gap == pytest.approx(1 - cut.bound_s / cut.objective_s)


def test_a_large_period_still_gets_bounds() -> None:
    instance = scenario("mixed-70").sample(np.random.default_rng(0))
    instance = replace(instance, requests=tuple(r for r in instance.requests if r.network == "lenet")[:4])
    poor = tuple(replace(device, bandwidth_budget_bytes=2e4) for device in instance.devices)
    found = solve(replace(instance, devices=poor), time_limit=3.0)
    assert_sound(replace(instance, devices=poor), found)


def test_a_solution_that_the_physics_denies_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milp, "settle", lambda problem: 1.0)
    with pytest.raises(RuntimeError, match="the physics"):
        solve(scenario("lenet-random").sample(np.random.default_rng(3)), chain=False)


@pytest.mark.parametrize("status", ["feasible", "optimal"])
def test_a_solution_short_of_the_optimum_may_claim_more_time_than_it_takes(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of like requests is made the slowest, and holders are claimed that hold nothing: fine, unless called optimal."""
    one = toy_instance().requests[0]
    three = replace(toy_instance(), requests=(one, one, one))
    bounds = tuple(layer_bounds(request_data(three, n)) for n in range(3))
    real = milp.minimise

    def any_solution(problem: pulp.LpProblem, *rest: Any) -> Outcome:
        objective = problem.objective
        first, last = ([v for v in problem.variables() if v.name.startswith(f"r{n}_y")] for n in (0, 2))
        problem.setObjective(pulp.lpSum(first) - pulp.lpSum(last))
        told = real(problem, *rest)
        problem.setObjective(objective)
        return replace(told, status=status, bound=-math.inf)

    monkeypatch.setattr(milp, "minimise", any_solution)
    program = milp.Program(three, bounds, tuple(bound.total for bound in bounds), 3)
    if status == "feasible":
        assert milp.solve_program(program, "highs", None, lambda text: None).status == "feasible"
    else:
        with pytest.raises(RuntimeError, match="the physics"):
            milp.solve_program(program, "highs", None, lambda text: None)


def test_a_time_limit_is_never_called_optimal(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = scenario("lenet-random").sample(np.random.default_rng(0))
    for solver in ("highs", "cbc"):
        seen: list[Outcome] = []
        real = backends.minimise

        def spy(*arguments: Any, real: Any = real, seen: list[Outcome] = seen) -> Outcome:
            problem, name, _, *rest = arguments
            seen.append(real(problem, name, 0.3, *rest))
            return seen[-1]

        with monkeypatch.context() as patch:
            patch.setattr(milp, "minimise", spy)
            found = solve(instance, solver=solver, chain=False)
        assert_sound(instance, found)
        assert seen and seen[0].status in ("feasible", "unknown") and found.status == "feasible"
        assert math.isinf(seen[0].bound) or seen[0].objective is None or seen[0].bound <= seen[0].objective


def test_the_package_solves_before_and_after_its_module_is_imported() -> None:
    code = "from envs.distprivacy.generator import toy_instance as t; import optimal; f = optimal.solve; "
    code += (
        "import optimal.solve as m; assert f is m; print(optimal.solve(t(), time_limit=9).status, m.solve(t()).status)"
    )
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "optimal optimal\n"
    with pytest.raises(AttributeError, match="no attribute 'solver'"):
        optimal.solver  # noqa: B018


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(ValueError, match="solver is 'gurobi', expected highs or cbc"):
        solve(toy_instance(), solver="gurobi")
    for name in solve_schema.SOLVERS:
        assert version(name).startswith(name)


# --- cache ------------------------------------------------------------------------------------------------------------
def test_a_result_is_found_again_unless_it_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = toy_instance()
    first = solve(instance, cache=tmp_path / "refs")
    (file,) = (tmp_path / "refs").iterdir()
    assert solve(instance, cache=tmp_path / "refs") == first
    solve(replace(instance, period_s=2.0), cache=tmp_path / "refs")
    solve(instance, solver="cbc", cache=tmp_path / "refs")
    assert len(list((tmp_path / "refs").iterdir())) == 3
    data = json.loads(file.read_text())
    for damage in ("{", json.dumps({**data, "objective_s": 1.0}), json.dumps({**data, "status": "feasible"})):
        file.write_text(damage)
        again = solve(instance, cache=tmp_path / "refs")
        assert again.status == "optimal" and again.objective_s == first.objective_s
        assert load_solution(file).objective_s == first.objective_s


# --- the command ------------------------------------------------------------------------------------------------------
def _command(*arguments: str) -> int:
    return main("solve", SolveConfig, run, ("instance", "out", "cache"), argv=arguments)


def test_the_command_writes_a_solution_that_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance = toy_instance()
    save_instance(instance, tmp_path / "i.json")
    paths = [f"instance={tmp_path / 'i.json'}", f"out={tmp_path / 'new' / 's.json'}"]
    assert _command(*paths, "format=json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    solution = load_solution(tmp_path / "new" / "s.json")
    assert told.pop("out") == str(tmp_path / "new" / "s.json") and told.pop("kind") == "optimum"
    assert {key: getattr(solution, key) for key in told} == told and "request 0 alone" in err
    assert replay(instance, solution).objective_s == pytest.approx(told["objective_s"], rel=1e-12)
    assert _command(*paths, "chain=false", "time_limit=5") == 0
    assert "status: optimal" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["out=s.json"], "instance"),
        (["instance=none.json", "out=s.json"], "none.json"),
        (["instance=i.json", "out=s.json", "solver=gurobi"], "solver is gurobi, expected one of highs, cbc"),
        (["instance=i.json", "out=s.json", "time_limit=0"], "time_limit is 0"),
        (["instance=i.json", "out=i.json/s.json"], "i.json"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_instance(toy_instance(), "i.json")
    assert _command(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("request ")]
    assert len(lines) == 1 and sentence in lines[0]
    assert os.listdir() == ["i.json"]


def test_growth_leaves_out_what_is_too_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SIZES", {"devices": (2, 3), "requests": (1, 2), "layers": (4, 5)})
    config = GrowthConfig(methods=["chain", "paper"], repeats=1, time_limit=0.05, out=str(tmp_path), format="json")
    told = growth.run(config)
    assert {one["method"] for one in told["runs"] if one["status"] == "optimal"} >= {"chain"}
    late = {(one["sweep"], one["method"]): one["size"] for one in told["runs"] if one["status"] != "optimal"}
    assert late and all(one["size"] <= late.get((one["sweep"], one["method"]), one["size"]) for one in told["runs"])
    assert (tmp_path / "growth.csv").read_text().count("\n") == len(told["runs"]) + 1
    assert (tmp_path / "growth.png").stat().st_size > 0


def test_where_bandwidth_is_short_the_thrifty_placement_is_known() -> None:
    """Greedy rejects several of these requests; the thrifty one places as the baseline ``packing`` does."""
    fleet = scenario("mixed-70", ssim=0.4)
    instance = fleet.sample(np.random.default_rng(0))
    known = thrifty(instance)
    played = evaluate(baseline("packing"), InstanceSet.of(fleet, [instance]), keep_solutions=True).solutions[0]
    assert [one.layers for one in known.requests] == [one.layers for one in played.requests]
    assert known.rejections < greedy(instance).rejections
    assert solve(instance, time_limit=5.0).rejections <= known.rejections
