"""Privacy limits: how many maps of a layer one untrusted device may hold (paper Eq 10f to 10h; spec section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from envs.distprivacy.types import Network, PrivacyTable

_SLACK = 1e-12
"""0.4 + 0.01 is not exactly 0.41 in floating point; a table entry of 0.41 must still serve a target of 0.40."""


@dataclass(frozen=True, slots=True)
class LayerLimit:
    """What the privacy target asks of one layer."""

    limit: int | None  # most maps on one device (10f); None: no limit, the layer reads the split point or a later one
    on_source: bool  # no device may run this layer (10f with limit 0, or 10h)


def split_point(network: Network, table: PrivacyTable, target: float, tolerance: float) -> int | None:
    """Index (0-based) of the first listed layer whose SSIM with *all* maps is within the target; None where there is none."""
    for index, layer in enumerate(network.layers):
        value = table.get(layer.name, {}).get(layer.outputs)
        if value is not None and value <= target + tolerance + _SLACK:
            return index
    return None


def row_limit(row: Any, target: float, tolerance: float) -> int:
    """Nf: the largest listed count such that every listed count up to it is within the target; 0 where none is."""
    limit = 0
    for count in sorted(row):
        if row[count] is None or row[count] > target + tolerance + _SLACK:
            break
        limit = count
    return limit


def layer_limits(network: Network, table: PrivacyTable, target: float, tolerance: float) -> tuple[LayerLimit, ...]:
    """Limits of layers 1..L in order; the first and the last always run on the source."""
    layers = network.layers
    listed = [index for index, layer in enumerate(layers) if layer.name in table]
    split = split_point(network, table, target, tolerance)
    result = [LayerLimit(None, True)]
    for index in range(1, len(layers) - 1):
        if not listed or (split is not None and index - 1 >= split):
            result.append(LayerLimit(None, False))
            continue
        before = [entry for entry in listed if entry <= index - 1]
        limit = row_limit(table[layers[before[-1] if before else listed[0]].name], target, tolerance)
        first_fc = layers[index].kind == "fc" and layers[index - 1].kind != "fc"
        result.append(LayerLimit(limit, limit == 0 or first_fc))
    result.append(LayerLimit(None, True))
    return tuple(result)


def map_groups(network: Network, limits: tuple[LayerLimit, ...]) -> tuple[int, ...]:
    """For each layer the index of the first layer of its group.

    A group is the distributed, limited layers that carry the same maps: the output of one conv (or of the first layer)
    through its act and pool layers to the next conv, layers that are kept on the source in between left out. Layers without
    a limit, layers on the source and fc layers are groups of their own: no device is limited there, or only by one segment.
    """
    first: list[int] = []
    group: int | None = None  # of the maps that the current layer receives
    for index, layer in enumerate(network.layers):
        if index < 2 or network.layers[index - 1].kind in ("conv", "fc"):
            group = None  # new maps
        member = limits[index].limit is not None and not limits[index].on_source and layer.kind != "fc"
        if member and group is None:
            group = index
        first.append(group if member and group is not None else index)
    return tuple(first)


@lru_cache(maxsize=1)
def published_tables() -> dict[str, dict[str, dict[int, float | None]]]:
    """Table 2 of the paper as shipped with the package: network -> layer -> maps held -> SSIM."""
    import yaml

    text = resources.files("envs.distprivacy").joinpath("ssim_table.yaml").read_text(encoding="utf-8")
    tables: dict[str, dict[str, dict[int, float | None]]] = yaml.safe_load(text)
    return tables
