"""What happens beside the updates: episode statistics, evaluation, the best model, checkpoints, the progress bar."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from agents.checkpoint import save_checkpoint
from agents.curves import Curves
from agents.dqn import MaskableDQN
from agents.run_folder import RunFolder
from agents.worlds import Judge, Score
from conf.schema import TrainConfig
from envs.atomic import atomic_path

NAN = float("nan")


class Supervisor(BaseCallback):
    """Evaluates, logs and saves at the start of rollouts, where a run can be continued exactly.

    ``judge``: what counts in this environment.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        curves: Curves,
        judge: Judge,
    ) -> None:
        super().__init__()
        self._config, self._folder, self._curves = config, folder, curves
        self._judge = judge
        self._next_evaluation = config.evaluate_every
        self._next_checkpoint = config.checkpoint_every
        self._episodes = 0
        self._latest: deque[tuple[float, ...]] = deque(maxlen=200)  # for the progress bar
        self._window: list[tuple[float, ...]] = []  # episodes since the last row
        self._best: Score = (np.inf,)
        self._clock = 0.0  # seconds of earlier sittings
        self._started = time.perf_counter()
        self._steps_before = 0
        self.resume_hint = f"resume={folder.path} goes on from the last checkpoint"

    # --- continuation ------------------------------------------------------------------------------------------------
    def progress(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {
            "next": (self._next_evaluation, self._next_checkpoint),
            "episodes": self._episodes,
            "window": list(self._window),
            "best": self._best,
            "clock": self._seconds(),
            "curves": self._curves.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``progress``."""
        self._next_evaluation, self._next_checkpoint = state["next"]
        self._episodes, self._window, self._best = state["episodes"], list(state["window"]), state["best"]
        self._clock = state["clock"]
        self._curves.restore(state["curves"])

    def _seconds(self) -> float:
        return self._clock + time.perf_counter() - self._started

    # --- Stable-Baselines3 -------------------------------------------------------------------------------------------
    def _on_training_start(self) -> None:
        self._started = time.perf_counter()
        self._steps_before = self.num_timesteps

    def _on_step(self) -> bool:
        dones = self.locals["dones"]
        if dones.any():
            for i in np.flatnonzero(dones):
                self._episodes += 1
                episode = self._judge.episode(self.locals["infos"][i])
                self._window.append(episode)
                self._latest.append(episode)
        return True

    def _on_rollout_start(self) -> None:
        self.settle()

    def settle(self, *, final: bool = False) -> None:
        """Evaluate and save whatever is due at this step; everything with ``final``."""
        step = self.model.num_timesteps
        every = self._config.evaluate_every
        due = bool(every) and step > 0 and (step >= self._next_evaluation or final)
        if due and (step >= self._next_evaluation or self._window):
            self._next_evaluation = (step // every + 1) * every
            self._evaluate(step)
        checkpoint_every = self._config.checkpoint_every
        if checkpoint_every and step > 0 and (step >= self._next_checkpoint or final):
            self._next_checkpoint = (step // checkpoint_every + 1) * checkpoint_every
            save_checkpoint(self._folder.checkpoints, cast(MaskableDQN, self.model), self.progress())

    # --- evaluation --------------------------------------------------------------------------------------------------
    def _evaluate(self, step: int) -> None:
        started = time.perf_counter()
        model = cast(MaskableDQN, self.model)
        columns, score = self._judge.of_policy(model)
        if self._judge.prefers(score, self._best) or not self._folder.best_model.exists():
            self._best = min(score, self._best)
            save_model(model, self._folder)
        self._curves.add(self._row(step, columns), self._timing(step, time.perf_counter() - started))
        self._window.clear()

    def _row(self, step: int, of_policy: dict[str, float]) -> dict[str, float]:
        logged = self.logger.name_to_value
        return {
            "step": step,
            **self._judge.of_training(self._window),
            "episodes": self._episodes,
            **of_policy,
            **self._judge.of_best(self._best),
            "exploration": float(cast(MaskableDQN, self.model).exploration_rate),
            "learning_rate": float(logged.get("train/learning_rate", NAN)),
            "loss": float(logged.get("train/loss", NAN)),
            "q_mean": float(logged.get("train/q_mean", NAN)),
            "target_mean": float(logged.get("train/target_mean", NAN)),
            "grad_norm": float(logged.get("train/grad_norm", NAN)),
            "updates": float(self.model._n_updates),
        }

    def _timing(self, step: int, evaluation: float) -> dict[str, float]:
        sitting = max(time.perf_counter() - self._started, 1e-9)
        speed = (step - self._steps_before) / sitting
        return {"step": step, "seconds": self._seconds(), "steps_per_s": speed, "evaluation_s": evaluation}

    def status(self) -> str:
        """The latest 200 episodes in a few words, for the progress bar."""
        return self._judge.status(list(self._latest))


def save_model(model: MaskableDQN, folder: RunFolder, name: str = "best_model.zip") -> None:
    """Save a model to the run folder, atomically."""
    with atomic_path(folder.path / name) as temporary:
        model.save(temporary)


class ProgressBar(BaseCallback):
    """A rich progress bar on standard error: steps, how the latest episodes went, steps per second, time left."""

    def __init__(self, total: int, recent: Callable[[], str]) -> None:
        super().__init__()
        self._total, self._recent = total, recent
        self._bar = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            refresh_per_second=4,
        )
        self._task: Any = None
        self._shown = 0.0
        self._started, self._first = 0.0, 0

    def _on_training_start(self) -> None:
        self._bar.start()
        self._task = self._bar.add_task("training", total=self._total, completed=self.num_timesteps, status="")
        self._started, self._first = time.perf_counter(), self.num_timesteps

    def _on_step(self) -> bool:
        now = time.perf_counter()
        if now - self._shown > 0.5:
            self._shown = now
            speed = (self.num_timesteps - self._first) / max(now - self._started, 1e-9)
            status = f"{self._recent()}  {speed:,.0f} steps/s"
            self._bar.update(self._task, completed=self.num_timesteps, status=status)
        return True

    def _on_training_end(self) -> None:
        self._bar.update(self._task, completed=self.num_timesteps)
        self.stop()

    def stop(self) -> None:
        """Stop drawing."""
        self._bar.stop()
