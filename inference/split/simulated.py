"""All devices in one process, one after the other; they share no value, only buffers of bytes pass between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from inference.split.shard import Shard
from inference.split.worker import Account, Outbox, Worker


class _HandOver(Outbox):
    """Gives buffers to the worker that they are for."""

    def __init__(self, workers: dict[int, Worker]) -> None:
        super().__init__()
        self._accept: Callable[[int], Callable[[bytes, bytes], None]] = lambda slot: workers[slot].accept

    def deliver(self, receiver: int, header: bytes, payload: bytes) -> None:
        """Put them into the receiver's store."""
        self._accept(receiver)(header, payload)


def run_simulated(
    shards: Sequence[Shard], picture: Tensor, *, tick: Callable[[int], None] | None = None
) -> tuple[Tensor, tuple[Account, ...]]:
    """Run all stages, layer after layer.

    Args:
        shards: of all devices with a share; the last one is the source's.
        picture: inputs (N, ...) of the source's camera.
        tick: told how many stages are done.

    Returns:
        Output maps (N, maps, height, width), and what each device has done, in the order of the shards.
    """
    workers: dict[int, Worker] = {}
    for shard in shards:
        workers[shard.slot] = Worker(shard, _HandOver(workers))
    source = workers[shards[-1].slot]
    source.feed(picture)
    for stage in range(max(source.shard.stages) + 1):
        for worker in workers.values():
            if stage in worker.shard.stages:
                worker.run(stage)
        if tick is not None:
            tick(stage + 1)
    assert source.output is not None  # its last stage has run
    return source.output, tuple(worker.account() for worker in workers.values())
