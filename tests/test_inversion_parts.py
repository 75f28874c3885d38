"""The parts of an inversion: maps of layers, frames, linear inverses, networks, scores, choices, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from tiny_inversion import SHAPE, blobs, tiny_cnn
from torch import nn

from envs.distprivacy.networks import NETWORKS
from envs.distprivacy.types import Layer, Network
from inference.cnn.networks import make_cnn
from inference.cnn.trained import TrainedCnn
from inference.inversion.capture import Capture
from inference.inversion.cells import choices_of, default_counts, default_layers
from inference.inversion.frame import Frame
from inference.inversion.least_squares import linear_inverses
from inference.inversion.networks import make_inverse
from inference.inversion.scoring import floor, ssim, window_of
from inference.inversion.statistics import estimate
from inference.inversion.training import clipped, loss_of


# --- maps of layers --------------------------------------------------------------------------------------------------
def test_every_layer_is_what_the_module_computes_there() -> None:
    model, images = tiny_cnn(), blobs(5, 3).images
    capture, state, found = Capture(model), model.prepare(images), {}
    with torch.no_grad():
        for name, part in model.module.named_children():
            state = part(state.clone())
            found[name] = state
    ends = {"conv1": "norm1", "relu1": "relu1", "pool1": "pool1", "conv2": "conv2", "relu2": "relu2", "fc1": "fc1_relu"}
    for layer, module in {**ends, "fc2": "fc2"}.items():
        shape = capture.shape(layer)
        maps = capture.maps(layer, images)
        assert maps.shape == (5, shape.maps, shape.height, shape.width) and maps.dtype == torch.float32
        torch.testing.assert_close(maps.flatten(1), found[module].flatten(1))
    assert (maps.shape[1:], capture.shape("conv1").stride, capture.shape("relu2").stride) == ((2, 1, 1), 1, 2)
    with pytest.raises(ValueError, match="layers has the entry conv9, expected layers of lenet: conv1, relu1, pool1"):
        capture.shape("conv9")


def test_the_sizes_of_the_shipped_networks() -> None:
    with torch.random.fork_rng(devices=[]):
        lenet = TrainedCnn(
            "lenet", make_cnn("lenet", (1, 28, 28), 10), (1, 28, 28), tuple("0123456789"), (0.1,), (0.3,)
        )
    shapes = Capture(lenet).shapes
    strides = {name: shape.stride for name, shape in shapes.items()}
    assert strides == {
        "conv1": 1,
        "relu1": 1,
        "pool1": 2,
        "conv2": 2,
        "relu2": 2,
        "pool2": 4,
        "fc1": 28,
        "fc2": 28,
        "fc3": 28,
    }
    for layer in NETWORKS["lenet"]().layers:
        assert (shapes[layer.name].maps, shapes[layer.name].height ** 2) == (layer.outputs, layer.out_pixels)


# --- frames ----------------------------------------------------------------------------------------------------------
@given(st.integers(3, 40), st.integers(3, 40), st.integers(1, 5), st.integers(1, 3))
def test_cutting_into_squares_loses_nothing(height: int, width: int, side: int, channels: int) -> None:
    frame = Frame((channels, height, width), (2, 2), side)
    pictures = torch.arange(2.0 * channels * height * width).view(2, channels, height, width)
    assert torch.equal(frame.assembled(frame.patches(pictures, side), side), pictures)
    assert frame.patches(pictures, side).shape[2:] == frame.grid


@pytest.mark.parametrize(("size", "grid"), [((8, 8), (14, 14)), ((14, 14), (14, 14)), ((16, 16), (14, 14))])
def test_maps_lie_on_the_middle(size: tuple[int, int], grid: tuple[int, int]) -> None:
    frame = Frame((1, 28, 28), size, 2)
    placed = frame.placed(torch.ones(1, 1, *size))
    assert frame.grid == grid == placed.shape[2:] and torch.equal(placed, placed.flip(2, 3))
    assert placed.sum() == min(size[0], 14) ** 2 and frame.placed(torch.ones(1, 1, *size), 4).shape[2:] == (16, 16)


# --- linear inverses -------------------------------------------------------------------------------------------------
def test_a_linear_layer_is_inverted_exactly() -> None:
    """Maps that are a fixed convolution with an inverse (a shift and a mix of channels) are undone by both kinds."""
    pictures = torch.rand(200, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = torch.stack((pictures[:, 0] + pictures[:, 1], pictures[:, 0] - 0.5 * pictures[:, 1]), 1)
    maps = (maps - maps.mean((0, 2, 3), keepdim=True)) / maps.std((0, 2, 3), keepdim=True)
    found = {}
    for inverse in linear_inverses(Frame((2, 8, 8), (8, 8), 1), maps, pictures, torch.Generator().manual_seed(0)):
        error = float((inverse(maps) - pictures).abs().max())
        found[inverse.kind] = min(error, found.get(inverse.kind, math.inf))
    assert set(found) == {"whole", "local"} and max(found.values()) < 1e-2


def test_a_linear_inverse_is_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, pictures = torch.randn(60, 2, 3, 3, generator=generator), torch.rand(60, 1, 6, 6, generator=generator)
    inverse = next(iter(linear_inverses(Frame((1, 6, 6), (3, 3), 2), maps, pictures, generator)))
    rows = np.c_[maps.flatten(1).numpy(), np.ones(60)].astype(float)
    penalty = np.diag([inverse.penalty * 60] * 18 + [0.0])
    weights = np.linalg.solve(rows.T @ rows + penalty, rows.T @ pictures.flatten(1).numpy().astype(float))
    assert_allclose(inverse(maps).flatten(1).numpy(), rows @ weights, atol=1e-4)


def test_units_of_an_fc_have_one_linear_inverse_on_all_of_them() -> None:
    generator = torch.Generator().manual_seed(0)
    frame = Frame((1, 6, 6), (1, 1), 6)
    kinds = [one.kind for one in linear_inverses(frame, torch.randn(30, 5, 1, 1), torch.rand(30, 1, 6, 6), generator)]
    assert set(kinds) == {"whole"}


# --- networks --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("size", "stride"), [((24, 22), 1), ((6, 5), 4), ((1, 1), 28)])
def test_networks_begin_as_their_guess(size: tuple[int, int], stride: int) -> None:
    frame = Frame((3, 28, 26), size, stride)
    network = make_inverse(frame, 4, seed=1)
    maps, guess = torch.randn(2, 4, *size), torch.rand(2, 3, 28, 26)
    assert torch.equal(network(maps, guess), guess)
    again = make_inverse(frame, 4, seed=1).state_dict()
    assert all(torch.equal(weights, again[name]) for name, weights in network.state_dict().items())
    nn.init.normal_(network.last.weight)
    assert network(maps, guess).shape == guess.shape and not torch.equal(network(maps, guess), guess)


# --- scores and loss -------------------------------------------------------------------------------------------------
def reference_ssim(one: np.ndarray, other: np.ndarray, sigma: float) -> float:
    """SSIM by scipy's Gaussian filter: reflected without the border pixel, cut at 3.5 deviations."""

    def blurred(image: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(image, sigma, mode="mirror", truncate=3.5))

    means = blurred(one), blurred(other)
    spread = blurred(one**2) - means[0] ** 2, blurred(other**2) - means[1] ** 2
    both = blurred(one * other) - means[0] * means[1]
    top = (2 * means[0] * means[1] + 0.01**2) * (2 * both + 0.03**2)
    return float((top / ((means[0] ** 2 + means[1] ** 2 + 0.01**2) * (spread[0] + spread[1] + 0.03**2))).mean())


@pytest.mark.parametrize(("side", "window"), [(28, 11), (11, 11), (10, 9), (8, 7), (7, 7), (6, 5), (3, 3)])
def test_ssim_is_that_of_the_definition(side: int, window: int) -> None:
    assert window_of(side, side + 2) == window
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 3, 1, side, side))
    found = ssim(torch.from_numpy(one).float(), torch.from_numpy(other).float())
    known = [reference_ssim(a[0], b[0], 1.5 * window / 11) for a, b in zip(one, other, strict=True)]
    assert found.shape == (3,)
    assert_allclose(found, known, atol=2e-4)


def test_scores_are_clipped_and_one_for_the_same_picture() -> None:
    pictures = torch.from_numpy(blobs(4, 0).images).float() / 255
    assert_allclose(ssim(pictures, pictures), 1, atol=1e-5)
    bright = torch.ones(4, *SHAPE)
    assert_allclose(ssim(bright * 3, pictures), ssim(bright, pictures))
    assert_allclose(floor(pictures, pictures[:2]), ssim(pictures.mean(0).expand(2, -1, -1, -1), pictures[:2]))
    with pytest.raises(ValueError, match="pictures are 2 x 9, expected at least 3 x 3"):
        window_of(2, 9)


def test_the_loss_forgives_what_clipping_mends() -> None:
    pictures = torch.tensor([[[[0.0, 1.0, 0.5]]]])
    made = torch.tensor([[[[-2.0, 3.0, 0.5]]]])
    assert float(loss_of(made, pictures)) == pytest.approx(2 * 0.02**2 / 3)
    assert torch.equal(clipped(pictures), pictures)
    wrong = torch.tensor([[[[3.0, -2.0, 0.5]]]], requires_grad=True)
    loss_of(wrong, pictures).backward()  # type: ignore[no-untyped-call]
    assert wrong.grad is not None and wrong.grad[0, 0, 0, 0] > 0 > wrong.grad[0, 0, 0, 1], "the way back is shown"
    same = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    assert float(loss_of(same, same)) == 0 < float(loss_of(same.flip(3), same))


# --- cells -----------------------------------------------------------------------------------------------------------
def test_default_layers_and_counts_are_the_papers() -> None:
    assert default_layers(NETWORKS["vgg16"]()) == ("relu11", "relu22", "relu33", "relu43")
    layers = (
        Layer("a", "conv", 1, 4, 16, 9),
        Layer("b", "act", 4, 4, 16),
        Layer("c", "pool", 4, 4, 4),
        Layer("d", "conv", 4, 6, 4, 9),
        Layer("e", "fc", 24, 3),
    )
    assert default_layers(Network("mine", layers)) == ("a", "d")
    assert default_layers(Network("flat", (Layer("x", "fc", 9, 4), Layer("y", "fc", 4, 2)))) == ("x",)
    assert default_counts(8, "conv") == (1, 2, 4, 8) and default_counts(12, "act") == (1, 2, 4, 8, 12)
    assert default_counts(128, "conv") == (2, 4, 8, 16, 32, 64, 128) and default_counts(120, "fc") == (120,)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(1, 3), st.integers(0, 9))
def test_choices_are_sets_of_maps_that_grow(maps: int, count: int, choices: int, colluders: int, seed: int) -> None:
    count = min(count, maps)
    found = choices_of(maps, count, choices, colluders, (seed,))
    taken = min(count * colluders, maps)
    assert 1 <= len(found) <= choices and len(set(found)) == len(found)
    assert (len(found) == 1) == (taken == maps or choices == 1 or maps == 1)
    for held in found:
        assert len(set(held)) == len(held) == taken and list(held) == sorted(held) and 0 <= held[0] and held[-1] < maps
    if count > 1:
        fewer = choices_of(maps, count - 1, choices, colluders, (seed,))
        assert all(any(set(small) <= set(held) for held in found) for small in fewer)
    if choices * taken <= maps:
        assert len({one for held in found for one in held}) == choices * taken


def test_the_maps_of_a_second_layer_are_other_ones() -> None:
    for held in choices_of(8, 4, 3, 1, (0,), second=8):
        first, second = {one for one in held if one < 8}, {one - 8 for one in held if one >= 8}
        assert len(first) == len(second) == 4 and not first & second
    held = choices_of(8, 3, 3, 1, (0,), second=16)[0]
    assert sum(one < 8 for one in held) == sum(8 <= one < 24 for one in held) == 3
    assert choices_of(8, 8, 3, 1, (0,), second=8) == (tuple(range(16)),)


# --- intervals -------------------------------------------------------------------------------------------------------
def test_intervals_hold_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        scores = 0.5 + 0.02 * rng.normal(size=(3, 1)) + 0.1 * rng.normal(size=(1, 50)) + 0.05 * rng.normal(size=(3, 50))
        one = estimate(scores)
        assert one.low < one.mean < one.high and one.worst == pytest.approx(scores.mean(1).max())
        hits += one.low <= 0.5 <= one.high
    assert 0.93 < hits / 400 < 0.995


def test_one_choice_leaves_the_spread_of_pictures() -> None:
    scores = np.random.default_rng(0).random((1, 100))
    one = estimate(scores)
    half = 1.984217 * scores.std(ddof=1) / 10
    assert (one.high - one.mean, one.mean - one.low) == (pytest.approx(half, rel=1e-4), pytest.approx(half, rel=1e-4))
    flat = estimate(np.full((1, 1), 0.25))
    assert (flat.mean, flat.low, flat.high, flat.worst) == (0.25,) * 4
