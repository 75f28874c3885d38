"""One device at work: it has its shard, a store of its own, and nothing of anybody else's but what it was sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.split.message import Message, decode, encode
from inference.split.shard import Shard, Stage


class MissingMapsError(RuntimeError):
    """A device has to compute with maps that it was not sent."""


class Outbox(ABC):
    """The way out of a device. Counts the payload bytes of every buffer that it hands on."""

    def __init__(self) -> None:
        self.payload_bytes: dict[tuple[int, int], int] = {}  # (layer, receiver) -> bytes
        self.messages = 0

    def send(self, layer: int, receiver: int, header: bytes, payload: bytes) -> None:
        """Send two buffers to another slot, and count the second one."""
        self.deliver(receiver, header, payload)
        key = (layer, receiver)
        self.payload_bytes[key] = self.payload_bytes.get(key, 0) + len(payload)
        self.messages += 1

    @abstractmethod
    def deliver(self, receiver: int, header: bytes, payload: bytes) -> None:
        """Bring them there."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a device has done, told in plain data."""

    slot: int
    segments: Mapping[int, int]  # layer -> segments that it computed
    seen: Mapping[int, tuple[int, ...]]  # layer -> input maps that it had, whole
    parts: Mapping[int, tuple[int, ...]]  # layer -> slots whose partial sums of these maps it had, one by one
    payload_bytes: Mapping[tuple[int, int], int]  # (layer, receiver) -> bytes of its payloads
    messages: int
    mults: int  # of one input
    weight_bytes: int
    value_bytes: int  # of one input: the most that a stage had in hand, input maps and result; the physics counts none


@dataclass
class Worker:
    """Runs the stages of one shard, each once and in order; ``accept`` takes in what others have sent for it.

    Its store is private: values come in as bytes (``accept``) or as the camera's picture (``feed``), and go out as bytes.
    """

    shard: Shard
    outbox: Outbox
    _inbox: dict[tuple[int, int], Message] = field(default_factory=dict)  # (stage, sender) -> message
    _picture: Tensor | None = None
    _output: Tensor | None = None
    _segments: dict[int, int] = field(default_factory=dict)
    _seen: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _parts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _mults: int = 0
    _value_bytes: int = 0

    def feed(self, picture: Tensor) -> None:
        """Take the inputs (N, ...) from the camera; only a source has one."""
        size = picture.shape[2:] if picture.dim() == 4 else (1, 1)
        self._picture = picture.reshape(len(picture), -1, *size).clone()

    def accept(self, header: bytes, payload: bytes) -> None:
        """Take a message in. Raises ``MessageError`` where it is not what its header says."""
        message = decode(header, payload)
        self._inbox[message.layer + 1, message.sender] = message

    def lacks(self, stage: int) -> tuple[int, ...]:
        """Slots that have still to send something for a stage."""
        wanted = self.shard.stages[stage].senders
        return tuple(slot for slot in wanted if (stage, slot) not in self._inbox)

    @torch.no_grad()
    def run(self, number: int) -> None:
        """Compute a stage and send what others need of it.

        Raises:
            MissingMapsError: not all of its inputs have come.
        """
        stage = self.shard.stages[number]
        values = self._inputs(number, stage)
        self._seen[number] = stage.inputs
        if stage.sums:
            self._parts[number] = stage.senders
        if stage.part is None:
            self._output = values
            return
        result = stage.part(values)
        self._segments[number] = stage.segments
        self._mults += stage.part.mults(result)
        self._value_bytes = max(self._value_bytes, 4 * (values.numel() + result.numel()) // len(values))
        at = {index: position for position, index in enumerate(stage.outputs)}
        for receiver, maps in stage.sends.items():
            chosen = result if len(maps) == len(at) else result[:, [at[index] for index in maps]]
            message = Message(number, self.shard.slot, maps, chosen)
            if receiver == self.shard.slot:
                self._inbox[number + 1, receiver] = message
            else:
                self.outbox.send(number, receiver, *encode(message))

    def _inputs(self, number: int, stage: Stage) -> Tensor:
        if not stage.senders:
            if self._picture is None:
                raise MissingMapsError(
                    f"{self.shard.name}: layer {stage.name!r} needs the picture, which it was not given"
                )
            return self._picture
        missing = self.lacks(number)
        if missing:
            raise MissingMapsError(f"{self.shard.name}: layer {stage.name!r} needs maps of the slots {list(missing)}")
        messages = [self._inbox.pop((number, slot)) for slot in stage.senders]
        return self._summed(stage, messages) if stage.sums else self._gathered(stage, messages)

    def _summed(self, stage: Stage, messages: list[Message]) -> Tensor:
        """Partial sums (N, inputs, height, width) of all senders, in their order, and the bias."""
        total = torch.zeros_like(messages[0].values)
        for message in messages:
            if message.maps != stage.inputs:
                raise MissingMapsError(
                    f"{self.shard.name}: layer {stage.name!r} got other maps from slot {message.sender} than it needs"
                )
            total += message.values
        return total if stage.bias is None else total.add_(stage.bias[:, None, None])

    def _gathered(self, stage: Stage, messages: list[Message]) -> Tensor:
        """Maps (N, inputs, height, width) of all senders, each at its place."""
        came = [index for message in messages for index in message.maps]
        if sorted(came) != list(stage.inputs):
            raise MissingMapsError(f"{self.shard.name}: layer {stage.name!r} got other maps than it needs")
        order = {index: position for position, index in enumerate(came)}
        joined = torch.cat([message.values for message in messages], 1)
        return joined[:, [order[index] for index in stage.inputs]]

    @property
    def output(self) -> Tensor | None:
        """Output maps (N, maps, height, width) at the source, once it has run its last stage."""
        return self._output

    def account(self) -> Account:
        """What it has done."""
        parts = [stage.part for stage in self.shard.stages.values() if stage.part is not None]
        return Account(
            self.shard.slot,
            dict(self._segments),
            dict(self._seen),
            dict(self._parts),
            dict(self.outbox.payload_bytes),
            self.outbox.messages,
            self._mults,
            sum(part.weight_bytes for part in parts),
            self._value_bytes,
        )
