"""A task as one flat table: every layer of every network a row, with offsets; what the compiled physics reads.

The table follows from the networks and the privacy limits alone, so all instances of a task share it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.distprivacy.privacy import LayerLimit, layer_limits, map_groups
from envs.distprivacy.types import Layer, Network, Task

# How the data of one layer reaches the next (spec section 4); units are bytes.
NONE, PARTIAL, MAPS, GATHER, GATHER_ALL = range(5)
# NONE        the first layer: its input is at the source
# PARTIAL     conv -> conv/act/pool: every holder sends the partial sums of each map that the receiver will hold
# MAPS        act/pool -> conv/act/pool: a map moves only when it changes hands
# GATHER      act/pool/fc -> fc: every holder sends its maps to the one device of the fc
# GATHER_ALL  conv -> fc: every holder sends its partial sums of all maps

KIND_CODE = {"conv": 0, "act": 1, "pool": 2, "fc": 3}

# Columns of the layer table (float64; whole numbers are exact).
(
    KIND,  # 0 conv, 1 act, 2 pool, 3 fc
    SEGMENTS,  # number of segments
    MULTS,  # multiplications of one segment
    WEIGHT,  # weight bytes of one segment
    IN_MODE,  # NONE .. GATHER_ALL
    IN_UNIT,  # bytes per segment received (GATHER: per segment held by the sender; GATHER_ALL: per sender)
    LIMIT,  # most maps on one device (group scope: of the whole group); -1: no limit
    ON_SOURCE,  # 1: the source runs it, no decision
    GROUP,  # row of the first layer of its group (layers that carry the same maps)
    OFFSET,  # of its first segment in a placement row
    SEND_MAP,  # next layer on the source: bytes that a holder sends there per segment held
    SEND_ONCE,  # next layer on the source, this one a conv: bytes that each holder sends there
    NEXT_UNIT,  # conv before a distributed non-fc layer: bytes a holder sends per map of that layer held elsewhere
    NEXT_ROOM,  # the same: most maps of that layer that one device may hold
    FIRST,  # 1: second layer of its network; the transfer into it counts in t_s
    OUT_BYTES,  # bytes of one output map (fc: of all outputs)
    OUT_MAPS,  # output maps (fc: 1)
    DEPTH,  # 0 first layer .. 1 last layer
    LATER_MULTS,  # multiplications that the later layers of the same maps do on the holder of a map that stays
    LATER_BYTES,  # bytes that the holder of a map that stays must send of it in the end
    LATER_ONCE,  # conv: bytes that each of its holders sends at least to the next layer
) = range(21)
COLUMNS = 21

# Columns of the network table.
(
    START,  # row of its first layer
    LENGTH,  # number of layers
    SOURCE_MEMORY,  # weight bytes that its source holds (first, last and kept layers)
    SOURCE_MULTS,  # multiplications that its source does
    SOURCE_BYTES,  # bytes that its source sends
    ALL_MULTS,  # multiplications of all layers
    ALL_BYTES,  # most bytes that any one link can carry, summed over layers
    SPLIT_MULTS,  # multiplications of the distributed layers
    SPLIT_LINK,  # bytes per link and layer that an even split would carry, before division by the number of devices
    SOURCE_LINK,  # the same from the source into layer 2
    SIGMA,  # paper reward: bonus per segment that the device already holds
    BETA,  # paper reward: penalty for a device slower than the mean
    PRICE,  # latency reward: seconds charged for each second in which the whole fleet would send the shared data
) = range(13)
NETWORK_COLUMNS = 13


@dataclass(frozen=True)
class TaskTables:
    """The compiled form of a task."""

    layers: NDArray[np.float64]  # (all layers of all networks, COLUMNS)
    networks: NDArray[np.float64]  # (networks, NETWORK_COLUMNS)
    names: tuple[str, ...]  # network names, in table order
    limits: dict[str, tuple[LayerLimit, ...]]  # network -> limit of each layer
    placement_length: int  # segments of the largest network

    def index(self, network: str) -> int:
        """Row of a network in the network table."""
        return self.names.index(network)


def _transfer(before: Layer, after: Layer) -> tuple[int, float]:
    """Mode and unit of the transfer between two adjacent layers (paper Eq 6)."""
    if after.kind == "fc":
        if before.kind == "conv":
            return GATHER_ALL, float(before.map_bytes * before.outputs)
        return GATHER, float(before.map_bytes)
    return (PARTIAL if before.kind == "conv" else MAPS), float(before.map_bytes)


def _network_rows(
    network: Network, limits: tuple[LayerLimit, ...], start: int, *, grouped: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    layers = network.layers
    groups = map_groups(network, limits)
    counts = [limit.limit for limit in limits]
    if grouped:
        counts = [
            count
            if count is None
            else min(c for g, c in zip(groups, counts, strict=True) if g == group and c is not None)
            for group, count in zip(groups, counts, strict=True)
        ]
    rows = np.zeros((len(layers), COLUMNS))
    total = np.zeros(NETWORK_COLUMNS)
    offset = 0
    for index, layer in enumerate(layers):
        row = rows[index]
        row[KIND] = KIND_CODE[layer.kind]
        row[SEGMENTS] = layer.segments
        row[MULTS] = layer.mults_per_segment
        row[WEIGHT] = layer.weight_bytes_per_segment
        row[OFFSET] = offset
        offset += layer.segments
        row[GROUP] = start + groups[index]
        count = counts[index]
        row[LIMIT] = -1 if count is None else count
        row[ON_SOURCE] = limits[index].on_source
        row[OUT_BYTES] = layer.map_bytes
        row[OUT_MAPS] = 1 if layer.kind == "fc" else layer.outputs
        row[DEPTH] = index / (len(layers) - 1)
        row[FIRST] = index == 1
        if index:
            row[IN_MODE], row[IN_UNIT] = _transfer(layers[index - 1], layer)
    for index in range(len(layers) - 1):
        row, after = rows[index], rows[index + 1]
        if after[ON_SOURCE]:
            if layers[index].kind == "conv":
                row[SEND_ONCE] = layers[index].map_bytes * layers[index].outputs
            else:
                row[SEND_MAP] = layers[index].map_bytes
        elif after[IN_MODE] == PARTIAL:
            row[NEXT_UNIT] = after[IN_UNIT]
            row[NEXT_ROOM] = after[SEGMENTS] if after[LIMIT] < 0 else min(after[LIMIT], after[SEGMENTS])
    for index in range(1, len(layers) - 1):
        _look_ahead(network, rows, index)
    total[START], total[LENGTH] = start, len(layers)
    for index, row in enumerate(rows):
        work = row[SEGMENTS] * row[MULTS]
        received = row[IN_UNIT] * (
            1.0
            if row[IN_MODE] == GATHER_ALL
            else rows[index - 1][SEGMENTS]
            if row[IN_MODE] == GATHER
            else row[SEGMENTS]
        )
        total[ALL_MULTS] += work
        total[ALL_BYTES] += received
        if row[ON_SOURCE]:
            total[SOURCE_MEMORY] += row[SEGMENTS] * row[WEIGHT]
            total[SOURCE_MULTS] += work
        else:
            total[SPLIT_MULTS] += work
            if rows[index - 1][ON_SOURCE]:
                total[SOURCE_BYTES] += received
                total[SOURCE_LINK] += received
            elif row[IN_MODE] != MAPS:
                total[SPLIT_LINK] += received
    return rows, total


def _look_ahead(network: Network, rows: NDArray[np.float64], index: int) -> None:
    """Fill in what a map of a layer costs its holder later, if it stays there (LATER_MULTS .. LATER_ONCE)."""
    row, kind = rows[index], network.layers[index].kind
    if kind == "conv":
        after = rows[index + 1]
        row[LATER_ONCE] = after[IN_UNIT] if not after[ON_SOURCE] else 0.0  # to the source: SEND_ONCE says it
    elif kind != "fc":
        for later in range(index + 1, len(rows)):
            after = rows[later]
            if after[ON_SOURCE] or after[KIND] == KIND_CODE["fc"]:
                # what this layer itself sends to the source counts while its maps are placed (SEND_MAP)
                row[LATER_BYTES] = after[IN_UNIT] if later > index + 1 or not after[ON_SOURCE] else 0.0
                return
            row[LATER_MULTS] += after[MULTS]
            if after[KIND] == KIND_CODE["conv"]:
                return


def compile_task(task: Task) -> TaskTables:
    """Flatten the networks and privacy limits of a task into tables."""
    blocks, totals, limits = [], [], {}
    start = longest = 0
    for name, network in task.networks.items():
        limits[name] = layer_limits(network, task.privacy[name], task.ssim, task.tolerance)
        rows, total = _network_rows(network, limits[name], start, grouped=task.privacy_scope == "group")
        blocks.append(rows)
        totals.append(total)
        start += len(rows)
        longest = max(longest, network.segments)
    return TaskTables(np.concatenate(blocks), np.stack(totals), tuple(task.networks), limits, longest)
