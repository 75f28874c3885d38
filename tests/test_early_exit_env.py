"""The early-exit environments: what they return, what they draw, what they refuse, exact continuation."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from early_exit_worlds import random_actions, random_table
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import envs
from envs.conformance import check_scalar_equals_vector
from envs.conformance.walk import same
from envs.early_exit import batch
from envs.early_exit.costs import NetworkWork
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.scenarios import SCENARIOS, Scenario
from envs.early_exit.table_file import save_table
from envs.early_exit.thresholds_file import save_thresholds
from envs.early_exit.types import ExitTable
from envs.early_exit.vector import EarlyExitVectorEnv
from envs.early_exit.warmup import toy_table, toy_thresholds
from envs.early_exit.work_file import save_work

ENV_ID = "offramp/EarlyExit-v0"
SMALL: dict[str, Any] = {"rows": 30, "windows": 6}


def own(**options: Any) -> dict[str, Any]:
    """Arguments of an environment of two random tables and seven actions."""
    return SMALL | {"tables": [random_table(m, 80) for m in range(2)], "actions": random_actions(0, 7)} | options


def play(env: EarlyExitEnv, seed: int | None, count: int = 6, **reset: Any) -> list[Any]:
    """What reset and ``count`` steps return; actions are random and always the same."""
    rng = np.random.default_rng(7)
    found: list[Any] = [env.reset(seed=seed, **reset)]
    return found + [env.step(int(rng.integers(env.action_space.n))) for _ in range(count)]  # type: ignore[attr-defined]


# --- what is returned ------------------------------------------------------------------------------------------------
def test_both_are_registered_and_sound() -> None:
    assert ENV_ID in envs.ENVIRONMENTS
    assert isinstance(gym.make(ENV_ID).unwrapped, EarlyExitEnv)
    assert isinstance(gym.make_vec(ENV_ID, 2, vectorization_mode="vector_entry_point").unwrapped, EarlyExitVectorEnv)
    check_env(EarlyExitEnv(include_latent=True, label_delay=2), skip_render_check=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_episode_of_every_scenario(name: str) -> None:
    env = EarlyExitEnv(name, **SMALL)
    found = play(env, 3)
    assert found[-1][3] is True and not any(one[2] or one[3] for one in found[1:-1])
    with pytest.raises(RuntimeError, match=r"the episode is over, expected reset\(\) before the next step"):
        env.step(0)
    scenario = SCENARIOS[name]
    assert env.world.budgets == (np.inf if scenario.budget is None else scenario.budget,)
    assert (env.world.dynamics.prices.send, env.world.dynamics.prices.late) == (scenario.send, scenario.late)
    assert same(found, play(EarlyExitEnv(scenario, **SMALL), 3)), "a scenario may be named or given"
    assert scenario.meaning and {one[4]["month"] for one in found[1:]} <= {0.0, 1.0, 2.0}


def test_the_info_of_a_reset_and_the_sums_of_an_episode() -> None:
    env = EarlyExitEnv("mixed", **SMALL)
    found = play(env, 1)
    info = found[0][1]
    assert list(info) == ["action_mask", *batch.INFO]
    assert all(info[name] == 0 for name in (*batch.REPORT, *(f"episode_{name}" for name in batch.EPISODE)))
    assert (
        info["budget_left"] == pytest.approx(0.04 * 180) and info["windows_left"] == 6 and info["over_budget"] is False
    )
    for count, (_, _, _, _, info) in enumerate(found[1:], 1):
        for name, total in zip(batch.REPORT, batch.EPISODE, strict=True):
            summed = sum(float(one[4][name]) for one in found[1 : count + 1])
            assert info[f"episode_{total}"] == pytest.approx(summed, rel=1e-12), name
        assert info["windows_left"] == 6 - count and info["action_mask"].tolist() == [1] * 52
    assert len(env.past) == env.clock == 6 and env.past[2][2] == found[3][4]["budget_left"]
    assert env.action_masks().all() and env.action_masks().dtype == np.bool_


def test_seeds_decide_everything() -> None:
    first, second = EarlyExitEnv("mixed", **SMALL), EarlyExitEnv("mixed", **SMALL)
    found = play(first, 5)
    assert same(found, play(second, 5)) and same(play(first, None), play(second, None))
    assert same(found, play(first, 5)) and not same(found, play(first, 6))


def test_returned_arrays_are_the_callers_own() -> None:
    env = EarlyExitEnv(**own())
    observation, info = env.reset(seed=0)
    for value in (observation, info["action_mask"], env.endogenous, env.exogenous, env.frames):
        value[:] = 77
    twin = EarlyExitEnv(**own())
    twin.reset(seed=0)
    assert same(env.step(3), twin.step(3)) and same(env.frames, twin.frames)


def test_copies_go_on_by_themselves() -> None:
    env = EarlyExitEnv("bursts", **SMALL)
    env.reset(seed=1)
    env.step(20)
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    found = [env.step(a) for a in (3, 30, 51, 0, 9)] + [env.reset()]
    for twin in twins:
        assert same(found, [twin.step(a) for a in (3, 30, 51, 0, 9)] + [twin.reset()])


@pytest.mark.parametrize("action", [52, -1, 0.5, float("nan"), float("inf"), "1", None, np.array([0, 1])])
def test_another_action_is_refused(action: Any) -> None:
    env, twin = (EarlyExitEnv(**SMALL) for _ in range(2))
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(ValueError) as caught:
        env.step(action)
    assert str(caught.value) == f"action is {action!r}, expected a whole number in 0..51"
    assert same(env.step(np.int8(7)), twin.step(np.array(7))), "nothing has happened"


def test_a_step_before_reset_is_refused() -> None:
    for env, action in ((EarlyExitEnv(**SMALL), 0), (EarlyExitVectorEnv(2, **SMALL), [0, 0])):
        with pytest.raises(RuntimeError, match=r"expected reset\(\) before"):
            env.step(action)  # type: ignore[attr-defined]


# --- reset options ---------------------------------------------------------------------------------------------------
def test_frames_of_another_episode_can_be_played() -> None:
    env = EarlyExitEnv("mixed", **SMALL)
    found = play(env, 4)
    frames = env.frames
    other = EarlyExitEnv("mixed", windows=99, rows=30)
    assert same(found, play(other, 9, options={"frames": frames})), "windows are those of the frames"
    found = play(env, 4, options={"frames": frames.tolist(), "budget": 0.5})
    assert found[0][1]["budget_left"] == 90 and same(env.frames, frames)
    assert play(env, 4, count=0, options={"budget": np.inf})[0][1]["budget_left"] == np.inf
    assert play(env, 4, count=0)[0][1]["budget_left"] == pytest.approx(0.04 * 180), "the budget was for one episode"


def test_budgets_are_drawn_alike() -> None:
    env = EarlyExitEnv(**own(budgets=(0.1, 0.2, np.inf), windows=1, rows=10))
    drawn = [env.reset(seed=seed)[1]["budget_left"] for seed in range(600)]
    assert {one: drawn.count(one) for one in set(drawn)}.keys() == {1.0, 2.0, np.inf}
    assert all(drawn.count(one) > 150 for one in (1.0, 2.0, np.inf))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros(122), "reset option frames has the shape (122,), expected (windows + 1, 122)"),
        (np.zeros((1, 122)), "reset option frames has the shape (1, 122), expected (windows + 1, 122)"),
        (np.zeros((7, 121)), "reset option frames has the shape (7, 121), expected (windows + 1, 122)"),
        ("film", "reset option frames is no array of numbers, expected (windows + 1, 122)"),
        ([[0], [0, 1]], "reset option frames is no array of numbers, expected (windows + 1, 122)"),
        (("rows", 15_000), "frames name rows that the tables have not, expected whole numbers in 0..14999"),
        (("rows", -1), "frames name rows that the tables have not, expected whole numbers in 0..14999"),
        (("rows", 0.5), "frames name rows that the tables have not, expected whole numbers in 0..14999"),
        (("rows", np.nan), "frames hold a number that is not finite, expected those of an episode"),
        (("profile", np.inf), "frames hold a number that is not finite, expected those of an episode"),
        (("link", 0), "frames have a link of a speed outside 0..1, above 0, or a load outside 0..1, below 1"),
        (("link", 1), "frames have a link of a speed outside 0..1, above 0, or a load outside 0..1, below 1"),
    ],
)
def test_wrong_frames_are_one_sentence(given: Any, sentence: str) -> None:
    env, twin = (EarlyExitEnv(**SMALL) for _ in range(2))
    env.reset(seed=0), twin.reset(seed=0)
    if isinstance(given, tuple):
        name, value = given
        given = env.frames
        given[2, env.world.generator.layout.slices[name]] = value
    with pytest.raises(ValueError) as caught:
        env.reset(options={"frames": given})
    assert str(caught.value) == sentence
    assert same(env.step(3), twin.step(3)), "the episode goes on"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"budget": -0.1}, "reset option budget is -0.1, expected a share of the rows >= 0"),
        ({"budget": float("nan")}, "reset option budget is nan, expected a share of the rows >= 0"),
        ({"budget": "all"}, "reset option budget is 'all', expected a share of the rows >= 0"),
        ({"bugdet": 0.1}, "reset option is 'bugdet', expected frames or budget"),
    ],
)
def test_wrong_reset_options_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    for env in (EarlyExitEnv(**SMALL), EarlyExitVectorEnv(2, **SMALL)):
        with pytest.raises(ValueError) as caught:
            env.reset(options=options)  # type: ignore[attr-defined]
        assert str(caught.value) == sentence


# --- arguments -------------------------------------------------------------------------------------------------------
one_class = ExitTable(np.ones(3, np.int8), np.ones((2, 3), np.int8), np.full((2, 3), 0.9))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scenario": "rain"}, "scenario is 'rain', expected one of budget, drift, link, bursts, mixed"),
        ({"scenario": ["budget"]}, "scenario is ['budget'], expected one of budget"),
        ({"windows": 0}, "windows is 0, expected a whole number >= 1"),
        ({"windows": True}, "windows is True, expected a whole number >= 1"),
        ({"rows": 2.5}, "rows is 2.5, expected a whole number >= 1"),
        ({"least_acceptance": 1.1}, "least_acceptance is 1.1, expected a number in 0..1"),
        ({"least_acceptance": "most"}, "least_acceptance is 'most', expected a number"),
        ({"margin": float("nan")}, "margin is nan, expected a number in 0..1"),
        ({"margin": None}, "margin is None, expected a number"),
        ({"budget": -1}, "budget is -1, expected a share of the rows >= 0"),
        ({"budget": "low"}, "budget is 'low', expected a share of the rows >= 0"),
        ({"budgets": (0.1, -0.2)}, "budget is -0.2, expected a share of the rows >= 0"),
        ({"budgets": 0.1}, "budgets is 0.1, expected a list of numbers"),
        ({"budget_of": "bytes"}, "budget_of is 'bytes', expected one of rows, joules"),
        ({"constraint": "soft"}, "constraint is 'soft', expected one of terminal, incremental, none"),
        ({"tables": "month.csv"}, "tables is 'month.csv', expected synthetic or a list of evaluation tables"),
        ({"tables": Path("month.csv")}, f"tables is {Path('month.csv')!r}, expected synthetic or a list"),
        ({"tables": toy_table()}, "tables is one table, expected synthetic or a list"),
        ({"tables": ["none.csv"], "actions": toy_thresholds()}, "none.csv: there is no such file, expected a readable"),
        ({"tables": [7], "actions": toy_thresholds()}, "tables has the entry 7, expected evaluation tables or their"),
        ({"tables": [], "actions": toy_thresholds()}, "there are 0 tables and 0 names, expected as many, 1 or more"),
        ({"tables": [toy_table()]}, "actions is None, expected thresholds or a file of them (.csv) beside tables of"),
        ({"tables": [toy_table(3)], "actions": toy_thresholds()}, "table 1: has 3 exits, expected 2 as the thresholds"),
        ({"months": (9,)}, "months has the entry 9, expected numbers in 1..8, as there are tables"),
        ({"months": (0,)}, "months has the entry 0, expected numbers in 1..8"),
        ({"months": (1.5,)}, "months is (1.5,), expected a list of whole numbers"),
        ({"months": 3}, "months is 3, expected a list of whole numbers"),
        ({"actions": "none.csv"}, "none.csv: there is no such file, expected a readable file of thresholds (.csv)"),
        ({"actions": 3}, "actions is 3, expected thresholds or a file of them (.csv)"),
        ({"actions": toy_thresholds(3)}, "work has 2 exits, expected 3 as the actions"),
        ({"work": "none.yaml"}, "none.yaml: there is no such file, expected a readable work file (.yaml)"),
        ({"work": 3}, "work is 3, expected the work of a network or its file (.yaml)"),
        ({"order": "random"}, "order is 'random', expected one of markov, calendar, shuffled"),
        ({"change": 1.5}, "change is 1.5, expected a probability in 0..1"),
        ({"change": "often"}, "change is 'often', expected a number"),
        ({"link_change": -0.1}, "change is -0.1, expected a probability in 0..1"),
        ({"attack_shares": (0.5, 1.5)}, "attack_shares is [0.5, 1.5], expected numbers in 0..1"),
        ({"attack_shares": 0.5}, "attack_shares is 0.5, expected a list of numbers"),
        ({"bandwidths": (0.0,)}, "bandwidths is [0.0], expected numbers in 0..1, above 0"),
        ({"bandwidths": ()}, "bandwidths is (), expected a list of 1 or more numbers"),
        ({"loads": (1.0,)}, "loads is [1.0], expected numbers in 0..1, below 1"),
        ({"false_positive": -1}, "false_positive is -1, expected a finite number >= 0"),
        ({"rejection": float("inf")}, "rejection is inf, expected a finite number >= 0"),
        ({"send": "dear"}, "send is 'dear', expected a number"),
        ({"deadline_s": float("nan")}, "deadline_s is nan, expected a finite number >= 0"),
        ({"memory": 0}, "memory is 0.0, expected a number in 0..1, above 0"),
        ({"label_delay": -1}, "label_delay is -1, expected at least 0 windows"),
        ({"label_delay": 1.5}, "label_delay is 1.5, expected a whole number"),
        ({"include_latent": "no"}, "include_latent is 'no', expected true or false"),
        ({"remote_from": 0}, "remote_from is 0, expected an exit from 1 on"),
        ({"remote_from": 4}, "remote_from is 4, but the network has 2 exits"),
        ({"remote_from": 1.5}, "remote_from is 1.5, expected a whole number"),
        ({"sends": "pictures"}, "sends is 'pictures', expected one of input, features"),
        ({"edge_macs_per_s": 0}, "macs_per_s is 0, expected a number > 0"),
        ({"link_joules_per_byte": -1}, "joules_per_byte is -1, expected a number >= 0"),
        (
            {"tables": [one_class], "actions": toy_thresholds(), "attack_shares": (0.5,)},
            "table 1: has rows of one class alone, expected both where attack_shares are given",
        ),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    for make in (EarlyExitEnv, EarlyExitVectorEnv):
        with pytest.raises(ValueError) as caught:
            make(**arguments)
        assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


def test_wrong_ways_to_draw_and_to_count_are_one_sentence() -> None:
    with pytest.raises(ValueError, match="render_mode is 'x', expected one of human, rgb_array, ansi"):
        EarlyExitEnv(render_mode="x")
    with pytest.raises(ValueError, match="num_envs is 0, expected a whole number >= 1"):
        EarlyExitVectorEnv(0)
    with pytest.raises(ValueError, match="the vector environment does not render"):
        EarlyExitVectorEnv(1, render_mode="ansi")
    with pytest.raises(ValueError, match="table has 17 exits, expected at most 16"):
        EarlyExitEnv(tables=[random_table(0, 20, 17)], actions=random_actions(0, 2, 17))


def test_tables_actions_and_work_may_be_files(tmp_path: Path) -> None:
    work = NetworkWork((100, 200), (10, 20), (30, 0), 232)
    options = own(work=work)
    paths = [tmp_path / f"month {m}.csv" for m in range(2)]
    for table, path in zip(options["tables"], paths, strict=True):
        save_table(table, path)
    save_thresholds(options["actions"], tmp_path / "actions.csv")
    save_work(work, tmp_path / "work.yaml")
    files = SMALL | {
        "tables": [paths[0], str(paths[1])], "actions": tmp_path / "actions.csv", "work": str(tmp_path / "work.yaml"),
    }  # fmt: skip
    assert same(play(EarlyExitEnv(**files), 0), play(EarlyExitEnv(**options), 0))
    assert EarlyExitEnv(**files).world.generator.months.names == tuple(map(str, paths))


def test_months_that_are_played() -> None:
    def names(**options: Any) -> tuple[str, ...]:
        return EarlyExitEnv(**options).world.generator.months.names

    assert names() == ("month 3", "month 4", "month 5")
    assert names(months=(8, 1)) == ("month 8", "month 1") and len(names(months=())) == 8
    assert names(**own()) == ("table 1", "table 2") and names(**own(months=(2,))) == ("table 2",)


def test_without_work_rows_are_counted_alone() -> None:
    env = EarlyExitEnv(**own(scenario=Scenario("all goes", budget=0.5)))
    found = play(env, 0)
    assert sum(one[4]["sent"] for one in found[1:]) > 0
    assert all(one[4]["bytes"] == one[4]["sent"] for one in found[1:])


# --- the vector environment ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options", [{"windows": 1}, {"windows": 7, "budgets": (0.0, 0.3), "constraint": "incremental"}]
)
def test_scalar_equals_vector(options: dict[str, Any]) -> None:
    check_scalar_equals_vector(ENV_ID, steps=200, num_envs=5, **own(**options))


def test_a_vector_step_ends_and_begins_episodes_at_once() -> None:
    env = EarlyExitVectorEnv(3, **own(windows=4))
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    env.reset(seed=0)
    twins = [EarlyExitEnv(**own(windows=4)) for _ in range(3)]
    for step in range(4):
        observations, _, terminated, truncated, infos = env.step(np.full(3, 5))
        assert not terminated.any() and truncated.all() == (step == 3) and ("final_obs" in infos) == (step == 3)
    for i, twin in enumerate(twins):
        twin.reset(seed=i)
        last = [twin.step(5) for _ in range(4)][-1]
        assert (infos["final_obs"][i] == last[0]).all()
        assert all(infos["final_info"][name][i] == last[4][name] for name in batch.INFO)
        assert (observations[i] == twin.reset()[0]).all()


def test_seeds_of_the_vector_environment() -> None:
    env = EarlyExitVectorEnv(3, **own())
    env.reset(seed=[4, 5, 6])
    frames = env.exogenous
    env.reset(seed=4)
    assert (frames == env.exogenous).all()
    env.reset(seed=[4, None, 6])
    assert (env.exogenous[[0, 2]] == frames[[0, 2]]).all() and not (env.exogenous[1] == frames[1]).all()
    with pytest.raises(ValueError, match="2 seeds were given, expected 3"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="reset option is 'frames', expected budget: frames belong to a single env"):
        env.reset(options={"frames": frames})
    assert env.reset(options={"budget": 0.5})[1]["budget_left"].tolist() == [90, 90, 90]


def test_arrays_of_the_vector_environment_are_the_callers_own() -> None:
    env = EarlyExitVectorEnv(2, **own(windows=3))
    observations, infos = env.reset(seed=0)
    for _ in range(7):
        kept = observations.copy(), {name: value.copy() for name, value in infos.items() if name != "final_info"}
        following, _, _, _, more = env.step(np.ones(2, np.int64))
        assert (observations == kept[0]).all()
        assert all(np.array_equal(infos[name], value) for name, value in kept[1].items())
        observations, infos = following, more


def test_a_saved_state_goes_on_exactly() -> None:
    options = own(scenario="mixed", budgets=(0.1, 0.4))
    env, other = EarlyExitVectorEnv(3, **options), EarlyExitVectorEnv(3, **options)
    env.reset(seed=0), other.reset(seed=9)
    rng = np.random.default_rng(0)
    for _ in range(8):
        env.step(rng.integers(0, 7, 3))
    other.set_state(pickle.loads(pickle.dumps(env.get_state())))
    unpickled: EarlyExitVectorEnv = pickle.loads(pickle.dumps(env))
    assert (env.exogenous == other.exogenous).all()
    for _ in range(20):
        actions = rng.integers(0, 7, 3)
        mine = env.step(actions)
        for twin in (other, unpickled):
            assert same(mine, twin.step(actions))


@pytest.mark.parametrize(
    "actions", [[0, 7, 1], [0, -1, 1], [0, 1], [[0, 1, 2]], 1, [0.0, 1.0, 2.0], [0, float("nan"), 1], ["0", "1", "2"]]
)
def test_other_actions_are_refused_by_the_vector_environment(actions: Any) -> None:
    env, twin = (EarlyExitVectorEnv(3, **own()) for _ in range(2))
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(ValueError, match=r"^actions are .*, expected 3 whole numbers in 0\.\.6$"):
        env.step(actions)
    good: Any = np.array([[1, 9], [0, 9], [6, 9]], np.int8)[:, 0]
    assert same(env.step(good), twin.step(np.array([1, 0, 6]))), "nothing had happened"
