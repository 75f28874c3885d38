"""Early exit as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.early_exit import batch
from envs.early_exit.build import Options, make_world, share_of
from envs.early_exit.dynamics import N_REPORT
from envs.early_exit.scenarios import Scenario
from envs.early_exit.warmup import warm_up
from envs.rendering import Rendered

ObsType = NDArray[np.float32]


class EarlyExitEnv(Rendered, gym.Env[ObsType, np.int64]):
    """Choose how sure each exit of a network must be, window by window: few errors and rejections within a budget.

    ## Description
    A network with E exits labels rows as normal or attack; exit 1 runs on the edge and sees every row, later exits run further
    on. Before each *window* of rows one of A sets of thresholds is chosen: at exit k a row is answered where its certainty
    reaches the threshold of exit and predicted class, else it may be rejected there, else it goes on; the last exit answers or
    rejects. What goes on draws on a budget of the episode. Rows come from months (or other regimes) that differ in how sure the
    exits are, and in how often rightly; the months, the rows, the link and the load do not depend on what is chosen.

    ## Action Space
    ``Discrete(A)``: a line of the file of actions. Every action is always allowed (``action_masks()`` is all True): one whose
    window would use more than is left of the budget sends nothing, and its unsure rows are rejected (``info["over_budget"]``).

    ## Observation Space
    One flat float32 ``Box`` of named slices (``observation_layout``), the action mask last. Nothing in it needs labels.

    | slice | length | meaning | range |
    |---|---|---|---|
    | ``budget`` | 3 | left over whole; what the rest may use, and what the whole might, over using all | 0..1 |
    | ``time`` | 1 | windows left over all windows | 0..1 |
    | ``acceptance`` | 3 | share accepted so far, share that the rest must accept (1: all, or too late), least share | -1..1 |
    | ``link`` | 2 | speed of the link and load of the cloud in this window | 0..1 |
    | ``shape`` | 17 | last window: rows by predicted class and 8 bins of certainty at exit 1, share of the top value | 0..1 |
    | ``profile`` | 17 | the same, averaged over all windows so far, the latest weighing most | 0..1 |
    | ``demand`` | A | share of the rows that each action would have let past exit 1, averaged as ``profile`` | 0..1 |
    | ``last`` | 5 | last window: share that exit 1 answered, share past it, share rejected; of those past it: share whose \
answer changed, mean last certainty | 0..1 |
    | ``last_action`` | 4 E | its thresholds (accept normal, accept attack, reject normal, reject attack), cut at 1 | 0..1 |
    | ``errors`` | E | with ``label_delay``: share of rows each exit got wrong, ``label_delay`` windows before the last | 0..1 |
    | ``latent`` | 2 | with ``include_latent``: month counted from 1 over months, share of attacks | 0..1 |
    | ``action_mask`` | A | all 1 | 1 |

    What is not known yet is 0.

    ## Rewards
    A window earns minus (``false_positive`` x FP + ``false_negative`` x FN + ``rejection`` x rejected + ``send`` x sent +
    ``joule`` x energy + ``late`` x rows answered or rejected after ``deadline_s``) over its rows. Less than
    ``least_acceptance`` + ``margin`` of the rows of the episode accepted: each row that lacks costs ``shortfall`` over the rows
    of a window, at the end (``constraint="terminal"``), as the lack grows and shrinks with the same sum (``"incremental"``), or
    never (``"none"``; ``info["cost_acceptance"]`` and ``info["cost_budget"]`` are there in any case, for Lagrangian methods).

    ## Starting State
    A whole budget. ``reset(options={"frames": ...})``: these frames (``env.frames`` of another episode); ``{"budget": 0.15}``:
    this share.

    ## Episode End
    Never terminated; truncated after ``windows`` decisions.

    ## Arguments
    ``scenario``: a name of ``scenarios.SCENARIOS`` or a ``Scenario``. ``tables``: ``synthetic`` (shipped), or evaluation
    tables or their paths; ``months``: which of them, from 1 (None: 3 to 5 of the shipped ones, all of others). ``actions``:
    thresholds or the path of a file of them; ``work``: work of the network or the path of its file (both None: those of the
    shipped tables). ``budget``: share of what sending every row would use; None: the scenario's; ``budgets``: every episode
    draws one. ``budget_of``: rows or joules (the edge's, beyond exit 1). ``windows``, ``rows``: of an episode, of a window.
    ``order``, ``change``, ``attack_shares``, ``bandwidths``, ``loads``, ``link_change``: see ``schedule.Schedule``.
    ``memory``: weight of the latest window in the profile. ``remote_from``, ``sends`` and rates of devices: see
    ``costs.Deployment``. ``render_mode``: rgb_array, human, ansi.

    ## Reference
    J. A. Simioni et al., An energy-efficient intrusion detection offloading based on an early-exit DNN for edge-cloud
    computing: the rule of exits and its thresholds. The episode, its budget and the reward are ours.

    ```python
    import gymnasium as gym
    env = gym.make("envs:offramp/EarlyExit-v0", scenario="budget")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    ```

    ## Version History
    v0: first version.
    """

    viewer_module = "envs.early_exit.viewer"
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 4}

    def __init__(
        self, scenario: str | Scenario = "budget", *, render_mode: str | None = None, **options: Unpack[Options]
    ) -> None:
        self.world = make_world(scenario, **options)
        self.check_render_mode(render_mode)
        self.render_mode = render_mode
        observed, dynamics = self.world.dynamics.observed, self.world.dynamics
        self.observation_layout = observed.layout
        self.observation_space = observed.space  # type: ignore[assignment]
        self._actions = len(self.world.actions)
        self._mask = np.ones(self._actions, np.int8)
        self._told = self.world.generator.layout.told
        self.action_space = spaces.Discrete(self._actions)
        self._physics, self._shown = dynamics.physics, observed.arrays
        self._state = self.world.first_state(np.inf, 1)
        self._frames = np.zeros((2, self.world.generator.layout.length), np.float32)
        self._clock = 0
        self._totals, self._report = np.zeros(N_REPORT), np.zeros(N_REPORT)
        self._status = np.zeros(batch.N_STATE_INFO)
        self._observation = np.zeros(observed.length, np.float32)
        self._past: list[tuple[int, NDArray[np.float64], float]] = []
        self._over = True
        warm_up()

    # --- Gymnasium ---------------------------------------------------------------------------------------------------
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin a new episode; see the class. Raises ``ValueError`` for bad options."""
        super().reset(seed=seed)
        frames, budget = read_options(options or {}, self.world.generator.layout.length)
        if frames is not None:
            self.world.generator.check(frames)
        self._frames, self._state = self.world.begin(self.np_random, frames, budget)
        self._clock, self._over = 0, False
        self._past.clear()
        batch.begin(
            self._state, self._frames[0], self._shown, self._totals, self._observation, self._report,
            self._status,
        )  # fmt: skip
        if self.render_mode == "human":
            self.render()
        return self._observation.copy(), self._info()

    def step(self, action: Any) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Decide the current window; see the class.

        Raises ``RuntimeError`` after the end of an episode and ``ValueError`` for an action that does not exist.
        """
        if self._over:
            raise RuntimeError("the episode is over, expected reset() before the next step()")
        chosen = _whole(action)
        if not 0 <= chosen < self._actions:
            raise ValueError(f"action is {action!r}, expected a whole number in 0..{self._actions - 1}")
        reward = batch.decide(
            self._state, self._frames[self._clock], self._frames[self._clock + 1], chosen, self._physics, self._shown,
            self._totals, self._observation, self._report, self._status,
        )  # fmt: skip
        self._clock += 1
        self._over = self._clock == len(self._frames) - 1
        self._past.append((chosen, self._report.copy(), float(self._status[0])))
        if self.render_mode == "human":
            self.render()
        return self._observation.copy(), reward, False, self._over, self._info()

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are possible, bool ``(A,)``: all of them (the name that sb3-contrib's MaskablePPO asks for)."""
        return np.ones(self._actions, np.bool_)

    # --- the pure functions ------------------------------------------------------------------------------------------
    def transition(
        self, endogenous: NDArray[np.float64], exogenous: NDArray[np.float32], action: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``Dynamics.transition``: where actions would lead, for any states."""
        return self.world.dynamics.transition(endogenous, exogenous, action)

    def observe(self, endogenous: NDArray[np.float64], exogenous: NDArray[np.float32]) -> NDArray[np.float32]:
        """``Dynamics.observe``: how any states look."""
        return self.world.dynamics.observe(endogenous, exogenous)

    # --- what else users ask for -------------------------------------------------------------------------------------
    @property
    def endogenous(self) -> NDArray[np.float64]:
        """What decisions have led to, float64 ``(N_STATE,)`` (``envs.early_exit.state``), as ``transition`` takes it."""
        return self._state.copy()

    @property
    def exogenous(self) -> NDArray[np.float32]:
        """The frame of this decision, float32 ``(X,)`` (``generator.FrameLayout``), as ``transition`` takes it."""
        return np.array(self._frames[self._clock])

    @property
    def frames(self) -> NDArray[np.float32]:
        """All frames of this episode ``(T + 1, X)``; none of them depends on what is decided."""
        return self._frames.copy()

    @property
    def past(self) -> Sequence[tuple[int, NDArray[np.float64], float]]:
        """The decisions of this episode: action, report (``dynamics``, ``N_REPORT`` numbers), budget that was left after."""
        return tuple(self._past)

    @property
    def clock(self) -> int:
        """Windows decided so far."""
        return self._clock

    def _info(self) -> dict[str, Any]:
        last = self._frames[max(self._clock - 1, 0)]
        numbers = [*self._report.tolist(), *self._totals.tolist(), *self._status.tolist(), *last[self._told].tolist()]
        info: dict[str, Any] = {"action_mask": self._mask.copy()}
        info.update(zip(batch.INFO, numbers, strict=True))
        info["over_budget"] = bool(info["over_budget"])
        return info


def _whole(action: Any) -> int:
    """``action`` as a whole number, -1 where it is none."""
    try:
        number = int(action)
        return number if number == action else -1
    except (TypeError, ValueError, OverflowError):
        return -1


def read_options(options: dict[str, Any], length: int) -> tuple[NDArray[np.float32] | None, float | None]:
    """Frames and budget of ``reset`` options; None for what is not given. Raises ``ValueError`` for others."""
    unknown = set(options) - {"frames", "budget"}
    if unknown:
        raise ValueError(f"reset option is {sorted(unknown)[0]!r}, expected frames or budget")
    frames, budget = options.get("frames"), options.get("budget")
    if frames is not None:
        try:
            frames = np.array(frames, np.float32)
        except (TypeError, ValueError):
            raise ValueError(f"reset option frames is no array of numbers, expected (windows + 1, {length})") from None
        if frames.ndim != 2 or frames.shape[1] != length or len(frames) < 2:
            raise ValueError(f"reset option frames has the shape {frames.shape}, expected (windows + 1, {length})")
    return frames, None if budget is None else share_of("reset option budget", budget)
