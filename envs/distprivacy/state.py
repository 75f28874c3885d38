"""The state of one environment as one row of float64 numbers: names and offsets of its parts.

A flat row makes a batch of environments one matrix, lets one compiled kernel serve the scalar and the vector environment,
and pickles, copies and compares as bytes. Slots ``0..D-1`` are devices, slot ``D`` is the source of the current request.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float64]
"""A state row."""
Place = NDArray[np.int16]
"""Slot of every segment of the current request."""
Dims = NDArray[np.uint64]
"""Integers of ``make_dims``."""
Table = NDArray[np.float64]
"""Layer table or network table."""

# --- integers that the kernels need: `dims` -------------------------------------------------------------------------
(
    DEVICES,  # D: device slots
    SOURCES,  # source slots
    REQUESTS,  # request slots
    GROUP_SCOPE,  # 1: privacy counts distinct maps of a group, 0: maps of a layer
    COLLUDERS,  # the c largest counts together stay within the limit
    GRANULARITY,  # most maps that one step places
    INHERIT,  # 1: act and pool maps stay with the holder of the map before, without a decision
    EPISODE,  # REQUEST_EPISODE .. LAYER_EPISODE
    REWARD,  # LATENCY_REWARD or PAPER_REWARD
    OBSERVATION,  # FULL_OBSERVATION or PAPER_OBSERVATION
    O_SPEED,  # offsets of the parts of a state row; D + 1 numbers each
    O_RATE,
    O_PRESENT,
    O_MEMORY,  # budgets of the period
    O_COMPUTE,
    O_BANDWIDTH,
    O_SOURCES,  # 5 numbers a source: speed, rate, memory, compute, bandwidth
    O_REQUESTS,  # 2 numbers a request: source, network
    O_END_OF_INSTANCE,  # everything before this offset is the instance, everything after it the state
    O_USED_MEMORY,  # used in this period, the current request included
    O_USED_COMPUTE,
    O_USED_BANDWIDTH,
    O_SAVED,  # the three above as they were before the current request; 3 (D + 1) numbers
    O_SOURCE_USED,  # 3 numbers a source
    O_COUNT,  # segments of the current layer on each slot
    O_PREV,  # segments of the layer before on each slot
    O_HOME,  # maps of the layer before that each slot holds and that are not yet placed in this layer
    O_LOW,  # fewest maps of this layer that each slot must end with, for want of bandwidth (PARTIAL)
    O_CAP,  # most maps of this layer that each slot can take (memory, compute, privacy, bandwidth)
    O_COMM,  # time of the slowest transfer into each slot, seconds
    O_BUSY,  # time at which each slot has finished what it holds of this layer, seconds
    O_COST,  # computation of one segment of this layer, seconds
    O_UNIT_IN,  # PARTIAL: time in which the slowest other sender delivers one map's partial sums, seconds
    O_PER_RATE,  # 1 / rate
    O_PER_MEMORY,  # 1 / budget
    O_PER_COMPUTE,
    O_PER_BANDWIDTH,
    O_SEEN,  # 1: the slot has seen the next map in an earlier layer of the group
    O_INCREASE,  # increase of the latency so far if the slot takes the next map, seconds
    O_LATER,  # increase of what later layers take at least, if the slot takes the next map and all maps stay, seconds
    O_DISTINCT,  # distinct maps of the current group that each slot has held
    O_LOG_SPEED,  # log(speed / SPEED_CENTER)
    O_LOG_RATE,  # log(rate / RATE_CENTER)
    O_MASK,  # 1: the slot may take the next map
    O_SENT,  # (D + 1)^2: maps moved from i to j in this layer
    ROW,  # length of a state row
) = range(46)
DIMS = 46

REQUEST_EPISODE, PERIOD_EPISODE, LAYER_EPISODE = range(3)
LATENCY_REWARD, PAPER_REWARD = range(2)
FULL_OBSERVATION, PAPER_OBSERVATION = range(2)

# --- scalars at the head of a state row: the instance's first, then the state's -------------------------------------
(
    N_SOURCES,
    N_REQUESTS,
    MEAN_SPEED,  # of the present devices, multiplications per second
    PERIOD_SCALE,  # seconds; mean of the requests' scales
    INDEX,  # of the instance in its list, where it comes from one
    REQUEST,  # index of the current request
    NETWORK,  # its network
    LAYER,  # row of the current layer in the layer table
    SEGMENT,  # next map to place
    LATENCY_DONE,  # finished layers, seconds
    LATENCY_FIRST,  # transfer into layer 2, seconds
    LATENCY_LAYER,  # current layer so far, seconds
    LATENCY_PENDING,  # what the holders must still send to the source, seconds
    BYTES,  # sent between devices for this request so far
    SCALE,  # seconds; rewards of this request are divided by it
    UPPER,  # seconds; no complete placement of this request takes longer
    STATUS,  # DECIDE, SERVED, REJECTED
    SLOWEST,  # slowest sender of the layer before: seconds per byte
    HOLDER,  # slot that holds the next map at the layer before; past the source where it does not matter
    LAST_SLOT,  # slot of the latest placement
    PLACED,  # placements since the last observation
    LATEST,  # the latency that the feature `slack` was last measured against
    AMPLE,  # 1: no budget can bind in this layer or in the sends to the next
    SERVED_COUNT,  # requests of this period
    REJECTED_COUNT,
    LATENCY_SUM,  # over served requests, seconds
    BYTES_SUM,  # over served requests
    LAST_LATENCY,  # of the last finished request, seconds; -1 when it was rejected
    LAST_BYTES,
    DEVICE_COUNT,  # present devices
    RATE_CENTER,  # geometric mean of the present devices' rates, bytes/s
    SPEED_CENTER,  # of their speeds, multiplications/s
    BYTE_PRICE,  # seconds charged for a byte of shared data, before the toll
    TOLLED_BYTES,  # BYTES, each counted as dear as its sender's bandwidth was scarce
    PAID,  # seconds of the current request that rewards have already told
    DEBT,  # seconds of requests that were booked without a decision; the next reward of a period episode tells them
) = range(36)
SCALARS = 36

DECIDE, SERVED, REJECTED = range(3)


def make_dims(
    max_devices: int,
    max_sources: int,
    max_requests: int,
    *,
    group_scope: bool,
    colluders: int = 1,
    granularity: int = 1,
    inherit: bool = False,
    episode: int = REQUEST_EPISODE,
    reward: int = LATENCY_REWARD,
    observation: int = FULL_OBSERVATION,
) -> NDArray[np.uint64]:
    """The integer vector that every kernel takes: sizes, options and offsets of the parts of a state row.

    Unsigned, because an index that can't be negative spares the kernels a test per access.
    """
    dims = np.zeros(DIMS, dtype=np.uint64)
    dims[[DEVICES, SOURCES, REQUESTS]] = max_devices, max_sources, max_requests
    dims[[GROUP_SCOPE, COLLUDERS, GRANULARITY, INHERIT]] = group_scope, colluders, granularity, inherit
    dims[[EPISODE, REWARD, OBSERVATION]] = episode, reward, observation
    slots = max_devices + 1
    at = SCALARS
    for part in (O_SPEED, O_RATE, O_PRESENT, O_MEMORY, O_COMPUTE, O_BANDWIDTH):
        dims[part], at = at, at + slots
    dims[O_SOURCES], at = at, at + 5 * max_sources
    dims[O_REQUESTS], at = at, at + 2 * max_requests
    dims[O_END_OF_INSTANCE] = at
    for part in (O_USED_MEMORY, O_USED_COMPUTE, O_USED_BANDWIDTH):
        dims[part], at = at, at + slots
    dims[O_SAVED], at = at, at + 3 * slots
    dims[O_SOURCE_USED], at = at, at + 3 * max_sources
    for part in range(O_COUNT, O_SENT):
        dims[part], at = at, at + slots
    dims[O_SENT], at = at, at + slots * slots
    dims[ROW] = at
    return dims
