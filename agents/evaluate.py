"""``python -m agents.evaluate``: score runs and baselines on the same held-out instances."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from agents.cli import main
from conf.schema import DistPrivacyConfig, EarlyExitConfig, EvaluateConfig, TokenBucketConfig, check_baselines


def instances_of(config: EvaluateConfig, world: DistPrivacyConfig) -> tuple[Any, str]:
    """The instances that ``config`` asks for and their title; ``world`` gives the privacy settings of scenarios."""
    from agents.evaluation import InstanceSet
    from envs.distprivacy.build import as_generator
    from envs.distprivacy.generator import InstanceList

    name = config.instance or config.scenario or world.scenario
    ssim = world.ssim if config.ssim is None else config.ssim
    generator = as_generator(
        name,
        ssim=ssim,
        privacy_scope=config.privacy_scope or world.privacy_scope,
        colluders=world.colluders,
        churn=world.churn if config.churn is None else config.churn,
        absent=config.absent,
    )
    if isinstance(generator, InstanceList):
        count = len(generator.instances)
        instances = InstanceSet.of(generator, generator.instances)
        return instances.with_shipped_bounds(), f"{name}, {count} instance{'s' if count > 1 else ''}"
    count = 1_000 if config.instances is None else config.instances
    instances = InstanceSet.draw(generator, count, config.seed).with_shipped_bounds()
    return instances, f"{name}, SSIM {ssim:g}, {count} instances"


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Score by ``config``, print the table, write ``out``."""
    import torch

    from agents.asked import environment_of, hand_over
    from agents.baselines import baseline
    from agents.entries import distinct_names
    from agents.learned import load
    from agents.run_folder import RunFolder
    from agents.scores import score_all

    # more threads than idle cores make small networks many times slower
    torch.set_num_threads(1)
    kind = environment_of(config, config.run)
    if kind is TokenBucketConfig:
        from agents.token_bucket.evaluate import run as evaluate_tokens

        return evaluate_tokens(config)
    if kind is EarlyExitConfig:
        from agents.early_exit.evaluate import run as evaluate_exits

        return evaluate_exits(config)
    world = cast(DistPrivacyConfig, RunFolder.open(config.run[0]).config.env if config.run else DistPrivacyConfig())
    check_baselines(config.baselines, world)
    search = partial(load, samples=config.samples, local_search=config.local_search, seed=config.seed)
    policies: list[Any] = [*map(search, config.run), *(baseline(name, config.seed) for name in config.baselines)]
    distinct_names([policy.name for policy in policies])
    instances, title = instances_of(config, world)
    if config.solution is not None and len(instances) > 1:
        raise ValueError(
            f"solution is {config.solution}, but {config.instance} holds {len(instances)} instances, expected one"
        )
    scores = score_all(policies, instances, title, keep_solutions=config.solution is not None)
    if config.solution is not None:
        from envs.distprivacy.files import save_solution

        save_solution(scores.outcomes[0].solutions[0], config.solution)
    rows = [
        {"policy": o.policy, "latency_s": o.latency_s, "shared_bytes": o.shared_bytes, "violations": o.violations}
        for o in scores.outcomes
    ]
    return hand_over(config, scores, instances=rows)


if __name__ == "__main__":
    raise SystemExit(main("evaluate", EvaluateConfig, run, ("run", "instance", "out", "solution")))
