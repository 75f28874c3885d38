"""Drawing primitives of the viewers: colours, cached text, boxes, bars, smooth lines. Nothing about an environment.

Only ASCII and the middle dot are in the font that Pillow carries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
PANEL: Colour = (246, 247, 249)
RULE: Colour = (214, 218, 224)
GHOST: Colour = (170, 176, 186)
MUTED: Colour = (98, 106, 118)
INK: Colour = (28, 32, 38)
LOAD: Colour = (92, 112, 145)
ALERT: Colour = (200, 60, 20)


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever reads better on ``colour``."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 135 else (255, 255, 255)


@lru_cache(maxsize=32)
def _font(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, float, int]:
    """Font, height of a digit's centre in its line, height of the line."""
    font = ImageFont.load_default(size=size)
    _, top, _, bottom = font.getbbox("0")
    return font, (top + bottom) / 2, math.ceil(font.getbbox("0gjpqy|(")[3]) + 1


def _spaced(text: str, size: int) -> str:
    """Small type with twice the space between words, which hinting would close."""
    return text.replace(" ", "  ") if size < 12 else text


@lru_cache(maxsize=8192)
def text_width(text: str, size: int) -> int:
    """Width of ``text`` in pixels."""
    return math.ceil(_font(size)[0].getlength(_spaced(text, size)))


@lru_cache(maxsize=4096)
def _mask(text: str, size: int, bold: bool) -> Image.Image:
    """Text as a mask; to paste it is many times faster than to set it again."""
    font, _, height = _font(size)
    mask = Image.new("L", (text_width(text, size) + 3, height + 1), 0)
    draw = ImageDraw.Draw(mask)
    for offset in (1, 2) if bold else (1,):
        draw.text((offset, 0), _spaced(text, size), 255, font)
    return mask


@lru_cache(maxsize=4096)
def fit(text: str, size: int, width: float) -> str:
    """``text``, shortened with two dots so that it is at most ``width`` pixels wide; empty where nothing fits."""
    if text_width(text, size) <= width:
        return text
    for end in range(len(text) - 1, 0, -1):
        short = text[:end].rstrip() + ".."
        if text_width(short, size) <= width:
            return short
    return ""


class Canvas:
    """An RGB picture to draw on; pixels, origin at the top left."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = 11,
        colour: Colour = INK,
        align: str = "left",
        width: float | None = None,
        bold: bool = False,
    ) -> float:
        """One line of text, its digits centred at height ``y``; returns the x where it ends.

        ``align``: left, center or right of ``x``. ``width``: most pixels; longer text is shortened.
        """
        if width is not None:
            text = fit(text, size, width)
        if not text:
            return x
        length = text_width(text, size)
        left = x - {"left": 0.0, "center": length / 2, "right": length}[align]
        self.image.paste(colour, (round(left) - 1, round(y - _font(size)[1])), _mask(text, size, bold))
        return left + length

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        line: int = 1,
    ) -> None:
        """A rectangle of the pixels from (x0, y0) up to, not including, (x1, y1); nothing where it is empty."""
        left, top, right, bottom = round(x0), round(y0), round(x1) - 1, round(y1) - 1
        if right >= left and bottom >= top:
            self._draw.rectangle((left, top, right, bottom), fill, outline, line)

    def bar(self, x: float, y: float, width: float, height: float, fraction: float, colour: Colour) -> None:
        """A level, ``fraction`` 0..1 of the width, middle at height ``y``; any fraction above 0 leaves a trace."""
        top, bottom = y - height / 2, y + height / 2
        self.box(x, top, x + width, bottom, (230, 233, 238))
        filled = min(max(fraction, 0.0), 1.0) * width
        self.box(x, top, x + (max(filled, 1.0) if fraction > 0.0 else 0.0), bottom, colour)

    def marker(self, x: float, y: float, size: float, colour: Colour) -> None:
        """A triangle that points right, centred at (x, y)."""
        self._draw.polygon([(x - size / 2, y - size / 2), (x - size / 2, y + size / 2), (x + size / 2, y)], colour)

    def lines(
        self, area: tuple[int, int, int, int], lines: Iterable[tuple[float, float, float, float, float, Colour]]
    ) -> None:
        """Smooth lines ``(x0, y0, x1, y1, width, colour)`` on blank ground in ``area`` (left, top, right, bottom)."""
        left, top, right, bottom = area
        # twice the size, then halved: Pillow's own lines are jagged
        large = Image.new("RGB", (2 * (right - left), 2 * (bottom - top)), PAPER)
        draw = ImageDraw.Draw(large)
        for x0, y0, x1, y1, width, colour in lines:
            points = (2 * (x0 - left), 2 * (y0 - top), 2 * (x1 - left), 2 * (y1 - top))
            draw.line(points, colour, max(1, round(2 * width)))
        self.image.paste(large.reduce(2), (left, top))

    def curve(self, points: Sequence[tuple[float, float]], colour: Colour, width: float = 2.0) -> None:
        """A smooth line through ``points``, over whatever is there."""
        if len(points) > 1:
            self._smooth(points, colour, lambda draw, at: draw.line(at, 255, max(1, round(2 * width)), "curve"))

    def shape(self, points: Sequence[tuple[float, float]], colour: Colour, opacity: float = 1.0) -> None:
        """A filled polygon with smooth edges, over whatever is there, which shows through below ``opacity`` 1."""
        self._smooth(points, colour, lambda draw, at: draw.polygon(at, round(255 * opacity)))

    def _smooth(
        self,
        points: Sequence[tuple[float, float]],
        colour: Colour,
        draw: Callable[[ImageDraw.ImageDraw, list[tuple[float, float]]], None],
    ) -> None:
        left, top = (math.floor(min(point[axis] for point in points)) - 3 for axis in (0, 1))
        right, bottom = (math.ceil(max(point[axis] for point in points)) + 4 for axis in (0, 1))
        mask = Image.new("L", (2 * (right - left), 2 * (bottom - top)), 0)
        draw(ImageDraw.Draw(mask), [(2 * (x - left), 2 * (y - top)) for x, y in points])
        self.image.paste(colour, (left, top), mask.reduce(2))

    def dashes(self, x0: float, x1: float, y: float, colour: Colour, dash: int = 5) -> None:
        """A thin broken line from ``x0`` to ``x1`` at height ``y``."""
        for x in range(round(x0), round(x1), 2 * dash):
            self.box(x, y, min(x + dash, x1), y + 1, colour)

    def strip(self, x: float, y: float, width: float, height: float, colours: NDArray[np.uint8]) -> None:
        """A row of ``colours``, uint8 ``(n, 3)``, each as wide as its share of ``width``; quick for large n."""
        size = max(1, round(width)), max(1, round(height))
        self.image.paste(Image.fromarray(colours[None]).resize(size, Image.Resampling.NEAREST), (round(x), round(y)))

    def facts(self, rows: Sequence[tuple[str, str]], x0: float, x1: float, y: float) -> None:
        """Values in a row from ``x0`` to ``x1``, each with its name above it, evenly spaced."""
        widths = [max(text_width(name, 9), text_width(value, 14)) for name, value in rows]
        gap = (x1 - x0 - sum(widths)) / (len(rows) - 1)
        x = x0
        for (name, value), wide in zip(rows, widths, strict=True):
            self.text(x, y, name, 9, MUTED)
            self.text(x, y + 17, value, 14)
            x += wide + gap

    def array(self) -> NDArray[np.uint8]:
        """The picture, uint8 ``(height, width, 3)``; a copy."""
        return np.array(self.image, np.uint8)


def three_digits(value: float) -> str:
    """A number >= 0 with three significant digits, and all digits before the point."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def milliseconds(seconds: float) -> str:
    """Milliseconds with three significant digits, without unit."""
    value = 1e3 * seconds
    return "<0.001" if 0.0 < value < 0.001 else three_digits(value)


def quantity(value: float, unit: str) -> str:
    """A number with a decimal prefix and its unit, e.g. ``4.61 kB``."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{three_digits(value / factor)} {prefix}{unit}"
    return f"{three_digits(value)} {unit}"


def percent(fraction: float) -> str:
    """A fraction as a whole percentage; what rounds to 0 but is more reads ``<1%``."""
    return "<1%" if 0.0 < fraction < 0.005 else f"{100 * fraction:.0f}%"


def round_up(value: float) -> float:
    """The next number of the form 1, 2, 5 times a power of ten, at or above ``value``; 1 for 0."""
    if value <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * (1 - 1e-9))
