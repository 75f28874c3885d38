"""Every registered environment keeps to every promise, and every check notices an environment that does not."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from envs import conformance
from envs.conformance.__main__ import main
from envs.conformance.cases import CASES
from envs.conformance.walk import same
from envs.distprivacy.scenarios import SCENARIOS
from envs.distprivacy.vector import DistPrivacyVectorEnv
from envs.early_exit.scenarios import SCENARIOS as THRESHOLDS
from envs.token_bucket.scenarios import SCENARIOS as STREAMS

ALL_CASES = [pytest.param(env_id, case, id=f"{env_id}: {case}") for env_id in CASES for case in CASES[env_id]]
SINGLE_CHECKS = sorted(set(conformance.CHECKS) - {"scalar_equals_vector"})


def test_every_environment_has_cases() -> None:
    assert set(CASES) == set(envs.ENVIRONMENTS)
    for env_id, scenarios in (
        ("offramp/DistPrivacy-v0", SCENARIOS),
        ("offramp/EarlyExit-v0", THRESHOLDS),
        ("offramp/TokenBucket-v0", STREAMS),
    ):
        named = {case["scenario"] for case in CASES[env_id].values() if isinstance(case["scenario"], str)}
        assert named == set(scenarios)


@pytest.mark.parametrize(("env_id", "case"), ALL_CASES)
def test_scalar_equals_vector(env_id: str, case: str) -> None:
    conformance.check_scalar_equals_vector(env_id, steps=2500, num_envs=2, **CASES[env_id][case])


@pytest.mark.parametrize("check", sorted(set(SINGLE_CHECKS) - {"render", "gymnasium", "sb3"}))
@pytest.mark.parametrize(("env_id", "case"), ALL_CASES)
def test_promises(env_id: str, case: str, check: str) -> None:
    conformance.CHECKS[check](env_id, **CASES[env_id][case])


@pytest.mark.parametrize("check", ["render", "gymnasium", "sb3"])
@pytest.mark.parametrize("env_id", envs.ENVIRONMENTS)
def test_promises_of_the_default(env_id: str, check: str) -> None:
    conformance.CHECKS[check](env_id)


# --- environments that break one promise each ------------------------------------------------------------------------
class Toy(gym.Env[NDArray[np.float32], np.int64]):
    """Counts to 7 and shows a random number; ``fault`` names the promise that it breaks."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}
    made = itertools.count()

    def __init__(self, fault: str = "", render_mode: str | None = None) -> None:
        self.fault, self.render_mode = fault, render_mode
        if fault == "fps":
            self.metadata = {"render_modes": ["rgb_array", "ansi"]}
        self.observation_space = spaces.Box(0.0, 1.0 + next(self.made) * (fault == "space"), (2,), np.float32)
        self.action_space = spaces.Discrete(3)  # type: ignore[assignment]
        self.count = 0
        self.secret = 0.25

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._observe(), self._info()

    def step(self, action: Any) -> Any:
        allowed = self._info()["action_mask"][int(action)] == 1
        self.count += 1
        info = self._info() | ({} if allowed or self.fault == "invalid" else {"invalid_action": True})
        reward = float("nan") if self.fault == "reward" and self.count == 3 else float(action)
        return self._observe(), reward, self.count == 7, False, info

    def render(self) -> Any:
        if self.fault == "drawing":
            self.np_random.random()
        if self.render_mode == "ansi":
            return "" if self.fault == "text" else "toy"
        return np.zeros((2, 2, 4 if self.fault == "frame" else 3), np.uint8)

    def _observe(self) -> NDArray[np.float32]:
        shown = time.perf_counter() % 1.0 if self.fault == "seed" else self.np_random.random()
        top = 2.0 if self.fault == "bound" and self.count == 5 else self.secret
        return np.array([shown, top], np.float64 if self.fault == "dtype" else np.float32)

    def _info(self) -> dict[str, Any]:
        return {"action_mask": np.array([1, self.count % 2, 0], np.int8)}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | ({"secret": 0.5} if self.fault == "pickle" else {})


class OtherVector(DistPrivacyVectorEnv):
    """A vector environment that differs from its scalar one in what ``fault`` names."""

    def __init__(self, num_envs: int = 1, fault: str = "", **kwargs: Any) -> None:
        super().__init__(num_envs, granularity=2 if fault == "physics" else 1, **kwargs)
        self.fault = fault

    def step(self, actions: NDArray[np.int64]) -> Any:
        observations, rewards, done, truncated, infos = super().step(actions)
        if self.fault == "final" and "final_obs" in infos:
            infos["final_obs"] += np.float32(1e-7)
        if self.fault == "final_info" and "final_info" in infos:
            infos["final_info"]["request"] += 1
        if self.fault == "info":
            infos["latency_s"] = np.nextafter(infos["latency_s"], 1.0)
        if self.fault == "reward":
            rewards = np.nextafter(rewards, 1.0)
        return observations, rewards, done, truncated, infos


@pytest.fixture
def toys() -> Iterator[None]:
    gym.register("tests/Toy-v0", entry_point=Toy, disable_env_checker=True)
    gym.register(
        "tests/Vector-v0",
        entry_point="envs.distprivacy.env:DistPrivacyEnv",
        vector_entry_point=OtherVector,
        disable_env_checker=True,
    )
    yield
    del gym.registry["tests/Toy-v0"], gym.registry["tests/Vector-v0"]


@pytest.mark.usefixtures("toys")
def test_a_sound_environment_passes() -> None:
    conformance.check_environment("tests/Toy-v0")


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("spaces", "space"),
        ("seeding", "seed"),
        ("pickling", "pickle"),
        ("render", "fps"),
        ("render", "frame"),
        ("render", "text"),
        ("render", "drawing"),
        ("invalid_action", "invalid"),
        ("observation_in_space", "bound"),
        ("observation_in_space", "reward"),
        ("observation_in_space", "dtype"),
    ],
)
def test_a_broken_promise_is_noticed(check: str, fault: str) -> None:
    with pytest.raises(conformance.ConformanceError):
        conformance.CHECKS[check]("tests/Toy-v0", fault=fault)
    with pytest.raises(AssertionError):
        conformance.check_environment("tests/Toy-v0", fault=fault)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("check", ["gymnasium", "sb3"])
def test_the_libraries_own_checkers_are_asked(check: str) -> None:
    with pytest.raises(AssertionError):
        conformance.CHECKS[check]("tests/Toy-v0", fault="dtype")


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("fault", ["physics", "final", "final_info", "info", "reward"])
def test_a_vector_environment_that_differs_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conformance.check_scalar_equals_vector("tests/Vector-v0", steps=120, scenario="lenet-10", requests=1)
    entry = gym.spec("tests/Vector-v0")
    monkeypatch.setattr(entry, "vector_entry_point", lambda num_envs, **kwargs: OtherVector(num_envs, fault, **kwargs))
    with pytest.raises(conformance.ConformanceError):
        conformance.check_scalar_equals_vector("tests/Vector-v0", steps=120, scenario="lenet-10", requests=1)


def test_same_compares_bits() -> None:
    assert same({"a": [np.float64(1.0), True]}, {"a": [1.0, np.bool_(True)]})
    assert same(np.array([np.nan]), np.array([np.nan]))
    assert not same(np.float64(0.0), np.float64(-0.0))
    assert not same(np.zeros(2), np.zeros(3))
    assert not same(1, 1.0)
    assert not same({"a": 1}, {"b": 1})


# --- the command -----------------------------------------------------------------------------------------------------
def test_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["steps=5_0", "case=lenet-10", "format=json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(row["case"], row["broken"]) for row in report["cases"]] == [("lenet-10", [])]

    def broken(*_: Any, **__: Any) -> None:
        raise conformance.ConformanceError("it differs")

    monkeypatch.setattr("envs.conformance.__main__.CHECKS", {"seeding": broken})
    assert main(["case=lenet-10"]) == 1
    assert "seeding: it differs" in " ".join(capsys.readouterr().out.split())


def test_help_names_every_key_case_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps=many", "--help"]) == 0
    told = capsys.readouterr().out
    for word in ("steps=5000", "num_envs=", "env=", "case=", "format=", "tight budgets", *conformance.CHECKS):
        assert word in told


@pytest.mark.parametrize(
    "argument", ["steps=0", "steps=_", "steps=many", "case=none", "env=none", "format=xml", "speed=1", "help"]
)
def test_wrong_arguments_are_one_sentence(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 2
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err.count("\n") == 1 and "expected" in streams.err
