"""What an environment must keep to, as checks that anyone can run on their own registered environment.

Every ``check_*`` takes a registered Gymnasium id, and the environment's own arguments as keywords; it returns nothing and
raises ``ConformanceError`` with one sentence where the environment breaks a promise. ``check_environment`` runs them all.

```python
from envs.conformance import check_environment
check_environment("offramp/DistPrivacy-v0", scenario="lenet-10")
```

Actions are random: mostly what ``info["action_mask"]`` allows, now and then one that it forbids. An environment without a
mask gets any action of its space. ``python -m envs.conformance steps=100000`` checks all of this package's environments.
"""

from __future__ import annotations

from typing import Any

from envs.conformance.checks import (
    check_gymnasium,
    check_invalid_action,
    check_observation_in_space,
    check_pickling,
    check_render,
    check_sb3,
    check_seeding,
    check_spaces,
)
from envs.conformance.twins import check_scalar_equals_vector
from envs.conformance.walk import ConformanceError

__all__ = [
    "CHECKS",
    "ConformanceError",
    "check_environment",
    "check_gymnasium",
    "check_invalid_action",
    "check_observation_in_space",
    "check_pickling",
    "check_render",
    "check_sb3",
    "check_scalar_equals_vector",
    "check_seeding",
    "check_spaces",
]

CHECKS = {
    "spaces": check_spaces,
    "seeding": check_seeding,
    "pickling": check_pickling,
    "render": check_render,
    "invalid_action": check_invalid_action,
    "observation_in_space": check_observation_in_space,
    "scalar_equals_vector": check_scalar_equals_vector,
    "gymnasium": check_gymnasium,
    "sb3": check_sb3,
}
"""Name -> check, in the order in which ``check_environment`` runs them."""


def check_environment(env_id: str, **kwargs: Any) -> None:
    """Run every check on the environment ``env_id`` with its own arguments ``kwargs``.

    Raises ``ConformanceError`` at the first promise that is broken, the name of the check first.
    """
    for name, check in CHECKS.items():
        try:
            check(env_id, **kwargs)
        except ConformanceError as error:
            raise ConformanceError(f"{name}: {error}") from error
