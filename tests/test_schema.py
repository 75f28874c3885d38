"""Config classes and YAML files: they agree, every key is explained, and every range is checked."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from agents.baselines import BASELINES
from conf import schema
from conf.benchmark_schema import BenchmarkConfig, BuildSetsConfig, FigureConfig
from conf.compose import Composer, as_object, without_hydra
from conf.fields import flat, keys, validate
from conf.messages import unknown_key
from conf.schema import (
    AgentConfig,
    CheckConfig,
    DistPrivacyConfig,
    DqnConfig,
    EnvConfig,
    EvaluateConfig,
    RolloutConfig,
    TrainConfig,
)
from conf.solve_schema import GrowthConfig, SolveConfig
from conf.token_bucket_schema import TimelineConfig, TokenBucketCurvesConfig, TokenBucketTableConfig
from envs.distprivacy.env import DistPrivacyEnv
from envs.distprivacy.scenarios import SCENARIOS
from envs.distprivacy.simulator import EPISODES, OBSERVATIONS, REWARDS
from envs.distprivacy.types import PRIVACY_SCOPES

CONF = Path(schema.__file__).parent
COMMANDS: dict[str, type] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "rollout": RolloutConfig,
    "check": CheckConfig,
    "solve": SolveConfig,
    "benchmark": BenchmarkConfig,
    "build_sets": BuildSetsConfig,
    "figure": FigureConfig,
    "growth": GrowthConfig,
    "timeline": TimelineConfig,
    "token_bucket_curves": TokenBucketCurvesConfig,
    "token_bucket_table": TokenBucketTableConfig,
}


def _composed(name: str, *overrides: str) -> Any:
    composer = Composer(name, COMMANDS[name])
    try:
        return without_hydra(composer.compose(overrides))
    finally:
        composer.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_yaml_files_hold_the_defaults_of_the_classes(name: str) -> None:
    assert _composed(name) == OmegaConf.structured(COMMANDS[name])


@pytest.mark.parametrize("choice", ["agent=dqn", "agent=dqn_mlp", "agent=dqn_paper", "experiment=quick"])
def test_every_choice_composes_to_a_valid_config(choice: str) -> None:
    config = as_object(_composed("train", choice), TrainConfig)
    assert isinstance(config.agent, DqnConfig) and isinstance(config.env, DistPrivacyConfig)
    assert config.agent.name == (choice.partition("=")[2] if choice.startswith("agent") else "dqn")


def test_the_paper_agent_is_that_of_its_tables() -> None:
    config = as_object(_composed("train", "agent=dqn_paper"), TrainConfig)
    agent, env = config.agent, config.env
    assert isinstance(agent, DqnConfig) and isinstance(env, DistPrivacyConfig)
    assert (agent.gamma, agent.buffer_size, agent.batch_size, agent.learning_rate) == (0.95, 50_000, 64, 1e-4)
    assert (agent.target_update_interval, agent.n_steps, agent.double_q, agent.masked) == (100, 1, False, False)
    assert (env.episode, env.reward, env.observation, env.privacy_scope) == ("layer", "paper", "paper", "layer")
    assert (env.sigma, env.beta) == (1.0, 0.5)


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_key_of_every_yaml_file_has_a_comment_above(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert yaml.safe_load("\n".join(lines)) and lines[0].startswith("#")
    bare = [
        line
        for above, line in itertools.pairwise(lines)
        if re.match(r"\s*\w+: \S", line) and not above.lstrip().startswith("#")
    ]
    # The folder of a run or a sweep is told by the comment on its section.
    assert [line for line in bare if line.strip().split(":")[0] not in ("dir",)] == []


def test_what_the_schema_repeats_is_what_the_environment_and_the_baselines_know() -> None:
    rules = {entry.path: entry.rule for entry in keys(DistPrivacyConfig)}
    assert tuple(SCENARIOS) == schema.SCENARIOS and tuple(BASELINES) == schema.BASELINES
    assert rules["privacy_scope"].choices == PRIVACY_SCOPES
    for name, known in (("episode", EPISODES), ("reward", REWARDS), ("observation", OBSERVATIONS)):
        assert rules[name].choices == tuple(known)
    arguments = DistPrivacyEnv.__init__.__kwdefaults__ | {"scenario": "lenet-random", "id": schema.DistPrivacyConfig.id}
    for entry in keys(DistPrivacyConfig):
        assert getattr(DistPrivacyConfig(), entry.name) == arguments[entry.name], entry.name


@pytest.mark.parametrize("kind", [*COMMANDS.values(), EnvConfig, AgentConfig, DistPrivacyConfig, DqnConfig])
def test_every_key_is_explained(kind: type) -> None:
    for entry in keys(kind):
        assert entry.rule.meaning and not entry.rule.meaning.endswith("."), entry.path
        assert entry.is_section or entry.expected
        if entry.base in (int, float):
            limits = (entry.rule.least, entry.rule.above)
            assert limits != (None, None), f"{entry.path} takes any number"


def test_out_of_range_is_one_sentence_with_key_value_and_expectation() -> None:
    wrong: list[tuple[str, Any, str]] = [
        ("agent.learning_rate", -1.0, "agent.learning_rate is -1.0, expected a number > 0"),
        ("agent.learning_rate", math.inf, "agent.learning_rate is inf, expected a number > 0"),
        ("agent.tau", 0.0, "agent.tau is 0.0, expected a number > 0 and <= 1"),
        ("agent.policy", "cnn", "agent.policy is cnn, expected one of device, mlp"),
        ("agent.name", "a/b", "agent.name is a/b, expected a name without /"),
        ("env.ssim", math.nan, "env.ssim is nan, expected a number in -1..1"),
        ("env.churn", 1.0, "env.churn is 1.0, expected a number >= 0 and < 1"),
        ("env.requests", 0, "env.requests is 0, expected a whole number >= 1 or null"),
        ("env.scenario", "lenet-99", "env.scenario is lenet-99, expected one of lenet-10, lenet-random, "),
        ("seed", 2**31, "seed is 2147483648, expected a whole number in 0..2147483647"),
        ("device", "gpu", "device is gpu, expected one of auto, cpu, cuda"),
        ("name", "", 'name is "", expected a text or null'),
        ("name", "a/b", "name is a/b, expected a name without /"),
        ("baselines", ["greedy", "best"], "baselines is [greedy, best], expected a list with entries out of random, "),
    ]
    validate(TrainConfig(env=DistPrivacyConfig(scenario="my.json", ssim=-1, requests=1), name="x", seed=2**31 - 1))
    for path, value, sentence in wrong:
        config: Any = TrainConfig()
        owner, _, name = path.rpartition(".")
        setattr(getattr(config, owner) if owner else config, name, value)
        with pytest.raises(ValueError) as caught:
            validate(config)
        assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (EvaluateConfig(), "run and baselines are both empty"),
        (EvaluateConfig(run=["a"], scenario="lenet-20", instance="b"), "scenario is lenet-20 and instance is b"),
        (RolloutConfig(), "expected exactly one of run and baseline, neither is given"),
        (RolloutConfig(run="a", baseline="greedy"), "expected exactly one of run and baseline, got a and greedy"),
        (RolloutConfig(run="a", out=None), "out and frames are both null"),
        (RolloutConfig(run="a", out="x.mp4"), "out is x.mp4, expected a path that ends in .gif"),
    ],
)  # fmt: skip
def test_rules_between_keys(config: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        validate(config)


def test_flat_opens_sections_and_keeps_their_order() -> None:
    paths = [entry.path for entry, _ in flat(TrainConfig())]
    assert paths[0] == "steps" and "env" not in paths
    assert paths.index("env.id") < paths.index("env.beta") < paths.index("agent.name")
    count = len(dataclasses.fields(TrainConfig)) + len(dataclasses.fields(DistPrivacyConfig))
    assert len(set(paths)) == len(paths) == count + len(dataclasses.fields(DqnConfig)) - 2


def test_the_nearest_key_is_named() -> None:
    known = ["steps", "seed", "env", "env.ssim", "agent", "agent.learning_rate"]
    for name, nearest in (
        ("learning_rate", "agent.learning_rate"),
        ("agent.learning_rat", "agent.learning_rate"),
        ("learing_rate", "agent.learning_rate"),
        ("step", "steps"),
        ("evn", "env"),
    ):
        assert unknown_key(name, known) == f"{name} is an unknown key, expected {nearest}, the nearest known key"
    assert unknown_key("zzz", known) == "zzz is an unknown key, expected one of those that --help lists"
