"""``python -m agents.rollout`` for token-bucket offloading: a stretch of frames as a GIF or as pictures."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

import envs
from agents.env_arguments import env_arguments
from agents.episode_gif import record_episode, save_pictures
from agents.learned import load_model
from agents.run_folder import RunFolder
from agents.token_bucket.baselines import baseline
from agents.token_bucket.runs import asked_for, policy_of_run, settings_of
from conf.messages import UserError
from conf.schema import RolloutConfig, check_baselines
from envs.token_bucket.streams import Streams
from optimal.token_bucket.policy import Policy

DECISIONS = 120
"""Decisions that are played, where nothing else is said; of longer stretches some pictures are left out."""


def run(config: RolloutConfig) -> dict[str, Any]:
    """Play one episode by ``config`` and write it."""
    assert envs.ENVIRONMENTS
    folder = None if config.run is None else RunFolder.open(config.run)
    world = asked_for(config, None if folder is None else settings_of(folder))
    arguments = env_arguments(world)
    arguments["length"] = DECISIONS if config.length is None else config.length
    env = gym.make(world.id, render_mode="rgb_array", **arguments)
    core: Any = env.unwrapped
    core.reset(seed=config.seed)
    policy: Policy
    if folder is not None:
        policy = policy_of_run(folder, load_model(folder.best_model), folder.config.agent.name)
    else:
        check_baselines([str(config.baseline)], world)
        try:
            policy = baseline(str(config.baseline), core.world.generator, core.bucket, config.seed)
        except ValueError as error:
            raise UserError(str(error)) from error
    # what is decided depends on nothing but the trace, which the same seed draws again
    sent = policy.play(Streams.of_trace(core.trace, core.world.generator.weak_loss), core.bucket)[0]
    decisions = iter(sent.tolist())
    frames = record_episode(env, lambda observation: int(next(decisions)), config.seed, DECISIONS + 1)
    written = save_pictures(frames, config.out, config.frames, config.fps)
    loss = float(core._floats[3])
    result = {
        "policy": policy.name,
        "loss": loss,
        "offload_rate": float(sent.mean()),
        "frames": len(frames),
        "written": written,
    }
    env.close()
    if config.format == "text":
        print(
            f"{policy.name}: mean loss {loss:.4f}, {100 * sent.mean():.1f} % sent, "
            f"{len(frames)} pictures in {', '.join(written)}"
        )
    return result
