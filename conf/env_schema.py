"""Names and keys of the environments as typed dataclasses; see ``conf.schema``, which brings them all together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from omegaconf import MISSING

from conf.fields import key, rule

SCENARIOS = ("lenet-10", "lenet-random", "lenet-20", "lenet-70", "cifar-70", "vgg-70", "mixed-70")
"""Names that envs.distprivacy.scenarios knows; repeated here because that module compiles kernels on import."""
BASELINES = ("random", "greedy", "packing", "subset", "foresight", "lookahead", "local-search", "per-layer")
"""Names that agents.baselines knows; repeated for the same reason."""
TOKEN_SCENARIOS = ("iid", "s1", "s1-slow", "s2", "s3", "bernoulli", "bursts")
"""Names that envs.token_bucket.presets knows as scenarios; repeated for the same reason."""
TOKEN_PRESET = "fig6-rate0.05-depth10"
"""One of the presets of envs.token_bucket.presets, as an example."""
TOKEN_BASELINES = (
    "belief", "regime-mdp", "iid-mdp", "published-mdp", "fixed", "greedy", "random", "never", "clairvoyant",
)  # fmt: skip
"""Names that agents.token_bucket.baselines knows; repeated for the same reason."""


def is_token_scenario(name: str | None) -> bool:
    """Whether ``name`` is a scenario or a preset of token-bucket offloading."""
    if name is None or name in SCENARIOS or name in TOKEN_SCENARIOS:
        return name in TOKEN_SCENARIOS
    # here, as above: other names alone are worth the time
    from envs.token_bucket.presets import PRESETS

    return name in PRESETS


def unknown_scenario(path: str, name: str, known: tuple[str, ...] = TOKEN_SCENARIOS, last: str = "null") -> str:
    """The sentence on an unknown name at key ``path``: what is ``known``, presets with names like it, and ``last``."""
    from envs.token_bucket.presets import such_as

    return f"{path} is {name}, expected one of {', '.join(known)}, {such_as(name)}, or {last}"


@dataclass
class EnvConfig:
    """What every environment has."""

    id: str = key(MISSING, "Gymnasium id of the environment")

    def settled(self) -> EnvConfig:
        """The same with numbers in place of null where a name stands for them."""
        return self


@dataclass
class DistPrivacyConfig(EnvConfig):
    """Segment allocation with privacy limits; the arguments of ``DistPrivacyEnv``."""

    id: str = key("offramp/DistPrivacy-v0", "Gymnasium id of the environment")
    scenario: str = key(
        "lenet-random",
        f"fleet and requests: {', '.join(SCENARIOS)}, or an instance file (.json, .jsonl)",
        path=True,
        kind="a name or a path",
    )
    ssim: float = key(0.6, "privacy target: SSIM of an inverted picture that no device may exceed", least=-1, most=1)
    privacy_scope: str = key("group", "which layers' maps are counted together", choices=("layer", "group"))
    colluders: int = key(1, "devices that may pool their maps", unit="devices", least=1)
    churn: float = key(0.0, "probability that a device is absent in a period", least=0, below=1)
    requests: int | None = key(None, "requests a period (lenet-10, cifar-70); null: the scenario's", least=1)
    absent: int = key(0, "devices that have left for good: the last of every fleet", unit="devices", least=0)
    max_devices: int | None = key(None, "device slots of the spaces; null: what the scenario needs", least=1)
    episode: str = key("request", "what one episode decides", choices=("request", "period", "layer"))
    reward: str = key("latency", "increase of latency, or Eq 11 of the paper", choices=("latency", "paper"))
    observation: str = key("full", "published layout, or the paper's binary state", choices=("full", "paper"))
    granularity: int = key(1, "most maps that one step places", unit="maps", least=1)
    inherit: bool = key(False, "act and pool maps stay with the holder of the map before, without a decision")
    sigma: float = key(1.0, "paper reward: bonus for each segment that the device already holds", least=0)
    beta: float = key(0.5, "paper reward: penalty for a device slower than the mean", least=0)
    traffic_price: float = key(
        0.0,
        "latency reward: seconds charged for each second that the whole fleet would need to send the shared data",
        least=0,
    )

    def check(self) -> None:
        """Raise ValueError for a scenario that is neither a name nor a file name."""
        if self.scenario not in SCENARIOS and not self.scenario.endswith((".json", ".jsonl")):
            expected = f"one of {', '.join(SCENARIOS)}, or the path of a .json or .jsonl file"
            raise ValueError(f"env.scenario is {self.scenario}, expected {expected}")


@dataclass
class TokenBucketConfig(EnvConfig):
    """Token-bucket offloading; the arguments of ``TokenBucketEnv``."""

    id: str = key("offramp/TokenBucket-v0", "Gymnasium id of the environment")
    scenario: str = key(
        "s1",
        f"metrics and arrivals: {', '.join(TOKEN_SCENARIOS)}, a preset with its bucket (a point of the published sweeps, such "
        f"as {TOKEN_PRESET}: docs/token_bucket.md), or a trace file (.csv)",
        path=True,
        kind="a name or a path",
    )
    rate: float | None = key(
        None, "what the bucket gains; null: the preset's, else 0.1", unit="tokens a time unit", above=0, most=1
    )
    depth: float | None = key(None, "what the bucket holds; null: the preset's, else 4", unit="tokens", least=1)
    rates: list[float] = field(
        default_factory=list,
        metadata=rule("rates of which every training episode draws one; none: rate", above=0, most=1),
    )
    depths: list[float] = field(
        default_factory=list,
        metadata=rule("depths of which every training episode draws one; none: depth", least=1),
    )
    length: int = key(1_000, "decisions of a training episode", least=1)
    evaluation_length: int = key(10_000, "decisions of a held-out stream", least=1)
    start: str = key("full", "tokens at the start of a training episode", choices=("full", "random"))
    reward: str = key("expected", "what a send earns in training", choices=("expected", "realised"))
    latency_price: float = key(0.0, "loss that a second until the answer counts as, in training", least=0)
    history: int = key(8, "observed metrics, the current one among them", least=1)
    gap_history: int = key(4, "observed gaps between frames", least=0)
    metric_scale: float = key(1.0, "metric that the observation shows as 1", above=0)
    gap_scale: float = key(8.0, "gap that the observation shows as 1, longer ones too", unit="time units", above=0)
    include_latent: bool = key(False, "the observation shows the hidden location and regime, for studies")
    distribution: str = key("standard", "distribution of the metric", choices=("standard", "strong-pair", "beta"))
    spread: float | None = key(None, "width of the band of correlated metrics; null: the scenario's", least=0, most=1)
    reset: float | None = key(
        None, "probability, each frame, that the band is drawn anew; null: the scenario's", least=0, most=1
    )
    arrivals: str | None = key(
        None,
        "kind of arrivals in place of the scenario's",
        choices=("periodic", "bernoulli", "geometric", "markov"),
    )
    gaps: list[int] = field(
        default_factory=list,
        metadata=rule("gap of periodic arrivals, or those of the regimes; none: the scenario's", least=1),
    )
    leave: list[float] = field(
        default_factory=list,
        metadata=rule("probabilities, each time unit, that the regimes end; none: the scenario's", above=0, most=1),
    )
    mean_gap: float | None = key(
        None, "mean gap of Bernoulli and geometric arrivals; null: 2", unit="time units", least=1
    )
    weak_loss: float | None = key(None, "mean loss without a send, for a trace file; null: 0")

    def check(self) -> None:
        """Raise ValueError for a scenario that is neither a name nor a file name."""
        if not self.scenario.endswith(".csv") and not is_token_scenario(self.scenario):
            raise ValueError(unknown_scenario("env.scenario", self.scenario, last="the path of a .csv file"))

    def settled(self) -> TokenBucketConfig:
        """The same with the scenario's rate and depth where they are null."""
        if self.rate is not None and self.depth is not None:
            return self
        from envs.token_bucket.scenarios import rates_and_depths

        (rate,), (depth,) = rates_and_depths(self.scenario, rate=self.rate, depth=self.depth)
        return replace(self, rate=float(rate), depth=float(depth))
