"""Trained policies for early exit: acting on observations, and deciding held-out episodes side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch as th
from numpy.typing import NDArray

from optimal.early_exit.playing import HEURISTIC, Choose, Game


@dataclass(frozen=True, eq=False)
class LearnedExitPolicy:
    """The greedy policy of a trained Q-network, for any budget within the range of its training.

    ``act`` answers one observation ``(L,)`` with an int, a batch ``(B, L)`` with an int64 array ``(B,)``; ``start`` makes it a
    policy as the references are (``optimal.early_exit.playing.Policy``).
    """

    name: str
    q_net: th.nn.Module
    kind: str = HEURISTIC

    def act(self, observation: NDArray[np.float32]) -> Any:
        """The best action of an observation or of a batch. Raises ``ValueError`` for an observation of another size."""
        length = int(cast(Any, self.q_net).observation_space.shape[0])
        if np.shape(observation)[-1] != length:
            raise ValueError(
                f"policy {self.name} answers observations of {length} numbers, got {np.shape(observation)[-1]}, expected the "
                "actions and the observation of its training"
            )
        device = next(self.q_net.parameters()).device
        training = self.q_net.training
        self.q_net.eval()
        with th.no_grad():
            batch = th.as_tensor(np.atleast_2d(observation), device=device)
            best = cast(NDArray[np.int64], self.q_net(batch).argmax(dim=1).cpu().numpy())
        self.q_net.train(training)
        return int(best[0]) if observation.ndim == 1 else best

    def start(self, game: Game) -> Choose:
        """See ``optimal.early_exit.playing.Policy``."""
        frames, dynamics = game.episodes.frames, game.world.dynamics
        return lambda t, state: self.act(dynamics.observe(state, np.ascontiguousarray(frames[:, t])))
