"""What rendering means in every environment: render modes, the viewer that draws and shows frames, the console of texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.window import Window

if TYPE_CHECKING:
    from rich.console import Console

Frame = NDArray[np.uint8]


class Rendered:
    """``render`` and ``close`` of an environment; put before ``gym.Env``.

    ``viewer_module``: module with ``Viewer`` (a ``FrameViewer``) and ``to_text(env)``, imported when the first frame is drawn.
    """

    viewer_module: ClassVar[str]
    metadata: dict[str, Any]
    render_mode: str | None
    _viewer: Any = None

    def check_render_mode(self, render_mode: str | None) -> None:
        """Raise ``ValueError`` for a mode that the environment does not have."""
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(f"render_mode is {render_mode!r}, expected one of {', '.join(modes)}")

    def render(self) -> Any:
        """The present state: an RGB array ``(height, width, 3)``, a window, or a text table."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode, e.g. gym.make(..., render_mode='rgb_array')")
            return None
        viewer = import_module(self.viewer_module)
        if self.render_mode == "ansi":
            return viewer.to_text(self)
        if self._viewer is None:
            self._viewer = viewer.Viewer()
        frame = self._viewer.draw(self)
        if self.render_mode == "human":
            self._viewer.show(frame, self.metadata["render_fps"])
            return None
        return frame

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None


class FrameViewer(ABC):
    """Draws an environment, and shows frames in a window with ``title``."""

    title: ClassVar[str]

    def __init__(self) -> None:
        self._window = Window(self.title)

    @abstractmethod
    def draw(self, env: Any) -> Frame:
        """The present state of ``env`` (unwrapped) as uint8 ``(height, width, 3)``.

        Raises ``gymnasium.error.ResetNeeded`` before the first ``reset``.
        """

    def show(self, frame: Frame, fps: float) -> None:
        """Show a frame: see ``Window.show``."""
        self._window.show(frame, fps)

    def close(self) -> None:
        """Close the window, if there is one; the next ``show`` opens a new one."""
        self._window.close()


def text_console(stream: StringIO, width: int, *, colour: bool) -> Console:
    """A rich console that writes ``width`` columns of text into ``stream``; ``colour``: with ANSI escape codes."""
    from rich.console import Console

    # legacy_windows=False: the text may go to a file or a log, not to the console that happens to be there
    return Console(
        file=stream,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        highlight=False,
        emoji=False,
    )
