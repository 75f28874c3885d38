"""Keys of the commands around standard sets (``agents.benchmark``, ``optimal.build_sets``), as in ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from conf.fields import key, rule, shown
from conf.schema import (
    ALL_BASELINES,
    BASELINES,
    FORMATS,
    MOST_SEED,
    SCENARIOS,
    DistPrivacyConfig,
    EarlyExitConfig,
    TokenBucketConfig,
    TrainConfig,
    without_choices,
)

STANDARD_SETS = (
    "lenet-random-0.8",
    "lenet-random-0.6",
    "lenet-random-0.4",
    "lenet-20-0.6",
    "lenet-10-0.8",
    "lenet-10-0.6",
    "lenet-random-0.6-validation",
)
"""Names that optimal.standard_sets knows; repeated because that module compiles kernels on import."""

OF_PLACEMENTS = ("set", "samples", "local_search", "solve", "time_limit")
"""Keys of a benchmark that are about segment allocation alone."""


@dataclass
class BuildSetsConfig:
    """Solve the standard sets again: instances by their recipes, each with objective, bound and placement.

    Every solved instance is kept at once, so that the same command goes on after an interrupt.

    Examples:
        {command} sets=lenet-10-0.6 out=sets
    """

    COMMAND: ClassVar[str] = "python -m optimal.build_sets"

    sets: list[str] = field(
        default_factory=lambda: list(STANDARD_SETS), metadata=rule("sets to solve", choices=STANDARD_SETS)
    )
    time_limit: float | None = key(600.0, "limit for one instance; null: none", unit="seconds", above=0)
    out: str = key("optimal/sets", "folder of the files, finished and half done", path=True, section="Output")
    format: str = key("text", "one line a set, or one JSON object", choices=FORMATS)


@dataclass
class BenchmarkConfig(TrainConfig):
    """Play many policies on the same instances: runs, policies trained now on several seeds, baselines, the optimum.

    Every policy gets mean, interquartile mean, 95 % intervals over seeds and instances, and worst case of latency and
    optimality gap. Leaves a folder with benchmark.json, instances.csv, plots and report.html.

    Examples:
        {command} env=distprivacy
        {command} runs=[runs/A,runs/B] samples=64 local_search=true
        {command} train_seeds=[0,1,2] steps=1_300_000
        {command} set=lenet-20-0.6 runs=runs/A
        {command} env=token_bucket env.scenario=s3
        {command} env=early_exit runs=[runs/A,runs/B] env.budgets=[0.04,0.08,0.15,0.25]
    """

    COMMAND: ClassVar[str] = "python -m agents.benchmark"

    runs: list[str] = field(
        default_factory=list,
        metadata=rule(
            "run folders; those that differ in nothing but the seed are one policy", path=True, section="Policies"
        ),
    )
    train_seeds: list[int] | None = field(
        default=None,
        metadata=rule(
            "seeds of runs that are trained now, by the keys of training; null: 0, 1, 2 without runs, none with runs",
            least=0,
            most=MOST_SEED,
        ),
    )
    optimum: bool = key(
        True,
        "the optimum as a policy of its own: proven placements, where every instance has one; of a token bucket, what knows "
        "all frames to come; of early exit, the knapsack that knows all windows",
    )
    samples: int = key(1, "learned policies also with the best of so many sampled placements; 1: without", least=1)
    local_search: bool = key(False, "learned policies also with local search")
    set: str | None = key(
        None, "standard set; null: held-out instances of env", choices=STANDARD_SETS, section="Instances"
    )
    solve: bool = key(False, "solve instances that no standard set holds")
    time_limit: float | None = key(60.0, "limit for solving one of them; null: none", unit="seconds", above=0)
    seed: int = key(0, "seed of sampled placements, the random baseline and the bootstrap", least=0, most=MOST_SEED)
    final_instances: int = key(200, "held-out instances of env", least=1)
    baselines: list[str] = field(
        default_factory=lambda: list(BASELINES), metadata=rule("policies that need no training", choices=ALL_BASELINES)
    )

    def check(self) -> None:
        """Raise ValueError where nothing is to be played, or a key would be ignored."""
        super().check()
        if self.resume is not None:
            raise ValueError(
                f"resume is {self.resume}, which agents.train takes, expected null (runs=... plays its result)"
            )
        if not (self.runs or self.seeds or self.baselines):
            raise ValueError("runs, train_seeds and baselines are all empty, expected at least one of them")
        for name in ("runs", "train_seeds", "baselines"):
            values = getattr(self, name) or []
            if len({*values}) < len(values):
                raise ValueError(f"{name} is {shown(values)}, expected no entry twice")
        if not (self.runs or self.seeds) and (self.samples > 1 or self.local_search):
            raise ValueError("samples and local_search are about learned policies, expected runs or train_seeds")
        if isinstance(self.env, TokenBucketConfig | EarlyExitConfig):
            for name in OF_PLACEMENTS:
                value, usual = getattr(self, name), getattr(BenchmarkConfig, name)
                if value != usual:
                    raise ValueError(
                        f"{name} is {shown(value)}, but {self.env.id} has no use for it, expected {shown(usual)}"
                    )

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs that are trained now."""
        if self.train_seeds is None:
            return [] if self.runs else [0, 1, 2]
        return self.train_seeds


MEASURES = ("latency", "data", "served", "gap")
"""What a figure can show of a policy."""
OF_RECIPES = ("steps", "num_envs", "evaluate_every", "evaluate_instances", "checkpoint_every")
"""Keys of training that recipes bring, hence are not those of the figure."""
OF_CELLS = ("scenario", "ssim", "privacy_scope", "colluders", "requests", "absent")
"""Keys of env that say what is played, whatever was trained."""


@dataclass
class FigureConfig(BenchmarkConfig):
    """Repeat a comparison in the form of a published figure: policies on several scenarios, privacy levels or fleets.

    Trains its policies, plays them, and leaves a folder with figure.svg, cells.csv, figure.json and report.html. The recipes
    are the files fig_*.yaml of the group experiment. runs=[...] plays these runs instead of training: in each cell those that
    were trained on its scenario and privacy level, and all of them where there is none.

    Examples:
        {command} experiment=fig_17
        {command} experiment=fig_09 'overrides=["steps=1000"]'
        {command} experiment=fig_13_14 runs=[runs/LENET,runs/CIFAR,runs/VGG,runs/MIXED]
        {command} experiment=traffic_front steps=300_000
    """

    COMMAND: ClassVar[str] = "python -m agents.figure"

    train_seeds: list[int] | None = field(
        default=None,
        metadata=rule(
            "seeds of the runs that are trained; null: 0 without runs, none with runs", least=0, most=MOST_SEED
        ),
    )
    scenarios: list[str] = field(
        default_factory=list, metadata=rule("one panel each; none: that of env", choices=SCENARIOS, section="Figure")
    )
    ssims: list[float] = field(
        default_factory=list, metadata=rule("privacy levels, along a panel; none: that of env", least=-1, most=1)
    )
    fleets: list[str] = field(
        default_factory=list,
        metadata=rule("fleets, along a panel: texts such as nexus=20 rpi3=50; none: that of the scenario"),
    )
    recipes: list[str] = field(
        default_factory=list,
        metadata=rule(
            "a recipe of agents.train (experiment=...) for each of scenarios, trained at each privacy level; none: one policy, "
            "trained on env"
        ),
    )
    overrides: list[str] = field(
        default_factory=list,
        metadata=rule("overrides of recipes, texts such as steps=1000, as agents.train takes them"),
    )
    traffic_prices: list[float] = field(
        default_factory=list,
        metadata=rule("train one policy for each env.traffic_price, and show latency against shared data", least=0),
    )
    leave_after: list[int] = field(
        default_factory=list,
        metadata=rule("train one policy for each, devices leave after so many steps; show its latencies", least=1),
    )
    leaving: int = key(10, "devices that leave then", unit="devices", least=1)
    measures: list[str] = field(
        default_factory=lambda: ["latency", "data"], metadata=rule("one row of panels each", choices=MEASURES)
    )
    title: str | None = key(None, "heading of picture and report; null: the name of the folder")
    claim: str = key("nothing was published on it", "what the paper reports; goes into the caption")

    def check(self) -> None:
        """Raise ValueError where two kinds of figure are asked for at once, or nothing is to be drawn."""
        super().check()
        if not isinstance(self.env, DistPrivacyConfig):
            raise ValueError(
                f"env is of {self.env.id}, but figures are of segment allocation, expected env=distprivacy"
            )
        kinds = ("traffic_prices", "leave_after", "ssims", "fleets")
        given = [name for name in kinds if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given, expected only one of {', '.join(kinds)}")
        if not given and not self.scenarios:
            raise ValueError(f"scenarios, {', '.join(kinds)} are all empty, expected one of them (experiment=fig_17)")
        if given and given[0] in ("traffic_prices", "leave_after"):
            if self.scenarios or self.runs:
                raise ValueError(f"{given[0]} trains on env alone, expected scenarios=[] and runs=[]")
        self._check_recipes(given)
        if self.set is not None:
            raise ValueError(f"set is {self.set}, but a figure draws its instances by scenario, expected null")

    def _check_recipes(self, given: list[str]) -> None:
        """Raise ValueError where recipes do not fit to the scenarios, or a key of training would be ignored."""
        if not self.recipes:
            if self.overrides:
                raise ValueError(f"overrides is {shown(self.overrides)}, but there are no recipes, expected []")
            return
        if len(self.recipes) != len(self.scenarios):
            raise ValueError(
                f"recipes is {shown(self.recipes)}, expected one for each of scenarios {shown(self.scenarios)}"
            )
        usual = FigureConfig()
        pairs = [(name, getattr(self, name), getattr(usual, name)) for name in OF_RECIPES]
        own = {name: value for name, value in vars(self.env).items() if name not in OF_CELLS}
        pairs += [(f"env.{name}", value, getattr(usual.env, name)) for name, value in own.items()]
        pairs += [(f"agent.{name}", value, getattr(usual.agent, name)) for name, value in vars(self.agent).items()]
        for name, value, default in pairs:
            if value != default:
                raise ValueError(f"{name} is {shown(value)}, but recipes bring their own, expected it in overrides")

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs that are trained now."""
        if self.train_seeds is None:
            return [] if self.runs else [0]
        return self.train_seeds


_store = ConfigStore.instance()
_store.store(name="build_sets_schema", node=BuildSetsConfig, provider="offramp")
_store.store(name="benchmark_schema", node=without_choices(BenchmarkConfig), provider="offramp")
_store.store(name="figure_schema", node=without_choices(FigureConfig), provider="offramp")
