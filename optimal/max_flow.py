"""Whole flows through a network (Dinic). Arcs are stored with their reverses, a pair at indices 2n and 2n + 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import allocating_kernel

Ints = NDArray[np.int64]


@allocating_kernel
def add_arc(graph: Ints, first: Ints, count: int, tail: int, head: int, room: int) -> int:
    """Add an arc and its reverse; ``graph`` rows: head, room, next arc of the same tail. Returns the number of arcs."""
    graph[0, count], graph[1, count], graph[2, count] = head, room, first[tail]
    first[tail] = count
    graph[0, count + 1], graph[1, count + 1], graph[2, count + 1] = tail, 0, first[head]
    first[head] = count + 1
    return count + 2


@allocating_kernel
def send(graph: Ints, first: Ints, level: Ints, current: Ints, path: Ints, wanted: int) -> int:
    """A flow of ``wanted`` from node 0 to node 1, or the largest (Dinic); ``graph`` row 1 holds the room left."""
    nodes, total = first.shape[0], 0
    queue = np.empty(nodes, np.int64)
    while True:
        level[:] = -1
        level[0], queue[0] = 0, 0
        at, end = 0, 1
        while at < end and level[1] < 0:
            node = queue[at]
            at += 1
            arc = first[node]
            while arc >= 0:
                head = graph[0, arc]
                if graph[1, arc] > 0 and level[head] < 0:
                    level[head] = level[node] + 1
                    queue[end] = head
                    end += 1
                arc = graph[2, arc]
        if level[1] < 0:
            return total
        current[:] = first
        node, depth = 0, 0
        while True:
            if node == 1:
                room = wanted - total
                for step in range(depth):
                    room = min(room, graph[1, path[step]])
                total += room
                for step in range(depth):
                    graph[1, path[step]] -= room
                    graph[1, path[step] ^ 1] += room
                if total == wanted:
                    return total
                node, depth = 0, 0
                continue
            arc = current[node]
            while arc >= 0 and not (graph[1, arc] > 0 and level[graph[0, arc]] == level[node] + 1):
                arc = graph[2, arc]
            current[node] = arc
            if arc >= 0:
                path[depth] = arc
                depth += 1
                node = graph[0, arc]
            elif depth == 0:
                break
            else:
                level[node] = -1
                depth -= 1
                node = graph[0, path[depth] ^ 1]
