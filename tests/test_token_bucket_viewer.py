"""Rendering of token-bucket offloading: what the snapshot says, pictures, text, the window."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled, ResetNeeded

from envs import drawing
from envs.token_bucket import viewer
from envs.token_bucket.env import TokenBucketEnv
from envs.token_bucket.panels import HEIGHT, WIDTH
from envs.token_bucket.snapshot import DECIDING, EMPTY, OVER, take_snapshot
from envs.token_bucket.types import Trace

MARGIN = 8
"""Nothing is drawn this close to the edge; what is cut off would be."""


def play(env: TokenBucketEnv, steps: int, threshold: float = 0.3) -> None:
    """Send every frame at or above a threshold, to the end of the episode or for ``steps``."""
    for _ in range(steps):
        if env.step(int(env.exogenous[0] >= threshold))[3]:
            break


def check_picture(frame: np.ndarray) -> None:
    assert frame.dtype == np.uint8
    assert frame.shape == (HEIGHT, WIDTH, 3)
    edge = frame.copy()
    edge[MARGIN:-MARGIN, MARGIN:-MARGIN] = 255
    assert not np.argwhere((edge < 255).any(axis=2)).tolist()


def texts_of(env: TokenBucketEnv, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is written into the picture of the present state."""
    texts: list[str] = []
    write = drawing.Canvas.text

    def listen(canvas: drawing.Canvas, x: float, y: float, text: str, *rest: Any, **options: Any) -> float:
        texts.append(text)
        return write(canvas, x, y, text, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(drawing.Canvas, "text", listen)
        viewer.Viewer().draw(env)
    return texts


def hand_made(**options: Any) -> TokenBucketEnv:
    """Five frames, rate 1/2, depth 2, all known by hand."""
    trace = Trace(np.array([0.5, 0.1, 0.4, -0.2, 0.3]), np.array([1, 1, 4, 1]))
    env = TokenBucketEnv(trace, rate=0.5, depth=2, **options)
    env.reset(seed=0)
    return env


def test_snapshot_by_hand() -> None:
    env = hand_made()
    snap = take_snapshot(env)
    assert (snap.status, snap.decided, snap.decisions, snap.tokens) == (DECIDING, 0, 4, 2.0)
    env.step(1)  # 2 - 1 + 0.5
    assert take_snapshot(env).tokens == 1.5
    env.step(1)  # 1.5 - 1 + 0.5
    env.step(1)  # 1 - 1 + 4 * 0.5 = 2: full, nothing lost
    snap = take_snapshot(env)
    assert (snap.tokens, snap.lost, snap.gained, snap.time) == (2.0, 0.0, 3.0, 6.0)
    env.step(0)
    snap = take_snapshot(env)
    assert (snap.status, snap.lost, snap.lost_now, snap.gained, snap.sends) == (OVER, 0.5, 0.5, 3.5, 3)
    assert snap.share == 0.75
    assert snap.gain == pytest.approx(1.0)
    assert snap.realised is None
    assert not snap.regimes
    assert snap.past.time.tolist() == [0, 1, 2, 6, 7]
    assert snap.past.tokens.tolist() == [2, 1.5, 1, 2, 2]
    assert snap.past.sent.tolist() == [True, True, True, False, False]
    assert (snap.scale.low, snap.scale.high) == (-0.2, 0.5)
    check_picture(viewer.Viewer().draw(env))


def test_a_send_without_a_token_is_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    env = TokenBucketEnv("iid", rate=0.1, depth=1)
    env.reset(seed=0)
    env.step(1)
    snap = take_snapshot(env)
    assert (snap.status, snap.refused, snap.sends) == (EMPTY, False, 1)
    env.step(1)
    snap = take_snapshot(env)
    assert (snap.status, snap.refused, snap.sends) == (EMPTY, True, 1)
    assert snap.past.able.tolist() == [True, False, False]
    assert "the last send had no token" in texts_of(env, monkeypatch)
    assert "the last send had no token" in viewer.to_text(env)
    frame = viewer.Viewer().draw(env)
    assert (frame == drawing.ALERT).all(axis=2).any()


def test_snapshot_needs_a_reset() -> None:
    with pytest.raises(ResetNeeded, match=r"reset\(\)"):
        take_snapshot(TokenBucketEnv("iid"))


@pytest.mark.parametrize(
    ("scenario", "options"),
    [
        ("iid", {}),
        ("iid", {"depth": 1, "history": 1, "gap_history": 0}),
        ("s1", {"start": "random"}),
        ("s2", {"rate": 0.05, "depth": 20}),
        ("s3", {"leave": (0.05, 0.05)}),
        ("bursts", {"rate": "1/3", "depth": 1.5, "include_latent": True}),
        ("bernoulli", {"length": 1}),
    ],
)
def test_every_frame_has_the_same_shape_and_nothing_is_changed(scenario: str, options: dict[str, Any]) -> None:
    env = TokenBucketEnv(scenario, render_mode="rgb_array", **({"length": 200} | options))
    env.reset(seed=4)
    over = False
    while not over:
        before = (env.endogenous, env.exogenous, env._frames.copy(), env.past, env._totals.copy(), env._ints.copy())
        if env._clock % 7 == 0 or env._clock > len(env._frames) - 4:
            check_picture(env.render())
            env.render()[:] = 0  # a frame belongs to the caller
            assert "nan" not in viewer.to_text(env)
        after = (env.endogenous, env.exogenous, env._frames, env.past, env._totals, env._ints)
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old, new)
        over = env.step(int(env.exogenous[0] > 0.4))[3]
    assert take_snapshot(env).status == OVER
    check_picture(env.render())


def test_tokens_add_up_over_an_episode() -> None:
    env = TokenBucketEnv("s3", start="random", length=300)
    env.reset(seed=1)
    start = take_snapshot(env).tokens
    lost = 0.0
    for _ in range(300):
        env.step(int(env.exogenous[0] > 0.35))
        snap = take_snapshot(env)
        lost += snap.lost_now
        assert snap.lost == pytest.approx(lost)
        assert snap.tokens == pytest.approx(start + snap.gained - snap.lost - snap.sends)
        assert snap.left <= snap.time < snap.left + snap.scale.span
        assert snap.past.number[-1] == snap.decided
        assert snap.past.time[0] <= snap.left or snap.past.number[0] == 0
    assert snap.mean(snap.gain) == pytest.approx(env._info()["loss"])
    assert snap.realised is not None
    assert snap.mean(snap.realised) == pytest.approx(env._info()["loss_realised"])


def test_axes_hold_for_the_episode_and_frames_stay_where_they_are() -> None:
    env = TokenBucketEnv("s2", length=400)
    env.reset(seed=0)
    scales, lefts = set(), []
    for _ in range(400):
        snap = take_snapshot(env)
        scales.add(snap.scale)
        lefts.append(snap.left)
        env.step(0)
    assert len(scales) == 1
    part = scales.pop().span / 6
    moves = np.diff(lefts)
    assert set(np.round(moves / part, 9)) == {0.0, 1.0}


def test_every_step_changes_the_picture_and_the_same_episode_gives_the_same_pictures() -> None:
    films = []
    for _ in range(2):
        env = TokenBucketEnv("s3", length=60, render_mode="rgb_array")
        env.reset(seed=2)
        film = [env.render()]
        for _ in range(60):
            play(env, 1)
            film.append(env.render())
        films.append(film)
    assert all((a != b).any() for a, b in zip(films[0], films[0][1:], strict=False))
    assert all((a == b).all() for a, b in zip(*films, strict=True))


def test_regimes_are_named_where_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    env = TokenBucketEnv("s2", leave=(0.05, 0.05), length=150)
    env.reset(seed=3)
    play(env, 149)
    texts = texts_of(env, monkeypatch)
    assert "regime 1" in texts and "regime 2" in texts
    assert "regime" in viewer.to_text(env)
    for unknown in (TokenBucketEnv("s1", length=50), hand_made()):
        unknown.reset(seed=0)
        assert not any("regime" in text for text in texts_of(unknown, monkeypatch))
        assert "regime" not in viewer.to_text(unknown)


def test_other_clocks_count_in_time_units() -> None:
    trace = Trace(np.full(30, 0.2), np.full(29, 250), ticks_per_unit=1000)
    env = TokenBucketEnv(trace, rate=0.1, depth=4, weak_loss=0.3)
    env.reset(seed=0)
    play(env, 8, threshold=0.0)
    snap = take_snapshot(env)
    assert (snap.time, snap.rate, snap.depth) == (2.0, pytest.approx(0.1), 4.0)
    assert snap.gained == pytest.approx(0.2)
    assert "2 units" in viewer.to_text(env)
    check_picture(viewer.Viewer().draw(env))


@pytest.mark.parametrize("metric", [[0.0, 0.0, 0.0], [-0.5, -0.2, -0.1], [1e-7, 2e-7, 0.0], [1e4, -3e5, 2.0]])
@pytest.mark.parametrize("gap", [[1, 1], [1, 10**9]])
def test_odd_traces_stay_inside_the_picture(metric: list[float], gap: list[int]) -> None:
    env = TokenBucketEnv(Trace(np.array(metric), np.array(gap)), rate=0.001, depth=1000)
    env.reset(seed=0)
    check_picture(viewer.Viewer().draw(env))
    play(env, 2, threshold=-1e9)
    check_picture(viewer.Viewer().draw(env))
    assert "nan" not in viewer.to_text(env)


def test_a_trace_of_two_frames_and_one_given_at_reset() -> None:
    env = TokenBucketEnv("iid", render_mode="rgb_array")
    env.reset(seed=0, options={"trace": Trace(np.array([0.2, 0.4]), np.array([3])), "bucket": (0.2, 2)})
    check_picture(env.render())
    env.step(1)
    snap = take_snapshot(env)
    assert (snap.status, snap.decisions, snap.time, snap.tokens) == (OVER, 1, 3.0, 1.6)
    check_picture(env.render())


def test_text_holds_the_numbers() -> None:
    env = gym.make("envs:offramp/TokenBucket-v0", scenario="s2", render_mode="ansi")
    env.reset(seed=5)
    core: Any = env.unwrapped
    assert "0 of 0" in env.render()  # type: ignore[operator]
    play(core, 40)
    text: Any = env.render()
    info = core._info()
    snap = take_snapshot(core)
    assert "frame 41 of 1000" in text
    assert f"sent {snap.sends} of 40" in text
    assert f"mean loss so far {info['loss']:.4f}" in text
    assert f"realised loss {info['loss_realised']:.4f}" in text
    for k in range(-viewer.TEXT_ROWS, 0):
        row = next(line for line in text.splitlines() if line.startswith(f"│ {snap.past.number[k] + 1:5} "))
        assert f"{snap.past.metric[k]:.4f}" in row
        assert ("sent" in row) == bool(snap.past.sent[k])
        assert ("no token" in row) == (not snap.past.able[k])
    assert "?" in row
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= viewer.TEXT_WIDTH
    assert "\x1b" in viewer.to_text(core, colour=True)


def test_loss_is_a_gain_where_the_weak_loss_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    env = hand_made()
    play(env, 1)
    assert "mean gain so far 0.5000" in viewer.to_text(env)
    assert "MEAN GAIN SO FAR" in texts_of(env, monkeypatch)


@pytest.fixture
def screenless(monkeypatch: pytest.MonkeyPatch) -> Any:
    """pygame, with windows that nobody sees."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    return pytest.importorskip("pygame")


def test_window_shows_the_frame_and_stays_closed_once_it_was(screenless: Any) -> None:
    env = TokenBucketEnv("s1", render_mode="human")
    env.reset(seed=0)
    play(env, 2)
    shown = screenless.surfarray.array3d(screenless.display.get_surface()).swapaxes(0, 1)
    assert (shown == viewer.Viewer().draw(env)).all()
    screenless.event.post(screenless.event.Event(screenless.QUIT))
    play(env, 2)
    assert screenless.display.get_surface() is None
    env.close()
    env.reset(seed=0)
    assert screenless.display.get_surface() is not None
    env.close()
    assert not screenless.display.get_init()


def test_window_without_pygame_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    env = TokenBucketEnv("iid", render_mode="human")
    with pytest.raises(DependencyNotInstalled, match=r"offramp\[human\]"):
        env.reset(seed=0)
    env.close()
