"""The paper's own integer program: one binary for each request, layer, feature map and device (paper Eq 5 to 10).

It stands here as a witness, and to show what it costs: maps of a layer are interchangeable, and this form tries all their
orders. Products of binaries, which Eq 6 has, are linearised in the usual way. Every request must be served; a device may hold
maps as the paper counts them, layer by layer, without collusion.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pulp

from envs.distprivacy import tables as t
from envs.distprivacy.dynamics import BUDGET_TOLERANCE
from envs.distprivacy.types import Instance, Solution
from optimal.assign import SOURCE, Placement
from optimal.backends import Outcome, minimise
from optimal.incumbent import replayed
from optimal.layer_bounds import layer_bounds
from optimal.progress import Say
from optimal.request_data import RequestData, request_data
from optimal.request_model import Term, total, value

Cells = list[list[Term]]
"""Binaries of one layer, [map][device]."""


@dataclass
class _Request:
    """Variables of one request; times in units of ``unit_s`` seconds."""

    problem: pulp.LpProblem
    data: RequestData
    unit_s: float
    cells: list[Cells] = field(default_factory=list)  # per layer; none where the source runs it
    times: list[Term] = field(default_factory=list)
    sent: list[list[Term]] = field(default_factory=list)  # per device: bytes
    holds: dict[tuple[int, int], Term] = field(default_factory=dict)  # (conv, device) -> binary

    def build(self) -> _Request:
        """Add all rows of the request but its budgets."""
        data, devices = self.data, range(len(self.data.speed))
        self.sent = [[] for _ in devices]
        for k in range(len(data.rows)):
            self.cells.append([] if data.on_source(k) else [self._map(k, p) for p in range(data.segments(k))])
            for j in devices:
                if self.cells[k] and data.limit(k) >= 0:  # 10f
                    self.problem += total(cell[j] for cell in self.cells[k]) <= data.limit(k)
        self.times.append(data.source_work(0) / self.unit_s)
        for k in range(1, len(data.rows)):
            self._layer(k)
        return self

    def _binary(self, name: str) -> pulp.LpVariable:
        return pulp.LpVariable(f"r{self.data.index}_{name}", 0, 1, pulp.LpInteger)

    def _map(self, k: int, p: int) -> list[Term]:
        """The binaries of one map: exactly one device has it (10e)."""
        row = [self._binary(f"A{k}_{p}_{j}") for j in range(len(self.data.speed))]
        self.problem += total(row) == 1
        return row

    def _both(self, label: str, first: Term, second: Term) -> Term:
        """A variable that is 1 where both binaries are."""
        product = pulp.LpVariable(f"r{self.data.index}_{label}", 0, 1)
        self.problem += product >= first + second - 1
        return product

    def _layer(self, k: int) -> None:
        """Time of layer ``k``: the slowest device, which waits for the slowest transfer to it (Eq 5, 7, 8)."""
        data, devices = self.data, range(len(self.data.speed))
        time = pulp.LpVariable(f"r{data.index}_T{k}", 0)
        self.times.append(time)
        if data.on_source(k):
            work = data.source_work(k) / self.unit_s
            self.problem += time >= work
            for i in devices if not data.on_source(k - 1) else ():
                amount = self._to_source(k, i)
                self.sent[i].append(amount)
                self.problem += time >= work + float(data.slowness[i]) / self.unit_s * amount
            return
        arrival: Term = pulp.LpVariable(f"r{data.index}_first", 0) if k == 1 else 0
        if k == 1:
            self.times.append(arrival)
        for j in devices:
            work = float(data.work(k)[j]) / self.unit_s * total(cell[j] for cell in self.cells[k])
            self.problem += time >= work
            if data.on_source(k - 1):
                wait = data.source_slowness / self.unit_s * self._from_source(k, j)
                self.problem += (arrival >= wait) if k == 1 else (time >= work + wait)
                continue
            for i in devices:
                if i != j:
                    amount = self._between(k, i, j)
                    self.sent[i].append(amount)
                    self.problem += time >= work + float(data.slowness[i]) / self.unit_s * amount

    def _holds(self, k: int, i: int) -> Term:
        """A binary that is 1 where device ``i`` holds any map of conv ``k``."""
        if (k, i) not in self.holds:
            self.holds[k, i] = self._binary(f"H{k}_{i}")
            for cell in self.cells[k]:
                self.problem += self.holds[k, i] >= cell[i]
        return self.holds[k, i]

    def _to_source(self, k: int, i: int) -> Term:
        """Bytes from device ``i`` to the source for layer ``k``."""
        unit = float(self.data.rows[k, t.IN_UNIT])
        if self.data.mode(k) == t.PARTIAL:
            return unit * self.data.segments(k) * self._holds(k - 1, i)
        if self.data.mode(k) == t.GATHER_ALL:
            return unit * self._holds(k - 1, i)
        return unit * total(cell[i] for cell in self.cells[k - 1])

    def _from_source(self, k: int, j: int) -> Term:
        """Bytes from the source to device ``j`` for layer ``k``."""
        unit = float(self.data.rows[k, t.IN_UNIT])
        if self.data.is_fc(k):
            held = self.data.segments(k - 1) if self.data.mode(k) == t.GATHER else 1
            return unit * held * self.cells[k][0][j]
        return unit * total(cell[j] for cell in self.cells[k])

    def _between(self, k: int, i: int, j: int) -> Term:
        """Bytes from device ``i`` to device ``j`` for layer ``k`` (Eq 6)."""
        unit, mode, label = float(self.data.rows[k, t.IN_UNIT]), self.data.mode(k), f"O{k}_{i}_{j}"
        before, here = self.cells[k - 1], self.cells[k]
        if mode == t.PARTIAL:
            pairs = [(self._holds(k - 1, i), cell[j]) for cell in here]
        elif mode == t.GATHER_ALL:
            pairs = [(self._holds(k - 1, i), here[0][j])]
        elif mode == t.GATHER:
            pairs = [(cell[i], here[0][j]) for cell in before]
        else:
            pairs = [(source[i], cell[j]) for source, cell in zip(before, here, strict=True)]
        return unit * total(self._both(f"{label}_{p}", a, b) for p, (a, b) in enumerate(pairs))

    def placement(self) -> Placement:
        """The device of every map, after a solve."""
        result = {}
        for k, name in enumerate(self.data.layer_names[1:-1], start=1):
            rows = [[round(value(term)) for term in cell].index(1) for cell in self.cells[k]]
            result[name] = tuple(rows) if rows else (SOURCE,) * self.data.segments(k)
        return result


def solve_paper_model(
    instance: Instance, solver: str, time_limit: float | None, say: Say
) -> tuple[Outcome, Solution | None]:
    """Solve an instance by the paper's program: the outcome, in seconds, and the replayed solution if there is one.

    Raises:
        ValueError: the instance counts maps of groups or lets devices collude, which the paper does not know.
        RuntimeError: the physics does not confirm the solution.
    """
    if instance.task.privacy_scope != "layer" or instance.task.colluders != 1:
        raise ValueError(
            f"privacy_scope is {instance.task.privacy_scope} and colluders is {instance.task.colluders}, expected layer and 1 "
            "for the paper's program"
        )
    problem = pulp.LpProblem("paper_ms", pulp.LpMinimize)
    data = [request_data(instance, index) for index in range(len(instance.requests))]
    unit_s = sum(layer_bounds(one).total for one in data) / 1000.0
    if not 0.0 < unit_s < float("inf"):
        unit_s = 1e-6
    requests = [_Request(problem, one, unit_s).build() for one in data]
    _add_budgets(problem, instance, requests)
    problem.setObjective(total(time for request in requests for time in request.times))
    outcome = minimise(problem, solver, time_limit, say, 1e3 * unit_s)
    in_seconds = Outcome(
        outcome.status, None if outcome.objective is None else outcome.objective * unit_s, outcome.bound * unit_s
    )
    if in_seconds.objective is None:
        return in_seconds, None
    solution, report = replayed(instance, [request.placement() for request in requests])
    if report.violations or abs(report.objective_s - in_seconds.objective) > 1e-6 * report.objective_s:
        raise RuntimeError(f"the physics does not confirm the paper's program: {in_seconds.objective!r} s, {report}")
    return in_seconds, solution


def _add_budgets(problem: pulp.LpProblem, instance: Instance, requests: list[_Request]) -> None:
    """10b to 10d, in shares of each budget."""
    period = instance.period_s

    def add(used: Term, budget: float) -> None:
        most = budget * (1.0 + BUDGET_TOLERANCE)
        problem.addConstraint(used / most <= 1.0 if most > 0.0 else used <= 0.0)

    for j, device in enumerate(instance.devices):
        for column, budget in ((t.WEIGHT, device.memory_bytes), (t.MULTS, device.compute(period))):
            add(
                total(
                    float(request.data.rows[k, column]) * cell[j]
                    for request in requests
                    for k, cells in enumerate(request.cells)
                    for cell in cells
                ),
                budget,
            )
        add(total(amount for request in requests for amount in request.sent[j]), device.bandwidth(period))
    for index, source in enumerate(instance.sources):
        own = [one.data for one in requests if instance.requests[one.data.index].source == index]
        budgets = (source.memory_bytes, source.compute(period), source.bandwidth(period))
        for name, budget in zip(("memory", "compute", "sent"), budgets, strict=True):
            problem += total([]) >= sum(getattr(one, name) for one in own) - budget * (1.0 + BUDGET_TOLERANCE)
