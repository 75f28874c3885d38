"""Plans by linear programs: how often to take each action in each context, within a budget and a least acceptance."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from optimal.early_exit.episodes import Floats
from optimal.early_exit.playing import Ints

OVERSPENT = 1e3
"""Price of a unit of the budget that a plan lacks, times the price that it could save at most: never worth it."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The optimum of a linear program over K contexts and A actions."""

    share: Floats  # (K, A) how often each action, rows that sum to 1
    use_price: float  # of a unit of the budget, >= 0
    accept_price: float  # of an accepted row, >= 0


def plan(
    cost: Floats, use: Floats, accepted: Floats, weight: Floats, budget: float, needed: float, price: float
) -> Plan:
    """Minimise expected cost with what is used and accepted as expected.

    ``cost``, ``use``, ``accepted`` ``(K, A)``: of a window. ``weight`` ``(K,)``: windows expected of each context. ``budget``,
    ``needed``: of all windows; ``price``: of a row that lacks. Raises ``RuntimeError`` where the solver fails.
    """
    contexts, actions = cost.shape
    cells = contexts * actions
    span = float(np.ptp(cost)) + price * float(accepted.max()) + 1e-9
    step = float(use[use > 0].min()) if (use > 0).any() else 1.0
    limited = budget < np.inf
    weighted = np.repeat(weight, actions)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = cells + 2, contexts + 2
    model.col_cost_ = np.concatenate([weighted * cost.ravel(), [price, OVERSPENT * span / step]])
    model.col_lower_ = np.zeros(cells + 2)
    model.col_upper_ = np.full(cells + 2, highspy.kHighsInf)
    model.row_lower_ = np.concatenate([np.ones(contexts), [-highspy.kHighsInf, needed]])
    model.row_upper_ = np.concatenate(
        [np.ones(contexts), [max(budget, 0.0) if limited else highspy.kHighsInf], [highspy.kHighsInf]]
    )
    # by columns: its context, the budget, the acceptance; then the lack, and what is overspent
    rows = np.stack([np.repeat(np.arange(contexts), actions), np.full(cells, contexts), np.full(cells, contexts + 1)])
    entries = np.stack([np.ones(cells), weighted * use.ravel(), weighted * accepted.ravel()])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate([np.arange(cells + 1) * 3, [3 * cells + 1, 3 * cells + 2]]).astype(np.int32)
    model.a_matrix_.index_ = np.concatenate([rows.T.ravel(), [contexts + 1, contexts]]).astype(np.int32)
    model.a_matrix_.value_ = np.concatenate([entries.T.ravel(), [1.0, -1.0]])
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.passModel(model)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"the linear program of a plan ended as {highs.getModelStatus()}")
    solution = highs.getSolution()
    share = np.clip(np.array(solution.col_value)[:cells].reshape(contexts, actions), 0.0, 1.0)
    dual = np.array(solution.row_dual)[contexts:]
    return Plan(share / share.sum(axis=1, keepdims=True), max(0.0, -float(dual[0])), max(0.0, float(dual[1])))


class Diffusion:
    """Takes actions as often as shares say, without chance: what an action is behind by is carried on.

    ``episodes``, ``actions``: numbers S and A.
    """

    def __init__(self, episodes: int, actions: int) -> None:
        self._behind = np.zeros((episodes, actions))

    def choose(self, share: Floats, own: Ints | None = None) -> Ints:
        """Actions ``(M,)`` of shares ``(M, A)`` of the episodes ``own`` ``(M,)``; None: of all."""
        index = np.arange(len(self._behind)) if own is None else own
        behind = self._behind[index] + share
        # an action that is not in the shares now waits
        found: Ints = np.argmax(np.where(share > 1e-9, behind, -np.inf), axis=1)
        behind[np.arange(len(found)), found] -= 1.0
        self._behind[index] = behind
        return found
