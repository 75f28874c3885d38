"""The published layout of observations: named features with unit and range (spec section 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 100.0
"""Where times are clipped, request scales."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One named slice of an observation."""

    name: str
    meaning: str
    unit: str
    low: float = 0.0
    high: float = 1.0


_LATENCY = "request scales"
DEVICE_FEATURES = (
    Feature("present", "the slot holds a device of this period", "0/1"),
    Feature(
        "increase",
        "increase of the latency so far (and of the traffic's price) if the next map is placed here",
        _LATENCY,
        0.0,
        MOST,
    ),
    Feature("holds_map", "holds the next map at the layer before", "0/1"),
    Feature(
        "home", "maps of the layer before that it holds and that are still to be placed, share of the layer", "share"
    ),
    Feature("previous", "segments of the layer before on it, share of that layer", "share"),
    Feature("count", "segments of this layer on it, share of the layer", "share"),
    Feature("slack", "time by which it is ahead of the slowest device of the layer", _LATENCY, 0.0, MOST),
    Feature(
        "privacy_room",
        "maps that it may still see in this layer (group), share of the layer; 1 without a limit",
        "share",
    ),
    Feature("seen_map", "has seen the next map in an earlier layer of the group", "0/1"),
    Feature("memory_left", "share of the period's memory left", "share"),
    Feature("compute_left", "share of the period's compute left", "share"),
    Feature("bandwidth_left", "share of the period's bandwidth left", "share"),
    Feature("speed", "log of its speed over the fleet's geometric mean", "log ratio", -10.0, 10.0),
    Feature("rate", "log of its rate over the fleet's geometric mean", "log ratio", -10.0, 10.0),
    Feature("compute_cost", "computation time of one segment of this layer here", _LATENCY, 0.0, MOST),
    Feature("send_cost", "time to send one output map of this layer from here", _LATENCY, 0.0, MOST),
    Feature(
        "later_increase",
        "increase of what later layers take at least if the next map is placed here and stays",
        _LATENCY,
        0.0,
        MOST,
    ),
)
REQUEST_FEATURES = (
    Feature("conv", "the layer is a convolution", "0/1"),
    Feature("act", "an activation", "0/1"),
    Feature("pool", "a pooling", "0/1"),
    Feature("fc", "fully connected", "0/1"),
    Feature("by_partial_sums", "data arrive as partial sums of a conv", "0/1"),
    Feature("by_maps", "data arrive map by map", "0/1"),
    Feature("next_on_source", "the next layer runs on the source", "0/1"),
    Feature("next_by_partial_sums", "this layer is a conv whose holders all send to all holders of the next", "0/1"),
    Feature("network", "index of the network in the task over the number of networks", "share"),
    Feature("depth", "position of the layer, 0 first to 1 last", "share"),
    Feature("progress", "maps of the layer already placed, share", "share"),
    Feature("maps", "log2(1 + maps still to place) / 10", "log", 0.0, 2.0),
    Feature("limit", "privacy limit of the layer over its maps; 1 without a limit", "share"),
    Feature("latency", "latency so far", _LATENCY, 0.0, MOST),
    Feature("latency_layer", "latency of this layer so far", _LATENCY, 0.0, MOST),
    Feature("latency_first", "transfer from the source into layer 2 so far", _LATENCY, 0.0, MOST),
    Feature("latency_pending", "transfer back to the source that is already due", _LATENCY, 0.0, MOST),
    Feature("slowest_sender", "time in which the slowest sender delivers one map's partial sums", _LATENCY, 0.0, MOST),
    Feature(
        "mean_compute_cost",
        "computation time of one segment on a device of mean speed (geometric)",
        _LATENCY,
        0.0,
        MOST,
    ),
    Feature("mean_send_cost", "time to send one output map at the fleet's mean rate (geometric)", _LATENCY, 0.0, MOST),
    Feature("source_speed", "log of the source's speed over the fleet's geometric mean", "log ratio", -10.0, 10.0),
    Feature("source_rate", "log of the source's rate over the fleet's geometric mean", "log ratio", -10.0, 10.0),
    Feature("requests_left", "requests of the period still to come, share", "share"),
    Feature("fleet", "present devices over 100", "share", 0.0, MOST),
)
PAPER_REQUEST_FEATURES = (
    Feature("network", "index of the network in the task over the number of networks", "share"),
    Feature("layer", "position of the layer, 0 first to 1 last", "share"),
    Feature("segment", "next segment over the segments of the layer", "share"),
)
PAPER_DEVICE_FEATURES = (
    Feature("compute_ok", "compute for one more segment is left", "0/1"),
    Feature("bandwidth_ok", "bandwidth to send one more output map is left", "0/1"),
    Feature("memory_ok", "memory for one more segment is left", "0/1"),
    Feature("privacy_ok", "privacy room for one more segment is left", "0/1"),
    Feature("held", "segments of this layer on it, share of the layer", "share"),
    Feature("previous", "segments of the layer before on it, share of that layer", "share"),
)
N_DEVICE = len(DEVICE_FEATURES)
N_REQUEST = len(REQUEST_FEATURES)
N_PAPER_REQUEST = len(PAPER_REQUEST_FEATURES)


def _ordered(kind: str, max_devices: int) -> list[tuple[Feature, int]]:
    """Features with their lengths, in order of the vector."""
    if kind == "paper":
        return [(f, 1) for f in PAPER_REQUEST_FEATURES] + [(f, max_devices) for f in PAPER_DEVICE_FEATURES]
    mask = Feature("mask", "the device may take the next map (look-ahead)", "0/1")
    return [*((f, max_devices) for f in DEVICE_FEATURES), *((f, 1) for f in REQUEST_FEATURES), (mask, max_devices)]


def layout(kind: str, max_devices: int) -> dict[str, slice]:
    """Name of every part of the observation -> its slice. ``kind``: "full" or "paper"."""
    slices, at = {}, 0
    for feature, length in _ordered(kind, max_devices):
        slices[feature.name] = slice(at, at + length)
        at += length
    return slices


def bounds(kind: str, max_devices: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest value of every number of the observation, float32."""
    parts = _ordered(kind, max_devices)
    low = np.concatenate([np.full(n, f.low, np.float32) for f, n in parts])
    return low, np.concatenate([np.full(n, f.high, np.float32) for f, n in parts])
