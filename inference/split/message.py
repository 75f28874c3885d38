"""What one device sends to another: some maps, or its partial sums of them, as raw numbers behind a small header.

The payload is float32, little-endian, of shape (inputs, maps, height, width) in C order, and nothing else. The header says
which maps they are; it is what any transport adds, and is not counted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_HEAD = struct.Struct("<HHIIII")  # layer, sender, inputs, maps, height, width; then the maps, uint32 each


class MessageError(RuntimeError):
    """A message that is not what its header says."""


@dataclass(frozen=True, eq=False)
class Message:
    """Values that a device has sent, or kept for itself."""

    layer: int  # after which it was sent
    sender: int  # slot
    maps: tuple[int, ...]
    values: Tensor  # (inputs, maps, height, width)


def encode(message: Message) -> tuple[bytes, bytes]:
    """Header and payload of a message."""
    inputs, maps, height, width = message.values.shape
    header = _HEAD.pack(message.layer, message.sender, inputs, maps, height, width)
    indices = np.asarray(message.maps, "<u4").tobytes()
    return header + indices, message.values.contiguous().numpy().astype("<f4", copy=False).tobytes()


def decode(header: bytes, payload: bytes) -> Message:
    """The message of a header and a payload, with values of its own. Raises ``MessageError`` where they do not fit."""
    if len(header) < _HEAD.size:
        raise MessageError(f"a header of {len(header)} bytes, expected at least {_HEAD.size}")
    layer, sender, inputs, maps, height, width = _HEAD.unpack_from(header)
    if len(header) != _HEAD.size + 4 * maps:
        raise MessageError(f"a header of {len(header)} bytes for {maps} maps, expected {_HEAD.size + 4 * maps}")
    if len(payload) != 4 * inputs * maps * height * width:
        shape = f"{inputs} x {maps} x {height} x {width} numbers"
        raise MessageError(f"a payload of {len(payload)} bytes after layer {layer}, expected 4 for each of {shape}")
    numbers = np.frombuffer(payload, "<f4").astype(np.float32).reshape(inputs, maps, height, width)
    indices = np.frombuffer(header, "<u4", offset=_HEAD.size)
    return Message(layer, sender, tuple(indices.tolist()), torch.from_numpy(numbers))
