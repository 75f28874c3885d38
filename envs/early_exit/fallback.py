"""What an action becomes where the budget does not reach: the same thresholds, but what would be charged is rejected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.early_exit.types import Thresholds

NOTHING = 2.0
"""A threshold above every certainty."""


def with_fallbacks(actions: Thresholds, uses: NDArray[np.bool_]) -> tuple[Thresholds, NDArray[np.int64]]:
    """All actions and their fallbacks ``(A', E, 2)``, the actions first, and the fallback of each of all ``(A',)``.

    ``uses`` ``(E,)``: whether going on to exit k draws on the budget. An action whose fallback is an action already shares it.
    """
    stages = np.flatnonzero(uses)
    accept, reject = [*actions.accept], [*actions.reject]
    if not len(stages):
        return actions, np.arange(len(actions))
    last = int(stages[0]) - 1  # the last exit that is free
    fallback = np.zeros(len(actions), np.int64)
    for a in range(len(actions)):
        one_accept, one_reject = actions.accept[a].copy(), actions.reject[a].copy()
        if last < 0:
            raise ValueError("exit 1 itself draws on the budget, expected at least one exit that does not")
        one_reject[last] = NOTHING
        one_accept[last + 1 :], one_reject[last + 1 :] = 0.0, 0.0  # never reached
        found = [
            i
            for i in range(len(accept))
            if (accept[i][: last + 1] == one_accept[: last + 1]).all()
            and (reject[i][: last + 1] == one_reject[: last + 1]).all()
        ]
        if not found:
            accept.append(one_accept)
            reject.append(one_reject)
        fallback[a] = found[0] if found else len(accept) - 1
    every = np.arange(len(accept))
    every[: len(fallback)] = fallback
    return Thresholds(np.array(accept), np.array(reject)), every
