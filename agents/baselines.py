"""Policies that need no training, behind the same interface as learned ones (spec section 7; paper section 4.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agents import per_layer, planners
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.env import DistPrivacyEnv
from envs.distprivacy.simulator import Options, Simulator
from envs.distprivacy.types import Task


class Policy:
    """Anything that decides where maps go.

    ``act`` answers observations; ``place_request`` plays one whole request on a state row, which is how planning policies
    work and how evaluation drives them.
    """

    name: str = "policy"
    meaning: str = ""
    respects_privacy: bool = True

    def act(self, observation: NDArray[np.float32], env: DistPrivacyEnv | None = None) -> Any:
        """Device for the next map: an int for one observation ``(L,)``, an array for a batch ``(B, L)``.

        Planning policies look ahead in ``env``, the scalar environment that the observation came from.
        """
        raise NotImplementedError


class Planner(Policy):
    """A baseline that plans a whole request in the environment's own physics."""

    def __init__(self, name: str, meaning: str, plan: Callable[..., None], seed: int = 0) -> None:
        self.name, self.meaning, self._plan = name, meaning, plan
        self.seed = seed
        self._rng = np.random.default_rng(seed)

    def restart(self) -> None:
        """Begin the random numbers of the policy afresh, so that an evaluation can be repeated."""
        self._rng = np.random.default_rng(self.seed)

    def place_request(self, simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16]) -> None:
        """Play the request that ``row`` stands in to its end."""
        tables = simulator.tables
        self._plan(row, place, simulator.dims, tables.layers, tables.networks, self._rng)

    def act(self, observation: NDArray[np.float32], env: DistPrivacyEnv | None = None) -> Any:
        """The planned device for the next map. Raises ``ValueError`` without ``env``."""
        if env is None:
            raise ValueError(f"policy {self.name} plans ahead, expected the environment: act(observation, env)")
        core: Any = env.unwrapped
        row, place = core._row.copy(), core._place.copy()
        k, p = int(row[s.LAYER]), int(row[s.SEGMENT])
        table = core.simulator.tables.layers
        self.place_request(core.simulator, row, place)
        return int(place[int(table[k, t.OFFSET]) + p])


def _greedy(row: Any, place: Any, d: Any, table: Any, nets: Any, rng: Any) -> None:
    planners.greedy_request(row, place, d, table, nets, np.ones(int(d[s.DEVICES]), np.bool_))


def _packing(row: Any, place: Any, d: Any, table: Any, nets: Any, rng: Any) -> None:
    planners.packing_request(row, place, d, table, nets)


def _subset(row: Any, place: Any, d: Any, table: Any, nets: Any, rng: Any) -> None:
    planners.subset_request(row, place, d, table, nets)


def _foresight(row: Any, place: Any, d: Any, table: Any, nets: Any, rng: Any) -> None:
    planners.foresight_request(row, place, d, table, nets)


def _lookahead(row: Any, place: Any, d: Any, table: Any, nets: Any, rng: Any) -> None:
    planners.lookahead_request(row, place, d, table, nets)


def _local_search(row: Any, place: Any, d: Any, table: Any, nets: Any, rng: Any) -> None:
    start = row.copy()
    planners.foresight_request(row, place, d, table, nets)
    planners.improve_request(start, row, place, d, table, nets, 20)


class PerLayer(Planner):
    """One device per layer (the paper's [13]): the best chain of devices, by dynamic programming. **Ignores privacy.**

    The cost of a layer depends on its own device and the one before, so the shortest path over devices is exact. Devices of
    equal speed and rate are interchangeable: two of each kind stand for all. A path that breaks a budget rejects the request.
    """

    name = "per-layer"
    meaning = "best single device per layer; ignores privacy"
    respects_privacy: ClassVar[bool] = False  # type: ignore[misc]

    def __init__(self, seed: int = 0) -> None:
        super().__init__(self.name, self.meaning, _greedy, seed)
        self._open: dict[int, Simulator] = {}

    def _without_privacy(self, simulator: Simulator) -> Simulator:
        key = id(simulator)
        if key not in self._open:
            task = simulator.task
            free = Task(task.networks, {name: {} for name in task.networks})
            self._open[key] = Simulator(
                free, simulator.max_devices, simulator.max_sources, simulator.max_requests, Options()
            )
        return self._open[key]

    def place_request(self, simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16]) -> None:
        """Play the request by the best chain, privacy aside."""
        open_task = self._without_privacy(simulator)
        tables = open_task.tables
        per_layer.per_layer_request(row, place, open_task.dims, tables.layers, tables.networks)


BASELINES: dict[str, Callable[[int], Planner]] = {
    "random": lambda seed: Planner("random", "uniform over the valid devices", planners.random_plan, seed),
    "greedy": lambda seed: Planner("greedy", "smallest increase of latency (the paper's heuristic)", _greedy, seed),
    "packing": lambda seed: Planner("packing", "fewest holders per layer, freest bandwidth first", _packing, seed),
    "subset": lambda seed: Planner("subset", "greedy over the best prefix of devices by speed and rate", _subset, seed),
    "foresight": lambda seed: Planner("foresight", "the same, or with what later layers will take", _foresight, seed),
    "lookahead": lambda seed: Planner("lookahead", "the device from which greedy ends best", _lookahead, seed),
    "local-search": lambda seed: Planner("local-search", "foresight, then moves of single maps", _local_search, seed),
    "per-layer": lambda seed: PerLayer(seed),
}
"""Name -> factory (of a seed)."""


def baseline(name: str, seed: int = 0) -> Planner:
    """A baseline by name. Raises ``ValueError`` for an unknown one."""
    if name not in BASELINES:
        raise ValueError(f"baseline is {name!r}, expected one of {', '.join(BASELINES)}")
    return BASELINES[name](seed)
