"""Training as a function: environment, agent, curves, checkpoints, evaluation of the result; no Hydra needed."""

from __future__ import annotations

import math
from typing import Any, cast

import gymnasium as gym
import torch as th
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger

import envs
from agents.callbacks import ProgressBar, Supervisor, save_model
from agents.checkpoint import latest_checkpoint, load_checkpoint
from agents.cli import Interrupted
from agents.curves import Curves
from agents.dqn import MaskableDQN
from agents.env_arguments import env_arguments
from agents.run_folder import RunFolder
from agents.vec_adapter import SB3VecEnv
from agents.worlds import Scores, World, world_of
from conf.schema import DqnConfig, TrainConfig


def make_training_env(config: TrainConfig) -> SB3VecEnv:
    """The native vector environment of a config, as Stable-Baselines3 wants it."""
    assert envs.ENVIRONMENTS  # importing the package registers them
    arguments = env_arguments(config.env)
    vector = gym.make_vec(config.env.id, config.num_envs, vectorization_mode="vector_entry_point", **arguments)
    return SB3VecEnv(cast(Any, vector.unwrapped))


def make_agent(config: TrainConfig, env: SB3VecEnv) -> MaskableDQN:
    """A fresh agent. Raises ``UserError`` where agent and environment do not fit together."""
    agent, world = cast(DqnConfig, config.agent), world_of(config.env)
    policy, policy_kwargs = world.policy(config)
    first, last = agent.learning_rate, agent.learning_rate_final
    return MaskableDQN(
        policy,
        env,
        mask_in_observation=agent.masked,
        double_q=agent.double_q,
        exploration_spread=agent.exploration_spread,
        n_steps=agent.n_steps,
        cut_at_exploration=agent.cut_at_exploration,
        learning_rate=_FALLS[agent.learning_rate_fall](first, last),
        buffer_size=agent.buffer_size,
        learning_starts=agent.learning_starts,
        batch_size=agent.batch_size,
        tau=agent.tau,
        gamma=agent.gamma,
        train_freq=agent.train_freq,
        gradient_steps=agent.gradient_steps,
        target_update_interval=agent.target_update_interval,
        exploration_fraction=agent.exploration_fraction,
        exploration_initial_eps=agent.exploration_initial,
        exploration_final_eps=agent.exploration_final,
        max_grad_norm=agent.max_grad_norm,
        policy_kwargs=policy_kwargs,
        **world.replay(config, env),
        seed=config.seed,
        device=config.device,
    )


class _Straight:
    """Learning rate on a straight line from the start to the end of training; a class, so that models pickle small."""

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, last

    def __call__(self, left: float) -> float:
        return self.last + (self.first - self.last) * max(left, 0.0)  # the last vector step may pass the end


class _Geometric(_Straight):
    """Learning rate that falls by the same factor with every step: most of training is left for what small steps tell."""

    def __call__(self, left: float) -> float:
        return self.last * math.pow(self.first / self.last, max(left, 0.0))


_FALLS = {"straight": _Straight, "geometric": _Geometric}


def train(config: TrainConfig, *, callbacks: list[BaseCallback] | None = None) -> Scores:
    """Train by ``config``, evaluate the best model next to the baselines, and leave a run folder.

    With ``config.resume`` the run goes on from its last checkpoint and ends exactly as if it had never been interrupted;
    the rest of ``config`` must then be the run's own, as ``run_folder.resume_config`` reads it.
    Returns the scores, which ``summary.json`` holds too; ``scores.folder`` is the run folder.

    Raises ``UserError`` for settings that do not fit together and for folders and checkpoints that cannot be read.
    """
    th.set_num_threads(config.threads)
    world = world_of(config.env)
    world.policy(config)  # what does not fit together is told before anything is compiled
    env = make_training_env(config)
    model = make_agent(config, env)
    folder = RunFolder.open(config.resume) if config.resume else RunFolder.create(config)
    try:
        _learn(config, model, folder, world, callbacks or [])
        scores = world.score(config, env, folder)
        folder.write_json("summary.json", {"steps": model.num_timesteps, "seed": config.seed, **scores.to_dict()})
        return scores
    finally:
        env.close()


def _learn(
    config: TrainConfig, model: MaskableDQN, folder: RunFolder, world: World, callbacks: list[BaseCallback]
) -> None:
    judge = world.judge(config, model.env)
    curves = Curves(folder.path, list(judge.columns), config.tensorboard)
    supervisor = Supervisor(config, folder, curves, judge)
    checkpoint = latest_checkpoint(folder.checkpoints)
    if checkpoint is not None:
        supervisor.restore(load_checkpoint(checkpoint, model))
    everything: list[BaseCallback] = [supervisor, *callbacks]
    bar = ProgressBar(config.steps, supervisor.status) if config.progress else None
    if bar is not None:
        everything.append(bar)
    # without a logger of its own, learn() would make a folder for one outside the run folder
    model.set_logger(Logger(str(folder.path), []))
    rest = config.steps - model.num_timesteps
    try:
        if rest > 0:
            model.learn(rest, CallbackList(everything), log_interval=10**9, reset_num_timesteps=False)
            supervisor.settle(final=True)
    except KeyboardInterrupt:
        raise Interrupted(supervisor.resume_hint) from None
    finally:
        if bar is not None:
            bar.stop()
        curves.close()
    save_model(model, folder, "last_model.zip")
    if not folder.best_model.exists():
        save_model(model, folder)
