"""From counts and flows to a device for every map of every layer."""

from __future__ import annotations

from collections.abc import Sequence

from envs.distprivacy.types import Instance
from optimal.block_optimum import Plan
from optimal.blocks import Chain

SOURCE = -1


def _routes(plan: Plan) -> list[tuple[int, ...]]:
    """The devices that each map passes, layer by layer, as a decomposition of the flows."""
    routes: list[tuple[int, ...]] = [(j,) for j, count in enumerate(plan.entry) for _ in range(int(count))]
    for flows in plan.flows:
        left = flows.copy()
        longer: list[tuple[int, ...]] = []
        for route in routes:
            here = route[-1]
            # stay where possible, so that no map leaves a device that another one then enters
            target = here if left[here, here] > 0 else int(left[here].argmax())
            left[here, target] -= 1
            longer.append((*route, target))
        routes = longer
    return routes


def _matched(routes: list[tuple[int, ...]], seen: list[set[int]]) -> list[tuple[int, ...]]:
    """The routes in an order such that maps go again where they were seen before, as far as a greedy choice gets."""
    left, result = list(routes), []
    for devices in seen:
        best = max(left, key=lambda route: (len(devices & set(route)), -len(set(route))))
        left.remove(best)
        result.append(best)
    return result


def unroll(
    instance: Instance, request: int, chain: Chain, plans: Sequence[Plan | None], states: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """Distributed layer -> device index per segment, -1 for the source.

    ``plans``: per stage, None where it has no block. ``states``: the state behind each stage.
    """
    layers = instance.task.networks[instance.requests[request].network].layers
    result: dict[str, tuple[int, ...]] = {}
    seen: list[set[int]] | None = None
    for stage, plan, state in zip(chain.stages, plans, states, strict=True):
        positions = list(stage.positions)
        if stage.block is not None and plan is not None:
            routes = _routes(plan)
            if chain.spans and seen is not None and len(seen) == len(routes):
                routes = _matched(routes, seen)
            seen = [set(route) for route in routes]
            for at, position in enumerate(stage.block.positions):
                result[layers[position].name] = tuple(route[at] for route in routes)
            positions = positions[len(stage.block.positions) :]
        for position in positions:
            result[layers[position].name] = (state if stage.on_device else SOURCE,) * layers[position].segments
    result.pop(layers[-1].name, None)
    return result
