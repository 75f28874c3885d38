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

FORMATS = ("text", "json")
ALL_BASELINES = tuple(dict.fromkeys(BASELINES + TOKEN_BASELINES + EXIT_BASELINES))
"""Names of any environment; which of them fit is checked together with the environment."""
MOST_SEED = 2**31 - 1
"""Largest seed: numpy, torch and Gymnasium all take it, and so do the seeds counted up from it by SB3."""


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
    learning_rate_final: float = key(1e-4, "step size at the end, reached on a straight line", above=0)
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
        "what is learned from: recorded decisions, or every decision that a recorded frame allows (token bucket)",
        choices=("recorded", "counterfactual"),
    )
    group: int = key(
        8, "token levels that each recorded frame is asked about in a batch; counterfactual replay", least=2
    )
    centred: bool = key(False, "counterfactual replay: values and targets less their mean over the levels of a frame")

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
        if self.name is not None and ("/" in self.name or self.name.startswith(".")):
            raise ValueError(f"name is {self.name}, expected a name without / that does not begin with a point")
        check_baselines(self.baselines, self.env)


def check_baselines(names: list[str], env: EnvConfig) -> None:
    """Raise ValueError for a policy that does not know the environment."""
    known: tuple[str, ...] = BASELINES
    if isinstance(env, TokenBucketConfig | EarlyExitConfig):
        known = TOKEN_BASELINES if isinstance(env, TokenBucketConfig) else EXIT_BASELINES
    for name in names:
        if name not in known:
            raise ValueError(f"baselines has the entry {name}, expected out of {', '.join(known)} for {env.id}")


def _check_scenario(name: str | None) -> None:
    """Raise ValueError for a name that neither environment knows."""
    if name is not None and name not in SCENARIOS and not is_token_scenario(name):
        raise ValueError(unknown_scenario("scenario", name, SCENARIOS + TOKEN_SCENARIOS))


@dataclass
class EvaluateConfig:
    """Score runs and baselines on the same held-out instances.

    Examples:
        {command} run=runs/distprivacy-dqn-20250101-120000-s0
        {command} run=runs/NAME scenario=lenet-70 instances=200
        {command} baselines=random,greedy scenario=lenet-20 out=baselines.json
        {command} baselines=[belief,iid-mdp,fixed] scenario=s3 rate=0.25 depth=10
        {command} baselines=[belief,iid-mdp,fixed] scenario=fig8-gap6-leave-1.5
    """

    COMMAND: ClassVar[str] = "python -m agents.evaluate"

    run: list[str] = field(
        default_factory=list,
        metadata=rule("run folders whose best model is scored", path=True, section="What is scored"),
    )
    baselines: list[str] = field(
        default_factory=list, metadata=rule("policies that need no training", choices=ALL_BASELINES)
    )
    samples: int = key(1, "placements drawn from each run's policy, of which the best counts; 1: greedy alone", least=1)
    local_search: bool = key(False, "improve each run's placements by moves of single maps")
    scenario: str | None = key(
        None,
        "another scenario than the run's, of the same environment; without a run lenet-random",
        kind=f"one of {', '.join(SCENARIOS + TOKEN_SCENARIOS)}, a preset such as {TOKEN_PRESET}",
        section="On what",
    )
    instance: str | None = key(
        None, "instance file (.json, .jsonl) or trace file (.csv) instead of a scenario", path=True
    )
    ssim: float | None = key(None, "privacy target of the scenario; null: the run's, or 0.6", least=-1, most=1)
    privacy_scope: str | None = key(None, "group or layer; null: the run's, or group", choices=("layer", "group"))
    churn: float | None = key(None, "probability that a device is absent; null: the run's, or 0", least=0, below=1)
    absent: int = key(0, "devices that have left: the last of every fleet", unit="devices", least=0)
    rate: float | None = key(
        None,
        "token bucket: what it gains; null: the preset's, else the run's, or 0.1",
        unit="tokens a time unit",
        above=0,
        most=1,
    )
    depth: float | None = key(
        None, "token bucket: what it holds; null: the preset's, else the run's, or 4", unit="tokens", least=1
    )
    length: int | None = key(None, "token bucket: decisions of a stream; null: the run's, or 10,000", least=1)
    instances: int | None = key(
        None, "number of held-out instances of the scenario, or of streams; null: 1,000, or 64", least=1
    )
    seed: int = key(0, "seed of these instances", least=0, most=MOST_SEED)
    out: str | None = key(None, "JSON file for the result of every instance", path=True, section="Output")
    format: str = key("text", "tables, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError where nothing is to be scored, or on two things at once, or for an unknown scenario."""
        _check_scenario(self.scenario)
        if not self.run and not self.baselines:
            raise ValueError("run and baselines are both empty, expected at least one of them")
        if not self.run and (self.samples > 1 or self.local_search):
            raise ValueError(
                "samples and local_search are about runs, and run is empty, expected samples=1 and local_search=false"
            )
        if self.scenario is not None and self.instance is not None:
            raise ValueError(f"scenario is {self.scenario} and instance is {self.instance}, expected only one of them")
        for name in ("ssim", "privacy_scope", "churn"):
            if self.instance is not None and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, but instance {self.instance} brings its own, expected null"
                )
        tokens = self.of_tokens
        if tokens is not None:
            apart = ("ssim", "privacy_scope", "churn") if tokens else ("rate", "depth", "length")
            other = "segment allocation" if tokens else "token-bucket offloading"
            for name in apart:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is {getattr(self, name)}, which is for {other}, expected null")
        if self.instance is not None and self.absent:
            raise ValueError(f"absent is {self.absent}, but instance {self.instance} is played as it is, expected 0")

    @property
    def of_tokens(self) -> bool | None:
        """Whether scenario or file are of token-bucket offloading; None where neither is given and the run says it."""
        if self.scenario is not None:
            return is_token_scenario(self.scenario)
        return None if self.instance is None else self.instance.endswith(".csv")


@dataclass
class RolloutConfig:
    """Play one episode and write it as a GIF or as frames.

    Examples:
        {command} run=runs/distprivacy-dqn-20250101-120000-s0 out=episode.gif
        {command} baseline=greedy scenario=lenet-20 seed=3 frames=pictures
        {command} baseline=belief scenario=s3 out=s3.gif
    """

    COMMAND: ClassVar[str] = "python -m agents.rollout"

    run: str | None = key(None, "run folder whose best model plays", path=True, section="Who plays")
    baseline: str | None = key(None, "policy that needs no training, instead of a run", choices=ALL_BASELINES)
    scenario: str | None = key(
        None,
        "another scenario than the run's, of the same environment; without a run lenet-random",
        kind=f"one of {', '.join(SCENARIOS + TOKEN_SCENARIOS)}, a preset such as {TOKEN_PRESET}",
        section="On what",
    )
    instance: str | None = key(None, "instance file (.json) or trace file (.csv) instead of a scenario", path=True)
    rate: float | None = key(
        None,
        "token bucket: what it gains; null: the preset's, else the run's, or 0.1",
        unit="tokens a time unit",
        above=0,
        most=1,
    )
    depth: float | None = key(
        None, "token bucket: what it holds; null: the preset's, else the run's, or 4", unit="tokens", least=1
    )
    length: int | None = key(None, "token bucket: decisions that are played; null: 120", least=1)
    seed: int = key(0, "seed of the instance", least=0, most=MOST_SEED)
    out: str | None = key("episode.gif", "GIF file; null: none", path=True, section="Output")
    frames: str | None = key(None, "folder for one PNG file a step; null: none", path=True)
    fps: int = key(8, "speed of the GIF", unit="frames per second", least=1, most=50)
    format: str = key("text", "a few lines, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError where not exactly one plays, nothing is written, two things are played, or unknown ones."""
        _check_scenario(self.scenario)
        if (self.run is None) == (self.baseline is None):
            given = "neither is given" if self.run is None else f"got {self.run} and {self.baseline}"
            raise ValueError(f"expected exactly one of run and baseline, {given}")
        if self.scenario is not None and self.instance is not None:
            raise ValueError(f"scenario is {self.scenario} and instance is {self.instance}, expected only one of them")
        if self.out is None and self.frames is None:
            raise ValueError("out and frames are both null, expected at least one of them")
        if self.out is not None and not self.out.lower().endswith(".gif"):
            raise ValueError(f"out is {self.out}, expected a path that ends in .gif")


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
