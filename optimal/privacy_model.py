"""Privacy limits as rows of an integer program: distinct maps that a device has held, and the largest counts together.

Along a group of layers that carry the same maps a device has held its maps of the first layer and those that came in later,
less those that came *back*. Over three layers a map can only come back from one device i, and how many do is free up to
min(f[j, i], f[i, j]): at i, maps from j are matched with maps to j first, and what is left can be matched at will. So flows
state the distinct maps exactly. Over more layers a variable for each path does, where paths are few; else only the three
layers around each layer are limited, a relaxation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from optimal.request_model import RequestModel, Row, Term, total

MOST_PATHS = 4096
"""Paths through a group of more than three layers that are modelled one by one."""


def add_privacy(model: RequestModel) -> list[tuple[list[int], dict[tuple[int, ...], Term]]]:
    """Add the privacy rows of one request; returns the groups that are modelled by paths, with a variable for each path."""
    paths = []
    for group in model.data.groups():
        limit, devices = model.data.limit(group[0]), len(model.data.speed)
        if len(group) == 1:
            if model.data.colluders > 1:  # one device alone is limited by its room
                _add_limit(model, model.counts[group[0]], limit, f"{group[0]}")
            continue
        for before, after in itertools.pairwise(group):
            if (before, after) not in model.flows:  # a layer on the source in between: any map can go to any device
                model.add_flows(before, after, [float(limit)] * devices)
        if len(group) > 3 and devices ** len(group) <= MOST_PATHS:
            variables = _add_paths(model, group)
            seen = [total(x for path, x in variables.items() if j in path) for j in range(devices)]
            _add_limit(model, seen, limit, f"{group[0]}")
            paths.append((group, variables))
            continue
        for start in range(max(1, len(group) - 2)):
            _add_limit(model, _distinct(model, group[start : start + 3]), limit, f"{group[start]}")
    return paths


def is_exact(model: RequestModel) -> bool:
    """Whether the rows say all that the privacy scope asks; else they are a relaxation."""
    devices = len(model.data.speed)
    return all(len(group) <= 3 or devices ** len(group) <= MOST_PATHS for group in model.data.groups())


def _distinct(model: RequestModel, group: Sequence[int]) -> Row:
    """(D,) distinct maps that each device holds over two or three layers."""
    devices = range(len(model.data.speed))
    result: Row = []
    steps = [model.flows[pair] for pair in itertools.pairwise(group)]
    for j in devices:
        parts: list[Term] = [model.counts[group[0]][j]]
        parts += [flow for flows in steps for (a, b), flow in flows.items() if b == j and a != j]
        for i in devices if len(steps) == 2 else ():
            out, back = steps[0].get((j, i)), steps[1].get((i, j))
            if i != j and out is not None and back is not None:
                again = model.variable(f"r{group[0]}_{j}_{i}")
                model.problem += again <= out
                model.problem += again <= back
                parts.append(-1 * again)
        result.append(total(parts))
    return result


def _add_paths(model: RequestModel, group: Sequence[int]) -> dict[tuple[int, ...], Term]:
    """A variable for each way of a map through the devices of a group; the flows are their sums."""
    where = [np.flatnonzero(model.data.room[k] > 0) for k in group]
    most = model.data.segments(group[0])
    variables: dict[tuple[int, ...], Term] = {}
    for path in itertools.product(*where):
        steps = zip(itertools.pairwise(group), itertools.pairwise(path), strict=True)
        if all((int(a), int(b)) in model.flows[pair] for pair, (a, b) in steps):
            place = tuple(int(j) for j in path)
            label = f"x{group[0]}_" + "_".join(map(str, place))
            variables[place] = model.variable(label, most, "Integer")
    for at, pair in enumerate(itertools.pairwise(group)):
        for ends, flow in model.flows[pair].items():
            model.problem += total(x for path, x in variables.items() if path[at : at + 2] == ends) == flow
    return variables


def _add_limit(model: RequestModel, held: Row, limit: int, label: str) -> None:
    """The largest counts of as many devices as collude together stay within ``limit``; ``label``: for names of variables."""
    colluders = model.data.colluders
    if colluders == 1:
        for count in held:
            if not isinstance(count, int):
                model.problem += count <= limit
        return
    # The c largest sum to at most N iff some threshold u has c u + sum(max(0, held - u)) <= N.
    threshold = model.variable(f"u{label}", limit)
    above = []
    for j, count in enumerate(held):
        excess = model.variable(f"v{label}_{j}")
        model.problem += excess >= count - threshold
        above.append(excess)
    model.problem += colluders * threshold + total(above) <= limit
