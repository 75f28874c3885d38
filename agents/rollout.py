"""``python -m agents.rollout``: one episode of a run or a baseline as a GIF or as frames."""

from __future__ import annotations

from typing import Any, cast

from agents.cli import main
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, EarlyExitConfig, RolloutConfig, TokenBucketConfig, check_baselines


def run(config: RolloutConfig) -> dict[str, Any]:
    """Play one episode by ``config`` and write it."""
    import gymnasium as gym

    import envs
    from agents.asked import environment_of
    from agents.baselines import baseline
    from agents.env_arguments import env_arguments
    from agents.episode_gif import record_episode, save_pictures
    from agents.learned import load
    from agents.run_folder import RunFolder

    assert envs.ENVIRONMENTS
    kind = environment_of(config, [] if config.run is None else [config.run])
    if kind is TokenBucketConfig:
        from agents.token_bucket.rollout import run as roll_out_tokens

        return roll_out_tokens(config)
    if kind is EarlyExitConfig:
        from agents.early_exit.rollout import run as roll_out_exits

        return roll_out_exits(config)
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
    written = save_pictures(frames, config.out, config.frames, config.fps)
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
