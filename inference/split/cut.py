"""Cutting a network by a plan: what each device is given."""

from __future__ import annotations

from collections.abc import Sequence

from inference.split.layers import SplitNetwork
from inference.split.plan import Plan
from inference.split.shard import Shard, Stage


def shards(split: SplitNetwork, plan: Plan, names: Sequence[str]) -> tuple[Shard, ...]:
    """A shard for each device that has a share, and for the source, by slot.

    Args:
        split: the network.
        plan: of the same layers.
        names: of the devices, and of the source last.
    """
    result = []
    for slot, name in enumerate(names):
        stages = {stage: _stage(split, plan, stage, slot) for stage in range(plan.stages) if slot in plan.inputs[stage]}
        if stages:
            result.append(Shard(slot, name, stages))
    return tuple(result)


def _stage(split: SplitNetwork, plan: Plan, stage: int, slot: int) -> Stage:
    inputs, sums = plan.inputs[stage][slot], plan.sums(stage)
    bias = split.layers[stage - 1].bias if sums else None
    own_bias = None if bias is None else bias[list(inputs)].clone()
    senders = plan.senders(stage, slot)
    if stage == plan.stages - 1:
        return Stage("output", 0, inputs, senders, sums, own_bias, None, (), {})
    segments = plan.segments[stage][slot]
    receivers = {receiver: plan.sent(stage, slot, receiver) for receiver in plan.inputs[stage + 1]}
    return Stage(
        plan.network.layers[stage].name,
        len(segments),
        inputs,
        senders,
        sums,
        own_bias,
        split.layers[stage].part(segments),
        plan.outputs(stage, slot),
        {receiver: maps for receiver, maps in receivers.items() if maps},
    )
