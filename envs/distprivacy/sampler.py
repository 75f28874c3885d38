"""The compiled sampler of random instances: uniform random numbers in, heads of state rows out (spec section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import allocating_kernel, kernel
from envs.distprivacy import state as s
from envs.distprivacy.state import Dims, Row

# Numbers that the compiled sampler reads.
(
    RANDOM_FLEET,
    LEAST,
    MOST,
    SPEED_LOW,
    SPEED_HIGH,
    RATE_LOW,
    RATE_HIGH,
    MEMORY,
    PERIOD,
    CHURN,
    LEAST_PRESENT,
    SHUFFLE,
    ABSENT,
) = range(13)
N_SPEC = 13


@kernel
def sample_block(heads: Row, template: Row, d: Dims, spec: Row, apart: NDArray[np.bool_], uniforms: Row) -> None:
    """``sample_into`` for a block of instances: ``heads`` (B, instance_length), ``uniforms`` (B, numbers)."""
    for b in range(heads.shape[0]):
        sample_into(heads[b], template, d, spec, apart, uniforms[b])


@kernel
def sample_into(head: Row, template: Row, d: Dims, spec: Row, apart: NDArray[np.bool_], u: Row) -> None:
    """Write one instance into ``head`` from uniform numbers ``u``: fleet, churn, order and sources of the requests."""
    devices = int(d[s.DEVICES])
    for i in range(template.shape[0]):
        head[i] = template[i]
    at = 0
    if spec[RANDOM_FLEET] > 0.0:
        count = int(spec[LEAST] + np.floor(u[0] * (spec[MOST] - spec[LEAST] + 1.0)))
        slots = int(spec[MOST])
        for j in range(slots):
            present = j < count
            speed = spec[SPEED_LOW] * np.exp(u[1 + 2 * j] * np.log(spec[SPEED_HIGH] / spec[SPEED_LOW]))
            rate = spec[RATE_LOW] * np.exp(u[2 + 2 * j] * np.log(spec[RATE_HIGH] / spec[RATE_LOW]))
            head[d[s.O_PRESENT] + np.uint64(j)] = 1.0 if present else 0.0
            head[d[s.O_SPEED] + np.uint64(j)] = speed if present else 0.0
            head[d[s.O_RATE] + np.uint64(j)] = rate if present else 0.0
            head[d[s.O_MEMORY] + np.uint64(j)] = spec[MEMORY] if present else 0.0
            head[d[s.O_COMPUTE] + np.uint64(j)] = speed * spec[PERIOD] if present else 0.0
            head[d[s.O_BANDWIDTH] + np.uint64(j)] = rate * spec[PERIOD] if present else 0.0
        at = 1 + 2 * slots
    gone = spec[ABSENT]
    for back in range(devices):
        j = devices - 1 - back
        if gone > 0.0 and head[d[s.O_PRESENT] + np.uint64(j)] > 0.0:
            head[d[s.O_PRESENT] + np.uint64(j)] = 0.0
            gone -= 1.0
    if spec[CHURN] > 0.0:
        left = 0.0
        for j in range(devices):
            left += head[d[s.O_PRESENT] + np.uint64(j)]
        for j in range(devices):
            leaves = (
                head[d[s.O_PRESENT] + np.uint64(j)] > 0.0 and left > spec[LEAST_PRESENT] and u[at + j] < spec[CHURN]
            )
            if leaves:
                head[d[s.O_PRESENT] + np.uint64(j)] = 0.0
                left -= 1.0
    at = u.shape[0] - 2 * int(head[s.N_REQUESTS])
    if spec[SHUFFLE] > 0.0:
        _shuffle_requests(head, d, apart, u[at:])


@allocating_kernel
def _shuffle_requests(head: Row, d: Dims, apart: NDArray[np.bool_], u: Row) -> None:
    """Random order (Fisher-Yates) and random sources; networks in ``apart`` never share a source."""
    n, sources = int(head[s.N_REQUESTS]), int(head[s.N_SOURCES])
    first = d[s.O_REQUESTS]
    for r in range(n - 1, 0, -1):
        other = int(u[r] * (r + 1))
        head[first + 2 * r + 1], head[first + 2 * other + 1] = head[first + 2 * other + 1], head[first + 2 * r + 1]
    free = np.arange(sources)
    left = sources
    for r in range(n):
        if apart[int(head[first + 2 * r + 1])]:
            pick = int(u[n + r] * left)
            head[first + 2 * r] = free[pick]
            left -= 1
            free[pick] = free[left]
        else:
            head[first + 2 * r] = np.floor(u[n + r] * sources)
