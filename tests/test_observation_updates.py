"""Observations that are updated in place equal those that are written anew, on random tiny instances."""

from __future__ import annotations

import numpy as np
import strategies
from hypothesis import given
from hypothesis import strategies as st
from test_physics import examples

from envs.distprivacy import batch
from envs.distprivacy.env import DistPrivacyEnv


@examples(120)
@given(st.data(), st.sampled_from(("full", "paper")), st.sampled_from(("request", "layer", "period")))
def test_updated_observations_equal_fresh_ones(data: st.DataObject, kind: str, episode: str) -> None:
    instance = data.draw(strategies.instances())
    slots = len(instance.devices) + data.draw(st.integers(0, 2))
    options = {
        "granularity": data.draw(st.sampled_from((1, 1, 2))),
        "inherit": data.draw(st.booleans()),
        "traffic_price": data.draw(st.sampled_from((0.0, 0.5))),
    }
    env = DistPrivacyEnv(instance, max_devices=slots, episode=episode, observation=kind, **options)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    terminated, info = True, {}
    for _ in range(40):
        if terminated:
            try:
                observation, info = env.reset(seed=0 if env._supply is None else None)
            except ValueError as error:
                assert "needs a decision" in str(error)
                return
            terminated = False
        else:
            action = rng.choice(np.flatnonzero(info["action_mask"]))
            observation, _, terminated, _, info = env.step(action)
        fresh, mask = np.full_like(observation, np.nan), np.zeros_like(info["action_mask"])
        batch.look(env._row.copy(), env._place.copy(), *env._arguments, fresh, mask)
        np.testing.assert_array_equal(observation, fresh)
        np.testing.assert_array_equal(info["action_mask"], mask)
        assert env.observation_space.contains(observation)
