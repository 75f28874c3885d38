"""The exact optimum of one block between two given states: first with all maps staying where they are, then with moves.

Every maximum in a block's cost takes one of few values. The peak at the entry and the times of moves that no conv waits for
are searched by boxes of such values: a box is dropped where even its highest values allow nothing (``flows.find_flows``)
at the price of its lowest. What a single choice of them leaves, the last layer's peak, is searched by bisection.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimal.blocks import Block
from optimal.flows import FOUND, UNKNOWN, find_flows
from optimal.peaks import SLACK, fill, least_peak, least_two_peaks, most_counts, peak_values

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Box = tuple[tuple[int, int], ...]
"""Per searched term (entry, then the moves apart): indices of its lowest and its highest value."""

RESOLUTION = 1e-10
"""Costs closer than this, relative, count as equal."""
_MOST_NODES = 50_000
"""Flows of one feasibility test, after which it is given up."""


@dataclass(frozen=True)
class Plan:
    """How many maps of a block are where: ``entry`` (D,), ``flows`` (m, D, D) from i to j, the diagonal staying."""

    cost: float  # seconds
    entry: Counts
    flows: Counts


@dataclass(frozen=True)
class Edge:
    """A block between two states: a proven bound on its cost (seconds; inf: impossible), and its best plan if found."""

    bound: float
    plan: Plan | None


def entry_and_exit(block: Block, price: Array, exit_cost: Array) -> tuple[Array, Array]:
    """(D,) seconds per map at the entry, and at the end (a joint conv: all at the end)."""
    entry = block.entry_bytes * price
    return (np.zeros_like(entry), entry + exit_cost) if block.joint else (entry, exit_cost)


def own_caps(block: Block, layer: int) -> Counts:
    """(D,) most maps on each device at a layer of the block, by that layer's limit alone."""
    limit = block.limits[layer]
    return np.full(len(block.slowness), block.maps if limit < 0 else min(limit, block.maps))


def cost_of(block: Block, entry_cost: Array, exit_cost: Array, entry: Counts, flows: Counts) -> float:
    """Seconds of a plan; ``entry_cost``, ``exit_cost``: (D,) seconds per map, inf only where no map is."""
    final = flows[-1].sum(axis=0) if len(flows) else entry
    moved = flows * (1 - np.eye(len(entry), dtype=np.int64))
    times = [moved[move] * (unit * block.slowness)[:, None] for move, unit in enumerate(block.move_bytes)]
    work = final * np.where(final > 0, exit_cost, 0.0)
    if block.conv and times:
        work += times.pop().max(axis=0)
    return float((entry * entry_cost).max() + sum(time.max() for time in times) + work.max())


def block_optimum(
    block: Block, price: Array, exit_cost: Array, cutoff: float = math.inf, deadline: float = math.inf
) -> Edge:
    """The optimum where it is below ``cutoff`` (seconds); else the cutoff as bound, and no plan.

    ``price``: (D,) of the state before; ``exit_cost``: (D,) row of ``Block.exit`` of the state behind. After ``deadline``
    (of ``time.perf_counter``) the bound is what has been proven so far.
    """
    search = _Search(block, *entry_and_exit(block, price, exit_cost), cutoff, deadline)
    if math.isinf(search.least_exit):
        return Edge(math.inf, None)
    search.stay()
    if block.move_bytes:
        search.move()
    if (
        search.plan is None and search.below < cutoff
    ):  # nothing at all, not even below a number that every plan is below
        return Edge(search.unproven, None)
    return Edge(min(search.below, search.unproven), search.plan)


class _Search:
    """One search: the best plan so far, the cost below which it looks, and the least cost that it could not rule out."""

    def __init__(self, block: Block, entry_cost: Array, exit_cost: Array, cutoff: float, deadline: float) -> None:
        self.block, self.entry_cost, self.exit_cost, self.deadline = block, entry_cost, exit_cost, deadline
        self.below, self.unproven = cutoff, math.inf
        self.plan: Plan | None = None
        self.first, self.last = own_caps(block, 0), own_caps(block, -1)
        self.last[np.isinf(exit_cost)] = 0
        self.least_exit: float = least_peak(exit_cost, self.last, block.maps, block.limits[-1], block.colluders)
        self.per_move = [unit * block.slowness for unit in block.move_bytes]
        # the moves whose time is a term of its own; the last one into a conv adds to the work of its receiver
        self.apart = len(self.per_move) - block.conv

    def stay(self) -> None:
        """All layers of the block hold the same counts."""
        block = self.block
        limit = min((limit for limit in block.limits if limit >= 0), default=-1)
        most = np.minimum(self.first, self.last)
        peaks = least_two_peaks(self.entry_cost, self.exit_cost, most, block.maps, limit, block.colluders)
        if sum(peaks) < self.below:
            for costs, peak in zip((self.entry_cost, self.exit_cost), peaks, strict=True):
                most = most_counts(costs, most, peak)
            counts = fill(most, block.maps, limit)
            self._offer(counts, np.repeat(np.diag(counts)[None], len(self.per_move), axis=0))

    def move(self) -> None:
        """Some maps change hands."""
        block = self.block
        finite = self.exit_cost[self.last > 0]
        slowest = self.entry_cost.max() + sum(float(times.max()) for times in self.per_move) + finite.max()
        self.below = min(self.below, 1.01 * block.maps * slowest)  # some number that every plan is below
        least_entry = least_peak(self.entry_cost, self.first, block.maps, block.limits[0], block.colluders)
        peaks = peak_values(self.entry_cost, block.maps)
        values = [peaks[peaks >= least_entry * (1.0 - RESOLUTION)]]
        values += [peak_values(times, block.maps) for times in self.per_move[: self.apart]]
        if len(values[0]) == 0:
            return
        room = self.below - self.least_exit - values[0][0]
        ends = [int(np.searchsorted(part - part[0], room)) - 1 for part in values]
        if min(ends) < 0:
            return
        still = tuple((0, 0) for _ in range(self.apart))
        boxes: list[Box] = []
        for at in range(self.apart):  # move `at` is the first that moves anything
            if ends[1 + at] > 0:
                boxes.append(((0, ends[0]), *still[:at], (1, ends[1 + at]), *((0, end) for end in ends[2 + at :])))
        if block.conv:
            boxes.append(((0, ends[0]), *still))
        while boxes:
            box = boxes.pop()
            lowest = [float(part[low]) for part, (low, _) in zip(values, box, strict=True)]
            highest = [float(part[high]) for part, (_, high) in zip(values, box, strict=True)]
            if sum(lowest) + self.least_exit >= self.below * (1.0 - RESOLUTION):
                continue
            if time.perf_counter() > self.deadline:
                self.unproven = min(self.unproven, sum(lowest) + self.least_exit)
                continue
            trial = _Trial(self, highest)
            if lowest == highest:
                self._bisect(trial, sum(lowest))
            elif trial.run(self.below * (1.0 - RESOLUTION) - sum(lowest)) is not False:
                widest = max(range(len(box)), key=lambda at: highest[at] - lowest[at])
                low, high = box[widest]
                middle = (low + high) // 2
                boxes.append((*box[:widest], (middle + 1, high), *box[widest + 1 :]))
                boxes.append((*box[:widest], (low, middle), *box[widest + 1 :]))

    def _bisect(self, trial: _Trial, spent: float) -> None:
        """Find the least last peak under the entry peak and the moves of ``trial``, which cost ``spent`` seconds."""
        low, tight = self.least_exit, True  # tight: try whether anything better exists; else halve what is left
        while True:
            goal = self.below * (1.0 - RESOLUTION) - spent
            if goal < low:
                return
            probe = goal if tight else 0.5 * (low + goal)
            found = trial.run(probe) if time.perf_counter() <= self.deadline else None
            if found is None:
                self.unproven = min(self.unproven, spent + low)
            if found and self._offer(*trial.placed()):
                tight = False
            elif tight:
                return
            else:
                low, tight = probe, True

    def _offer(self, entry: Counts, flows: Counts) -> bool:
        """Keep a plan if it is better; whether it was."""
        cost = cost_of(self.block, self.entry_cost, self.exit_cost, entry, flows)
        if cost >= self.below:
            return False
        self.below, self.plan = cost, Plan(cost, entry, flows)
        return True


class _Trial:
    """A feasibility test at one choice of the entry peak and the times of the moves apart; layers without moves are merged."""

    def __init__(self, search: _Search, highest: list[float]) -> None:
        block, self.search = search.block, search
        times = [*highest[1:], math.inf][: len(search.per_move)]  # a conv's last move has no time of its own
        self.moving = [move for move, time in enumerate(times) if time > 0.0]
        size, devices = len(self.moving), len(block.slowness)
        self.rooms = np.zeros((size, devices), np.int64)
        for at, move in enumerate(self.moving):
            if times[move] < math.inf:
                quotients = times[move] / search.per_move[move] + SLACK
                self.rooms[at] = np.minimum(np.floor(quotients), block.maps)
        self.entry = most_counts(search.entry_cost, search.first, highest[0])
        self.limits = np.full(size + 1, -1)
        if block.grouped:
            self.limits[0] = block.limits[0]
        else:
            for layer, limit in enumerate(block.limits):
                at = sum(move < layer for move in self.moving)
                if limit >= 0 and not 0 <= self.limits[at] <= limit:
                    self.limits[at] = limit
        self.seen_moves = sum(move + 1 < block.grouped for move in self.moving) if block.grouped else -1
        self.meters = np.zeros((2 * size + 1, devices), np.int64)
        self.flows = np.zeros((size, devices, devices), np.int64)

    def run(self, last_peak: float) -> bool | None:
        """Whether all maps find a place with this peak in the last layer; None where the search was given up."""
        search, block = self.search, self.search.block
        result = find_flows(
            block.maps,
            self.rooms,
            self.entry,
            most_counts(search.exit_cost, search.last, last_peak),
            self.limits,
            self.seen_moves,
            block.colluders,
            last_peak if block.conv else math.inf,
            search.exit_cost,
            search.per_move[-1],
            _MOST_NODES,
            self.meters,
            self.flows,
        )
        return None if result == UNKNOWN else bool(result == FOUND)

    def placed(self) -> tuple[Counts, Counts]:
        """Counts at the entry and flows of all moves of the block, after a ``run`` that found them."""
        entry = self.meters[0].copy()
        counts, flows = entry, []
        for move in range(len(self.search.per_move)):
            if move in self.moving:
                flows.append(self.flows[self.moving.index(move)].copy())
                counts = flows[-1].sum(axis=0)
            else:
                flows.append(np.diag(counts))
        return entry, np.array(flows)
