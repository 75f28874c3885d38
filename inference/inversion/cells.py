"""What is attacked: layers, numbers of maps held, and which maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.distprivacy.privacy import published_tables
from envs.distprivacy.types import Network


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a privacy table: so many maps of a layer on each device."""

    layer: str
    maps: int  # that one device holds of the layer, and of the second one where there is one
    colluders: int  # devices that pool what they hold
    held: tuple[tuple[int, ...], ...]  # for each choice what the attacker has: maps, those of a second layer counted on

    @property
    def pooled(self) -> int:
        """Maps that the attacker has, of both layers where there are two."""
        return len(self.held[0])


def default_layers(network: Network) -> tuple[str, ...]:
    """The layers of the paper's table for its four networks; of others every conv: what it puts out is what the holders of its
    activation, its pooling and the next conv see, and the row of a layer limits those behind it."""
    names = {layer.name for layer in network.layers}
    listed = published_tables().get(network.name, {})
    if listed and set(listed) <= names:
        return tuple(listed)
    return tuple(layer.name for layer in network.layers if layer.kind == "conv") or (network.layers[0].name,)


def default_counts(maps: int, kind: str) -> tuple[int, ...]:
    """Powers of two up to all maps, and all: from 1 on for fewer than 64 maps, else from 2 on; of an fc all units alone."""
    if kind == "fc":
        return (maps,)
    count = 1 if maps < 64 else 2
    counts = []
    while count < maps:
        counts.append(count)
        count *= 2
    return (*counts, maps)


def choices_of(
    maps: int, count: int, choices: int, colluders: int, rng_seed: Sequence[int], second: int = 0
) -> tuple[tuple[int, ...], ...]:
    """Which maps an attacker has, for each of some choices.

    All maps stand in one random order, and every choice begins at another place of it: few maps are chosen twice, and with
    more maps held a choice only grows. The maps of colluders are disjoint, as far as there are enough.

    Args:
        maps: of the layer.
        count: maps on each device.
        choices: how many, at most; where all maps are taken there is one.
        colluders: devices that pool their maps.
        rng_seed: of the order.
        second: maps of a second layer, of which the device has as many, other ones where they carry the same numbers;
            0: there is none.

    Returns:
        Sorted numbers of maps, those of the second layer counted on from ``maps``.
    """
    rng = np.random.default_rng(rng_seed)
    order = rng.permutation(maps)
    order_of_second = order if second == maps else rng.permutation(second)
    taken = min(count * colluders, maps)
    taken_of_second = min(count * colluders, second)
    found: dict[tuple[int, ...], None] = {}
    for choice in range(choices):
        start = choice * maps // choices
        mine = np.roll(order, -start)[:taken]
        rolled = np.roll(order_of_second, -(start + taken) if second == maps else -(choice * second // choices))
        found[tuple(sorted(int(one) for one in (*mine, *(maps + rolled[:taken_of_second]))))] = None
    return tuple(found)
