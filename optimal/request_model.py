"""One request as rows of an integer program: counts, flows, holders, sender states, layer times (docs/optimal.md).

Segments of a layer are alike but for moves of maps, so counts n[k][j] and flows f[i, j] say all. Times are in units of
``unit_s`` seconds, chosen such that a solver's absolute tolerances are harmless.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pulp

from envs.distprivacy import tables as t
from optimal.layer_bounds import LayerBounds
from optimal.request_data import Ints, RequestData, SenderState

Term: TypeAlias = Any
"""A number of PuLP's, which has no types: a variable, a sum of them, or 0 or 1 where that is known beforehand."""
Row = list[Term]
"""One entry a device."""


def total(terms: Iterable[Term]) -> Term:
    """The sum of terms."""
    return pulp.lpSum(terms)


@dataclass
class RequestModel:
    """Variables of one request in ``problem``; L layers, D devices. Built by ``build``."""

    problem: pulp.LpProblem
    bounds: LayerBounds
    unit_s: float
    served: Term  # 1, or a binary
    name: str
    counts: list[Row] = field(default_factory=list)  # per layer; zeros where the source runs it
    holds: dict[int, Row] = field(default_factory=dict)  # per conv on devices: binary, 1 where it holds a segment
    states: dict[int, list[tuple[SenderState, Term]]] = field(default_factory=dict)  # per conv: binaries, one is 1
    flows: dict[tuple[int, int], dict[tuple[int, int], Term]] = field(
        default_factory=dict
    )  # layers -> (from, to) -> maps
    times: list[Term] = field(default_factory=list)  # per layer, in units

    @property
    def data(self) -> RequestData:
        """The numbers of the request, with the room that is left."""
        return self.bounds.data

    @property
    def latency(self) -> Term:
        """Sum of all layers' times, in units."""
        return total(self.times)

    def variable(self, name: str, most: float | None = None, kind: str = pulp.LpContinuous) -> pulp.LpVariable:
        """A new variable >= 0 of this request."""
        return pulp.LpVariable(f"{self.name}_{name}", 0, most, kind)

    def build(self) -> RequestModel:
        """Add all variables and rows but those of privacy and budgets."""
        data, devices = self.data, range(len(self.data.speed))
        for k in range(len(data.rows)):
            if data.on_source(k):
                self.counts.append([0] * len(devices))
                continue
            row: Row = [
                self.variable(f"n{k}_{j}", int(most), pulp.LpInteger) if most > 0 else 0
                for j, most in enumerate(data.room[k])
            ]
            self.counts.append(row)
            self.problem += total(row) == data.segments(k) * self.served
            if data.rows[k, t.KIND] == t.KIND_CODE["conv"]:
                self._add_holders(k)
        self.times.append(self._seconds(data.source_work(0)) * self.served)
        for k in range(1, len(data.rows)):
            self._add_layer(k)
        if self.bounds.total > 0.0:
            self.problem += self.latency >= self._seconds(self.bounds.total) * self.served
        return self

    def add_flows(self, before: int, after: int, most: Sequence[float]) -> dict[tuple[int, int], Term]:
        """Flows of maps between two layers on devices; ``most``: (D,) maps that a device can send to one other."""
        room = self.data.room
        flows: dict[tuple[int, int], Term] = {}
        for i, held in enumerate(room[before]):
            for j, taken in enumerate(room[after]):
                cap = min(held, taken, math.inf if i == j else most[i])
                if cap > 0:
                    # Whole counts less whole moves leave whole stays.
                    kind = pulp.LpContinuous if i == j else pulp.LpInteger
                    flows[i, j] = self.variable(f"f{before}_{after}_{i}_{j}", int(cap), kind)
        for i in range(room.shape[1]):
            self.problem += total(flow for (a, _), flow in flows.items() if a == i) == self.counts[before][i]
            self.problem += total(flow for (_, b), flow in flows.items() if b == i) == self.counts[after][i]
        self.flows[before, after] = flows
        return flows

    def _seconds(self, seconds: float) -> float:
        return seconds / self.unit_s

    def _add_holders(self, k: int) -> None:
        """Binaries of who holds a conv, and of the state of its senders."""
        data = self.data
        row: Row = []
        for j, count in enumerate(self.counts[k]):
            holds: Term = 0
            if not isinstance(count, int):
                holds = self.variable(f"y{k}_{j}", 1, pulp.LpInteger)
                self.problem += count <= int(data.room[k, j]) * holds
            row.append(holds)
        self.holds[k] = row
        possible = [state for e, state in enumerate(data.states[k]) if (self.bounds.slack[k][:, e] > -math.inf).any()]
        chosen: list[tuple[SenderState, Term]] = [(state, self.served) for state in possible]
        if len(possible) > 1:
            chosen = [(s, self.variable(f"a{k}_{w}", 1, pulp.LpInteger)) for w, s in enumerate(possible)]
            self.problem += total(term for _, term in chosen) == self.served
        self.states[k] = chosen
        if not data.states[k]:
            return
        for j, holds in enumerate(row):
            self.problem += holds <= total(term for state, term in chosen if state.holders[j])
        for state, term in chosen:
            if state.lone:
                own = [row[j] for j in np.flatnonzero(state.members)]
                others = [a for other, a in chosen if other is not state and (other.holders & state.members).any()]
                self.problem += total(own) <= term + len(own) * total(others)

    def _add_layer(self, k: int) -> None:
        data, unit = self.data, float(self.data.rows[k, t.IN_UNIT])
        if data.on_source(k) and data.on_source(k - 1):
            self.times.append(self._seconds(data.source_work(k)) * self.served)
            return
        time = self.variable(f"t{k}")
        if data.on_source(k):
            for j, sent in enumerate(self._sent_to_source(k)):
                work = self._seconds(data.source_work(k)) * self.served
                self.problem += time >= work + self._seconds(unit * float(data.slowness[j])) * sent
        elif data.is_fc(k):
            self._add_fc(k, time)
        elif data.on_source(k - 1):
            self._add_from_source(k, time)
        elif data.mode(k) == t.PARTIAL:
            self._add_partial_sums(k, time)
        else:
            self._add_moves(k, time)
        self._add_bound(k, time)
        self.times.append(time)

    def _sent_to_source(self, k: int) -> Row:
        """(D,) units that each device sends to the source for layer ``k``."""
        if self.data.mode(k) == t.PARTIAL:
            return [self.data.segments(k) * holds for holds in self.holds[k - 1]]
        return self.holds[k - 1] if self.data.mode(k) == t.GATHER_ALL else self.counts[k - 1]

    def _add_fc(self, k: int, time: pulp.LpVariable) -> None:
        """An fc on one device: its work, and the slowest transfer from all others."""
        data, unit = self.data, float(self.data.rows[k, t.IN_UNIT])
        work = total(self._seconds(float(w)) * n for w, n in zip(data.work(k), self.counts[k], strict=True))
        if data.on_source(k - 1):
            self.problem += time >= work + self._seconds(data.gathered_from_source(k)) * self.served
            return
        self.problem += time >= work
        for i, (sent, here) in enumerate(zip(self._gathered(k), self.counts[k], strict=True)):
            most = 1 if data.mode(k) == t.GATHER_ALL else int(data.room[k - 1, i])
            if most > 0:
                self.problem += time >= work + self._seconds(unit * float(data.slowness[i])) * (sent - most * here)

    def _gathered(self, k: int) -> Row:
        """(D,) units that each device would send to an fc layer ``k`` elsewhere."""
        return self.holds[k - 1] if self.data.mode(k) == t.GATHER_ALL else self.counts[k - 1]

    def _add_from_source(self, k: int, time: pulp.LpVariable) -> None:
        data, unit = self.data, float(self.data.rows[k, t.IN_UNIT])
        entry, first = unit * data.source_slowness, self.variable(f"first{k}") if k == 1 else 0
        if k == 1:  # this transfer is over before the layer begins
            self.times.append(first)
            self.problem += time + first >= self._seconds(float(np.min(self.bounds.alone[k]))) * self.served
        for j, count in enumerate(self.counts[k]):
            if isinstance(count, int):
                continue
            if k == 1:
                self.problem += first >= self._seconds(entry) * count
            self.problem += time >= self._seconds(float(data.work(k)[j]) + (0.0 if k == 1 else entry)) * count

    def _add_partial_sums(self, k: int, time: pulp.LpVariable) -> None:
        """Every receiver waits for the slowest other holder of the conv before."""
        data, unit = self.data, float(self.data.rows[k, t.IN_UNIT])
        chosen = self.states[k - 1]
        shares: list[Row] = []  # per state: the counts, where it is the chosen one
        for w, (_, term) in enumerate(chosen):
            row = (
                self.counts[k]
                if len(chosen) == 1
                else [
                    0 if isinstance(n, int) else self.variable(f"q{k}_{w}_{j}", int(data.room[k, j]))
                    for j, n in enumerate(self.counts[k])
                ]
            )
            shares.append(row)
            if len(chosen) > 1:
                self.problem += total(row) == data.segments(k) * term
                for j, share in enumerate(row):
                    if not isinstance(share, int):
                        self.problem += share <= int(data.room[k, j]) * term
        for j, count in enumerate(self.counts[k]):
            if isinstance(count, int):
                continue
            if len(chosen) > 1:
                self.problem += total(row[j] for row in shares) == count
            waits = [
                self._seconds(unit * float(state.price[j])) * row[j]
                for (state, _), row in zip(chosen, shares, strict=True)
            ]
            work = self._seconds(float(data.work(k)[j])) * count
            lone = [w for w, (state, _) in enumerate(chosen) if state.lone and state.members[j]]
            self.problem += time >= work + total(waits)
            for w in lone:  # j may be the one of its class: then it waits for the slowest of the others
                for i in np.flatnonzero(chosen[w][0].holders):
                    if i != j and not isinstance(self.holds[k - 1][i], int):
                        present = shares[w][j] - int(data.room[k, j]) * (1 - self.holds[k - 1][i])
                        wait = self._seconds(unit * float(data.slowness[i])) * present
                        self.problem += time >= work + total(waits) + wait

    def _add_moves(self, k: int, time: pulp.LpVariable) -> None:
        """A map that changes hands has to be sent."""
        data, unit = self.data, float(self.data.rows[k, t.IN_UNIT])
        most = float(self.bounds.slack[k].max())
        sendable = (
            np.floor(most / (unit * data.slowness) + 1e-9)
            if math.isfinite(most)
            else np.full(len(data.speed), math.inf)
        )
        flows = self.add_flows(k - 1, k, [float(n) for n in sendable])
        for j, count in enumerate(self.counts[k]):
            if isinstance(count, int):
                continue
            work = self._seconds(float(data.work(k)[j])) * count
            self.problem += time >= work
            for i in range(len(data.speed)):
                if i != j and (i, j) in flows:
                    self.problem += time >= work + self._seconds(unit * float(data.slowness[i])) * flows[i, j]

    def _add_bound(self, k: int, time: pulp.LpVariable) -> None:
        """What the layer takes at least, by itself and in each state of the senders around it."""
        if k == 1 and self.data.on_source(0) and not self.data.on_source(1) and not self.data.is_fc(1):
            return  # with the transfer into it: _add_from_source
        possible = np.where(self.bounds.slack[k] > -math.inf, self.bounds.alone[k], math.inf)
        for axis, at in ((1, k - 1), (0, k)):
            least = possible.min(axis=axis)
            if self.data.states[at]:
                terms = [
                    self._seconds(float(value)) * self._state(at, e)
                    for e, value in enumerate(least)
                    if math.isfinite(value)
                ]
                self.problem += time >= total(terms)
            elif math.isfinite(least.min()) and axis == 1:
                self.problem += time >= self._seconds(float(least.min())) * self.served

    def _state(self, k: int, e: int) -> Term:
        """The binary of the e-th state behind conv ``k``; 0 where it is ruled out."""
        wanted = self.data.states[k][e]
        return next((term for state, term in self.states[k] if state is wanted), 0)


def value(term: Term) -> float:
    """The value of a term after a solve."""
    return float(term) if isinstance(term, int) else float(pulp.value(term))


def values(row: Mapping[tuple[int, int], Term], devices: int) -> Ints:
    """(D, D) rounded values of flows."""
    result = np.zeros((devices, devices), np.int64)
    for (i, j), term in row.items():
        result[i, j] = round(value(term))
    return result
