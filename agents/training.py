"""Training as a function: environment, agent, curves, checkpoints, evaluation of the result; no Hydra needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import torch as th
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger

import envs
from agents.baselines import baseline
from agents.callbacks import ProgressBar, Supervisor, save_model
from agents.checkpoint import latest_checkpoint, load_checkpoint
from agents.cli import Interrupted
from agents.curves import Curves
from agents.dqn import MaskableDQN
from agents.evaluation import InstanceSet, evaluate
from agents.learned import env_arguments, load_model, policy_of
from agents.masking import MaskedDQNPolicy
from agents.policies import DevicePolicy
from agents.run_folder import RunFolder
from agents.scores import Scores, score_all
from agents.vec_adapter import SB3VecEnv
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, DqnConfig, TrainConfig
from envs.distprivacy.generator import Generator
from envs.distprivacy.vector import DistPrivacyVectorEnv
from optimal.standard_sets import TEST_SEED, VALIDATION_SEED


def make_training_env(config: TrainConfig) -> SB3VecEnv:
    """The native vector environment of a config, as Stable-Baselines3 wants it."""
    assert envs.ENVIRONMENTS  # importing the package registers them
    arguments = env_arguments(cast(DistPrivacyConfig, config.env))
    vector = gym.make_vec(config.env.id, config.num_envs, vectorization_mode="vector_entry_point", **arguments)
    return SB3VecEnv(cast(Any, vector.unwrapped))


def make_agent(config: TrainConfig, env: SB3VecEnv) -> MaskableDQN:
    """A fresh agent. Raises ``UserError`` where agent and environment do not fit together."""
    agent, world = cast(DqnConfig, config.agent), cast(DistPrivacyConfig, config.env)
    if agent.policy == "device" and world.observation != "full":
        raise UserError(
            f"agent.policy is device and env.observation is {world.observation}, expected full or agent.policy=mlp"
        )
    if agent.masked and world.observation != "full":
        raise UserError(f"agent.masked is true and env.observation is {world.observation}, which carries no mask")
    if agent.policy == "device":
        policy: Any = DevicePolicy
        policy_kwargs: dict[str, Any] = {"hidden": agent.hidden, "layers": agent.layers}
    else:
        policy = MaskedDQNPolicy if agent.masked else "MlpPolicy"
        policy_kwargs = {"net_arch": [agent.hidden] * agent.layers}
    first, last = agent.learning_rate, agent.learning_rate_final
    return MaskableDQN(
        policy,
        env,
        mask_in_observation=agent.masked,
        double_q=agent.double_q,
        exploration_spread=agent.exploration_spread,
        n_steps=agent.n_steps,
        cut_at_exploration=agent.cut_at_exploration,
        learning_rate=_Straight(first, last),
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
        seed=config.seed,
        device=config.device,
    )


class _Straight:
    """Learning rate on a straight line from the start to the end of training; a class, so that models pickle small."""

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, last

    def __call__(self, left: float) -> float:
        return self.last + (self.first - self.last) * left


def train(config: TrainConfig, *, callbacks: list[BaseCallback] | None = None) -> Scores:
    """Train by ``config``, evaluate the best model next to the baselines, and leave a run folder.

    With ``config.resume`` the run goes on from its last checkpoint and ends exactly as if it had never been interrupted;
    the rest of ``config`` must then be the run's own, as ``run_folder.resume_config`` reads it.
    Returns the scores, which ``summary.json`` holds too; ``scores.folder`` is the run folder.

    Raises ``UserError`` for settings that do not fit together and for folders and checkpoints that cannot be read.
    """
    th.set_num_threads(config.threads)
    env = make_training_env(config)
    model = make_agent(config, env)
    folder = RunFolder.open(config.resume) if config.resume else RunFolder.create(config)
    try:
        _learn(config, model, folder, callbacks or [])
        return _score(config, model, folder)
    finally:
        env.close()


def _learn(config: TrainConfig, model: MaskableDQN, folder: RunFolder, callbacks: list[BaseCallback]) -> None:
    generator = cast(DistPrivacyVectorEnv, cast(SB3VecEnv, model.env).env).generator
    held_out, greedy = None, float("nan")
    if config.evaluate_every:
        held_out = InstanceSet.draw(generator, config.evaluate_instances, VALIDATION_SEED).with_shipped_bounds()
        greedy = evaluate(baseline("greedy"), held_out, check=False).mean_latency_s
    curves = Curves(folder.path, config.tensorboard)
    supervisor = Supervisor(config, folder, curves, held_out, greedy)
    checkpoint = latest_checkpoint(folder.checkpoints)
    if checkpoint is not None:
        supervisor.restore(load_checkpoint(checkpoint, model))
    everything: list[BaseCallback] = [supervisor, *callbacks]
    bar = ProgressBar(config.steps, supervisor.recent) if config.progress else None
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


def _score(config: TrainConfig, model: MaskableDQN, folder: RunFolder) -> Scores:
    """Score the best model next to the baselines on held-out instances and write the summary."""
    generator: Generator = cast(DistPrivacyVectorEnv, cast(SB3VecEnv, model.env).env).generator
    best = policy_of(load_model(folder.best_model, config.device), config)
    instances = InstanceSet.draw(generator, config.final_instances, TEST_SEED).with_shipped_bounds()
    world = cast(DistPrivacyConfig, config.env)
    title = f"{world.scenario}, SSIM {world.ssim:g}, {config.final_instances} held-out instances"
    policies = [best, *(baseline(name) for name in config.baselines)]
    scores = score_all(policies, instances, title, progress=config.progress)
    scores.folder = Path(folder.path)
    folder.write_json("summary.json", {"steps": model.num_timesteps, "seed": config.seed, **scores.to_dict()})
    return scores
