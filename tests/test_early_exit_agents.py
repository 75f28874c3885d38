"""Agents for early exit: trained, resumed, scored and rolled out by the commands of the project; the network's structure."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch as th
from early_exit_worlds import random_actions, random_table
from PIL import Image
from tiny_exit_runs import TINY, TRAIN_PATHS, evaluate, roll_out, trained

import agents
from agents.cli import main
from agents.dqn import MaskableDQN
from agents.early_exit.held_out import rows_of_config
from agents.early_exit.learned import LearnedExitPolicy
from agents.early_exit.network import ExitQNetwork
from agents.early_exit.runs import asked_for, named_policies
from agents.early_exit.world import COLUMNS, ExitJudge
from agents.run_folder import RunFolder, resume_config
from agents.train import run as train_command
from agents.training import make_agent, make_training_env
from conf.early_exit_schema import EXIT_BASELINES, EXIT_SCENARIOS
from conf.schema import DqnConfig, EarlyExitConfig, TrainConfig
from envs.early_exit.build import make_world
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.scenarios import SCENARIOS
from envs.early_exit.table_file import save_table
from envs.early_exit.thresholds_file import save_thresholds
from optimal.early_exit.episode_gaps import references
from optimal.early_exit.episodes import TUNING_SEED, Episodes
from optimal.early_exit.playing import Game, play


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"))


# --- training --------------------------------------------------------------------------------------------------------
def test_names_in_the_config_are_those_of_the_code() -> None:
    training = Episodes.draw(make_world("budget", windows=4, rows=20), 4, TUNING_SEED)
    assert tuple(SCENARIOS) == EXIT_SCENARIOS and tuple(one.name for one in references(training)) == EXIT_BASELINES


def test_training_leaves_a_run_folder(run_folder: Path) -> None:
    with open(run_folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tuple(COLUMNS) and rows[-1]["step"] == "640" and len(rows) == 2
    assert all(0.05 < float(row["eval_cost"]) < 1.5 and 0 <= float(row["eval_violated"]) <= 1 for row in rows)
    summary = RunFolder.open(run_folder).read_json("summary.json")
    assert [one["budget"] for one in summary["budgets"]] == [0.08, 0.2]
    for one in summary["budgets"]:
        assert [row["policy"] for row in one["policies"]] == ["dqn", "static"]
        assert one["bound"] < min(row["cost"] for row in one["policies"])


def test_equal_seeds_give_equal_bytes_and_a_resumed_run_ends_like_an_uninterrupted_one(
    run_folder: Path, tmp_path: Path
) -> None:
    whole = (run_folder / "metrics.csv").read_bytes()
    again = trained(tmp_path / "again")
    assert (again / "metrics.csv").read_bytes() == whole
    for checkpoint in sorted((again / "checkpoints").iterdir())[1:]:
        checkpoint.unlink()
    argv = [f"resume={again}", "format=json"]
    assert main("train", TrainConfig, train_command, TRAIN_PATHS, settle=resume_config, argv=argv) == 0
    assert (again / "metrics.csv").read_bytes() == whole


def test_a_later_model_takes_the_place_of_one_that_is_as_good() -> None:
    judge = ExitJudge(TrainConfig(env=EarlyExitConfig(), evaluate_every=0), make_world("budget", windows=4, rows=20))
    assert judge.prefers((0.0, 0.11), (float("inf"),)) and judge.prefers((0.0, 0.101), (0.0, 0.1))
    assert not judge.prefers((0.0, 0.103), (0.0, 0.1)), "clearly worse"
    assert not judge.prefers((0.01, 0.05), (0.0, 0.1)) and judge.prefers((0.0, 0.2), (0.01, 0.1))


def test_a_flat_network_learns_from_recorded_decisions_too(tmp_path: Path) -> None:
    argv = ["agent=dqn_mlp", "agent.n_steps=1", "agent.gradient_steps=1", "env.budgets=[]", "baselines=[]"]
    run = trained(tmp_path, *argv, "steps=200", "evaluate_every=0")
    policy = agents.load(run)
    assert isinstance(policy, LearnedExitPolicy) and not isinstance(policy.q_net, ExitQNetwork)


# --- replay and network ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def model() -> MaskableDQN:
    env = EarlyExitConfig(windows=10, rows=50, budgets=[0.08, 0.2], scenario="mixed")
    agent = DqnConfig(policy="exit", replay="counterfactual", centred=True, n_steps=1, hidden=8, group=8, batch_size=64,
                      learning_starts=80, buffer_size=2000, target_update_interval=64, tau=0.02)  # fmt: skip
    config = TrainConfig(num_envs=4, env=env, agent=agent, device="cpu", baselines=[], progress=False)
    made = make_agent(config, make_training_env(config))
    made.learn(400)
    return made


def test_samples_equal_really_stepping_the_environment(model: MaskableDQN) -> None:
    buffer: Any = model.replay_buffer
    rows, envs = buffer._steps(40)
    env = EarlyExitEnv("mixed", windows=10, rows=50, budgets=[0.08, 0.2])
    part = env.world.generator.layout.slices
    states, actions = buffer.model.sample(np.random.default_rng(0), 40, 6)
    for row, one, group, chosen in zip(rows, envs, states, actions, strict=True):
        now, then = buffer._exogenous[row, one], buffer._exogenous[row + 1, one]
        # what is known of windows before: never that of another episode's
        old, new, shape = now[part["profile"]], then[part["profile"]], then[part["shape"]]
        assert shape[:-1].sum() == pytest.approx(1, abs=1e-4)
        assert np.all((new >= np.minimum(old, shape) - 1e-5) & (new <= np.maximum(old, shape) + 1e-5)) or not old.any()
        for state, action in zip(group, chosen, strict=True):
            env.reset(seed=0)
            env._state[:], env._frames = state, np.stack([now, then]).astype(np.float32)
            observation, reward, _, _, _ = env.step(action)
            following, earned = buffer.model.transition(state[None], now[None], action[None])
            assert earned[0] == reward and np.array_equal(following[0], env.endogenous)
            assert np.array_equal(buffer.model.observe(following, then[None])[0], observation)


def test_groups_share_a_window_and_a_budget(model: MaskableDQN) -> None:
    buffer: Any = model.replay_buffer
    groups = buffer.sample(400).observations.numpy().reshape(50, 8, -1)
    part = EarlyExitEnv("mixed", windows=10, rows=50).observation_layout
    for name in ("shape", "profile", "demand", "link", "time"):
        assert (groups[:, :, part[name]] == groups[:, :1, part[name]]).all(), name
    assert len(np.unique(groups[:, :, part["budget"]][..., 2].round(6))) == 2, "both budgets are asked about"
    assert (np.ptp(groups[:, :, part["acceptance"]][..., 1], axis=1) > 0).all()


def network_and_states(model: MaskableDQN) -> tuple[ExitQNetwork, th.Tensor]:
    net: Any = model.q_net
    net.eval()
    return net, model.replay_buffer.sample(256).observations  # type: ignore[union-attr]


def test_nothing_is_to_be_had_without_a_window(model: MaskableDQN) -> None:
    net, states = network_and_states(model)
    states[:, net.slices["time"]] = 0.0
    with th.no_grad():
        assert (net(states) == 0).all()


def test_the_compiled_least_plane_is_that_of_tensors(model: MaskableDQN) -> None:
    net, states = network_and_states(model)
    with th.no_grad():
        compiled = net(states)
    np.testing.assert_allclose(net(states).detach().numpy(), compiled.numpy(), atol=2e-5)


def test_what_is_left_is_the_mean_over_demands_that_may_be_off(model: MaskableDQN) -> None:
    """Two planes, x and 1 + x / 2, that meet at 2: equal to the least plane far from there, a share of the kink below it."""
    net, _ = network_and_states(model)
    planes = th.full((1, len(net.budget_price)), 100.0)
    slopes = net.budget_price.clone()
    planes[0, :2] = th.tensor([0.0, 1.0])
    net.budget_price[:] = 0.0
    net.budget_price[:2] = th.tensor([1.0, 0.5])
    after, lack = th.tensor([[[1.0], [2.0], [4.0]]]), th.zeros(1, 3, 1)
    with th.no_grad():
        value = net._expected(after, lack, planes)[0, :, 0]
    net.budget_price[:] = slopes
    # one point in six lies sqrt(3) tenths of 2 above the kink, where the slope is halved
    assert value.tolist() == pytest.approx([1.0, 2.0 - 0.2 * 3**0.5 / 2 / 6, 3.0], abs=1e-6)


def test_more_budget_is_never_worse_and_more_acceptance_needed_never_better(model: MaskableDQN) -> None:
    net, states = network_and_states(model)
    n = (states[:, net.slices["time"]] * net.windows)[:, 0]
    budget, acceptance = net.slices["budget"].start + 1, net.slices["acceptance"].start + 1
    with th.no_grad():
        before = None
        # with less than 1.12 windows of rows it may be that an action does not fit
        for have in np.linspace(1.2, 8.0, 12):
            states[:, budget] = have / n
            values = net(states)
            assert before is None or (values >= before - 1e-5).all()
            before = values
        before = None
        for need in np.linspace(-0.5, 1.2, 12):
            states[:, acceptance] = need
            values = net(states)
            assert before is None or (values <= before + 1e-5).all()
            before = values


def test_the_loss_of_a_fixed_batch_goes_down(model: MaskableDQN) -> None:
    net: Any = model.policy.make_q_net()
    data: Any = model.replay_buffer.sample(256)  # type: ignore[union-attr]
    parts = [
        part.view(32, 8, -1)
        for part in (data.observations, data.actions, data.rewards, data.next_observations, data.rewards)
    ]
    optimizer, losses = th.optim.Adam(net.parameters(), 3e-3), []
    net.train()
    for _ in range(150):
        loss = net.loss(*parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_what_came_of_a_budget_that_did_not_reach_says_nothing_of_an_action(model: MaskableDQN) -> None:
    net: Any = model.policy.make_q_net().eval()
    data: Any = model.replay_buffer.sample(1024)  # type: ignore[union-attr]
    obs, actions, rewards, following = (
        part.view(128, 8, -1) for part in (data.observations, data.actions, data.rewards, data.next_observations)
    )
    budget, time = net.slices["budget"].start + 1, net.slices["time"].start
    windows = obs[..., time, None] * net.windows
    used = obs[..., budget, None] * windows - following[..., budget, None] * (windows - 1)
    demand = obs[..., net.slices["demand"]].gather(2, actions)
    over = (demand > 0.05) & (used < 1e-6) & (windows > 1.5)
    assert 0.02 < over.float().mean() < 0.9
    within = slice(0, net.action_space.n)

    def gradient(rewards: th.Tensor) -> th.Tensor:
        net.zero_grad()
        # the target that stays leaves the error of Q as it is
        net.loss(obs, actions, rewards, following, data.rewards.view(128, 8, 1)).backward()
        return cast(th.Tensor, net.earns.usual.grad.clone())

    before = gradient(rewards)
    unmet, met = gradient(rewards - 5.0 * over), gradient(rewards - 5.0 * (~over & (actions % 2 == 0)))
    np.testing.assert_allclose(unmet[within], before[within], atol=1e-6)
    assert (unmet != before).any() and not np.allclose(met[within], before[within], atol=1e-3)


def test_rows_that_stop_before_the_link_use_nothing_of_the_budget(tmp_path: Path) -> None:
    tables = [tmp_path / f"month_{number}.csv" for number in range(2)]
    for number, path in enumerate(tables):
        save_table(random_table(number, exits=3), path)
    save_thresholds(random_actions(5, 6, exits=3), tmp_path / "actions.csv")
    env = EarlyExitConfig(
        tables=[str(path) for path in tables], months=[], test_months=[], actions=str(tmp_path / "actions.csv"),
        windows=10, rows=200, budget=0.4, remote_from=3,
    )  # fmt: skip
    agent = DqnConfig(policy="exit", replay="counterfactual", centred=True, n_steps=1, hidden=8, group=16, batch_size=256,
                      learning_starts=200, buffer_size=2000, gradient_steps=8)  # fmt: skip
    config = TrainConfig(num_envs=4, env=env, agent=agent, device="cpu", baselines=[], progress=False)
    made = make_agent(config, make_training_env(config))
    made.learn(1_600)
    world = rows_of_config(env)
    episodes = Episodes.draw(world, 8, 3)
    used = episodes.tables.use[:, :, :6].mean(axis=(0, 1)) / 200
    part = world.generator.layout.slices["demand"]
    passed = episodes.frames[:, 5:, part].mean(axis=(0, 1))[world.generator.months.demands[:6]]
    assert (passed > used + 0.05).any(), "some rows that go on are answered before the link"
    net: Any = made.q_net
    # what hardly fits is hardly ever seen to be used
    often = used < 0.25
    assert often.sum() >= 2
    np.testing.assert_allclose((net._share_used.numpy() * passed)[often], used[often], atol=0.03)


def test_what_the_target_network_has_seen_follows_the_online_network(model: MaskableDQN) -> None:
    names = [name for name, _ in model.q_net.named_buffers() if "running_" in name]
    online, target = dict(model.q_net.named_buffers()), dict(model.q_net_target.named_buffers())
    assert len(names) == len(model.batch_norm_stats) == 10
    for name in names:
        online[name].add_(0.01)
    model._n_calls = 10 * model.target_update_interval - 1
    model._on_step()
    assert all(th.equal(online[name], target[name]) for name in names)


# --- loaded policies -------------------------------------------------------------------------------------------------
def test_a_loaded_policy_decides_episodes_as_it_acts_in_the_environment(run_folder: Path) -> None:
    policy = agents.load(run_folder)
    assert isinstance(policy, LearnedExitPolicy)
    episodes = Episodes.draw(make_world("budget", windows=10, rows=50), 3)
    for budget in (0.08, 0.3):
        played = play(policy, Game.of(episodes, budget))
        for number in range(3):
            env = EarlyExitEnv("budget", windows=10, rows=50)
            observation, _ = env.reset(seed=0, options={"frames": episodes.frames[number], "budget": budget})
            total = 0.0
            for step in range(10):
                action = policy.act(observation)
                assert action == played.actions[number, step]
                observation, reward, _, _, _ = env.step(action)
                total += reward
            assert played.returns[number] == pytest.approx(total)
    with pytest.raises(ValueError, match=r"policy dqn \(run\) answers observations of \d+ numbers, got 3"):
        policy.act(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="where nothing is searched, expected samples=1"):
        agents.load(run_folder, samples=4)


def test_another_scenario_forgets_what_the_run_changed() -> None:
    own = EarlyExitConfig(scenario="budget", budgets=[0.1, 0.2], change=0.1, order="calendar")
    asked = asked_for("early_exit/bursts", [], own)
    assert (asked.scenario, asked.budgets, asked.order, asked.change) == ("bursts", [], None, 0.1)
    assert asked_for("bursts", [0.3], own).budgets == [0.3] and asked_for(None, [None], own) == own
    assert asked_for("budget", [], own) == own


# --- evaluate and rollout --------------------------------------------------------------------------------------------
def test_evaluate_scores_runs_and_baselines(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [f"run={run_folder}", "baselines=[static,mixture]", "instances=3", f"out={tmp_path / 'scores.json'}"]
    assert evaluate(*asked, "format=json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [one["budget"] for one in result["budgets"]] == [0.08, 0.2]
    rows = {row["policy"]: row for row in result["budgets"][1]["policies"]}
    assert list(rows) == ["dqn (run)", "static", "mixture"] and "3 held-out episodes of 10 x 50 rows" in result["title"]
    stored = json.loads((tmp_path / "scores.json").read_text())["episodes"]
    assert len(stored) == 6 and np.mean(stored[3]["cost"]) == pytest.approx(rows["dqn (run)"]["cost"])
    assert evaluate(f"run={run_folder}", "scenario=bursts", "budgets=[0.3]", "instances=2") == 0
    out = capsys.readouterr().out
    assert "bursts, synthetic" in out and " 0.3 " in out
    assert evaluate("baselines=[all-edge]", "scenario=early_exit/drift", "instances=1", "format=json") == 0
    (one,) = json.loads(capsys.readouterr().out)["budgets"]
    assert one["budget"] is None and one["policies"][0]["sent"] == 0


def test_runs_that_differ_in_nothing_but_the_seed_are_told_apart_by_it(run_folder: Path, tmp_path: Path) -> None:
    folders = [RunFolder.open(run_folder)]
    for seed, hidden in ((5, 8), (6, 4)):
        other = trained(tmp_path / str(seed), f"seed={seed}", f"agent.hidden={hidden}", "steps=100", "baselines=[]",
                        "evaluate_every=0", "checkpoint_every=0")  # fmt: skip
        folders.append(RunFolder.open(other))
    assert [one.name for one in named_policies(folders)] == ["dqn (run)"] * 3
    folders[1].config.steps = folders[0].config.steps
    folders[1].config.evaluate_every = folders[0].config.evaluate_every
    names = [one.name for one in named_policies(folders)]
    assert names == ["dqn (run), seed 0", "dqn (run), seed 5", "dqn (run)"]


@pytest.mark.parametrize("who", ["run", "baseline=static"])
def test_rollout_writes_what_was_played(
    who: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    player = [f"run={run_folder}", "budget=0.2"] if who == "run" else [who, "scenario=early_exit/mixed"]
    files = [f"out={tmp_path / 'a.gif'}", *([f"frames={tmp_path / 'pictures'}"] if who == "run" else [])]
    assert roll_out(*player, *files, "seed=3", "format=json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["frames"] == (11 if who == "run" else 101)
    assert len(list(tmp_path.glob("pictures/*.png"))) == (11 if who == "run" else 0)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == result["frames"]  # type: ignore[attr-defined]
    assert 0 < result["cost"] < 1.5 and result["budget"] == (0.2 if who == "run" else SCENARIOS["mixed"].budget)
    assert result["sent"] <= result["budget"] and result["written"] == [file.partition("=")[2] for file in files]


# --- wrong input -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("command", "argv", "sentence"),
    [
        ("train", ["env.scenario=rain"], "env.scenario is rain, expected one of budget, drift"),
        ("train", ["env.tables=[a.csv]"], "env.tables is given and env.actions is null"),
        ("train", ["agent.policy=token"], "agent.policy is token, which is not for early exit, expected exit or mlp"),
        ("train", ["agent.replay=recorded", "agent.centred=false"], "agent.policy is exit, expected agent.masked=true"),
        ("train", ["baselines=[belief]"], "baselines has the entry belief, expected out of all-edge"),
        ("train", ["env.budgets=[-1]"], "env.budgets is [-1.0], expected a list of numbers >= 0"),
        ("evaluate", ["run=RUN", "rate=0.2"], "rate is 0.2, which is for token-bucket offloading, expected null"),
        ("evaluate", ["run=RUN", "ssim=0.4"], "ssim is 0.4, which is for segment allocation, expected null"),
        ("evaluate", ["run=RUN", "samples=4"], "samples is 4, which is for segment allocation, expected 1"),
        ("evaluate", ["run=RUN", "scenario=s3"], "is of offramp/EarlyExit-v0, expected one of offramp/TokenBucket-v0"),
        ("evaluate", ["run=[RUN,placement]"], "placement is of offramp/DistPrivacy-v0, expected one of offramp/EarlyExit-v0"),
        ("evaluate", ["run=placement", "budgets=[0.1]"], "budgets is [0.1], which is for early exit, expected []"),
        ("evaluate", ["run=RUN", "baselines=[greedy]"], "baselines has the entry greedy, expected out of all-edge"),
        ("evaluate", ["baselines=[static]", "scenario=budget"], "of early exit, expected early_exit/budget without a run"),
        ("evaluate", ["baselines=[static]", "scenario=early_exit/rain"], "scenario is early_exit/rain, expected one of"),
        ("evaluate", ["baselines=[static]", "scenario=bursts"], "baselines has the entry static, expected out of belief"),
        ("rollout", ["run=RUN", "length=5"], "length is 5, which is for token-bucket offloading, expected null"),
        ("rollout", ["run=RUN", "budget=-1"], "budget is -1.0, expected a number >= 0 or null"),
        ("rollout", ["run=RUN", "instance=a.json"], "is of offramp/EarlyExit-v0, expected one of offramp/DistPrivacy-v0"),
        ("rollout", ["baseline=cache", "scenario=early_exit/budget"], "baseline is cache, which does what no action can"),
        ("rollout", ["baseline=belief", "scenario=s3", "budget=0.1"], "budget is 0.1, which is for early exit, expected null"),
    ],
)  # fmt: skip
def test_wrong_input_is_told_in_one_sentence(
    command: str,
    argv: list[str],
    sentence: str,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    RunFolder.create(TrainConfig(run_root=".", name="placement"))
    asked = [argument.replace("RUN", str(run_folder)) for argument in argv]
    if command == "train":
        code = main("train", TrainConfig, train_command, TRAIN_PATHS, argv=[*TINY, "steps=10", "run_root=.", *asked])
    else:
        code = evaluate(*asked) if command == "evaluate" else roll_out(*asked)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "") and err.strip().count("\n") == 0, err
    assert sentence.replace("RUN", str(run_folder)) in err
    assert [path.name for path in tmp_path.iterdir()] == ["placement"]
