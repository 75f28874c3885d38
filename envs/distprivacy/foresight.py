"""What a placement costs in later layers: a feature of the observation, no part of the latency.

A map that stays where it is makes work for its holder in the layers that carry the same maps (up to the next conv, or to the
sending to an fc layer); a conv's slowest holder holds up every receiver of its partial sums. Greedy placement overlooks
both. The estimate assumes that no map moves before the next conv or fc layer.
"""

from __future__ import annotations

from envs._jit import inlined_kernel
from envs.distprivacy import state as s
from envs.distprivacy import tables as t
from envs.distprivacy.state import Dims, Row, Table


@inlined_kernel
def survey_later(row: Row, d: Dims, table: Table) -> None:
    """Write for every device the increase of later layers' times if it takes the next map, seconds (O_LATER).

    The sum of three: of the slowest computation and of the slowest sending, were all maps of this layer to stay; and of the
    time in which the slowest holder of a conv sends one map's partial sums.
    """
    k = int(row[s.LAYER])
    mults, unit, once = table[k, t.LATER_MULTS], table[k, t.LATER_BYTES], table[k, t.LATER_ONCE]
    devices, later, count, speed = d[s.DEVICES], d[s.O_LATER], d[s.O_COUNT], d[s.O_SPEED]
    present, per_rate = d[s.O_PRESENT], d[s.O_PER_RATE]
    for j in range(devices):
        row[later + j] = 0.0
    if mults > 0.0:
        most = 0.0
        for j in range(devices):
            if row[count + j] > 0.0:
                most = max(most, row[count + j] * mults / row[speed + j])
        for j in range(devices):
            if row[present + j] > 0.0:
                row[later + j] += max(0.0, (row[count + j] + 1.0) * mults / row[speed + j] - most)
    if unit > 0.0:
        most = 0.0
        for j in range(devices):
            most = max(most, row[count + j] * unit * row[per_rate + j])
        for j in range(devices):
            row[later + j] += max(0.0, (row[count + j] + 1.0) * unit * row[per_rate + j] - most) * row[present + j]
    if once > 0.0:
        most = 0.0
        for j in range(devices):
            if row[count + j] > 0.0:
                most = max(most, once * row[per_rate + j])
        for j in range(devices):
            row[later + j] += max(0.0, once * row[per_rate + j] - most) * row[present + j]
