"""Keys of early exit: the arguments of ``EarlyExitEnv`` and which months are for what; see ``conf.schema``."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.env_schema import EnvConfig
from conf.fields import key, rule

EXIT_SCENARIOS = ("budget", "drift", "link", "bursts", "mixed")
"""Names that envs.early_exit.scenarios knows; repeated here because that package compiles kernels on import."""
EXIT_PREFIX = "early_exit/"
"""What their names begin with where all environments' are taken: ``bursts`` is one of token-bucket offloading too."""
EXIT_BASELINES = (
    "all-edge", "all-cloud", "static", "static-any", "mixture", "two-context", "adaptive-price", "belief-price", "lag-1",
    "ewma", "static-hindsight", "knapsack", "cache", "tree",
)  # fmt: skip
"""Names that optimal.early_exit.episode_gaps knows; repeated for the same reason."""


def exit_scenario(name: str) -> str | None:
    """The scenario that ``name`` says with its prefix; None for any other name."""
    bare = name.removeprefix(EXIT_PREFIX)
    return bare if bare != name and bare in EXIT_SCENARIOS else None


@dataclass
class EarlyExitConfig(EnvConfig):
    """Early exit; the arguments of ``EarlyExitEnv``."""

    id: str = key("offramp/EarlyExit-v0", "Gymnasium id of the environment")
    scenario: str = key("budget", "what makes the choice hard", choices=EXIT_SCENARIOS)
    tables: list[str] = field(
        default_factory=list,
        metadata=rule("evaluation tables (.csv, .csv.gz), a month each; none: the shipped synthetic ones", path=True),
    )
    actions: str | None = key(None, "file of thresholds (.csv); null: that of the shipped tables", path=True)
    work: str | None = key(None, "work of the network (.yaml); null: that of the shipped tables", path=True)
    months: list[int] = field(
        default_factory=lambda: [3, 4, 5], metadata=rule("tables that are trained on, from 1; none: all", least=1)
    )
    test_months: list[int] = field(
        default_factory=lambda: [6, 7, 8], metadata=rule("tables of the evaluation after training; none: all", least=1)
    )
    budget: float | None = key(
        None, "share of what sending every row would use; null: the scenario's, which may be none", least=0
    )
    budgets: list[float] = field(
        default_factory=list,
        metadata=rule("budgets of which every training episode draws one, all of them tested; none: budget", least=0),
    )
    budget_of: str = key("rows", "what a budget counts: rows that cross the link, or the edge's energy beyond exit 1",
                         choices=("rows", "joules"))  # fmt: skip
    least_acceptance: float = key(0.9, "share of the rows of an episode that must be accepted", least=0, most=1)
    margin: float = key(0.005, "what is aimed at beyond that, so that chance does not break it", least=0, most=1)
    constraint: str = key(
        "terminal", "when a lack of accepted rows is charged", choices=("terminal", "incremental", "none")
    )
    windows: int = key(100, "decisions of an episode", least=1)
    rows: int = key(500, "rows of a window", least=1)
    order: str | None = key(
        None, "how months follow one another; null: the scenario's", choices=("markov", "calendar", "shuffled")
    )
    change: float = key(0.03, "probability, each window, that the month changes (markov)", least=0, most=1)
    attack_shares: list[float] = field(
        default_factory=list,
        metadata=rule("shares of attacks that come and go, by resampling; none: the scenario's", least=0, most=1),
    )
    bandwidths: list[float] = field(
        default_factory=list,
        metadata=rule("speeds of the link that come and go, of its usual one; none: the scenario's", above=0, most=1),
    )
    loads: list[float] = field(
        default_factory=list,
        metadata=rule("loads of the cloud that come and go; none: the scenario's", least=0, below=1),
    )
    link_change: float = key(0.1, "probability, each window, that such a level changes", least=0, most=1)
    false_positive: float = key(1.0, "cost of a normal row that is answered attack", least=0)
    false_negative: float = key(1.0, "cost of an attack that is answered normal", least=0)
    rejection: float = key(0.3, "cost of a row without an answer", least=0)
    send: float | None = key(None, "cost of a row that crosses the link; null: the scenario's", least=0)
    joule: float = key(0.0, "cost of a joule of the edge", least=0)
    late: float | None = key(None, "cost of a row that is answered after the deadline; null: the scenario's", least=0)
    deadline_s: float = key(0.1, "deadline of an answer", unit="s", least=0)
    shortfall: float = key(1.5, "cost of a row that lacks to the acceptance aimed at", least=0)
    memory: float = key(0.1, "weight of the latest window in what is remembered of windows", above=0, most=1)
    label_delay: int | None = key(None, "windows until labels are known and errors observed; null: never", least=0)
    include_latent: bool = key(False, "the observation shows the hidden month and share of attacks, for studies")
    remote_from: int = key(2, "first exit that runs in the cloud; one more than there are: none", least=1)
    sends: str = key("input", "what crosses the link: the row, or the last features", choices=("input", "features"))
    edge_macs_per_s: float = key(1e9, "multiply-accumulates a second of the edge", above=0)
    edge_joules_per_mac: float = key(1e-10, "energy of one of them", unit="J", least=0)
    cloud_macs_per_s: float = key(5e10, "multiply-accumulates a second of the cloud", above=0)
    cloud_overhead_s: float = key(0.01, "time that the cloud needs for a row besides", unit="s", least=0)
    link_bytes_per_s: float = key(1e6, "rate of the link", unit="bytes/s", above=0)
    link_round_trip_s: float = key(0.05, "round trip of the link", unit="s", least=0)
    link_joules_per_byte: float = key(1e-6, "energy of the edge for a byte that it sends", unit="J", least=0)

    def check(self) -> None:
        """Raise ValueError for tables of one's own without actions for them."""
        if self.tables and self.actions is None:
            raise ValueError(
                "env.tables is given and env.actions is null, expected a file of thresholds for them "
                "(python -m optimal.early_exit.curate makes one)"
            )
