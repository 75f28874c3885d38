"""What segment allocation talks about: layers, networks, devices, requests, instances, solutions.

Plain frozen dataclasses. Each checks its own values when it is made and raises ``ValueError`` with one sentence
that names the field, its value and what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

LAYER_KINDS = ("conv", "act", "pool", "fc")
PRIVACY_SCOPES = ("layer", "group")
WORD_BYTES = 4
"""Bytes of one weight or one feature value (single precision)."""

PrivacyTable = Mapping[str, Mapping[int, float | None]]
"""Layer name -> maps held -> SSIM of the inverted picture (None: unknown, counts as above every target)."""


def _positive(owner: str, name: str, value: object, *, zero: bool = False) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):  # type: ignore[arg-type, operator]
        raise ValueError(f"{owner}: field '{name}' is {value!r}, expected a finite number {'>= 0' if zero else '> 0'}")


def _count(owner: str, name: str, value: object, least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{owner}: field '{name}' is {value!r}, expected a whole number >= {least}")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a CNN. Its segments are its *input* maps; an fc layer is a single segment (spec section 2)."""

    name: str
    kind: str  # one of LAYER_KINDS
    inputs: int  # input maps; fc: input units
    outputs: int  # output maps; fc: output units
    out_pixels: int = 1  # height x width of one output map; fc: 1
    kernel_area: int = 0  # conv only: height x width of the filter

    def __post_init__(self) -> None:
        owner = f"layer {self.name!r}"
        if self.kind not in LAYER_KINDS:
            raise ValueError(f"{owner}: field 'kind' is {self.kind!r}, expected one of {', '.join(LAYER_KINDS)}")
        unit = "units" if self.kind == "fc" else "maps"
        _count(owner, f"in_{unit}", self.inputs)
        _count(owner, f"out_{unit}", self.outputs)
        _count(owner, "out_pixels", self.out_pixels)
        if self.kind == "conv":
            _count(owner, "kernel_area", self.kernel_area)
        if self.kind in ("act", "pool") and self.inputs != self.outputs:
            raise ValueError(
                f"{owner}: field 'out_maps' is {self.outputs}, expected in_maps = {self.inputs} for a layer of kind {self.kind}"
            )

    @property
    def segments(self) -> int:
        """Number of segments that are placed apart: the input maps, or 1 for an fc layer."""
        return 1 if self.kind == "fc" else self.inputs

    @property
    def mults_per_segment(self) -> int:
        """Multiplications of one segment (paper Eq 2, 3)."""
        if self.kind == "conv":
            return self.kernel_area * self.outputs * self.out_pixels
        return self.inputs * self.outputs if self.kind == "fc" else 0

    @property
    def weight_bytes_per_segment(self) -> int:
        """Weight memory of one segment, bytes (paper Eq 4, with 4 bytes a word)."""
        if self.kind == "conv":
            return WORD_BYTES * self.kernel_area * self.outputs
        return WORD_BYTES * self.inputs * self.outputs if self.kind == "fc" else 0

    @property
    def map_bytes(self) -> int:
        """Bytes of one output map; of all outputs for an fc layer."""
        return WORD_BYTES * (self.outputs if self.kind == "fc" else self.out_pixels)


@dataclass(frozen=True, slots=True)
class Network:
    """A CNN as its list of layers; the first and the last run on the source, all others are distributed."""

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        owner = f"network {self.name!r}"
        if len(self.layers) < 2:
            raise ValueError(
                f"{owner}: has {len(self.layers)} layers, expected at least 2 (the source runs the first and last)"
            )
        seen: set[str] = set()
        for layer in self.layers:
            if layer.name in seen:
                raise ValueError(f"{owner}: layer name {layer.name!r} occurs twice, expected distinct names")
            seen.add(layer.name)
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            if before.kind == "fc" and after.kind != "fc":
                raise ValueError(f"{owner}: layer {after.name!r} of kind {after.kind} follows an fc layer, expected fc")
            given = before.outputs * (before.out_pixels if after.kind == "fc" and before.kind != "fc" else 1)
            if given != after.inputs:
                field_name = "in_units" if after.kind == "fc" else "in_maps"
                raise ValueError(
                    f"{owner}: layer {after.name!r} has {field_name} = {after.inputs}, "
                    f"expected {given}, what {before.name!r} puts out"
                )

    @property
    def distributed(self) -> tuple[Layer, ...]:
        """Layers 2..L-1."""
        return self.layers[1:-1]

    @property
    def segments(self) -> int:
        """Segments of all layers, the source's own included."""
        return sum(layer.segments for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Device:
    """An IoT device or a source (camera). Budgets hold per period; ``None`` means speed or rate times the period."""

    name: str
    memory_bytes: float
    mults_per_s: float
    rate_bytes_per_s: float
    compute_budget: float | None = None  # multiplications per period
    bandwidth_budget_bytes: float | None = None  # bytes sent per period

    def __post_init__(self) -> None:
        owner = f"device {self.name!r}"
        _positive(owner, "memory_bytes", self.memory_bytes, zero=True)
        _positive(owner, "mults_per_s", self.mults_per_s)
        _positive(owner, "rate_bytes_per_s", self.rate_bytes_per_s)
        for name in ("compute_budget", "bandwidth_budget_bytes"):
            if getattr(self, name) is not None:
                _positive(owner, name, getattr(self, name), zero=True)

    def compute(self, period_s: float) -> float:
        """Compute budget of a period, multiplications."""
        return self.mults_per_s * period_s if self.compute_budget is None else self.compute_budget

    def bandwidth(self, period_s: float) -> float:
        """Bandwidth budget of a period, bytes sent."""
        return self.rate_bytes_per_s * period_s if self.bandwidth_budget_bytes is None else self.bandwidth_budget_bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One inference: which source asks, and for which network."""

    source: int  # index into Instance.sources
    network: str  # key of Instance.networks


@dataclass(frozen=True, slots=True)
class Task:
    """All that does not depend on the fleet: networks, privacy tables and how they are read (spec section 6)."""

    networks: Mapping[str, Network]
    privacy: Mapping[str, PrivacyTable]
    ssim: float = 0.6
    tolerance: float = 0.01
    privacy_scope: str = "layer"
    colluders: int = 1

    def __post_init__(self) -> None:
        if not self.networks:
            raise ValueError("field 'networks' is empty, expected at least one network")
        if isinstance(self.ssim, bool) or not isinstance(self.ssim, int | float) or not -1 <= self.ssim <= 1:
            raise ValueError(f"field 'ssim' is {self.ssim!r}, expected a number in -1..1")
        _positive("instance", "tolerance", self.tolerance, zero=True)
        if self.privacy_scope not in PRIVACY_SCOPES:
            raise ValueError(
                f"field 'privacy_scope' is {self.privacy_scope!r}, expected one of {', '.join(PRIVACY_SCOPES)}"
            )
        _count("instance", "colluders", self.colluders)
        for name, network in self.networks.items():
            if name not in self.privacy:
                raise ValueError(
                    f"field 'privacy' has no table for network {name!r}; an empty table {{}} means no limit"
                )
            _check_privacy_table(name, network, self.privacy[name])
        for name in self.privacy:
            if name not in self.networks:
                raise ValueError(f"field 'privacy' names network {name!r}, expected one of {', '.join(self.networks)}")


def _check_privacy_table(name: str, network: Network, table: PrivacyTable) -> None:
    maps = {layer.name: layer.outputs for layer in network.layers}
    for layer, row in table.items():
        where = f"privacy table of network {name!r}, layer {layer!r}"
        if layer not in maps:
            raise ValueError(f"{where}: the network has no such layer, expected one of {', '.join(maps)}")
        if not row:
            raise ValueError(f"{where}: is empty, expected at least one count of maps")
        for count, value in row.items():
            if not 1 <= count <= maps[layer]:
                raise ValueError(f"{where}: lists {count} maps, expected 1..{maps[layer]}")
            number = isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1
            if value is not None and not number:
                raise ValueError(f"{where}: the SSIM of {count} maps is {value!r}, expected a number in -1..1 or null")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Devices and sources before anything is asked of them: what an instance has beside its task and requests."""

    devices: tuple[Device, ...]
    sources: tuple[Device, ...]
    period_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Instance:
    """One period: a task, a fleet, sources and the ordered requests."""

    task: Task
    devices: tuple[Device, ...]
    sources: tuple[Device, ...]
    requests: tuple[Request, ...]
    period_s: float = 1.0

    def __post_init__(self) -> None:
        _positive("instance", "period_s", self.period_s)
        for name in ("devices", "sources", "requests"):
            if not getattr(self, name):
                raise ValueError(f"field '{name}' is empty, expected at least one entry")
        for index, request in enumerate(self.requests):
            if (
                isinstance(request.source, bool)
                or not isinstance(request.source, int)
                or not 0 <= request.source < len(self.sources)
            ):
                raise ValueError(
                    f"request {index}: field 'source' is {request.source!r}, expected 0..{len(self.sources) - 1}"
                )
            if request.network not in self.task.networks:
                known = ", ".join(self.task.networks)
                raise ValueError(f"request {index}: field 'network' is {request.network!r}, expected one of {known}")


@dataclass(frozen=True, slots=True)
class RequestSolution:
    """Where one request runs. ``layers``: distributed layer -> device index per segment, -1 for the source."""

    rejected: bool
    latency_s: float | None
    layers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Solution:
    """A placement of all requests of an instance, with what its maker claims about it (spec section 10)."""

    requests: tuple[RequestSolution, ...]
    objective_s: float  # sum of the latencies of the served requests, seconds
    rejections: int = 0
    status: str = "feasible"  # or "optimal"
    bound_s: float | None = None
    gap: float | None = None
    rejections_bound: int | None = None
    seconds: float | None = None
    solver: str | None = None
