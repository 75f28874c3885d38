"""The vector environment of segment allocation: actions that it cannot step with are refused, forbidden ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.conformance.walk import same
from envs.distprivacy.vector import DistPrivacyVectorEnv


def a_pair() -> tuple[DistPrivacyVectorEnv, DistPrivacyVectorEnv, NDArray[np.int64]]:
    """Two equal environments that have begun, and actions that are allowed in both."""
    env, twin = (DistPrivacyVectorEnv(3) for _ in range(2))
    env.reset(seed=0)
    _, infos = twin.reset(seed=0)
    return env, twin, infos["action_mask"].argmax(axis=1)


@pytest.mark.parametrize(
    ("actions", "what"),
    [
        ([0, 0], "int64 of shape (2,)"),
        (np.zeros(4, np.int64), "int64 of shape (4,)"),
        (np.zeros((3, 1), np.int8), "int8 of shape (3, 1)"),
        (0, "int64 of shape ()"),
        (np.zeros(3), "float64 of shape (3,)"),
        (np.array(["0", "0", "0"]), "<U1 of shape (3,)"),
    ],
)
def test_actions_of_another_shape_or_type_are_refused(actions: Any, what: str) -> None:
    env, twin, allowed = a_pair()
    with pytest.raises(ValueError) as caught:
        env.step(actions)
    assert str(caught.value) == f"actions are {what}, expected 3 whole numbers in one dimension"
    assert same(env.step(allowed), twin.step(allowed)), "nothing had happened"


def test_lists_and_other_whole_numbers_are_taken() -> None:
    env, twin, allowed = a_pair()
    spread = np.stack([allowed, allowed + 1], axis=1).astype(np.int8)[:, 0]  # not in one piece of memory
    found = env.step(spread)
    assert same(found, twin.step(allowed))
    following = found[4]["action_mask"].argmax(axis=1)
    assert same(env.step(following.tolist()), twin.step(following))


@pytest.mark.parametrize("action", [-1, 1_000, -(2**63), np.uint64(2**64 - 1)])
def test_a_device_that_does_not_exist_is_an_invalid_action_of_its_own_environment_alone(action: Any) -> None:
    env, twin, allowed = a_pair()
    wrong = allowed.astype(type(action) if isinstance(action, np.uint64) else np.int64)
    wrong[1] = action
    observations, rewards, done, _, infos = env.step(wrong)
    expected = twin.step(allowed)
    assert done.tolist() == [False, True, False] and infos["final_info"]["invalid_action"].tolist()[1]
    others = [0, 2]
    assert same((observations[others], rewards[others]), (expected[0][others], expected[1][others]))
