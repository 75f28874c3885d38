"""Named scenarios: what makes the choice of thresholds hard, alone and together."""

from __future__ import annotations

from dataclasses import dataclass

from envs.early_exit.schedule import MarkovLevels, Schedule


@dataclass(frozen=True)
class Scenario:
    """Defaults of an environment by name; every one of them is an argument of its own too."""

    meaning: str
    budget: float | None = None
    send: float = 0.0
    late: float = 0.0
    order: str = "markov"
    attack_shares: tuple[float, ...] = ()
    bandwidths: tuple[float, ...] = (1.0,)
    loads: tuple[float, ...] = (0.0,)


SCENARIOS: dict[str, Scenario] = {
    "budget": Scenario("few rows of an episode may be sent, months change at random", budget=0.08),
    "drift": Scenario("every sent row has a price, months change at random", send=0.1),
    "link": Scenario(
        "a link that is slow for a while at times: what is sent then comes late", late=0.5, bandwidths=(1.0, 0.25)
    ),
    "bursts": Scenario("as budget, with bursts and lulls of attacks", budget=0.08, attack_shares=(0.5, 0.9, 0.1)),
    "mixed": Scenario(
        "budget, bursts of attacks, a slow link and a busy cloud at times",
        budget=0.04,
        late=0.3,
        attack_shares=(0.5, 0.9, 0.1),
        bandwidths=(1.0, 0.25),
        loads=(0.0, 0.9),
    ),
}
"""Name -> scenario."""


def schedule_of(
    scenario: Scenario,
    *,
    order: str | None = None,
    change: float = 0.03,
    attack_shares: tuple[float, ...] | None = None,
    bandwidths: tuple[float, ...] | None = None,
    loads: tuple[float, ...] | None = None,
    link_change: float = 0.1,
) -> Schedule:
    """The schedule of a scenario, changed where a keyword is given. Raises ``ValueError`` for numbers out of range."""
    shares = scenario.attack_shares if attack_shares is None else attack_shares
    return Schedule(
        scenario.order if order is None else order,
        change,
        MarkovLevels(tuple(shares), link_change) if shares else None,
        MarkovLevels(scenario.bandwidths if bandwidths is None else tuple(bandwidths), link_change),
        MarkovLevels(scenario.loads if loads is None else tuple(loads), link_change),
    )
