"""Drawing primitives: colours, cells, shortened text, numbers."""

from __future__ import annotations

import pytest

from envs import drawing
from envs.distprivacy.colours import device_colours
from envs.distprivacy.layer_panel import grid


def test_a_colour_for_every_device() -> None:
    for devices in (1, 12, 70, 300):
        colours = device_colours(devices)
        assert len(set(colours)) == devices + 1
        assert colours[:12] == device_colours(12)[: min(devices, 12)] + colours[min(devices, 12) : 12]
        assert all(0 <= channel <= 255 for colour in colours for channel in colour)


@pytest.mark.parametrize("maps", [1, 2, 3, 8, 9, 16, 17, 64, 100, 128, 512, 2048])
@pytest.mark.parametrize("area", [(640.0, 180.0), (850.0, 420.0)])
def test_cells_fit_their_area(maps: int, area: tuple[float, float]) -> None:
    columns, wide, high = grid(maps, *area, (96.0, 76.0))
    assert columns * wide <= area[0] + 1e-9
    assert -(-maps // columns) * high <= area[1] + 1e-9
    assert min(wide, high) >= 4


def test_shortened_text_fits() -> None:
    for width in range(0, 120, 7):
        text = drawing.fit("conv1 of a network", 11, width)
        assert drawing.text_width(text, 11) <= width or text == ""
    assert drawing.fit("conv1", 11, 200) == "conv1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0"), (1.5e-3, "1.5"), (0.123456, "123"), (9.99951e-2, "100"), (2.5, "2500"), (1e-9, "<0.001")],
)
def test_milliseconds(seconds: float, text: str) -> None:
    assert drawing.milliseconds(seconds) == text


def test_other_numbers() -> None:
    assert [drawing.quantity(value, "B") for value in (0, 999, 4608, 1e6, 2.5e9)] == [
        "0 B",
        "999 B",
        "4.61 kB",
        "1 MB",
        "2.5 GB",
    ]
    assert [drawing.percent(value) for value in (0.0, 1e-6, 0.5, 1.0)] == ["0%", "<1%", "50%", "100%"]
    assert [drawing.round_up(value) for value in (0.0, 0.3, 2.0, 7.0)] == [1.0, 0.5, 2.0, 10.0]


def test_shapes_and_lines_leave_the_ground_around_them() -> None:
    canvas = drawing.Canvas(40, 40)
    canvas.box(0, 0, 40, 40, (200, 0, 0))
    canvas.shape([(10, 10), (30, 10), (30, 30), (10, 30)], (0, 0, 200), 0.5)
    picture = canvas.array()
    assert picture[20, 20].tolist() == pytest.approx([100, 0, 100], abs=1)
    assert picture[5, 5].tolist() == picture[35, 20].tolist() == [200, 0, 0]
    canvas.curve([(5, 35), (35, 35)], (0, 200, 0), 3)
    canvas.curve([(5, 5)], (0, 200, 0))  # a single point is no line
    canvas.dashes(0, 40, 2, (0, 0, 0))
    picture = canvas.array()
    assert picture[35, 20].tolist() == [0, 200, 0]
    assert picture[5, 5].tolist() == [200, 0, 0]
    assert picture[2, :, 0].tolist() == ([0] * 5 + [200] * 5) * 4
    canvas.shape([(-50, -50), (100, -50), (100, 100), (-50, 100)], (1, 2, 3))  # cut at the edges
    assert (canvas.array() == (1, 2, 3)).all()
