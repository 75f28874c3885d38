"""Exact continuation of native vector environments: their state as plain data, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class ResumableVector:
    """``get_state`` and ``set_state`` of a vector environment that keeps its state in arrays and one generator each.

    Put before ``VectorEnv``; the environment has ``_generators`` and ``_state_arrays()``, arrays that are changed in place.
    """

    _generators: list[np.random.Generator]

    def _state_arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays that hold the state of the sub-environments."""
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """Everything that a run needs to go on exactly: episodes under way and random generators."""
        return {
            "arrays": [array.copy() for array in self._state_arrays()],
            "generators": [generator.bit_generator.state for generator in self._generators],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of ``get_state``."""
        for mine, saved in zip(self._state_arrays(), state["arrays"], strict=True):
            np.copyto(mine, saved)
        self._generators = []
        for generator_state in state["generators"]:
            generator = np.random.Generator(np.random.PCG64())
            generator.bit_generator.state = generator_state
            self._generators.append(generator)
