"""Agents: masked DQN, baselines, training and evaluation.

``agents.load(run)`` gives the policy of a run folder, ``agents.baseline(name)`` one that needs no training;
``agents.training.train(config)`` trains without the command line, ``agents.evaluation.evaluate(policy, instances)`` scores
anything that acts. What stands here is imported on first use, so that ``python -m agents.train --help`` needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.baselines import baseline as baseline
    from agents.evaluation import InstanceSet as InstanceSet
    from agents.learned import load as load

_WHERE = {"load": "agents.learned", "baseline": "agents.baselines", "InstanceSet": "agents.evaluation"}
__all__ = ["InstanceSet", "baseline", "load"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'agents' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
