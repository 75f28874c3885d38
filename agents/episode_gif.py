"""One episode as pictures: recorded frames, an animated GIF, a folder of PNG files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
StrPath = str | os.PathLike[str]

MOST_FRAMES = 120
LAST_FRAME_MS = 2000
_COLOURS = 255
"""Of a GIF's 256 colours one is kept for transparency: what a frame shares with the one before is not stored again."""


def record_episode(
    env: gym.Env[Any, Any],
    act: Callable[[Any], Any],
    seed: int | None,
    max_frames: int = MOST_FRAMES,
    options: dict[str, Any] | None = None,
) -> list[Frame]:
    """Play one episode and return its frames, uint8 ``(height, width, 3)``, from the start to the end state.

    ``env``: with ``render_mode="rgb_array"``. ``act``: action from observation. ``seed``, ``options``: of the
    reset. An episode with more steps than ``max_frames`` is thinned evenly (every 2nd, 4th, ... state); first and last are
    always kept.

    Raises ``ValueError`` for another render mode or ``max_frames`` below 2.
    """
    if env.render_mode != "rgb_array":
        raise ValueError(f"env: render_mode is {env.render_mode!r}, expected 'rgb_array' to record an episode")
    if max_frames < 2:
        raise ValueError(f"max_frames is {max_frames}, expected at least 2 (first and last state)")
    observation, _ = env.reset(seed=seed, options=options)
    frames, stride, step, over = [_picture(env)], 1, 0, False
    while not over:
        observation, _, terminated, truncated, _ = env.step(act(observation))
        over = bool(terminated or truncated)
        step += 1
        if over or step % stride == 0:
            if len(frames) == max_frames:
                if over and step % stride:
                    frames[-1] = _picture(env)
                    break
                # frames stand at multiples of the stride: halving keeps the first and an even spacing
                frames, stride = frames[::2], 2 * stride
            if over or step % stride == 0:
                frames.append(_picture(env))
    return frames


def save_gif(frames: Sequence[Frame], path: StrPath, fps: float = 8.0) -> None:
    """Write an endless GIF, atomically; its last frame stays for two seconds. Missing folders are made.

    All frames share one palette without dithering, so that flat drawings stay small. ``fps``: frames a second, above 0
    and at most 50 (viewers slow down what is faster).

    Raises ``ValueError`` for no frames, frames of unequal shape or a bad ``fps``; ``OSError`` where the file can't be
    written.
    """
    _check(frames)
    if not 0 < fps <= 50:
        raise ValueError(f"fps is {fps}, expected frames a second in 0..50, above 0")
    pictures = _quantized(frames)
    # GIF counts in hundredths of a second
    duration = 10 * round(100 / fps)
    buffer = BytesIO()
    pictures[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[duration] * (len(pictures) - 1) + [LAST_FRAME_MS],
        loop=0,
        optimize=True,
    )
    _write_atomic(Path(path), buffer.getvalue())


def save_frames(frames: Sequence[Frame], folder: StrPath) -> list[Path]:
    """Write frames as ``frame-0000.png``, ... into ``folder``, each atomically; returns the paths. The folder is made.

    Raises ``ValueError`` for no frames or frames of unequal shape; ``OSError`` where a file can't be written.
    """
    _check(frames)
    digits = max(4, len(str(len(frames) - 1)))
    paths = []
    for index, frame in enumerate(frames):
        buffer = BytesIO()
        Image.fromarray(frame).save(buffer, "PNG", optimize=True)
        paths.append(Path(folder) / f"frame-{index:0{digits}d}.png")
        _write_atomic(paths[-1], buffer.getvalue())
    return paths


def save_pictures(frames: Sequence[Frame], out: StrPath | None, folder: StrPath | None, fps: float) -> list[str]:
    """Write a GIF at ``out`` and PNG files into ``folder``, whichever is given; returns what was written."""
    if out is not None:
        save_gif(frames, out, fps)
    if folder is not None:
        save_frames(frames, folder)
    return [os.fspath(path) for path in (out, folder) if path is not None]


def _picture(env: gym.Env[Any, Any]) -> Frame:
    frame: Any = env.render()
    return np.asarray(frame, np.uint8)


def _check(frames: Sequence[Frame]) -> None:
    if not len(frames):
        raise ValueError("frames is empty, expected at least one frame")
    for index, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != frames[0].shape:
            raise ValueError(
                f"frames: frame {index} is {frame.dtype} of shape {frame.shape}, "
                "expected uint8 (height, width, 3), the same for all frames"
            )


def _codes(frame: Frame) -> NDArray[np.int32]:
    """Colours as numbers 0xRRGGBB, ``(height, width)``."""
    red, green, blue = (frame[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _rgb(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def _quantized(frames: Sequence[Frame]) -> list[Image.Image]:
    """The frames with one palette: the most frequent colours of some of them, kept exactly; others go to the nearest.

    Pillow's own ``quantize`` rounds colours before it looks them up, which turns white into grey.
    """
    some = sorted({round(index * (len(frames) - 1) / 7) for index in range(8)})
    values, counts = np.unique(np.concatenate([_codes(frames[index]).ravel() for index in some]), return_counts=True)
    palette = values[np.argsort(-counts, kind="stable")[:_COLOURS]]
    entries = _rgb(palette)
    nearest = np.full(1 << 24, -1, np.int16)  # filled as colours turn up
    nearest[palette] = np.arange(len(palette))
    pictures = []
    for frame in frames:
        codes = _codes(frame)
        missing = np.unique(codes[nearest[codes] < 0])
        if len(missing):
            # |a - b|^2 without the constant |a|^2
            distance = (entries**2).sum(1) - 2 * (_rgb(missing) @ entries.T)
            nearest[missing] = distance.argmin(1)
        picture = Image.fromarray(nearest[codes].astype(np.uint8))
        picture.putpalette(entries.astype(np.uint8).tobytes())
        pictures.append(picture)
    return pictures


def _write_atomic(path: Path, data: bytes) -> None:
    """Write through a temporary file in the same folder, so that a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
