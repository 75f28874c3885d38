"""Policies on the same episodes: share of the gap from static to optimum that each closes, violations, paired differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from envs.early_exit.build import World
from optimal.early_exit.belief_policy import BeliefPrice
from optimal.early_exit.cache_policy import Cache, check_cache
from optimal.early_exit.clusters import cluster
from optimal.early_exit.episode_milp import KnapsackPolicy, relaxed
from optimal.early_exit.episodes import Episodes, Floats
from optimal.early_exit.fixed_policies import Contexts, Mixture, Static, StaticHindsight, all_cloud, all_edge
from optimal.early_exit.knapsack import Knapsack
from optimal.early_exit.outside import Outside, play_any
from optimal.early_exit.playing import Game, Played, Policy
from optimal.early_exit.price_policies import TunedAdaptivePrice
from optimal.early_exit.retuned_policies import Retuned
from optimal.early_exit.tree_policy import Tree, tree_table

BASE, BEST = "static", "knapsack"
"""The policies between which the share of the gap runs from 0 to 1."""
DRAWS = 2_000
"""Resamples of a bootstrap interval."""


REFERENCES = (
    "all-edge", "all-cloud", "static", "static-any", "mixture", "two-context", "adaptive-price", "belief-price", "lag-1",
    "ewma", "static-hindsight", "knapsack", "cache", "tree",
)  # fmt: skip
"""Names of all references."""
BEYOND = ("cache", "tree")
"""Those that do what no action can."""
NEEDS: dict[str, Callable[[World], object]] = {
    "all-edge": lambda world: all_edge(world.actions),
    "all-cloud": lambda world: all_cloud(world.actions),
    "cache": check_cache,
    "tree": tree_table,
}
"""References that not every world has what it takes for; each raises ``ValueError`` for one that has not."""


def check_references(world: World, names: Sequence[str]) -> None:
    """Raise ``ValueError`` for a name that is no reference, and for a reference that cannot be played in a world.

    That is where the menu lacks an action that it needs, where nothing is known of what a cached row costs, or where a tree has
    no tables. What trains for long asks first, of the months of training and of those of the tests.
    """
    for name in names:
        if name not in REFERENCES:
            raise ValueError(f"{name} is no reference of early exit, expected out of {', '.join(REFERENCES)}")
        if name in NEEDS:
            NEEDS[name](world)


def references(training: Episodes, names: Sequence[str] = REFERENCES) -> list[Policy | Outside]:
    """The references of these names, in their order in ``REFERENCES``.

    What they learn they learn from training episodes, of a world with the same menu. Raises ``ValueError`` as
    ``check_references``.
    """
    check_references(training.world, names)
    actions, mixture = training.world.actions, lru_cache(lambda: Mixture(training, Contexts()))
    makers: dict[str, Callable[[], Policy | Outside]] = {
        "all-edge": lambda: all_edge(actions),
        "all-cloud": lambda: all_cloud(actions),
        "static": lambda: Static(training),
        "static-any": lambda: Static(training, feasible=False, name="static-any"),
        "mixture": mixture,
        "two-context": lambda: Mixture(training, cluster(training, 2), name="two-context"),
        "adaptive-price": lambda: TunedAdaptivePrice(mixture()),
        "belief-price": lambda: BeliefPrice(training),
        "lag-1": lambda: Retuned(mixture()),
        "ewma": lambda: Retuned(mixture(), 0.1, name="ewma"),
        "static-hindsight": lambda: StaticHindsight(),
        "knapsack": lambda: KnapsackPolicy(),
        "cache": lambda: Cache(training),
        "tree": lambda: Tree(training),
    }
    return [makers[name]() for name in REFERENCES if name in names]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What policies did on the same episodes within the same limits."""

    budget: float
    least: float
    played: tuple[Played, ...]
    bound: Floats | None = None
    """Cost of a row that nobody can go below in each episode ``(S,)``: of the linear program; None: not asked for."""

    def of(self, name: str) -> Played | None:
        """What the policy of a name did; None where it was not played."""
        return next((one for one in self.played if one.name == name), None)

    def closed(self, one: Played) -> float:
        """Share of the gap from ``BASE`` to ``BEST`` in mean cost that a policy closes; nan where there is next to none.

        Where ``BEST`` was not played, to the bound, which is a little below it.
        """
        base, best = self.of(BASE), self.of(BEST)
        lowest = self.bound if best is None else best.cost_per_row
        if base is None or lowest is None:
            return float("nan")
        gap = float((base.cost_per_row - lowest).mean())
        return float((base.cost_per_row - one.cost_per_row).mean()) / gap if gap > 1e-6 else float("nan")

    def rows(self, against: str = BASE) -> list[dict[str, Any]]:
        """One line a policy, plain data: means over episodes, and the paired difference in cost to ``against``."""
        other, found = self.of(against), []
        for one in self.played:
            low, high = interval(one.cost_per_row)
            line: dict[str, Any] = {
                "policy": one.name,
                "kind": one.kind,
                "budget": self.budget,
                "cost": float(one.cost_per_row.mean()),
                "cost_interval": [low, high],
                "closed": self.closed(one),
                "errors": float(one.errors.mean()),
                "rejected": float(one.rejected.mean()),
                "sent": float(one.sent.mean()),
                "used": float(one.used.mean()),
                "over_windows": float(one.over.mean()),
                "violated": float(one.violated.mean()),
                "seconds": one.seconds,
            }
            if other is not None:
                difference = one.cost_per_row - other.cost_per_row
                line["difference"] = float(difference.mean())
                line["difference_interval"] = list(interval(difference))
            found.append(line)
        return found

    def markdown(self) -> str:
        """The lines as a table of Markdown, lowest cost first."""
        head = (
            "policy",
            "cost a row",
            "± 95 %",
            f"vs {BASE}",
            "gap closed",
            "errors",
            "rejected",
            "sent",
            "over",
            "violated",
        )
        lines = ["| " + " | ".join(head) + " | kind |", "|---|" + "---:|" * (len(head) - 1) + "---|"]
        for row in sorted(self.rows(), key=lambda row: float(row["cost"])):
            low, high = row["cost_interval"]
            difference = "-"
            if "difference" in row:
                below, above = row["difference_interval"]
                difference = f"{row['difference']:+.5f} [{below:+.5f}, {above:+.5f}]"
            closed = "-" if row["closed"] != row["closed"] else f"{100 * row['closed']:.1f} %"
            shares = " | ".join(f"{100 * row[name]:.2f} %" for name in ("errors", "rejected", "sent"))
            lines.append(
                f"| {row['policy']} | {row['cost']:.5f} | {(high - low) / 2:.5f} | {difference} | {closed} | {shares} "
                f"| {row['over_windows']:.2f} | {100 * row['violated']:.0f} % | {row['kind']} |"
            )
        return "\n".join(lines)


def compare(
    policies: Sequence[Policy | Outside],
    test: Episodes,
    budget: float | None = None,
    least: float | None = None,
    say: Callable[[str], None] = lambda text: None,
    *,
    bounded: bool = False,
) -> Comparison:
    """Play policies on test episodes; budget and least acceptance as of ``Game.of``. ``bounded``: compute the bound too."""
    game, found = Game.of(test, budget, least), []
    for policy in policies:
        found.append(play_any(policy, game))
        say(f"{policy.name}: {found[-1].cost_per_row.mean():.5f} in {found[-1].seconds:.1f} s")
    return Comparison(game.budget, game.least, tuple(found), bounds(game) if bounded else None)


def bounds(game: Game) -> Floats:
    """Cost of a row that no policy is below, by the linear program of each episode ``(S,)``."""
    found = [relaxed(Knapsack.of(game, s)).bound for s in range(len(game.episodes))]
    return np.array(found) / game.episodes.windows


def interval(values: Floats, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over episodes ``(S,)``."""
    picks = np.random.default_rng(seed).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
