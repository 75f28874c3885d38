"""Devices that leave during training (the paper's Fig 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from stable_baselines3.common.callbacks import BaseCallback

from agents.vec_adapter import SB3VecEnv
from envs.distprivacy.vector import DistPrivacyVectorEnv


class Leaving(BaseCallback):
    """From ``after`` environment steps on, new periods come without the devices in ``slots``."""

    def __init__(self, after: int, slots: Sequence[int]) -> None:
        super().__init__()
        self.after, self.slots = after, slots
        self.gone = False

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self.after and not self.gone:
            cast(DistPrivacyVectorEnv, cast(SB3VecEnv, cast(Any, self.model).env).env).devices_leave(self.slots)
            self.gone = True

    def _on_step(self) -> bool:
        return True
