"""What every multi-exit network is: E blocks in a row, and an exit after each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ExitNetwork(nn.Module):
    """E blocks and E exits; exit k sees what the blocks 1..k made of the input, and gives two logits.

    Args:
        blocks: of the backbone.
        exits: as many; each maps its block's features to ``(N, 2)``.
    """

    def __init__(self, blocks: Sequence[nn.Module], exits: Sequence[nn.Module]) -> None:
        super().__init__()
        if not blocks or len(blocks) != len(exits):
            raise ValueError(f"a network has {len(blocks)} blocks and {len(exits)} exits, expected as many of both")
        self.blocks, self.exits = nn.ModuleList(blocks), nn.ModuleList(exits)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of all exits ``(E, N, 2)`` for prepared rows ``(N, *shape)``; every block runs once."""
        logits = []
        for block, leave in zip(self.blocks, self.exits, strict=True):
            inputs = block(inputs)
            logits.append(leave(inputs))
        return torch.stack(logits)

    def parameter_count(self) -> int:
        """Number of trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())


def initialise(network: nn.Module, seed: int) -> None:
    """Kaiming's normal weights (He et al. 2015) and zero biases, drawn from ``seed``.

    torch's own default starts conv networks without normalisation so small that the deep exit stays at chance for epochs.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
