"""What rows use of a budget by the exit at which they end, by the same costs as in the environment."""

from __future__ import annotations

import numpy as np

from envs.early_exit.costs import Deployment, NetworkWork, stage_costs
from optimal.early_exit.levels import Floats

BUDGETS = ("rows", "joules")
"""What a budget counts, as in the environment."""


def uses_of(
    exits: int,
    *,
    remote_from: int = 2,
    budget_of: str = "rows",
    work: NetworkWork | None = None,
    sends: str = "input",
) -> Floats:
    """What a row uses that ends at each exit ``(E,)``, as a share of what one uses that goes all the way: 0 first, 1 last.

    ``remote_from``, ``budget_of``, ``sends``: as in the environment, with its default devices. ``work``: of the network; none
    where rows are counted. With one exit nothing is used. Raises ``ValueError`` where what is asked for is never used.
    """
    if budget_of not in BUDGETS:
        raise ValueError(f"budget_of is {budget_of!r}, expected one of {', '.join(BUDGETS)}")
    if budget_of == "joules" and work is None:
        raise ValueError("work is None, expected the work of the network, because budget_of is joules")
    if work is not None and work.exits != exits:
        raise ValueError(f"work has {work.exits} exits, expected {exits} as the tables")
    if exits == 1:
        return np.zeros(1)
    known = work or NetworkWork((0,) * exits, (0,) * exits, (0,) * exits, 1)
    costs = stage_costs(known, Deployment(remote_from=remote_from, sends=sends))
    each = np.asarray(costs.crosses if budget_of == "rows" else costs.joules, np.float64)[1:]
    if each.sum() <= 0:
        raise ValueError(
            f"remote_from is {remote_from} and budget_of is {budget_of}: rows of {exits} exits use none of that past exit 1, "
            f"expected remote_from in 2..{exits}"
        )
    use: Floats = np.append(0.0, np.cumsum(each) / each.sum())
    return use
