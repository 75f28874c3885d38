"""Playing a set of references on the streams of one case: mean losses with their errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.token_bucket.bucket import Bucket
from envs.token_bucket.generator import TraceGenerator
from envs.token_bucket.streams import Streams, replay
from optimal.token_bucket.clairvoyant import Clairvoyant
from optimal.token_bucket.policy import Policy


@dataclass(frozen=True)
class Level:
    """Mean loss of a policy over streams. ``error``: standard error; ``spread``: standard deviation of a stream."""

    loss: float
    error: float
    spread: float
    sends: float  # share of the frames

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return {"loss": self.loss, "error": self.error, "sends": self.sends}


@dataclass(frozen=True)
class Case:
    """A generator and a bucket by name."""

    name: str
    generator: TraceGenerator
    bucket: Bucket


def play(
    case: Case, policies: Iterable[Policy], streams: int, length: int, seed: int
) -> tuple[dict[str, Level], Level]:
    """Losses of the policies on the same streams, by name, and the bound without a bucket for the mean gaps of these streams.

    ``clairvoyant R`` is measured in realised rewards.

    Raises ``RuntimeError`` where a policy sends without a token.
    """
    drawn = Streams.draw(case.generator, streams, length, seed)
    levels = {}
    for policy in policies:
        sent = policy.play(drawn, case.bucket)
        if replay(drawn, case.bucket, sent).violations.any():
            raise RuntimeError(f"{policy.name} sent frames without a token in {case.name}")
        realised = isinstance(policy, Clairvoyant) and policy.realised
        loss = drawn.losses(sent, realised=realised)
        levels[policy.name] = _level(loss, float(np.mean(sent)))
    share = np.minimum(1.0, float(case.bucket.rate) * drawn.gap.mean(axis=1) / drawn.ticks_per_unit)
    law = case.generator.distribution
    return levels, _level(np.array([law.weak_loss - law.tail_mass(one) for one in share]), float(share.mean()))


def _level(loss: NDArray[np.float64], sends: float) -> Level:
    spread = float(loss.std(ddof=1))
    return Level(float(loss.mean()), spread / len(loss) ** 0.5, spread, sends)
