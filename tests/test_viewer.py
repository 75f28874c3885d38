"""Rendering: what the snapshot says, pictures, text, the window."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled, ResetNeeded

from envs import drawing
from envs.distprivacy import viewer
from envs.distprivacy.env import DistPrivacyEnv
from envs.distprivacy.generator import toy_instance
from envs.distprivacy.layer_panel import MOST_LINES
from envs.distprivacy.scenarios import SCENARIOS
from envs.distprivacy.snapshot import PLACING, REJECTED, SERVED, Snapshot, take_snapshot
from envs.distprivacy.types import Device, Instance, Layer, Network, Request, Task

MARGIN = 10
"""Nothing is drawn this close to the edge; what is cut off would be."""


def play(env: DistPrivacyEnv, steps: int | None = None, seed: int = 0) -> int:
    """Random allowed actions, to the end of the episode or for ``steps``; returns the number of steps."""
    rng = np.random.default_rng(seed)
    count = 0
    while count != steps:
        allowed = np.flatnonzero(env.action_masks())
        if not len(allowed):
            break
        count += 1
        if env.step(rng.choice(allowed))[2]:
            break
    return count


def toy_env(instance: Instance | None = None, **options: Any) -> DistPrivacyEnv:
    instance = instance or toy_instance()
    env = DistPrivacyEnv(instance, **options)
    env.reset(seed=0, options={"instance": instance})
    return env


def check_picture(frame: np.ndarray) -> None:
    assert frame.dtype == np.uint8
    assert frame.ndim == 3 and frame.shape[2] == 3
    assert len(np.unique(frame @ np.array([1 << 16, 1 << 8, 1]))) > 20
    edge = frame.copy()
    edge[MARGIN:-MARGIN, MARGIN:-MARGIN] = 255
    assert not np.argwhere((edge < 255).any(axis=2)).tolist()


def test_snapshot_of_the_toy_by_hand() -> None:
    env = toy_env()
    before = take_snapshot(env)
    assert (before.status, before.current, before.network) == (PLACING, 1, "toy")
    assert before.layers[0].time_s == pytest.approx(2 * 9 * 16 / 1e6)  # 9 * 2 * 16 multiplications on the camera
    assert before.sent.sum() == 0
    env.step(1)
    snap = take_snapshot(env)
    assert snap.layers[1].time_s == pytest.approx(64 / 1e5)  # one map of 16 pixels, 4 bytes each, from the camera
    assert snap.sent[snap.source, 1] == 64 == snap.sent.sum()
    assert snap.layers[1].holders.tolist() == [1]
    assert [slot.name for slot in snap.slots] == ["fast", "middle", "slow", "camera"]
    assert [slot.held for slot in snap.slots] == [0, 1, 0, 0]
    assert [slot.may_take for slot in snap.slots] == [True, False, True, False]
    assert (snap.layers[1].limit, snap.slots[1].seen) == (1, 1)


@pytest.mark.parametrize(
    "options", [{}, {"privacy_scope": "layer"}, {"ssim": 0.8}, {"granularity": 3, "inherit": True}]
)
def test_layer_times_and_bytes_add_up_to_those_of_the_environment(options: dict[str, Any]) -> None:
    env = DistPrivacyEnv("lenet-random", **options)
    env.reset(seed=3)
    layer, shared, sent = -1, 0.0, 0.0
    while True:
        snap = take_snapshot(env)
        assert sum(entry.time_s or 0.0 for entry in snap.layers) == pytest.approx(snap.latency_s, rel=1e-12)
        assert snap.latency_s == env.latency_s
        if snap.current == layer:
            assert snap.sent.sum() - sent == snap.shared_bytes - shared
        layer, shared, sent = snap.current, snap.shared_bytes, snap.sent.sum()
        assert not snap.sent.diagonal().any()
        if snap.status != PLACING:
            break
        play(env, 1, seed=layer)
    assert snap.status == SERVED
    assert [len(entry.holders) for entry in snap.layers] == [entry.segments for entry in snap.layers]
    assert snap.sent[:, snap.source].sum() == snap.sent.sum()  # into the last layer, on the source


def test_rendering_changes_nothing() -> None:
    env = DistPrivacyEnv("lenet-random", render_mode="rgb_array")
    env.reset(seed=1)
    play(env, 25)
    row, place = env._row.copy(), env._place.copy()
    env.render()
    env.render()[:] = 0  # a frame belongs to the caller
    check_picture(env.render())
    viewer.to_text(env)
    assert np.array_equal(env._row, row)
    assert np.array_equal(env._place, place)


def test_snapshot_needs_a_reset() -> None:
    with pytest.raises(ResetNeeded, match=r"reset\(\)"):
        take_snapshot(DistPrivacyEnv("lenet-random"))


def test_reasons_of_a_rejection() -> None:
    env = toy_env()
    env.step(0)
    env.step(0)
    snap = take_snapshot(env)
    assert snap.status == REJECTED
    assert snap.reason == "map 2 of relu1 was given to a device that may not take it"
    assert not any(slot.may_take for slot in snap.slots)


def second_camera_is_full() -> Instance:
    toy = toy_instance()
    full = Device("full-camera", 1e6, 1e6, 1e5, compute_budget=0.0)
    return Instance(toy.task, toy.devices, (*toy.sources, full), (Request(0, "toy"), Request(1, "toy")))


def test_request_rejected_on_arrival_shows_nothing_of_the_one_before() -> None:
    env = toy_env(second_camera_is_full(), episode="period", render_mode="rgb_array")
    play(env)
    snap = take_snapshot(env)
    assert (snap.status, snap.served, snap.rejected, snap.layer) == (REJECTED, 1, 1, None)
    assert "no room" in snap.reason
    assert snap.slots[-1].name == "full-camera"
    assert not any(slot.held or slot.seen or slot.layer_time_s for slot in snap.slots)
    check_picture(env.render())
    assert "full-camera" in viewer.to_text(env)


def test_an_instance_as_scenario_is_shown_with_its_names() -> None:
    env = DistPrivacyEnv(toy_instance(), render_mode="ansi")
    env.reset(seed=0)
    assert "middle" in env.render()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_drawn_at_start_middle_end_and_after_a_rejection(scenario: str) -> None:
    env = DistPrivacyEnv(scenario, granularity=1 if "lenet" in scenario else 16, render_mode="rgb_array")
    env.reset(seed=5)
    frames = [env.render()]
    play(env, 30)
    frames.append(env.render())
    assert take_snapshot(env).status == PLACING
    play(env)
    frames.append(env.render())
    env.reset(seed=6)
    play(env, 3)
    env.step(int(np.flatnonzero(env.action_masks())[0]))
    env.step(env.simulator.max_devices)  # no such device
    assert take_snapshot(env).status == REJECTED
    frames.append(env.render())
    for frame in frames:
        check_picture(frame)
        assert frame.shape == frames[0].shape
        assert "nan" not in viewer.to_text(env)
    assert len({frame.tobytes() for frame in frames}) == len(frames)


def test_every_step_changes_the_picture_and_the_same_episode_gives_the_same_pictures() -> None:
    films = []
    for _ in range(2):
        env = DistPrivacyEnv("lenet-random", render_mode="rgb_array")
        env.reset(seed=2)
        film = [env.render()]
        while take_snapshot(env).status == PLACING:
            play(env, 1)
            film.append(env.render())
        films.append(film)
    assert len(films[0]) == 58
    assert all((a != b).any() for a, b in zip(films[0], films[0][1:], strict=False))
    assert all((a == b).all() for a, b in zip(*films, strict=True))


def awkward_instance() -> Instance:
    """Very long names, a deep network of one map a layer, a fleet from very slow to very fast."""
    long = "a-name-that-is-far-too-long-for-any-column-" * 2
    layers = [Layer(f"{long}{k}", "conv" if k % 2 == 0 else "act", 1, 1, 4, 9 if k % 2 == 0 else 0) for k in range(120)]
    network = Network(long, (*layers, Layer("out", "fc", 4, 2)))
    devices = tuple(Device(f"{long}{j}", 10.0 ** (j + 3), 10.0 ** (j + 2), 10.0 ** (j + 1)) for j in range(9))
    task = Task({long: network}, {long: {layers[0].name: {1: 0.0}}}, colluders=3)
    return Instance(task, devices, (Device(long, 1e9, 1e9, 1e9),), (Request(0, long),), period_s=1e6)


def test_long_names_and_deep_networks_stay_inside_the_picture() -> None:
    env = toy_env(awkward_instance(), render_mode="rgb_array")
    for _ in range(3):
        check_picture(env.render())
        play(env, 50)
    env.step(-1)
    check_picture(env.render())


def test_too_many_transfers_are_sampled_and_the_panel_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    env = DistPrivacyEnv("vgg-70", render_mode="rgb_array")
    env.reset(seed=0)
    play(env, 400)
    texts: list[str] = []
    write = drawing.Canvas.text

    def listen(canvas: drawing.Canvas, x: float, y: float, text: str, *rest: Any, **options: Any) -> float:
        texts.append(text)
        return write(canvas, x, y, text, *rest, **options)

    monkeypatch.setattr(drawing.Canvas, "text", listen)
    snap: Snapshot = take_snapshot(env)
    while np.count_nonzero(snap.sent) <= MOST_LINES:
        play(env, 50)
        snap = take_snapshot(env)
        assert snap.status == PLACING
    viewer.draw_snapshot(snap)
    assert any(f"a sample of {MOST_LINES} of {np.count_nonzero(snap.sent)} lines" in text for text in texts)


def test_text_names_devices_and_latency() -> None:
    env = gym.make("envs:offramp/DistPrivacy-v0", scenario="lenet-random", render_mode="ansi")
    env.reset(seed=0)
    play(env.unwrapped, 20)  # type: ignore[arg-type]
    text = env.render()
    assert isinstance(text, str)
    snap = take_snapshot(env.unwrapped)  # type: ignore[arg-type]
    assert all(slot.name in text for slot in snap.slots)
    assert f"{drawing.milliseconds(snap.latency_s)} ms" in text
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= viewer.TEXT_WIDTH
    assert "\x1b" in viewer.to_text(env.unwrapped, colour=True)  # type: ignore[arg-type]


def test_names_with_brackets_are_text_not_markup() -> None:
    toy = toy_instance()
    devices = (Device("[red]a[/red]", 1e6, 2e6, 1e5), *toy.devices[1:])
    env = toy_env(Instance(toy.task, devices, toy.sources, toy.requests))
    assert "[red]a[/red]" in viewer.to_text(env)


@pytest.fixture
def screenless(monkeypatch: pytest.MonkeyPatch) -> Any:
    """pygame, with windows that nobody sees."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    return pytest.importorskip("pygame")


def test_window_shows_the_frame(screenless: Any) -> None:
    env = DistPrivacyEnv("lenet-random", render_mode="human")
    env.reset(seed=0)
    play(env, 4)
    shown = screenless.surfarray.array3d(screenless.display.get_surface()).swapaxes(0, 1)
    assert (shown == viewer.Viewer().draw(env)).all()
    env.close()
    assert screenless.display.get_surface() is None


def test_closed_window_stays_closed_for_the_episode(screenless: Any) -> None:
    env = DistPrivacyEnv("lenet-random", render_mode="human")
    env.reset(seed=0)
    screenless.event.post(screenless.event.Event(screenless.QUIT))
    play(env, 3)
    assert screenless.display.get_surface() is None
    env.close()
    env.reset(seed=0)
    assert screenless.display.get_surface() is not None
    env.close()
    assert not screenless.display.get_init()


def test_window_without_pygame_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    env = DistPrivacyEnv("lenet-random", render_mode="human")
    with pytest.raises(DependencyNotInstalled, match=r"offramp\[human\]"):
        env.reset(seed=0)
    env.close()
