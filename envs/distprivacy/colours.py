"""Colours with a meaning in pictures of segment allocation: devices, states of a request, kinds of layers."""

from __future__ import annotations

import colorsys
from functools import lru_cache

from envs.drawing import Colour

STATUS_COLOURS: dict[str, Colour] = {"placing": (0, 90, 160), "served": (0, 120, 85), "rejected": (190, 50, 20)}
KIND_COLOURS: dict[str, Colour] = {
    "conv": (83, 105, 150),
    "act": (190, 202, 222),
    "pool": (140, 165, 165),
    "fc": (60, 62, 86),
}

# Okabe and Ito (2008) without black, then Tol's muted scheme: told apart with any common colour blindness.
_PALETTE = (
    "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7 332288 88CCEE 44AA99 117733 999933 DDCC77 CC6677 882255 AA4499"
)
_GOLDEN = 0.61803398875
"""Steps of the golden ratio spread hues evenly, whatever their number."""


@lru_cache(maxsize=16)
def device_colours(devices: int) -> tuple[Colour, ...]:
    """One colour a device and, last, the dark colour of the source: ``devices + 1`` RGB triples.

    The first 16 are safe for colour-blind eyes; further ones vary hue and lightness: show a number with every colour.
    """
    colours: list[Colour] = [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in _PALETTE.split()]
    for index in range(devices - len(colours)):
        lightness = (0.36, 0.66, 0.51)[index % 3]
        red, green, blue = colorsys.hls_to_rgb((0.07 + index * _GOLDEN) % 1.0, lightness, 0.62)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return (*colours[:devices], (45, 45, 48))
