"""Running a placement for real, and setting what was sent beside what the physics books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from envs.distprivacy.traffic import Traffic, traffic
from envs.distprivacy.types import Instance, Layer, Network, RequestSolution
from inference.split.cut import shards
from inference.split.layers import SplitNetwork
from inference.split.plan import Plan
from inference.split.simulated import run_simulated
from inference.split.worker import Account

OUTPUT_TOLERANCE = 1e-4
"""How far outputs may differ, of the largest one: sums in single precision are taken in another order."""


TINY = 1e-30
"""Stands for the largest output where all are 0."""


class SplitMismatchError(RuntimeError):
    """What was run is not what the physics counts, or not the network: a defect of one of them."""


@dataclass(frozen=True, eq=False)
class Execution:
    """One placement, run on N inputs. Slots ``0..D-1`` are devices, slot ``D`` the source; L layers, counted from 0."""

    network: Network
    names: tuple[str, ...]  # of the slots
    inputs: int  # N
    output: Tensor  # (N, ...) of the cut network, in the shape of the whole one's
    expected: Tensor  # (N, ...) of the whole network
    accounts: tuple[Account, ...]  # of the slots that had a share, in order
    sent_bytes: NDArray[np.int64]  # (L, D + 1, D + 1): lengths of payloads after layer k, from i to j, of all N inputs
    physics: Traffic  # of one input
    seconds: float  # of the run, starting processes included

    @property
    def difference(self) -> float:
        """Largest absolute difference of an output."""
        return float((self.output - self.expected).abs().max())

    @property
    def relative_difference(self) -> float:
        """The same, of the largest output."""
        return self.difference / max(float(self.expected.abs().max()), TINY)

    @property
    def bytes_equal(self) -> bool:
        """Whether after each layer each device has sent each other one as many bytes as the physics books."""
        return bool((self.sent_bytes == self.inputs * self.physics.sent_bytes).all())

    @property
    def messages(self) -> int:
        """Messages between devices; each carries all inputs."""
        return sum(account.messages for account in self.accounts)

    @property
    def seen(self) -> dict[int, dict[str, tuple[int, ...]]]:
        """Slot -> layer -> its input maps that the device had whole; an fc layer has them all. The output is left out."""
        return {account.slot: self._by_layer(account.seen) for account in self.accounts}

    @property
    def parts(self) -> dict[int, dict[str, tuple[int, ...]]]:
        """Slot -> layer -> slots whose partial sums of these maps it had one by one, where they came from a conv."""
        return {account.slot: self._by_layer(account.parts) for account in self.accounts}

    def _by_layer(self, rows: Mapping[int, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        layers = self.network.layers
        return {layers[index].name: rows[index] for index in sorted(rows) if index < len(layers)}

    def check(self) -> None:
        """Raise ``SplitMismatchError`` on the first thing that is not as the physics, or the whole network, has it."""
        self._check_bytes()
        segments = self.physics.segments
        working = [int(slot) for slot in np.flatnonzero(segments.sum(axis=0))]
        if [account.slot for account in self.accounts] != working:
            raise SplitMismatchError(
                f"slots {[account.slot for account in self.accounts]} have worked, expected {working}"
            )
        for account in self.accounts:
            slot = account.slot
            for index, layer in enumerate(self.network.layers):
                where = f"{self.names[slot]}, layer {layer.name!r}"
                _same(where, "segments", account.segments.get(index, 0), segments[index, slot])
                if layer.kind != "fc":
                    _same(where, "maps seen", len(account.seen.get(index, ())), segments[index, slot])
            self._check_groups(account)
            _same(self.names[slot], "bytes of weights", account.weight_bytes, self.physics.memory_bytes[slot])
            _same(self.names[slot], "multiplications", account.mults, self.physics.mults[slot])
        if not self.relative_difference <= OUTPUT_TOLERANCE:
            raise SplitMismatchError(
                f"the outputs of the cut network differ from those of the whole by {self.difference:.3g}, "
                f"{self.relative_difference:.3g} of the largest, expected at most {OUTPUT_TOLERANCE:g}"
            )

    def _check_groups(self, account: Account) -> None:
        """Distinct maps that a device has seen in the layers that carry the same ones, as privacy counts them."""
        if account.slot == len(self.names) - 1:
            return
        union: set[int] = set()
        for index, first in enumerate(self.physics.group):
            if first < 0:
                continue
            union = union if first < index else set()
            union |= set(account.seen.get(index, ()))
            where = f"{self.names[account.slot]}, up to layer {self.network.layers[index].name!r}"
            _same(where, "distinct maps seen", len(union), self.physics.distinct[index, account.slot])

    def _check_bytes(self) -> None:
        wrong = np.argwhere(self.sent_bytes != self.inputs * self.physics.sent_bytes)
        if len(wrong):
            layer, sender, receiver = wrong[0]
            pair = f"{self.names[sender]} to {self.names[receiver]}"
            raise SplitMismatchError(
                f"after layer {self.network.layers[layer].name!r}, {pair}: {self.sent_bytes[layer, sender, receiver]} "
                f"bytes were sent for {self.inputs} inputs, the physics counts "
                f"{self.physics.sent_bytes[layer, sender, receiver]} for each; {len(wrong)} such transfers"
            )


def _same(where: str, what: str, found: int, counted: np.int64) -> None:
    if found != counted:
        raise SplitMismatchError(f"{where}: {found} {what}, the physics counts {counted}")


def execute(
    split: SplitNetwork,
    instance: Instance,
    placement: RequestSolution,
    inputs: Tensor,
    *,
    request: int = 0,
    expected: Tensor | None = None,
    processes: bool = False,
    timeout_s: float = 60.0,
    tick: Callable[[int], None] | None = None,
) -> Execution:
    """Run a placement, device by device.

    Args:
        split: the network; its layers are those of the instance's but for their names (``check_layers``).
        instance: the fleet.
        placement: of the request; it fits the instance (``envs.distprivacy.files.check_fits``).
        inputs: (N, ``*split.shape``), which go through together: a message carries the values of all of them.
        request: index of the request in the instance.
        expected: outputs of the whole network, where they are known; None: they are computed.
        processes: each device in a process of its own.
        timeout_s: of the processes together.
        tick: told how many layers are done, the output counted as one; with processes how many devices.

    Raises:
        ValueError: the network is another one than the instance's, or the request is rejected.
        RuntimeError: a device has failed.
    """
    import time

    network = instance.task.networks[instance.requests[request].network]
    check_layers(split.network, network)
    physics = traffic(instance, request, placement)
    plan = Plan.of(network, placement.layers, len(instance.devices))
    names = (*(device.name for device in instance.devices), instance.sources[instance.requests[request].source].name)
    expected = split.whole(inputs) if expected is None else expected
    given = shards(split, plan, names)
    started = time.perf_counter()
    if processes:
        from inference.split.processes import run_processes

        output, accounts = run_processes(given, inputs, timeout_s=timeout_s, tick=tick)
    else:
        output, accounts = run_simulated(given, inputs, tick=tick)
    seconds = time.perf_counter() - started
    sent = np.zeros_like(physics.sent_bytes)
    for account in accounts:
        for (layer, receiver), count in account.payload_bytes.items():
            sent[layer, account.slot, receiver] += count
    shaped = output.reshape(expected.shape)
    return Execution(network, names, len(inputs), shaped, expected, accounts, sent, physics, seconds)


def check_layers(traced: Network, network: Network, where: str = "instance") -> None:
    """Raise ``ValueError`` where the layers of a module differ from those of an instance; names may."""
    if len(traced.layers) != len(network.layers):
        raise ValueError(
            f"{where}: network {network.name!r} has {len(network.layers)} layers, expected {len(traced.layers)}, "
            f"those of the network that is run"
        )
    for mine, layer in zip(traced.layers, network.layers, strict=True):
        if replace(mine, name=layer.name) != layer:
            raise ValueError(
                f"{where}: network {network.name!r}, layer {layer.name!r} is {_sizes(layer)}, expected {_sizes(mine)}, "
                f"as {mine.name!r} of the network that is run"
            )


def _sizes(layer: Layer) -> str:
    if layer.kind == "fc":
        return f"fc from {layer.inputs} to {layer.outputs} units"
    kernel = f", kernel of {layer.kernel_area}" if layer.kind == "conv" else ""
    return f"{layer.kind} from {layer.inputs} to {layer.outputs} maps of {layer.out_pixels} pixels{kernel}"
