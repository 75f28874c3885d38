"""Keys of the commands that play runs and baselines (``agents.evaluate``, ``agents.rollout``), as in ``conf.schema``.

Both commands are for all environments. Which one is played, the run says, or else the scenario or the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from conf.early_exit_schema import EXIT_PREFIX, EXIT_SCENARIOS, EarlyExitConfig, exit_scenario
from conf.env_schema import (
    SCENARIOS,
    TOKEN_PRESET,
    TOKEN_SCENARIOS,
    DistPrivacyConfig,
    EnvConfig,
    TokenBucketConfig,
    is_token_scenario,
    unknown_scenario,
)
from conf.fields import key, rule, shown
from conf.names import ALL_BASELINES, FORMATS, MOST_SEED

APART: dict[type[EnvConfig], tuple[str, tuple[str, ...]]] = {
    DistPrivacyConfig: (
        "segment allocation",
        ("ssim", "privacy_scope", "churn", "absent", "samples", "local_search", "solution"),
    ),
    TokenBucketConfig: ("token-bucket offloading", ("rate", "depth", "length")),
    EarlyExitConfig: ("early exit", ("budget", "budgets")),
}
"""Environment -> what it is called, and the keys that are about it alone."""
_SCENARIO: dict[str, Any] = {
    "kind": f"one of {', '.join(SCENARIOS + TOKEN_SCENARIOS)}, a preset such as {TOKEN_PRESET}, or "
    f"{EXIT_PREFIX} and one of {', '.join(EXIT_SCENARIOS)}",
    "section": "On what",
}
_MEANING = (
    "another scenario than the run's, of the same environment; without a run lenet-random; those of early exit begin with "
    f"{EXIT_PREFIX}, which may be left out with a run of it"
)
_RATE: dict[str, Any] = {"unit": "tokens a time unit", "above": 0, "most": 1}


@dataclass
class EvaluateConfig:
    """Score runs and baselines on the same held-out instances.

    Examples:
        {command} run=runs/distprivacy-dqn-20250101-120000-s0
        {command} run=runs/NAME scenario=lenet-70 instances=200
        {command} run=runs/NAME instance=fleet.json baselines=[greedy] solution=solution.json
        {command} baselines=random,greedy scenario=lenet-20 out=baselines.json
        {command} baselines=[belief,iid-mdp,fixed] scenario=s3 rate=0.25 depth=10
        {command} baselines=[belief,iid-mdp,fixed] scenario=fig8-gap6-leave-1.5
        {command} baselines=[static,adaptive-price] scenario=early_exit/bursts budgets=[0.08,0.15]
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
    scenario: str | None = key(None, _MEANING, **_SCENARIO)
    instance: str | None = key(
        None, "instance file (.json, .jsonl) or trace file (.csv) instead of a scenario", path=True
    )
    ssim: float | None = key(None, "privacy target of the scenario; null: the run's, or 0.6", least=-1, most=1)
    privacy_scope: str | None = key(None, "group or layer; null: the run's, or group", choices=("layer", "group"))
    churn: float | None = key(None, "probability that a device is absent; null: the run's, or 0", least=0, below=1)
    absent: int = key(0, "devices that have left: the last of every fleet", unit="devices", least=0)
    rate: float | None = key(None, "token bucket: what it gains; null: the preset's, else the run's, or 0.1", **_RATE)
    depth: float | None = key(
        None, "token bucket: what it holds; null: the preset's, else the run's, or 4", unit="tokens", least=1
    )
    length: int | None = key(None, "token bucket: decisions of a stream; null: the run's, or 10,000", least=1)
    budgets: list[float] = field(
        default_factory=list,
        metadata=rule("early exit: shares of the rows that may be sent; none: the run's, or the scenario's", least=0),
    )
    instances: int | None = key(
        None, "number of held-out instances of the scenario, of streams or of episodes; null: 1,000, 64 or 64", least=1
    )
    seed: int = key(0, "seed of these instances", least=0, most=MOST_SEED)
    out: str | None = key(None, "JSON file for the result of every instance", path=True, section="Output")
    solution: str | None = key(
        None,
        "solution file (.json) of the first policy's placement (runs go before baselines), where instance holds just one",
        path=True,
    )
    format: str = key("text", "tables, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError where nothing is to be scored, or on two things at once, or for an unknown scenario."""
        if not self.run and not self.baselines:
            raise ValueError("run and baselines are both empty, expected at least one of them")
        if not self.run and (self.samples > 1 or self.local_search):
            raise ValueError(
                "samples and local_search are about runs, and run is empty, expected samples=1 and local_search=false"
            )
        _check_source(self, bool(self.run))
        for name in ("ssim", "privacy_scope", "churn"):
            if self.instance is not None and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, but instance {self.instance} brings its own, expected null"
                )
        if self.instance is not None and self.absent:
            raise ValueError(f"absent is {self.absent}, but instance {self.instance} is played as it is, expected 0")
        if self.solution is not None and (self.instance is None or not self.solution.lower().endswith(".json")):
            wanted = "a path that ends in .json" if self.instance is not None else "null without an instance file"
            raise ValueError(f"solution is {self.solution}, expected {wanted}")
        if self.environment is not None:
            check_keys(self, self.environment)

    @property
    def environment(self) -> type[EnvConfig] | None:
        """The environment of scenario or file; None where the run says it."""
        return _environment(self.scenario, self.instance, bool(self.run))


@dataclass
class RolloutConfig:
    """Play one episode and write it as a GIF or as frames.

    Examples:
        {command} run=runs/distprivacy-dqn-20250101-120000-s0 out=episode.gif
        {command} baseline=greedy scenario=lenet-20 seed=3 frames=pictures
        {command} baseline=belief scenario=s3 out=s3.gif
        {command} baseline=adaptive-price scenario=early_exit/mixed out=mixed.gif
    """

    COMMAND: ClassVar[str] = "python -m agents.rollout"

    run: str | None = key(None, "run folder whose best model plays", path=True, section="Who plays")
    baseline: str | None = key(None, "policy that needs no training, instead of a run", choices=ALL_BASELINES)
    scenario: str | None = key(None, _MEANING, **_SCENARIO)
    instance: str | None = key(None, "instance file (.json) or trace file (.csv) instead of a scenario", path=True)
    rate: float | None = key(None, "token bucket: what it gains; null: the preset's, else the run's, or 0.1", **_RATE)
    depth: float | None = key(
        None, "token bucket: what it holds; null: the preset's, else the run's, or 4", unit="tokens", least=1
    )
    length: int | None = key(None, "token bucket: decisions that are played; null: 120", least=1)
    budget: float | None = key(
        None, "early exit: share of the rows that may be sent; null: the run's first, or the scenario's", least=0
    )
    seed: int = key(0, "seed of the instance", least=0, most=MOST_SEED)
    out: str | None = key("episode.gif", "GIF file; null: none", path=True, section="Output")
    frames: str | None = key(None, "folder for one PNG file a step; null: none", path=True)
    fps: int = key(8, "speed of the GIF", unit="frames per second", least=1, most=50)
    format: str = key("text", "a few lines, or one JSON object", choices=FORMATS)

    def check(self) -> None:
        """Raise ValueError where not exactly one plays, nothing is written, two things are played, or unknown ones."""
        if (self.run is None) == (self.baseline is None):
            given = "neither is given" if self.run is None else f"got {self.run} and {self.baseline}"
            raise ValueError(f"expected exactly one of run and baseline, {given}")
        _check_source(self, self.run is not None)
        if self.out is None and self.frames is None:
            raise ValueError("out and frames are both null, expected at least one of them")
        if self.out is not None and not self.out.lower().endswith(".gif"):
            raise ValueError(f"out is {self.out}, expected a path that ends in .gif")
        if self.environment is not None:
            check_keys(self, self.environment)

    @property
    def environment(self) -> type[EnvConfig] | None:
        """The environment of scenario or file; None where the run says it."""
        return _environment(self.scenario, self.instance, self.run is not None)


def check_keys(config: EvaluateConfig | RolloutConfig, env: type[EnvConfig]) -> None:
    """Raise ValueError for a key that is about another environment than the one that is played."""
    usual = type(config)()
    for owner, (what, names) in APART.items():
        for name in names:
            value, default = getattr(config, name, None), getattr(usual, name, None)
            if owner is not env and value != default:
                raise ValueError(f"{name} is {shown(value)}, which is for {what}, expected {shown(default)}")
    if env is EarlyExitConfig and config.instance is not None:
        raise ValueError(f"instance is {config.instance}, but early exit has no such files, expected null")


def _environment(scenario: str | None, instance: str | None, has_run: bool) -> type[EnvConfig] | None:
    if instance is not None:
        return TokenBucketConfig if instance.endswith(".csv") else DistPrivacyConfig
    if scenario is None or (has_run and scenario in EXIT_SCENARIOS):  # some names are those of two environments
        return None
    if exit_scenario(scenario) is not None:
        return EarlyExitConfig
    return TokenBucketConfig if is_token_scenario(scenario) else DistPrivacyConfig


def _check_source(config: EvaluateConfig | RolloutConfig, has_run: bool) -> None:
    """Raise ValueError for two things to be played at once, or a name that no environment knows."""
    name = config.scenario
    if name is None:
        return
    if config.instance is not None:
        raise ValueError(f"scenario is {name} and instance is {config.instance}, expected only one of them")
    if name in SCENARIOS or exit_scenario(name) is not None or is_token_scenario(name):
        return
    if name not in EXIT_SCENARIOS:
        known = SCENARIOS + TOKEN_SCENARIOS + tuple(EXIT_PREFIX + one for one in EXIT_SCENARIOS)
        raise ValueError(unknown_scenario("scenario", name, known))
    if not has_run:
        raise ValueError(f"scenario is {name}, which is of early exit, expected {EXIT_PREFIX}{name} without a run")
