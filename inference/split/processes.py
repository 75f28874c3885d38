"""Each device in a process of its own, with sockets between them."""

from __future__ import annotations

import pickle
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from torch import Tensor

from inference.split.device_process import CUT_OFF, DONE, FAILED, GO, READY, serve
from inference.split.shard import Shard
from inference.split.worker import Account

GRACE_S = 2.0
"""How long, after a device has lost a neighbour, the neighbour's own news is waited for."""


class DeviceFailedError(RuntimeError):
    """A device did not do its part; the message says which one, and why."""


def run_processes(
    shards: Sequence[Shard], picture: Tensor, *, timeout_s: float = 60.0, tick: Callable[[int], None] | None = None
) -> tuple[Tensor, tuple[Account, ...]]:
    """``simulated.run_simulated`` with a process for each shard; it gives the same output, to the bit.

    The processes are forked from a server that never had the network, so that a device has in its memory what it was sent
    and nothing else. All of them have ended when this returns or raises.

    Args:
        shards: of all devices with a share; the last one is the source's.
        picture: inputs (N, ...) of the source's camera.
        timeout_s: for all that is done, starting the processes included.
        tick: told how many devices are done.

    Raises:
        DeviceFailedError: a device failed, ended, or was not done in time.
    """
    fleet = _Fleet(time.monotonic() + timeout_s, timeout_s)
    try:
        for shard in shards:
            fleet.start(shard)
        for number, shard in enumerate(shards):
            # pickled here: torch would put tensors that a pipe pickles into shared memory
            fleet.send(number, pickle.dumps((shard, picture if number == len(shards) - 1 else None)))
        fleet.collect(READY)
        for number in range(len(shards)):
            fleet.send(number, pickle.dumps(GO))
        results = fleet.collect(DONE, tick)
    finally:
        fleet.end()
    return results[-1][0], tuple(account for _, account in results)


class _Fleet:
    """The processes of one run."""

    def __init__(self, deadline: float, timeout_s: float) -> None:
        self.deadline, self.timeout_s = deadline, timeout_s
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(["inference.split.device_process"])
        self.folder = tempfile.mkdtemp(prefix="split-")  # only this user may enter it
        self.names: list[str] = []
        self.processes: list[BaseProcess] = []
        self.controls: list[Connection] = []

    def start(self, shard: Shard) -> None:
        here, there = self.context.Pipe()
        process = self.context.Process(target=serve, args=(there, self.folder, self.timeout_s), daemon=True)
        process.start()
        there.close()
        self.names.append(shard.name)
        self.processes.append(process)
        self.controls.append(here)

    def send(self, number: int, data: bytes) -> None:
        try:
            self.controls[number].send_bytes(data)
        except OSError:
            raise DeviceFailedError(self._ended(number)) from None

    def collect(self, wanted: str, tick: Callable[[int], None] | None = None) -> list[Any]:
        """What every device says with ``wanted``. Raises ``DeviceFailedError`` once one of them cannot."""
        said: dict[int, Any] = {}
        cut_off: str | None = None
        deadline = self.deadline
        while len(said) < len(self.controls):
            open_ones = {self.controls[number]: number for number in range(len(self.controls)) if number not in said}
            ready = wait(list(open_ones), max(deadline - time.monotonic(), 0.0))
            if not ready:
                late = ", ".join(self.names[number] for number in open_ones.values())
                raise DeviceFailedError(cut_off or f"not done within {self.timeout_s:g} s: {late}")
            for control in ready:
                assert isinstance(control, Connection)
                number = open_ones[control]
                try:
                    what, content = pickle.loads(control.recv_bytes())
                except (EOFError, OSError):
                    raise DeviceFailedError(self._ended(number)) from None
                if what == FAILED:
                    raise DeviceFailedError(f"{self.names[number]} failed:\n{content}")
                assert what in (wanted, CUT_OFF)
                if what == CUT_OFF:
                    # whoever broke off is heard first, if it says anything
                    cut_off = cut_off or f"{self.names[number]} was cut off: {content}"
                    deadline = min(deadline, time.monotonic() + GRACE_S)
                said[number] = content
            if tick is not None:
                tick(len(said))
        if cut_off is not None:
            raise DeviceFailedError(cut_off)
        return [said[number] for number in range(len(self.controls))]

    def _ended(self, number: int) -> str:
        process = self.processes[number]
        process.join(GRACE_S)
        return f"{self.names[number]} ended before it was done, with exit code {process.exitcode}"

    def end(self) -> None:
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(GRACE_S)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        for control in self.controls:
            control.close()
        shutil.rmtree(self.folder, ignore_errors=True)
