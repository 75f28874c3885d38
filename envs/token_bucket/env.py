"""Token-bucket offloading as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.rendering import Rendered
from envs.token_bucket import batch
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.build import Options, make_world
from envs.token_bucket.generator import Generator, TraceList
from envs.token_bucket.reset_options import read_options
from envs.token_bucket.types import N_FRAME, Trace
from envs.token_bucket.warmup import warm_up

ObsType = NDArray[np.float32]


class TokenBucketEnv(Rendered, gym.Env[ObsType, np.int64]):
    """Keep an image or send it to a stronger classifier, at one token of a bucket: lowest loss at a limited rate.

    ## Description
    Frames arrive one after the other. A weak classifier answers each at once and estimates the *metric*: by how much a strong
    classifier would reduce the loss. Sending a frame takes one token; the bucket gains ``rate`` tokens a time unit and holds at
    most ``depth``. What to send depends on the tokens, on how metrics and arrivals will go on, and on nothing else: the trace
    of frames does not depend on what is decided.

    ## Action Space
    ``Discrete(2)``: 0 keep, 1 send. ``info["action_mask"]`` (int8) and ``action_masks()`` (bool) say whether there is a token.
    Any other action is a ``ValueError``.

    ## Observation Space
    One flat float32 ``Box`` of named slices (``observation_layout``), the action mask last; see docs/token_bucket.md.

    | slice | length | meaning | range |
    |---|---|---|---|
    | ``level`` | 1 | tokens over depth, after the refill | 0..1 |
    | ``can_send`` | 1 | whether there is a whole token | 0, 1 |
    | ``rate`` | 1 | tokens a time unit | 0..1 |
    | ``inverse_depth`` | 1 | 1 over the depth in tokens | 0..1 |
    | ``metrics`` | ``history`` | metric of this frame and of those before, newest first, over ``metric_scale`` | -1..1 |
    | ``gaps`` | ``gap_history`` | time units between the latest frames over ``gap_scale``, newest first | 0..1 |
    | ``latent`` | 2 | with ``include_latent``: hidden location and regime, -1 where unknown | -1.. |
    | ``action_mask`` | 2 | keep, send | 0, 1 |

    What lies before the episode counts as 0.

    ## Rewards
    ``expected`` (default): the metric of a frame that is sent, else 0. ``realised``: the realised reduction of the loss, -1, 0
    or 1, with the same mean and five times the variance. Less ``latency_price`` times the seconds until the answer (20.9 ms
    kept, 73.5 ms sent).

    ## Starting State
    A full bucket, or with ``start="random"`` any level. ``reset(options={"trace": ...})``: these frames (a ``Trace``
    or the path of a trace file); ``{"bucket": (rate, depth)}``: this bucket.

    ## Episode End
    Never terminated; truncated after ``length`` decisions, or at the last frame of a shorter trace.
    A send without a token is a keep, and ``info["invalid_action"]`` is True.

    ## Arguments
    ``scenario``: a name of ``presets.SCENARIOS`` or ``presets.PRESETS`` (the points of the published sweeps, such as
    ``fig6-rate0.05-depth10``), a ``Generator``, a ``Trace`` or the path of a trace file (.csv). ``rate``, ``depth``: of the
    bucket; None: the preset's, else 0.1 and 4. ``rates``, ``depths``: each episode draws one of each instead.
    ``length``: decisions.
    ``start``, ``reward``, ``latency_price``, ``history``, ``gap_history``, ``include_latent``: above. ``metric_scale``,
    ``gap_scale``: constants of the observation. ``distribution``, ``spread``, ``reset``, ``arrivals``, ``gaps``, ``leave``,
    ``mean_gap``: change a named scenario (``scenarios.scenario``). ``weak_loss``: mean loss without a send, for given
    traces. ``render_mode``: rgb_array, human, ansi.

    ## Reference
    J. Qiu et al., A Deep Q-Network approach to edge ML offloading under token-bucket constraints, arXiv 2208.00485;
    A. Chakrabarti et al., Real-time edge classification: optimal offloading under token bucket constraints, arXiv 2010.13737.

    ```python
    import gymnasium as gym
    env = gym.make("envs:offramp/TokenBucket-v0", scenario="s1")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample(info["action_mask"]))
    ```

    ## Version History
    v0: first version.
    """

    viewer_module = "envs.token_bucket.viewer"
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}

    def __init__(
        self,
        scenario: str | Path | Trace | Generator = "s1",
        *,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.world = make_world(scenario, **options)
        self.check_render_mode(render_mode)
        self.render_mode = render_mode
        window = self.world.dynamics.window
        self.observation_layout = window.layout
        self.observation_space = window.space  # type: ignore[assignment]
        self.action_space = spaces.Discrete(2)
        self._numbers = window.numbers
        self._endogenous = np.zeros(4, np.int64)
        self._row = np.zeros(window.exogenous_length)
        self._frames = np.zeros((1, N_FRAME))
        self._ticks = window.ticks_per_unit
        self._clock = 0
        self._totals = np.zeros(batch.N_TOTAL)
        self._observation = np.zeros(window.length, np.float32)
        self._mask = np.zeros(2, np.int8)
        self._ints, self._floats = np.zeros(batch.N_INT, np.int64), np.zeros(batch.N_FLOAT)
        self._past: list[tuple[int, bool]] = []  # tokens before each decision and whether it sent, for drawing
        self._over, self._has_reward = True, False
        warm_up()

    # --- Gymnasium ---------------------------------------------------------------------------------------------------
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin a new episode; see the class. Raises ``ValueError`` for bad options."""
        super().reset(seed=seed)
        trace, bucket = read_options(options or {}, self._ticks)
        if trace is not None:
            # checked as a constructor argument would be; a realised reward must be known
            given = TraceList([trace], self.world.generator.weak_loss)
            if self.world.dynamics.numbers[0] and not given.has_reward:
                raise ValueError("the trace has no realised rewards, but the environment's reward is 'realised'")
        self._has_reward = self.world.generator.has_reward if trace is None else trace.reward is not None
        drawn, self._endogenous = self.world.begin(self.np_random, trace, bucket)
        self._frames = drawn.frames()
        self._clock, self._over = 0, False
        self._past.clear()
        batch.begin(
            self._endogenous, self._row, self._frames, self._numbers, self._totals, self._observation, self._mask,
            self._ints, self._floats,
        )  # fmt: skip
        if self.render_mode == "human":
            self.render()
        return self._observation.copy(), self._info()

    def step(self, action: Any) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Keep (0) or send (1) the current frame; see the class.

        Raises ``ValueError`` for another action, ``RuntimeError`` after the end of an episode.
        """
        if self._over:
            raise RuntimeError("the episode is over, expected reset() before the next step()")
        decision = _decision(action)
        before = int(self._endogenous[0])
        self._clock += 1
        reward = batch.decide(
            self._endogenous, self._row, self._frames[self._clock], decision, self._numbers,
            self.world.dynamics.numbers, self.world.generator.weak_loss, self._totals, self._observation, self._mask,
            self._ints, self._floats,
        )  # fmt: skip
        self._past.append((before, bool(self._ints[6])))
        self._over = self._clock == len(self._frames) - 1
        if self.render_mode == "human":
            self.render()
        return self._observation.copy(), reward, False, self._over, self._info()

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are possible, bool ``(2,)`` (the name that sb3-contrib's MaskablePPO asks for)."""
        return self._mask.astype(np.bool_)

    # --- the pure functions ------------------------------------------------------------------------------------------
    def transition(
        self, endogenous: NDArray[np.int64], exogenous: NDArray[np.float64], action: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """``Dynamics.transition``: where actions would lead, for any states."""
        return self.world.dynamics.transition(endogenous, exogenous, action)

    def observe(self, endogenous: NDArray[np.int64], exogenous: NDArray[np.float64]) -> NDArray[np.float32]:
        """``Dynamics.observe``: how any states look."""
        return self.world.dynamics.observe(endogenous, exogenous)

    # --- what else users ask for -------------------------------------------------------------------------------------
    @property
    def endogenous(self) -> NDArray[np.int64]:
        """What decisions have led to: tokens and the bucket, int64 ``(4,)``, as ``transition`` takes it."""
        return self._endogenous.copy()

    @property
    def exogenous(self) -> NDArray[np.float64]:
        """What the outside world does at this frame, float64 ``(X,)``, as ``transition`` takes it."""
        return self._row.copy()

    @property
    def trace(self) -> Trace:
        """The frames of this episode; one more than decisions."""
        return Trace.of_frames(self._frames, self._ticks)

    @property
    def bucket(self) -> Bucket:
        """The bucket of this episode."""
        refill, cost, capacity = (int(value) for value in self._endogenous[1:])
        return Bucket(
            Fraction(refill * self._ticks, cost), Fraction(capacity, cost), self._ticks, refill, cost, capacity
        )

    @property
    def past(self) -> Sequence[tuple[int, bool]]:
        """Micro-tokens before each decision of this episode, and whether it sent."""
        return tuple(self._past)

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"action_mask": self._mask.copy()}
        info.update(zip(batch.INTS, self._ints.tolist(), strict=True))
        info.update(zip(batch.FLOATS, self._floats.tolist(), strict=True))
        for name in batch.FLAGS:
            info[name] = bool(info[name])
        for name in () if self._has_reward else batch.NEED_REWARD:
            del info[name]
        return info


def _decision(action: Any) -> int:
    """``action`` as 0 or 1. Raises ``ValueError`` for anything else."""
    try:
        number = int(action)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number not in (0, 1) or number != action:
        raise ValueError(f"action is {action!r}, expected 0 (keep) or 1 (send)")
    return number
