"""Who holds what, and who sends what to whom: a placement as the data flow that spec section 4 describes.

Slots ``0..D-1`` are the devices of an instance, slot ``D`` is the source. Stage k is layer k with its inputs; one more
stage, after the last layer, is the output at the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envs.distprivacy.types import Layer, Network


@dataclass(frozen=True, slots=True)
class Plan:
    """A placement of all layers of a network, the first and the last included."""

    network: Network
    devices: int
    segments: tuple[Mapping[int, tuple[int, ...]], ...]  # layer -> slot -> its segments, in order
    inputs: tuple[Mapping[int, tuple[int, ...]], ...]  # stage -> slot -> maps that it must have, in order

    @classmethod
    def of(cls, network: Network, layers: Mapping[str, Sequence[int]], devices: int) -> Plan:
        """The plan of one request.

        Args:
            network: its layers.
            layers: distributed layer -> device of each segment, -1 for the source; all of them, as
                ``envs.distprivacy.files.check_fits`` demands.
            devices: number of devices.
        """
        last = len(network.layers) - 1
        segments = []
        for index, layer in enumerate(network.layers):
            row = [-1] * layer.segments if index in (0, last) else layers[layer.name]
            held: dict[int, list[int]] = {}
            for segment, device in enumerate(row):
                held.setdefault(devices if device < 0 else device, []).append(segment)
            segments.append({slot: tuple(held[slot]) for slot in sorted(held)})
        inputs = [
            {slot: maps_needed(network.layers[index - 1] if index else None, layer, held) for slot, held in row.items()}
            for index, (layer, row) in enumerate(zip(network.layers, segments, strict=True))
        ]
        inputs.append({devices: tuple(range(maps_out(network.layers[-1])))})
        return cls(network, devices, tuple(segments), tuple(inputs))

    @property
    def source(self) -> int:
        """Slot of the source."""
        return self.devices

    @property
    def stages(self) -> int:
        """All layers, and the output."""
        return len(self.inputs)

    def sums(self, stage: int) -> bool:
        """Whether the inputs of a stage arrive as partial sums: after a conv."""
        return stage > 0 and self.network.layers[stage - 1].kind == "conv"

    def outputs(self, layer: int, slot: int) -> tuple[int, ...]:
        """Maps that a holder of ``layer`` has afterwards: of a conv its partial sums of all, of act and pool what went in."""
        if self.network.layers[layer].kind in ("conv", "fc"):
            return tuple(range(maps_out(self.network.layers[layer])))
        return self.segments[layer][slot]

    def sent(self, layer: int, sender: int, receiver: int) -> tuple[int, ...]:
        """Maps of which ``sender`` gives ``receiver`` its partial sums or values after ``layer``; itself: what it keeps."""
        if sender not in self.segments[layer]:
            return ()
        needed = self.inputs[layer + 1].get(receiver, ())
        held = set(self.outputs(layer, sender))
        return tuple(index for index in needed if index in held)

    def senders(self, stage: int, receiver: int) -> tuple[int, ...]:
        """Slots that give ``receiver`` something for a stage, itself included."""
        if stage == 0:
            return ()
        return tuple(slot for slot in self.segments[stage - 1] if self.sent(stage - 1, slot, receiver))


def maps_out(layer: Layer) -> int:
    """Maps that a layer puts out; all units of an fc layer travel as one."""
    return 1 if layer.kind == "fc" else layer.outputs


def maps_needed(before: Layer | None, layer: Layer, held: tuple[int, ...]) -> tuple[int, ...]:
    """Maps that a device must have for the segments ``held`` of a layer: those themselves, or all for an fc."""
    if layer.kind != "fc":
        return held
    return tuple(range(1 if before is None else maps_out(before)))
