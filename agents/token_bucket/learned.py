"""Trained policies for token-bucket offloading: acting on observations, and deciding whole streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch as th
from numpy.typing import NDArray

from agents.masking import masked_argmax, split_mask
from envs._jit import kernel
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.dynamics import SEND, first_exogenous, next_exogenous, tokens_after
from envs.token_bucket.observation import Window, observe_row
from envs.token_bucket.streams import Streams
from envs.token_bucket.types import CAPACITY, COST, GAP, LOCATION, METRIC, N_FRAME, REFILL, REGIME, REWARD, TOKENS


@kernel
def _see(t, metric, reward, gap, regime, location, window, states, rows, frame, observations):  # type: ignore[no-untyped-def]
    """Observations of frame ``t`` of all streams, for buckets x streams states; ``rows`` are those of the streams."""
    streams = len(rows)
    for s in range(streams):
        frame[METRIC], frame[REWARD], frame[GAP] = metric[s, t], reward[s, t], gap[s, t]
        frame[LOCATION], frame[REGIME] = location[s, t], regime[s, t]
        if t == 0:
            first_exogenous(rows[s], frame)
        else:
            next_exogenous(rows[s], frame, int(window[0]), int(window[1]))
    for i in range(len(states)):
        observe_row(states[i], rows[i % streams], window, observations[i])


@kernel
def _decide(t, actions, gap, states, sent):  # type: ignore[no-untyped-def]
    streams = gap.shape[0]
    for i in range(len(states)):
        e = states[i]
        go = actions[i] == SEND and e[TOKENS] >= e[COST]
        sent[i, t] = go
        e[TOKENS] = tokens_after(e[TOKENS], e[REFILL], e[COST], e[CAPACITY], gap[i % streams, t], go)


class LearnedBucketPolicy:
    """The greedy policy of a trained Q-network, for any bucket within the range of its training.

    ``act`` answers one observation ``(L,)`` with an int, a batch ``(B, L)`` with an int64 array ``(B,)``. ``play`` decides
    whole streams, as references do (``optimal.token_bucket.policy.Policy``).
    """

    kind: ClassVar[str] = "learned"

    def __init__(self, name: str, q_net: Any, window: Window, *, masked: bool) -> None:
        self.name, self.window = name, window
        self._q_net, self._masked = q_net, masked

    def act(self, observation: NDArray[np.float32], env: Any = None) -> Any:
        """Keep (0) or send (1); ``env`` is not needed. Raises ``ValueError`` for an observation of another size."""
        observation = np.asarray(observation, np.float32)
        if observation.shape[-1] != self.window.length:
            raise ValueError(
                f"policy {self.name} answers observations of {self.window.length} numbers, got {observation.shape[-1]}, "
                "expected an environment with the history of its training"
            )
        actions = self._actions(np.atleast_2d(observation))
        return actions if observation.ndim == 2 else int(actions[0])

    def _actions(self, batch: NDArray[np.float32]) -> NDArray[np.int64]:
        with th.no_grad():
            tensor = th.as_tensor(batch, device=self._q_net.device)
            q = self._q_net(tensor)
            mask = split_mask(tensor, q.shape[1])[1] if self._masked else None
            return cast(NDArray[np.int64], masked_argmax(q, mask).cpu().numpy())

    def play(self, streams: Streams, bucket: Bucket) -> NDArray[np.bool_]:
        """The frames that are sent, ``(S, T)``, of streams that each begin with a full bucket."""
        return np.asarray(self.play_all(streams, [bucket])[0])

    def play_all(self, streams: Streams, buckets: Sequence[Bucket]) -> NDArray[np.bool_]:
        """``play`` for several buckets at once, ``(len(buckets), S, T)``."""
        if streams.ticks_per_unit != self.window.ticks_per_unit:
            raise ValueError(
                f"the streams have {streams.ticks_per_unit} ticks a time unit, expected the {self.window.ticks_per_unit} of "
                "the policy's training"
            )
        count, length = streams.metric.shape
        start = [[one.capacity, one.refill, one.cost, one.capacity] for one in buckets]
        states = np.repeat(np.array(start, np.int64), count, axis=0)
        rows, frame = np.zeros((count, self.window.exogenous_length)), np.zeros(N_FRAME)
        observations = np.empty((len(states), self.window.length), np.float32)
        sent = np.zeros((len(states), length), np.bool_)
        world = (streams.metric, streams.reward, streams.gap, streams.regime, streams.location, self.window.numbers)
        for t in range(length):
            _see(t, *world, states, rows, frame, observations)
            _decide(t, self._actions(observations), streams.gap, states, sent)
        return sent.reshape(len(buckets), count, length)
