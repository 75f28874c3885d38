"""What both environment classes are made from: tables, actions, the pure functions; and how an episode begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.costs import Deployment, Device, Link, NetworkWork, stage_costs
from envs.early_exit.dynamics import Dynamics, Prices
from envs.early_exit.fallback import with_fallbacks
from envs.early_exit.generator import EpisodeGenerator
from envs.early_exit.months import Months
from envs.early_exit.observation import ObservationLayout
from envs.early_exit.scenarios import SCENARIOS, Scenario, schedule_of
from envs.early_exit.state import BUDGET, LAST, LEAST, LEFT, N_STATE, ROWS, WINDOWS
from envs.early_exit.table_file import load_table
from envs.early_exit.thresholds_file import load_thresholds
from envs.early_exit.types import ExitTable, Thresholds
from envs.early_exit.work_file import load_work

SHIPPED = Path(__file__).parent / "data"
"""Evaluation tables of a network on synthetic rows, its work and actions for it."""
SYNTHETIC = "synthetic"
FIRST = (3, 4, 5)
"""Those of the shipped months that are played unless others are asked for."""


class Options(TypedDict, total=False):
    """Keyword arguments of both environment classes; see ``EarlyExitEnv`` for their meaning."""

    tables: str | Sequence[str | Path | ExitTable]
    months: Sequence[int] | None
    actions: str | Path | Thresholds | None
    work: str | Path | NetworkWork | None
    budget: float | None
    budgets: Sequence[float]
    budget_of: str
    least_acceptance: float
    margin: float
    constraint: str
    windows: int
    rows: int
    order: str | None
    change: float
    attack_shares: Sequence[float] | None
    bandwidths: Sequence[float] | None
    loads: Sequence[float] | None
    link_change: float
    false_positive: float
    false_negative: float
    rejection: float
    send: float | None
    joule: float
    late: float | None
    deadline_s: float
    shortfall: float
    memory: float
    label_delay: int | None
    include_latent: bool
    remote_from: int
    sends: str
    edge_macs_per_s: float
    edge_joules_per_mac: float
    cloud_macs_per_s: float
    cloud_overhead_s: float
    link_bytes_per_s: float
    link_round_trip_s: float
    link_joules_per_byte: float


@dataclass(frozen=True, eq=False)
class World:
    """All that an environment needs besides its state."""

    generator: EpisodeGenerator
    actions: Thresholds  # (A, E, 2) those that can be chosen, the first of all
    dynamics: Dynamics
    budgets: tuple[float, ...]  # shares of what sending every row would use; inf: no limit
    least_acceptance: float
    margin: float  # aimed at beyond the least acceptance
    windows: int

    @property
    def aim(self) -> float:
        """Share of the rows whose lack is charged: the least acceptance and the margin, at most 1."""
        return min(1.0, self.least_acceptance + self.margin)

    def begin(
        self, rng: np.random.Generator, frames: NDArray[np.float32] | None = None, budget: float | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Frames ``(T + 1, X)`` and first endogenous state ``(N_STATE,)`` of a new episode, drawn unless given."""
        drawn = self.generator.draw(rng, self.windows) if frames is None else frames
        share = budget
        if share is None:
            share = self.budgets[0 if len(self.budgets) == 1 else int(rng.integers(len(self.budgets)))]
        return drawn, self.first_state(share, len(drawn) - 1)

    def first_state(self, budget: float, windows: int) -> NDArray[np.float64]:
        """The endogenous state before the first of ``windows`` decisions."""
        state = np.zeros(N_STATE)
        rows = self.generator.rows
        whole = windows * rows * self.dynamics.most_use
        state[BUDGET] = state[LEFT] = np.inf if budget == np.inf else budget * whole
        state[WINDOWS], state[ROWS], state[LEAST], state[LAST] = windows, rows, self.aim, -1
        return state


def make_world(
    scenario: str | Scenario = "budget",
    *,
    tables: str | Sequence[str | Path | ExitTable] = SYNTHETIC,
    months: Sequence[int] | None = None,
    actions: str | Path | Thresholds | None = None,
    work: str | Path | NetworkWork | None = None,
    budget: float | None = None,
    budgets: Sequence[float] = (),
    budget_of: str = "rows",
    least_acceptance: float = 0.9,
    margin: float = 0.005,
    constraint: str = "terminal",
    windows: int = 100,
    rows: int = 500,
    order: str | None = None,
    change: float = 0.03,
    attack_shares: Sequence[float] | None = None,
    bandwidths: Sequence[float] | None = None,
    loads: Sequence[float] | None = None,
    link_change: float = 0.1,
    false_positive: float = 1.0,
    false_negative: float = 1.0,
    rejection: float = 0.3,
    send: float | None = None,
    joule: float = 0.0,
    late: float | None = None,
    deadline_s: float = 0.1,
    shortfall: float = 1.5,
    memory: float = 0.1,
    label_delay: int | None = None,
    include_latent: bool = False,
    remote_from: int = 2,
    sends: str = "input",
    edge_macs_per_s: float = 1e9,
    edge_joules_per_mac: float = 1e-10,
    cloud_macs_per_s: float = 5e10,
    cloud_overhead_s: float = 0.01,
    link_bytes_per_s: float = 1e6,
    link_round_trip_s: float = 0.05,
    link_joules_per_byte: float = 1e-6,
) -> World:
    """The world of an environment's arguments. Raises ``ValueError`` for arguments out of range and for bad files."""
    named = _scenario(scenario)
    for name, count in (("windows", windows), ("rows", rows)):
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{name} is {count!r}, expected a whole number >= 1")
    _require_numbers(
        least_acceptance=least_acceptance, margin=margin, change=change, link_change=link_change,
        false_positive=false_positive, false_negative=false_negative, rejection=rejection,
        send=named.send if send is None else send, joule=joule, late=named.late if late is None else late,
        deadline_s=deadline_s, shortfall=shortfall, memory=memory, edge_macs_per_s=edge_macs_per_s,
        edge_joules_per_mac=edge_joules_per_mac, cloud_macs_per_s=cloud_macs_per_s, cloud_overhead_s=cloud_overhead_s,
        link_bytes_per_s=link_bytes_per_s, link_round_trip_s=link_round_trip_s, link_joules_per_byte=link_joules_per_byte,
    )  # fmt: skip
    for name, whole in (("label_delay", 0 if label_delay is None else label_delay), ("remote_from", remote_from)):
        if not isinstance(whole, int | np.integer):
            raise ValueError(f"{name} is {whole!r}, expected a whole number")
    if not isinstance(include_latent, bool | np.bool_):
        raise ValueError(f"include_latent is {include_latent!r}, expected true or false")
    if not 0 <= least_acceptance <= 1:
        raise ValueError(f"least_acceptance is {least_acceptance}, expected a number in 0..1")
    if not 0 <= margin <= 1:
        raise ValueError(f"margin is {margin}, expected a number in 0..1")
    several = _numbers("budgets", budgets)
    one = named.budget if budget is None else budget
    limits = tuple(share_of("budget", share) for share in several) or (
        np.inf if one is None else share_of("budget", one),
    )
    names, chosen = _tables(tables, months)
    shipped = isinstance(tables, str) and tables == SYNTHETIC
    menu = _actions(actions, shipped)
    deployment = Deployment(
        Device(edge_macs_per_s, edge_joules_per_mac),
        Device(cloud_macs_per_s, 0.0, cloud_overhead_s),
        Link(link_bytes_per_s, link_round_trip_s, link_joules_per_byte),
        remote_from,
        sends,
    )
    costs = stage_costs(_work(work, shipped, menu.exits), deployment)
    uses = (costs.crosses if budget_of == "rows" else costs.joules > 0).copy()
    uses[0] = False
    every, fallback = with_fallbacks(menu, uses)
    schedule = schedule_of(
        named,
        order=order,
        change=change,
        attack_shares=None if attack_shares is None else _numbers("attack_shares", attack_shares),
        bandwidths=None if bandwidths is None else _numbers("bandwidths", bandwidths, least=1),
        loads=None if loads is None else _numbers("loads", loads, least=1),
        link_change=link_change,
    )
    generator = EpisodeGenerator(Months(names, chosen, every), schedule, int(rows), float(memory), label_delay)
    most_use = float((costs.crosses if budget_of == "rows" else costs.joules)[1:].sum())
    observed = ObservationLayout(
        generator.layout,
        menu,
        generator.months.demands[: len(menu)],
        most_use,
        label_delay is not None,
        bool(include_latent),
        len(chosen),
    )
    prices = Prices(
        false_positive, false_negative, rejection, named.send if send is None else send, joule,
        named.late if late is None else late, deadline_s, shortfall,
    )  # fmt: skip
    dynamics = Dynamics(
        observed,
        generator.layout,
        generator.months,
        costs,
        deployment,
        prices,
        fallback,
        budget=budget_of,
        constraint=constraint,
    )
    return World(generator, menu, dynamics, limits, float(least_acceptance), float(margin), int(windows))


def share_of(name: str, value: object) -> float:
    """A budget as a share, inf for no limit. Raises ``ValueError`` for anything else."""
    try:
        share = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        share = np.nan
    if not share >= 0:
        raise ValueError(f"{name} is {value!r}, expected a share of the rows >= 0")
    return share


def _require_numbers(**values: float) -> None:
    """Raise ``ValueError`` for the first argument that is no number."""
    for name, value in values.items():
        if not isinstance(value, int | float | np.integer | np.floating):
            raise ValueError(f"{name} is {value!r}, expected a number")


def _numbers(name: str, values: Sequence[float], least: int = 0) -> tuple[float, ...]:
    """A list of ``least`` numbers or more. Raises ``ValueError`` for anything else."""
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {values!r}, expected a list of numbers") from None
    if len(numbers) < least:
        raise ValueError(f"{name} is {values!r}, expected a list of {least} or more numbers")
    return numbers


def _scenario(scenario: str | Scenario) -> Scenario:
    if isinstance(scenario, Scenario):
        return scenario
    if not isinstance(scenario, str) or scenario not in SCENARIOS:
        raise ValueError(f"scenario is {scenario!r}, expected one of {', '.join(SCENARIOS)}")
    return SCENARIOS[scenario]


@lru_cache(maxsize=32)
def _shipped_table(number: int) -> ExitTable:
    return load_table(SHIPPED / f"month_{number:02d}.csv.gz")


def check_months(months: Sequence[int], tables: Sequence[Any] | None, name: str = "months") -> None:
    """Raise ``ValueError`` for what are no numbers of ``tables``, counted from 1 (None: those shipped).

    ``name``: what the error calls them.
    """
    if not np.iterable(months) or not all(isinstance(n, int | np.integer) for n in months):
        raise ValueError(f"{name} is {months!r}, expected a list of whole numbers")
    count = _count(tables)
    for number in months:
        if not 1 <= number <= count:
            raise ValueError(f"{name} has the entry {number}, expected numbers in 1..{count}, as there are tables")


def _count(tables: Sequence[Any] | None) -> int:
    return len(list(SHIPPED.glob("month_*.csv.gz"))) if tables is None else len(tables)


def _tables(
    tables: str | Sequence[str | Path | ExitTable], months: Sequence[int] | None
) -> tuple[tuple[str, ...], tuple[ExitTable, ...]]:
    """The tables of the months that are wanted, counted from 1, and their names."""
    given = list(tables) if not isinstance(tables, str | Path | ExitTable) and np.iterable(tables) else None
    if given is None and tables != SYNTHETIC:
        shown = "one table" if isinstance(tables, ExitTable) else repr(tables)
        raise ValueError(f"tables is {shown}, expected {SYNTHETIC} or a list of evaluation tables (.csv, .csv.gz)")
    wanted = (FIRST if given is None else ()) if months is None else months
    check_months(wanted, given)
    numbers = list(wanted) or list(range(1, _count(given) + 1))
    if given is None:
        return tuple(f"month {n}" for n in numbers), tuple(_shipped_table(n) for n in numbers)
    picked = [given[n - 1] for n in numbers]
    for entry in picked:
        if not isinstance(entry, str | Path | ExitTable):
            raise ValueError(f"tables has the entry {entry!r}, expected evaluation tables or their paths")
    names = tuple(
        f"table {n}" if isinstance(one, ExitTable) else str(one) for n, one in zip(numbers, picked, strict=True)
    )
    return names, tuple(one if isinstance(one, ExitTable) else load_table(one) for one in picked)


def _actions(actions: str | Path | Thresholds | None, shipped: bool) -> Thresholds:
    if isinstance(actions, Thresholds):
        return actions
    if actions is None and not shipped:
        raise ValueError("actions is None, expected thresholds or a file of them (.csv) beside tables of your own")
    if not isinstance(actions, str | Path | None):
        raise ValueError(f"actions is {actions!r}, expected thresholds or a file of them (.csv)")
    return load_thresholds(SHIPPED / "actions.csv" if actions is None else actions)


def _work(work: str | Path | NetworkWork | None, shipped: bool, exits: int) -> NetworkWork:
    if work is None and not shipped:
        # rows alone are counted then: no work, and every exit after the first one is sent a row of a byte
        return NetworkWork((0,) * exits, (0,) * exits, (0,) * exits, 1)
    if not isinstance(work, str | Path | NetworkWork | None):
        raise ValueError(f"work is {work!r}, expected the work of a network or its file (.yaml)")
    known = work if isinstance(work, NetworkWork) else load_work(SHIPPED / "work.yaml" if work is None else work)
    if known.exits != exits:
        raise ValueError(f"work has {known.exits} exits, expected {exits} as the actions")
    return known
