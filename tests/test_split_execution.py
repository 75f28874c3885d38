"""Split execution against the physics: bytes from whom to whom, maps seen, weights held; and what must not go unnoticed."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_split import any_placement, cut, instance_of, run_anyhow, small_net
from torch import Tensor

from envs.distprivacy.files import check_fits
from envs.distprivacy.replay import replay
from envs.distprivacy.scenarios import scenario
from envs.distprivacy.traffic import traffic
from envs.distprivacy.types import Instance, RequestSolution, Solution
from inference.cnn.networks import make_cnn
from inference.split import worker
from inference.split.allocations import random_allocation
from inference.split.cut import shards
from inference.split.execution import Execution, SplitMismatchError, check_layers, execute
from inference.split.layers import SplitNetwork
from inference.split.message import Message, MessageError, decode, encode
from inference.split.parts import ConvPart
from inference.split.plan import Plan
from inference.split.simulated import run_simulated
from inference.split.subject import fresh
from inference.split.worker import MissingMapsError, Outbox, Worker


@pytest.fixture(scope="module")
def lenet() -> tuple[SplitNetwork, Tensor, Tensor]:
    """LeNet, inputs, and what the whole network makes of them."""
    network = scenario("lenet-10", requests=1).task.networks["lenet"]
    split, inputs = fresh("lenet", (), network, 2, 0)
    return split, inputs, split.whole(inputs)


def some(seed: int, scope: str = "group", count: int = 1) -> tuple[Instance, list[RequestSolution]]:
    """A drawn fleet with one LeNet, and valid placements of it."""
    rng = np.random.default_rng(seed)
    instance = scenario("lenet-random", privacy_scope=scope).sample(rng)
    return instance, [random_allocation(instance, 0, rng) for _ in range(count)]


def run_lenet(lenet: tuple[SplitNetwork, Tensor, Tensor], seed: int, scope: str = "group") -> Execution:
    instance, (placement,) = some(seed, scope)
    return execute(lenet[0], instance, placement, lenet[1], expected=lenet[2])


# --- equal -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scope", ["group", "layer"])
def test_valid_placements_of_lenet_send_what_the_physics_counts(lenet: Any, scope: str) -> None:
    instance, placements = some(1, scope, count=6)
    totals = set()
    for placement in placements:
        solution = Solution((placement,), 0.0)
        check_fits(solution, instance)
        report = replay(instance, solution)
        assert report.violations == ()
        found = execute(lenet[0], instance, placement, lenet[1], expected=lenet[2])
        found.check()
        assert found.bytes_equal and found.relative_difference < 1e-5
        # the replay's own sums
        devices = len(instance.devices)
        assert found.sent_bytes.sum() == 2 * report.shared_bytes[0]
        assert (found.sent_bytes.sum(axis=(0, 2)) == 2 * report.used[:, 2]).all()
        assert (found.physics.memory_bytes == report.used[:, 0]).all()
        assert (found.physics.mults == report.used[:, 1]).all()
        assert found.physics.latency_s == report.latencies_s[0]
        assert found.sent_bytes[:, range(devices), range(devices)].sum() == 0
        totals.add(int(found.sent_bytes.sum()))
    assert len(totals) > 1


def test_seen_maps_are_those_of_the_placement_and_counted_alike(lenet: Any) -> None:
    instance, (placement,) = some(5)
    found = execute(lenet[0], instance, placement, lenet[1], expected=lenet[2])
    for slot, by_layer in found.seen.items():
        for layer in found.network.distributed:
            device = -1 if slot == len(instance.devices) else slot
            held = tuple(i for i, owner in enumerate(placement.layers[layer.name]) if owner == device)
            wanted = tuple(range(16)) if layer.name == "fc1" and held else held
            assert by_layer.get(layer.name, ()) == wanted
    # distinct maps of relu1, pool1, conv2, as privacy counts them
    for slot in range(len(instance.devices)):
        union = {m for name in ("relu1", "pool1", "conv2") for m in found.seen.get(slot, {}).get(name, ())}
        assert len(union) == found.physics.distinct[3, slot] <= 4
    assert list(found.physics.group) == [-1, 1, 1, 1, 4, 4, -1, 7, -1]


def test_a_receiver_has_the_partial_sums_of_each_holder(lenet: Any) -> None:
    found = run_lenet(lenet, 5)
    holders = tuple(int(slot) for slot in np.flatnonzero(found.physics.segments[3]))
    receivers = [slot for slot, parts in found.parts.items() if "relu2" in parts]
    assert receivers and all(found.parts[slot]["relu2"] == holders for slot in receivers)


def test_the_request_that_is_run_is_the_one_that_is_counted() -> None:
    split = cut(small_net())
    alone = instance_of(split.network)
    other = scenario("lenet-10").task
    task = replace(other, networks={**other.networks, **alone.task.networks}, privacy={"lenet": {}, "tiny": {}})
    lenet_first = scenario("lenet-10", requests=1).sample(np.random.default_rng(0)).requests
    instance = replace(alone, task=task, requests=(*lenet_first, *alone.requests))
    placement = any_placement(split.network, 4, np.random.default_rng(0))
    inputs = torch.randn(1, 2, 9, 8)
    second = execute(split, instance, placement, inputs, request=1)
    second.check()
    assert (second.sent_bytes == execute(split, alone, placement, inputs).sent_bytes).all()


def test_cifar_is_cut_in_batches() -> None:
    """Each device and layer is one call, so that 1,473 segments take a moment."""
    rng = np.random.default_rng(0)
    instance = scenario("cifar-70", requests=1, absent=50).sample(rng)
    network = instance.task.networks["cifar_cnn"]
    split, inputs = fresh("cifar_cnn", (), network, 1, 0)
    found = execute(split, instance, random_allocation(instance, 0, rng), inputs)
    found.check()
    assert sum(sum(account.segments.values()) for account in found.accounts) == network.segments == 1477


# --- what a device has -----------------------------------------------------------------------------------------------
def test_a_shard_holds_the_weights_of_its_segments_and_nothing_else(lenet: Any) -> None:
    split, instance = lenet[0], some(2)[0]
    placement = some(2)[1][0]
    plan = Plan.of(split.network, placement.layers, len(instance.devices))
    for shard in shards(split, plan, [str(slot) for slot in range(len(instance.devices) + 1)]):
        for number, stage in shard.stages.items():
            if not isinstance(stage.part, ConvPart):
                continue
            segments = plan.segments[number][shard.slot]
            weight: Any = split.layers[number].weight  # type: ignore[attr-defined]
            assert torch.equal(stage.part.weight, weight[:, list(segments)])
            assert stage.part.weight.untyped_storage().nbytes() == 4 * stage.part.weight.numel()
            assert stage.part.weight.untyped_storage().data_ptr() != weight.untyped_storage().data_ptr()
        told = pickle.dumps(shard)
        assert len(told) < 4 * sum(stage.part.weight_bytes for stage in shard.stages.values() if stage.part) + 20_000


class _Nowhere(Outbox):
    def deliver(self, receiver: int, header: bytes, payload: bytes) -> None:
        """Lose it."""


def test_a_device_cannot_compute_with_what_it_was_not_sent() -> None:
    split = cut(small_net())
    plan = Plan.of(split.network, any_placement(split.network, 3, np.random.default_rng(0)).layers, 3)
    for shard in shards(split, plan, ["a", "b", "c", "camera"]):
        lonely = Worker(shard, _Nowhere())
        first = min(shard.stages)
        with pytest.raises(MissingMapsError, match="needs the picture" if first == 0 else "needs maps of the slots"):
            lonely.run(first)


# --- defects are noticed ---------------------------------------------------------------------------------------------
def test_a_message_that_is_sent_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs are right, only the bytes are not."""
    send = Outbox.send

    def twice(self: Outbox, layer: int, receiver: int, header: bytes, payload: bytes) -> None:
        send(self, layer, receiver, header, payload)
        if layer == 3:
            send(self, layer, receiver, header, payload)

    run_anyhow(cut(small_net()), 1).check()
    monkeypatch.setattr(Outbox, "send", twice)
    found = run_anyhow(cut(small_net()), 1)
    assert found.relative_difference < 1e-5 and not found.bytes_equal
    with pytest.raises(
        SplitMismatchError, match=r"after layer '4', .* to .*: \d+ bytes were sent for 2 inputs, the physics"
    ):
        found.check()


def test_a_payload_that_is_too_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def padded(message: Message) -> tuple[bytes, bytes]:
        header, payload = encode(message)
        return header, payload + bytes(4)

    monkeypatch.setattr(worker, "encode", padded)
    with pytest.raises(MessageError, match=r"a payload of \d+ bytes after layer 0, expected 4 for each of 2 x"):
        run_anyhow(cut(small_net()), 1)


def test_more_maps_than_needed_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All partial sums to everybody: what a naive cut would send."""

    def everything(self: Plan, layer: int, sender: int, receiver: int) -> tuple[int, ...]:
        return self.outputs(layer, sender) if sender in self.segments[layer] else ()

    monkeypatch.setattr(Plan, "sent", everything)
    with pytest.raises(MissingMapsError, match="got other maps"):
        run_anyhow(cut(small_net()), 1)


def test_a_bias_that_is_added_by_every_holder_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    part = ConvPart.__call__
    monkeypatch.setattr(ConvPart, "__call__", lambda self, values: part(self, values) + 0.01)
    found = run_anyhow(cut(small_net()), 1)
    assert found.bytes_equal
    with pytest.raises(SplitMismatchError, match="the outputs of the cut network differ from those of the whole by"):
        found.check()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weight_bytes": 4}, r"\d+ bytes of weights, the physics counts \d+"),
        ({"mults": 1}, r": 1 multiplications, the physics counts"),
        ({"segments": {}}, "layer '0': 0 segments, the physics counts 2"),
        ({"seen": {}}, "layer '0': 0 maps seen, the physics counts 2"),
    ],
)
def test_other_accounts_are_noticed(change: dict[str, Any], sentence: str) -> None:
    found = run_anyhow(cut(small_net()), 1)
    source = replace(found.accounts[-1], **change)
    with pytest.raises(SplitMismatchError, match=sentence):
        replace(found, accounts=(*found.accounts[:-1], source)).check()
    with pytest.raises(SplitMismatchError, match=r"slots \[.*\] have worked, expected \["):
        replace(found, accounts=found.accounts[1:]).check()


# --- messages --------------------------------------------------------------------------------------------------------
def test_a_payload_is_raw_little_endian_numbers() -> None:
    values = torch.arange(12, dtype=torch.float32).reshape(1, 2, 2, 3)
    header, payload = encode(Message(3, 70, (5, 300), values))
    assert payload == np.arange(12, dtype="<f4").tobytes() and len(header) == 28
    back = decode(header, payload)
    assert (back.layer, back.sender, back.maps) == (3, 70, (5, 300)) and torch.equal(back.values, values)
    for wrong in ((header, payload[:-1]), (header[:-1], payload), (b"", payload), (header + bytes(4), payload)):
        with pytest.raises(MessageError):
            decode(*wrong)


# --- wrong input -----------------------------------------------------------------------------------------------------
def test_a_network_of_other_layers_is_refused(lenet: Any) -> None:
    instance = scenario("lenet-10", requests=1).sample(np.random.default_rng(0))
    wide = SplitNetwork.of(make_cnn("lenet", (1, 28, 28), 12), (1, 28, 28))
    expected = "network 'lenet', layer 'fc3' is fc from 84 to 10 units, expected fc from 84 to 12 units, as 'fc3'"
    with pytest.raises(ValueError, match=expected):
        check_layers(wide.network, instance.task.networks["lenet"], "i.json")
    with pytest.raises(ValueError, match=r"i\.json: network 'lenet' has 9 layers, expected 8, those"):
        check_layers(cut(small_net()).network, instance.task.networks["lenet"], "i.json")


def test_a_rejected_request_has_no_traffic(lenet: Any) -> None:
    instance = scenario("lenet-10", requests=1).sample(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"requests\[0\]: field 'rejected' is true, expected a request that is served"):
        traffic(instance, 0, RequestSolution(True, None))


def test_a_request_that_nobody_can_take_has_no_allocation() -> None:
    instance = scenario("lenet-10", requests=1).sample(np.random.default_rng(0))
    weak = replace(instance, devices=tuple(replace(device, memory_bytes=1.0) for device in instance.devices))
    with pytest.raises(ValueError, match="no valid allocation was found in 100 random tries"):
        random_allocation(weak, 0, np.random.default_rng(0))


def test_a_placement_that_misses_a_device_runs_on_the_rest() -> None:
    """The last shard is the source's, whoever else has none."""
    split = cut(small_net())
    plan = Plan.of(split.network, {layer.name: [-1] * layer.segments for layer in split.network.distributed}, 3)
    given = shards(split, plan, ["a", "b", "c", "camera"])
    assert [shard.name for shard in given] == ["camera"]
    output, (account,) = run_simulated(given, torch.zeros(1, 2, 9, 8))
    assert output.shape == (1, 1, 1, 3) and account.payload_bytes == {}
