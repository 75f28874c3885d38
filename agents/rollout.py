"""``python -m agents.rollout``: one episode of a run or a baseline as a GIF or as frames."""

from __future__ import annotations

from typing import Any, cast

from agents.cli import main
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, RolloutConfig, TokenBucketConfig, check_baselines, is_token_scenario


def _is_of_tokens(config: RolloutConfig) -> bool:
    """Whether token-bucket offloading is played: by the run, the scenario or the file."""
    from agents.run_folder import RunFolder

    if config.run is not None:
        return isinstance(RunFolder.open(config.run).config.env, TokenBucketConfig)
    return is_token_scenario(config.scenario) if config.instance is None else config.instance.endswith(".csv")


def run(config: RolloutConfig) -> dict[str, Any]:
    """Play one episode by ``config`` and write it."""
    import gymnasium as gym

    import envs
    from agents.baselines import baseline
    from agents.env_arguments import env_arguments
    from agents.episode_gif import record_episode, save_frames, save_gif
    from agents.learned import load
    from agents.run_folder import RunFolder

    assert envs.ENVIRONMENTS
    if _is_of_tokens(config):
        from agents.token_bucket.rollout import run as roll_out_tokens

        return roll_out_tokens(config)
    for name in ("rate", "depth", "length"):
        if getattr(config, name) is not None:
            raise UserError(
                f"{name} is {getattr(config, name)}, which is for token-bucket offloading, expected null (or a scenario of it)"
            )
    world = DistPrivacyConfig()
    if config.run is not None:
        stored = RunFolder.open(config.run).config.env
        assert isinstance(stored, DistPrivacyConfig)
        world = stored
    check_baselines([config.baseline] if config.baseline else [], world)
    arguments = env_arguments(world)
    arguments["scenario"] = config.instance or config.scenario or world.scenario
    policy = cast(Any, load(config.run) if config.run is not None else baseline(str(config.baseline), config.seed))
    if not policy.respects_privacy:
        raise UserError(
            f"baseline is {config.baseline}, which ignores privacy, expected one that the environment lets play"
        )
    env = gym.make(world.id, render_mode="rgb_array", **arguments)
    core: Any = env.unwrapped
    frames = record_episode(env, lambda observation: policy.act(observation, core), config.seed)
    written = []
    if config.out is not None:
        save_gif(frames, config.out, config.fps)
        written.append(config.out)
    if config.frames is not None:
        save_frames(frames, config.frames)
        written.append(config.frames)
    result = {
        "policy": policy.name,
        "latency_s": core.latency_s,
        "rejected": core.request_solution().rejected,
        "frames": len(frames),
        "written": written,
    }
    env.close()
    if config.format == "text":
        outcome = "rejected" if result["rejected"] else f"latency {1e3 * core.latency_s:.4f} ms"
        print(f"{policy.name}: {outcome}, {len(frames)} frames in {', '.join(written)}")
    return result


if __name__ == "__main__":
    raise SystemExit(main("rollout", RolloutConfig, run, ("run", "instance", "out", "frames")))
