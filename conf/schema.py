"""All keys of all commands as typed dataclasses: default, meaning, unit and range of each, checked before a run.

The YAML files next to this one give the values; what stands here is what they may give. Every class is registered in
Hydra's ConfigStore, those of commands as ``train_schema``, those of groups under ``schema/``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from conf.early_exit_schema import EXIT_BASELINES as EXIT_BASELINES
from conf.early_exit_schema import EXIT_SCENARIOS as EXIT_SCENARIOS
from conf.early_exit_schema import EarlyExitConfig as EarlyExitConfig
from conf.early_exit_schema import exit_scenario as exit_scenario
from conf.env_schema import BASELINES as BASELINES
from conf.env_schema import SCENARIOS as SCENARIOS
from conf.env_schema import TOKEN_BASELINES as TOKEN_BASELINES
from conf.env_schema import TOKEN_PRESET as TOKEN_PRESET
from conf.env_schema import TOKEN_SCENARIOS as TOKEN_SCENARIOS
from conf.env_schema import DistPrivacyConfig as DistPrivacyConfig
from conf.env_schema import EnvConfig as EnvConfig
from conf.env_schema import TokenBucketConfig as TokenBucketConfig
from conf.env_schema import is_token_scenario as is_token_scenario
from conf.env_schema import unknown_scenario as unknown_scenario
from conf.fields import key, rule
from conf.names import ALL_BASELINES as ALL_BASELINES
from conf.names import FORMATS as FORMATS
from conf.names import MOST_SEED as MOST_SEED
from conf.names import check_baselines as check_baselines
from conf.names import check_folder_name as check_folder_name
from conf.play_schema import EvaluateConfig as EvaluateConfig
from conf.play_schema import RolloutConfig as RolloutConfig
from conf.play_schema import check_keys as check_keys


@dataclass
class AgentConfig:
    """What every agent has."""

    name: str = key(MISSING, "name of the agent, part of the name of the run folder")
    algorithm: str = key(MISSING, "how it learns")

    def check(self) -> None:
        """Raise ValueError for a name that cannot be part of a folder's name."""
        if "/" in self.name:
            raise ValueError(f"agent.name is {self.name}, expected a name without /")


@dataclass
class DqnConfig(AgentConfig):
    """Deep Q-learning (Mnih et al. 2015), masked, double, with multi-step returns."""

    name: str = key("dqn", "name of the agent, part of the name of the run folder")
    algorithm: str = key("dqn", "how it learns", choices=("dqn",))
    policy: str = key(
        "device",
        "one network shared by all devices (any number of them), a flat MLP, one that values token levels, or one that prices "
        "what is left of budget and acceptance",
        choices=("device", "mlp", "token", "exit"),
    )
    hidden: int = key(32, "width of the hidden layers", unit="units", least=1)
    layers: int = key(2, "number of hidden layers", least=1)
    learning_rate: float = key(2e-3, "step size of Adam at the start", above=0)
    learning_rate_final: float = key(1e-4, "step size at the end", above=0)
    learning_rate_fall: str = key(
        "straight",
        "how it gets there: on a straight line, or by the same factor a step",
        choices=("straight", "geometric"),
    )
    buffer_size: int = key(100_000, "capacity of the replay buffer", unit="transitions", least=1)
    batch_size: int = key(128, "transitions of one update", unit="transitions", least=1)
    gamma: float = key(1.0, "discount a step; 1: the return is minus the latency", least=0, most=1)
    n_steps: int = key(20, "steps of reward before the target network's estimate", unit="steps", least=1)
    cut_at_exploration: bool = key(True, "multi-step returns end before an exploratory action")
    double_q: bool = key(True, "Double DQN (van Hasselt et al. 2016): the online network picks the target's action")
    target_update_interval: int = key(
        500, "steps between updates of the target network", unit="environment steps", least=1
    )
    tau: float = key(1.0, "share of the online network in an update of the target; 1: a copy", above=0, most=1)
    train_freq: int = key(1, "steps of all environments between rounds of updates", unit="vector steps", least=1)
    gradient_steps: int = key(2, "updates in a round", unit="updates", least=1)
    learning_starts: int = key(2_000, "steps before the first update", unit="environment steps", least=0)
    exploration_initial: float = key(1.0, "probability of a random action at the start", least=0, most=1)
    exploration_final: float = key(0.2, "probability of a random action in the end", least=0, most=1)
    exploration_fraction: float = key(0.5, "share of training in which it falls on a straight line", least=0, most=1)
    exploration_spread: bool = key(
        True, "environments explore by different shares of that probability, a quarter of them not at all"
    )
    max_grad_norm: float = key(10.0, "gradients are scaled down to this norm", above=0)
    masked: bool = key(True, "invalid actions are left out of acting, exploring and the target's maximum")
    replay: str = key(
        "recorded",
        "what is learned from: recorded decisions, or every decision that a recorded frame or window allows (token bucket, "
        "early exit)",
        choices=("recorded", "counterfactual"),
    )
    group: int = key(
        8,
        "token levels that each recorded frame, or states and actions that each window is asked about in a batch; "
        "counterfactual replay",
        least=2,
    )
    centred: bool = key(False, "counterfactual replay: values and targets less their mean over a group")

    def check(self) -> None:
        """Raise ValueError for settings of the two kinds of replay that do not fit together."""
        super().check()
        if self.replay == "recorded":
            if self.centred:
                raise ValueError("agent.centred is true and agent.replay is recorded, expected counterfactual")
            return
        if self.n_steps != 1:
            raise ValueError(f"agent.n_steps is {self.n_steps} and agent.replay is counterfactual, expected 1")
        if self.batch_size % self.group:
            raise ValueError(
                f"agent.batch_size is {self.batch_size}, expected a multiple of agent.group, which is {self.group}"
            )


@dataclass
class TrainConfig:
    """Train an agent, evaluate it next to the baselines, and leave a run folder.

    Examples:
        {command} env=distprivacy
        {command} env.scenario=lenet-20 seed=3 steps=100000
        {command} agent=dqn_paper env.scenario=lenet-10
        {command} env=token_bucket env.scenario=s3
        {command} env=early_exit env.scenario=bursts
        {command} experiment=quick format=json
        {command} --multirun seed=1,2,3
        {command} resume=runs/distprivacy-dqn-20250101-120000-s0
    """

    COMMAND: ClassVar[str] = "python -m agents.train"

    steps: int = key(
        1_300_000,
        "length of the training, over all environments together",
        unit="environment steps",
        least=1,
        may_change=True,
        section="Training",
    )
    num_envs: int = key(64, "environments stepped together", least=1)
    seed: int = key(0, "seed of networks, exploration and instances", least=0, most=MOST_SEED)
    device: str = key("auto", "where the networks run", choices=("auto", "cpu", "cuda"), may_change=True)
    threads: int = key(1, "threads of torch; more is seldom faster for networks this small", least=1, may_change=True)
    evaluate_every: int = key(
        50_000, "steps between evaluations; 0: none", unit="environment steps", least=0, section="Evaluation"
    )
    evaluate_instances: int = key(200, "held-out instances of such an evaluation", least=1)
    final_instances: int = key(1_000, "held-out instances of the evaluation after training", least=1)
    baselines: list[str] = field(
        default_factory=lambda: ["subset", "greedy", "per-layer", "random"],
        metadata=rule("policies to compare with after training", choices=ALL_BASELINES),
    )
    run_root: str = key("runs", "folder that the run folder is made in", path=True, section="Output")
    name: str | None = key(None, "name of the run folder; null: environment, agent, time, seed")
    resume: str | None = key(None, "run folder to go on with, from its last checkpoint", path=True)
    checkpoint_every: int = key(100_000, "steps between checkpoints; 0: none", unit="environment steps", least=0)
    tensorboard: bool = key(True, "write TensorBoard events", may_change=True)
    progress: bool = key(True, "show a progress bar", may_change=True)
    format: str = key("text", "tables, or one JSON object", choices=FORMATS, may_change=True)
    env: EnvConfig = field(default_factory=DistPrivacyConfig, metadata=rule("the environment"))
    agent: AgentConfig = field(default_factory=DqnConfig, metadata=rule("the agent"))

    def check(self) -> None:
        """Raise ValueError for a name that is no name of a folder."""
        check_folder_name(self.name)
        check_baselines(self.baselines, self.env)


@dataclass
class CheckConfig:
    """Replay a solution in the environment's physics: its latency, and every constraint that it violates.

    Violations are the result, not an error: the exit code is 0.

    Examples:
        {command} instance=instance.json solution=solution.json
        {command} instance=instance.json solution=solution.json format=json
    """

    COMMAND: ClassVar[str] = "python -m optimal.check"

    instance: str = key(MISSING, "instance file (.json)", path=True, section="Files")
    solution: str = key(MISSING, "solution file (.json)", path=True)
    format: str = key("text", "a table, or one JSON object", choices=FORMATS, section="Output")


def without_choices(schema: type) -> Any:
    """The structured config of ``schema`` whose environment and agent are still to be chosen by their config groups.

    Values of one environment's class would refuse to be merged with those of another.
    """
    config = OmegaConf.structured(schema)
    for name in ("env", "agent"):
        if name in config:
            config[name] = MISSING
    return config


ENVIRONMENTS: dict[str, type[EnvConfig]] = {
    "offramp/DistPrivacy-v0": DistPrivacyConfig,
    "offramp/TokenBucket-v0": TokenBucketConfig,
    "offramp/EarlyExit-v0": EarlyExitConfig,
}
"""Gymnasium id -> config class."""
AGENTS: dict[str, type[AgentConfig]] = {"dqn": DqnConfig}
"""Algorithm -> config class."""

_store = ConfigStore.instance()
for _name, _schema in (
    ("train", TrainConfig),
    ("evaluate", EvaluateConfig),
    ("rollout", RolloutConfig),
    ("check", CheckConfig),
):
    _store.store(name=f"{_name}_schema", node=without_choices(_schema), provider="offramp")
_store.store(group="schema/env", name="distprivacy", node=DistPrivacyConfig, provider="offramp")
_store.store(group="schema/env", name="token_bucket", node=TokenBucketConfig, provider="offramp")
_store.store(group="schema/env", name="early_exit", node=EarlyExitConfig, provider="offramp")
_store.store(group="schema/agent", name="dqn", node=DqnConfig, provider="offramp")
