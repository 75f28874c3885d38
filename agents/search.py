"""Search on top of a learned policy: the best of many sampled placements, and local search on the result.

The physics of the environment scores every placement, so the result is never worse than what the policy plays greedily.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.baselines import Planner
from agents.learned import LearnedPolicy
from agents.planners import greedy_request, improve_request, is_better
from envs._jit import kernel
from envs.distprivacy import batch
from envs.distprivacy import state as s
from envs.distprivacy.simulator import Simulator
from envs.distprivacy.state import Dims, Place, Row, Table

TEMPERATURE = 0.03
"""Highest temperature of the softmax, in request scales."""
SPREAD = 0.1
"""Ratio of the lowest to the highest temperature among the samples."""
SWEEPS = 20
"""Most sweeps of the local search, as in the baseline of that name."""
STARTS = 16
"""Local search begins from so many of the best samples: the best sample does not always lead to the best placement."""


@kernel
def step_all(
    rows: Row,
    places: Place,
    d: Dims,
    table: Table,
    nets: Table,
    actions: NDArray[np.int64],
    out: NDArray[np.float32],
    masks: NDArray[np.int8],
    live: NDArray[np.bool_],
) -> None:
    """Step the rows that are ``live``; ``actions`` has one entry for each of these. Finished requests leave ``live``."""
    at = 0
    for i in range(rows.shape[0]):
        if live[i]:
            _, done, _, _ = batch.scalar_step(rows[i], places[i], d, table, nets, actions[at], out[i], masks[i])
            live[i] = not done
            at += 1


class SearchPolicy(Planner):
    """A learned policy that plans whole requests: greedily, and by ``samples`` - 1 placements drawn from its Q-values.

    Sample i draws every action from the softmax of Q / temperature over the allowed devices. The temperatures fall
    geometrically from ``temperature`` (request scales) to a tenth of it, so that some samples stay near the greedy placement.
    The best placement by the physics (served first, then the lowest latency) is kept; ``local_search`` first moves single
    maps, as the baseline of that name does, in each of the best ``STARTS`` different ones.

    Raises ``ValueError`` for fewer than one sample or a temperature that is not positive.
    """

    def __init__(
        self,
        policy: LearnedPolicy,
        *,
        samples: int = 1,
        local_search: bool = False,
        temperature: float = TEMPERATURE,
        seed: int = 0,
    ) -> None:
        if samples < 1:
            raise ValueError(f"samples is {samples}, expected a whole number >= 1")
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}, expected a number > 0")
        parts = ([f"best of {samples}"] if samples > 1 else []) + (["local search"] if local_search else [])
        meaning = "the learned policy, with " + " and ".join(parts or ["no search"])
        super().__init__(" + ".join([policy.name, *parts]), meaning, greedy_request, seed)
        self.policy, self.options = policy, policy.options
        self.samples, self.local_search = samples, local_search
        # the first sample is the greedy placement
        self._temperatures = temperature * np.geomspace(1.0, SPREAD, max(1, samples - 1))[: samples - 1]
        self._plain: dict[int, Simulator] = {}

    def place_request(self, simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16]) -> None:
        """Play the request that ``row`` stands in to its end."""
        start = row.copy()
        rows, places = self._sample(simulator, row, place)
        served = rows[:, s.STATUS] == s.SERVED
        order = [int(i) for i in np.lexsort((rows[:, s.LAST_LATENCY], ~served))]
        if self.local_search:
            order = _different(places, order)[:STARTS]
            plain = self._map_by_map(simulator)
            tables = plain.tables
            for i in order:
                improve_request(start, rows[i], places[i], plain.dims, tables.layers, tables.networks, SWEEPS)
        best = order[0]
        for i in order:
            if is_better(rows[i], rows[best]):
                best = i
        row[:], place[:] = rows[best], places[best]

    def _sample(
        self, simulator: Simulator, row: NDArray[np.float64], place: NDArray[np.int16]
    ) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        """Rows and placements of all samples at the end of the request."""
        tables = (simulator.dims, simulator.tables.layers, simulator.tables.networks)
        rows, places = np.repeat(row[None], self.samples, axis=0), np.repeat(place[None], self.samples, axis=0)
        observations = np.zeros((self.samples, simulator.observation_length), np.float32)
        masks = np.zeros((self.samples, simulator.max_devices), np.int8)
        batch.look(rows[0], places[0], *tables, observations[0], masks[0])
        observations[1:] = observations[0]
        live = np.ones(self.samples, np.bool_)
        while live.any():
            values = self.policy.values(observations[live])
            step_all(rows, places, *tables, self._choose(values, live), observations, masks, live)
        return rows, places

    def _choose(self, values: NDArray[np.float32], live: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The greedy action of the first sample, drawn ones (Gumbel-max) of the others; ``values`` (live rows, devices)."""
        noise = np.zeros((self.samples, values.shape[1]))
        # drawn for every sample, so that one that ends early does not shift the random numbers of the others
        noise[1:] = self._temperatures[:, None] * self._rng.gumbel(size=(self.samples - 1, values.shape[1]))
        return np.asarray((values + noise[live]).argmax(axis=1), np.int64)

    def _map_by_map(self, simulator: Simulator) -> Simulator:
        """The same slots with one map a step, in which local search moves maps."""
        key = id(simulator)
        if key not in self._plain:
            sizes = (simulator.max_devices, simulator.max_sources, simulator.max_requests)
            self._plain[key] = Simulator(simulator.task, *sizes)
        return self._plain[key]


def _different(places: NDArray[np.int16], order: list[int]) -> list[int]:
    """Samples of ``order`` whose placement no earlier one has."""
    seen: dict[bytes, int] = {}
    for i in order:
        seen.setdefault(places[i].tobytes(), i)
    return list(seen.values())
