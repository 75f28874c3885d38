"""The runs behind a figure: trained by recipes, on env, at prices of traffic or while devices leave; and who plays where."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

from conf.benchmark_schema import FigureConfig
from conf.messages import UserError
from conf.recipes import training_recipe
from conf.schema import DistPrivacyConfig, TrainConfig

if TYPE_CHECKING:
    from agents.run_folder import RunFolder


def recipes(config: FigureConfig) -> list[TrainConfig]:
    """What is trained by ``config.recipes``: one for each scenario and privacy level; seeds and names come later.

    Raises ``UserError`` for a recipe that cannot be composed, or that trains on another scenario than its own here.
    """
    world = cast(DistPrivacyConfig, config.env)
    same: dict[str, Any] = {"privacy_scope": world.privacy_scope, "colluders": world.colluders}
    made = []
    for name, scenario in zip(config.recipes, config.scenarios, strict=bool(config.recipes)):
        try:
            recipe = training_recipe(name, config.overrides)
        except UserError as error:
            raise UserError(f"recipes has {name}: {error}") from error
        env = cast(DistPrivacyConfig, recipe.env)
        if env.scenario != scenario:
            raise UserError(f"recipes has {name} for {scenario}, but it trains on {env.scenario}")
        levels = config.ssims or [world.ssim]
        made += [replace(recipe, env=replace(env, ssim=level, **same)) for level in levels]
    return made


def trained(config: FigureConfig, name: str) -> list[RunFolder]:
    """One run for each recipe, or for env where there are none, and each seed."""
    made = []
    for seed in config.seeds:
        for recipe in recipes(config):
            env = cast(DistPrivacyConfig, recipe.env)
            made.append(_train(config, recipe, seed, f"{name}-{env.scenario}-{env.ssim:g}-seed-{seed}"))
        if not config.recipes:
            made.append(_train(config, _own(config), seed, f"{name}-seed-{seed}"))
    return made


def trained_at_price(config: FigureConfig, price: float, name: str) -> list[RunFolder]:
    """One run on env for each seed, with traffic at a price."""
    own = _own(config)
    priced = replace(own, env=replace(cast(DistPrivacyConfig, own.env), traffic_price=price))
    return [_train(config, priced, seed, f"{name}-price-{price:g}-seed-{seed}") for seed in config.seeds]


def trained_leaving(config: FigureConfig, devices: int, name: str) -> list[RunFolder]:
    """One run on env for each number of steps after which the last of its devices leave, and each seed.

    ``devices``: those of the fleet. Raises ``UserError`` where none would stay.
    """
    from agents.leaving import Leaving

    world = cast(DistPrivacyConfig, config.env)
    stay = devices - world.absent - config.leaving
    if stay < 1:
        expected = f"fewer than the {devices - world.absent} devices of the fleet"
        raise UserError(f"leaving is {config.leaving}, expected {expected}")
    return [
        _train(config, _own(config), seed, f"{name}-leave-{after}-seed-{seed}", [Leaving(after, range(stay, devices))])
        for after in config.leave_after
        for seed in config.seeds
    ]


def players(folders: Sequence[RunFolder], scenario: str, ssim: float) -> list[RunFolder]:
    """Who plays a cell: the runs that were trained on its scenario and privacy level, or all where there is none."""
    worlds = [cast(DistPrivacyConfig, folder.config.env) for folder in folders]
    at_home = [world.scenario == scenario and world.ssim == ssim for world in worlds]
    return [folder for folder, own in zip(folders, at_home, strict=True) if own or not any(at_home)]


def _own(config: FigureConfig) -> TrainConfig:
    """The training that the figure's own keys describe."""
    return TrainConfig(**{entry.name: getattr(config, entry.name) for entry in fields(TrainConfig)})


def _train(config: FigureConfig, recipe: TrainConfig, seed: int, name: str, callbacks: Sequence[Any] = ()) -> RunFolder:
    """A run by a recipe in a folder of its own; where and how it runs is said by the figure."""
    from agents.run_folder import RunFolder
    from agents.training import train

    same: dict[str, Any] = {
        key: getattr(config, key) for key in ("device", "threads", "run_root", "tensorboard", "progress")
    }
    alone: dict[str, Any] = {"seed": seed, "name": name, "baselines": [], "final_instances": 1, "format": "text"}
    print(f"training {name}", file=sys.stderr)
    scores = train(replace(recipe, **same, **alone), callbacks=list(callbacks))
    assert scores.folder is not None
    return RunFolder.open(scores.folder)
