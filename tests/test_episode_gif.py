"""Recorded episodes: which frames are kept, animated GIFs, folders of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from agents.episode_gif import LAST_FRAME_MS, record_episode, save_frames, save_gif
from envs.distprivacy.snapshot import SERVED, take_snapshot


def recorder(render_mode: str = "rgb_array", **options: Any) -> tuple[Any, Any]:
    env = gym.make("envs:offramp/DistPrivacy-v0", render_mode=render_mode, **options)
    mask = env.unwrapped.observation_layout["mask"]  # type: ignore[attr-defined]
    return env, lambda observation: int(np.flatnonzero(observation[mask])[-1])


def test_recording_and_gif_of_a_lenet_episode(tmp_path: Path) -> None:
    env, act = recorder()
    frames = record_episode(env, act, seed=0)
    assert len(frames) == 58
    assert take_snapshot(env.unwrapped).status == SERVED
    path = tmp_path / "new" / "episode.gif"
    save_gif(frames, path, fps=8)
    assert [entry.name for entry in path.parent.iterdir()] == ["episode.gif"]
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as film:
        assert film.n_frames == len(frames)  # type: ignore[attr-defined]
        assert film.info["loop"] == 0
        durations = []
        for index, frame in enumerate(frames):
            film.seek(index)
            durations.append(film.info["duration"])
            if index not in (0, 20, 57):
                continue
            shown = np.asarray(film.convert("RGB"), np.int16)
            assert shown.shape == frame.shape
            assert (shown[frame.min(axis=2) == 255] == 255).all()  # white stays white
            assert np.abs(shown - frame).mean() < 2
    assert durations == [120] * 57 + [LAST_FRAME_MS]


def test_recording_is_thinned_evenly_and_keeps_first_and_last() -> None:
    env, act = recorder()
    full = record_episode(env, act, seed=4)
    for most in (2, 9, 57):
        thin = record_episode(env, act, seed=4, max_frames=most)
        assert 2 <= len(thin) <= most
        assert len(thin) > most // 2 - 1
        assert (thin[0] == full[0]).all()
        assert (thin[-1] == full[-1]).all()
        found = [next(k for k, frame in enumerate(full) if (frame == picture).all()) for picture in thin]
        gaps = np.diff(found[:-1])
        assert len(set(gaps.tolist())) <= 1
        assert found == sorted(set(found))


def test_bad_recordings_are_refused() -> None:
    env, act = recorder("ansi")
    with pytest.raises(ValueError, match="render_mode is 'ansi', expected 'rgb_array'"):
        record_episode(env, act, seed=0)
    env, act = recorder()
    with pytest.raises(ValueError, match="max_frames is 1"):
        record_episode(env, act, seed=0, max_frames=1)


def test_bad_films_are_refused_and_leave_the_old_file(tmp_path: Path) -> None:
    frame = np.zeros((4, 6, 3), np.uint8)
    path = tmp_path / "film.gif"
    save_gif([frame], path)
    old = path.read_bytes()
    for frames, fps, message in (
        ([], 8, "frames is empty"),
        ([frame, frame[:3]], 8, "frame 1 is uint8 of shape"),
        ([frame.astype(float)], 8, "frame 0 is float64"),
        ([frame], 0, "fps is 0"),
        ([frame], float("nan"), "fps is nan"),
    ):
        with pytest.raises(ValueError, match=message):
            save_gif(frames, path, fps)
    with pytest.raises(OSError):
        save_gif([frame], tmp_path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.gif"]


def test_frames_as_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (5, 7, 3), np.uint8) for _ in range(3)]
    paths = save_frames(frames, tmp_path / "frames")
    assert [path.name for path in paths] == ["frame-0000.png", "frame-0001.png", "frame-0002.png"]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [path.name for path in paths]
    for frame, path in zip(frames, paths, strict=True):
        assert (np.asarray(Image.open(path)) == frame).all()
    with pytest.raises(ValueError, match="frames is empty"):
        save_frames([], tmp_path)
