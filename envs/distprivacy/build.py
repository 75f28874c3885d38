"""What both environment classes are made from: a generator of periods and a simulator with enough slots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gymnasium import spaces

from envs.distprivacy import features
from envs.distprivacy.generator import Generator, InstanceList
from envs.distprivacy.scenarios import scenario as named_scenario
from envs.distprivacy.simulator import Options, Simulator
from envs.distprivacy.types import Instance


def as_generator(
    scenario: str | Generator | Instance | Path,
    *,
    ssim: float = 0.6,
    privacy_scope: str = "group",
    colluders: int = 1,
    churn: float = 0.0,
    requests: int | None = None,
    absent: int = 0,
) -> Generator:
    """A generator from a scenario's name, a generator, an instance, or the path of an instance file (.json, .jsonl).

    The keyword arguments apply to named scenarios; anything else brings its own. Raises ``ValueError`` for bad input.
    """
    if isinstance(scenario, Generator):
        return scenario
    if isinstance(scenario, Instance):
        return InstanceList([scenario])
    if isinstance(scenario, Path) or scenario.endswith((".json", ".jsonl")):
        from envs.distprivacy.files import load_instance, load_instances

        path = Path(scenario)
        return InstanceList(load_instances(path) if path.suffix == ".jsonl" else [load_instance(path)])
    return named_scenario(
        scenario,
        ssim=ssim,
        privacy_scope=privacy_scope,
        colluders=colluders,
        churn=churn,
        requests=requests,
        absent=absent,
    )


def make_simulator(generator: Generator, options: Options, max_devices: int | None = None) -> Simulator:
    """A simulator with the generator's slots, or with ``max_devices`` device slots.

    Raises ``ValueError`` when the generator needs more devices than ``max_devices``.
    """
    slots = generator.max_devices if max_devices is None else max_devices
    if slots < generator.max_devices:
        raise ValueError(
            f"max_devices is {slots}, expected at least the {generator.max_devices} devices of the scenario"
        )
    return Simulator(generator.task, slots, generator.max_sources, generator.max_requests, options)


def make_spaces(simulator: Simulator) -> tuple[spaces.Box, spaces.Discrete]:
    """Observation space (flat float32 Box) and action space (one action a device slot)."""
    low, high = features.bounds(simulator.options.observation, simulator.max_devices)
    return spaces.Box(low, high, dtype=np.float32), spaces.Discrete(simulator.max_devices)
