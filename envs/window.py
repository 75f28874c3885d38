"""The window that shows the frames of a viewer (pygame, loaded when the first frame is shown)."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray


class Window:
    """Shows frames of equal size under a title. Once the user has closed it, it stays closed until ``close``."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._pygame: Any = None
        self._screen: Any = None
        self._clock: Any = None
        self._dismissed = False  # the user closed the window; the episode goes on without it

    def show(self, frame: NDArray[np.uint8], fps: float) -> None:
        """Show a frame ``(height, width, 3)`` and wait so that at most ``fps`` frames a second are shown.

        Raises ``gymnasium.error.DependencyNotInstalled`` where pygame is missing.
        """
        if self._dismissed:
            return
        if self._screen is None:
            self._open(frame.shape[1], frame.shape[0])
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                self.close()
                self._dismissed = True
                return
        self._screen.blit(self._pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        self._pygame.display.flip()
        self._clock.tick(fps)

    def close(self) -> None:
        """Close the window, if there is one; the next ``show`` opens a new one."""
        if self._screen is not None:
            self._pygame.display.quit()
        self._screen = self._clock = None
        self._dismissed = False

    def _open(self, width: int, height: int) -> None:
        try:
            import pygame
        except ImportError as error:
            raise DependencyNotInstalled(
                "render_mode 'human' needs pygame, which is not installed: pip install 'offramp[human]'"
            ) from error
        self._pygame = pygame
        pygame.display.init()  # not pygame.init(), which opens the sound device too
        pygame.display.set_caption(self._title)
        self._screen = pygame.display.set_mode((width, height))
        self._clock = pygame.time.Clock()
