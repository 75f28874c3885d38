"""``python -m agents.rollout`` for early exit: a held-out episode as a GIF or as pictures."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

import envs
from agents.early_exit.held_out import held_out_episodes, tuning_episodes
from agents.early_exit.runs import asked_for, check_played, named_policies, settings_of
from agents.env_arguments import env_arguments
from agents.episode_gif import record_episode, save_pictures
from agents.run_folder import RunFolder
from conf.messages import UserError
from conf.schema import EarlyExitConfig, RolloutConfig, check_baselines
from envs._jit import announce_compilation
from optimal.early_exit.episode_gaps import BEYOND, references
from optimal.early_exit.playing import Game, Policy, play

SHARES = {"errors": "wrong", "rejected": "rejected", "sent": "sent"}
"""Shares of the rows that are told, and what they are called."""


def run(config: RolloutConfig) -> dict[str, Any]:
    """Play one episode by ``config`` and write it."""
    assert envs.ENVIRONMENTS
    folders = [] if config.run is None else [RunFolder.open(config.run)]
    world = asked_for(config.scenario, [config.budget], settings_of(folders[0]) if folders else None)
    check_played(folders, world)
    policy: Policy = named_policies(folders)[0] if folders else _baseline(str(config.baseline), world)
    with announce_compilation():
        episode = held_out_episodes(world, 1, config.seed)
        game = Game.of(episode)
        played = play(policy, game)
    arguments = env_arguments(world)
    arguments["months"] = world.test_months or None
    env = gym.make(world.id, render_mode="rgb_array", **arguments)
    decisions = iter(played.actions[0].tolist())
    options = {"frames": episode.frames[0], "budget": game.budget}
    frames = record_episode(env, lambda observation: int(next(decisions)), config.seed, options=options)
    env.close()
    result: dict[str, Any] = {
        "policy": policy.name,
        "budget": None if game.budget == np.inf else game.budget,
        "cost": float(played.cost_per_row[0]),
        "errors": float(played.errors[0]),
        "rejected": float(played.rejected[0]),
        "sent": float(played.sent[0]),
        "over_windows": int(played.over[0]),
        "missed": bool(played.violated[0]),
        "frames": len(frames),
        "written": save_pictures(frames, config.out, config.frames, config.fps),
    }
    if config.format == "text":
        shares = [f"{100 * result[name]:.1f} % {text}" for name, text in SHARES.items()]
        missed = ", less accepted than must be" if result["missed"] else ""
        print(
            f"{policy.name}: cost of a row {result['cost']:.4f}, {', '.join(shares)}{missed}, "
            f"{len(frames)} pictures in {', '.join(result['written'])}"
        )
    return result


def _baseline(name: str, world: EarlyExitConfig) -> Policy:
    check_baselines([name], world)
    if name in BEYOND:
        raise UserError(
            f"baseline is {name}, which does what no action can, expected one that the environment lets play"
        )
    with announce_compilation():
        policy: Any = references(tuning_episodes(world), [name])[0]
    return policy  # type: ignore[no-any-return]
