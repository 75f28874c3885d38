"""The feature ``later_increase`` equals a slow reading of its definition, on random instances and the shipped networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from test_physics import examples

from envs.distprivacy import state as s
from envs.distprivacy.env import DistPrivacyEnv
from envs.distprivacy.types import Device, Network


def later_costs(network: Network, on_source: list[bool], k: int, device: Device) -> tuple[float, float, float]:
    """Seconds of a map that stays on a device: computation, sending; and, once for a conv, sending one map's sums."""
    layers = network.layers
    layer, after = layers[k], layers[k + 1]
    if layer.kind == "fc":
        return 0.0, 0.0, 0.0
    if layer.kind == "conv":
        maps = layer.outputs if after.kind == "fc" else 1
        return 0.0, 0.0, 0.0 if on_source[k + 1] else 4 * layer.out_pixels * maps / device.rate_bytes_per_s
    seconds = 0.0
    for later in range(k + 1, len(layers)):
        if on_source[later] or layers[later].kind == "fc":
            due_now = on_source[later] and later == k + 1  # counted as pending while this layer is placed
            send = 0.0 if due_now else 4 * layers[later - 1].out_pixels / device.rate_bytes_per_s
            return seconds, send, 0.0
        if layers[later].kind == "conv":
            work = layers[later].kernel_area * layers[later].outputs * layers[later].out_pixels
            return work / device.mults_per_s, 0.0, 0.0
    raise AssertionError("the last layer runs on the source")


def expected(env: DistPrivacyEnv) -> list[float]:
    """Increase for every device of the environment's instance, seconds."""
    row, d = env._row, env._arguments[0]
    tables = env.simulator.tables
    name = tables.names[int(row[s.NETWORK])]
    network = env.instance.task.networks[name]
    on_source = [limit.on_source for limit in tables.limits[name]]
    k = int(row[s.LAYER]) - int(tables.networks[int(row[s.NETWORK])][0])
    counts = row[int(d[s.O_COUNT]) : int(d[s.O_COUNT]) + len(env.instance.devices)]
    costs = [later_costs(network, on_source, k, device) for device in env.instance.devices]
    return [
        sum(
            max(0.0, (n + 1) * mine[part] - max([c * cost[part] for c, cost in zip(counts, costs, strict=True)]))
            for part in (0, 1)
        )
        + max(0.0, mine[2] - max([cost[2] for c, cost in zip(counts, costs, strict=True) if c > 0], default=0.0))
        for n, mine in zip(counts, costs, strict=True)
    ]


def walk(env: DistPrivacyEnv, seed: int, steps: int) -> int:
    """Play at random and compare before every step; the number of decisions with something to foresee."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    telling = 0
    for _ in range(steps):
        shown = observation[env.observation_layout["later_increase"]][: len(env.instance.devices)]
        wanted = np.minimum(np.array(expected(env)) / env._row[s.SCALE], 100.0)
        np.testing.assert_allclose(shown, wanted, rtol=1e-5, atol=1e-6)
        telling += bool(wanted.any())
        observation, _, terminated, _, info = env.step(rng.choice(np.flatnonzero(info["action_mask"])))
        if terminated:
            break
    return telling


@examples(60)
@given(st.data(), st.integers(0, 2**32))
def test_on_random_instances(data: st.DataObject, seed: int) -> None:
    instance = data.draw(strategies.instances())
    env = DistPrivacyEnv(instance, max_devices=len(instance.devices) + data.draw(st.integers(0, 2)))
    try:
        walk(env, seed, 40)
    except ValueError as error:
        assert "needs a decision" in str(error)


@pytest.mark.parametrize("arguments", [{"scenario": "lenet-random"}, {"scenario": "cifar-70", "granularity": 8}])
def test_on_scenarios(arguments: dict[str, Any]) -> None:
    assert walk(DistPrivacyEnv(**arguments), 1, 300) > 20
