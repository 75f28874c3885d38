"""What runs in the process of one device: it listens for buffers, runs its stages as their inputs come, and reports.

The process is started without a copy of its parent's memory. It knows the shard that it is sent, and what comes in through
its socket; it imports nothing of how the network was cut.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import threading
import time
import traceback
from multiprocessing.connection import Client, Connection, wait
from typing import Any

import torch

from inference.split.shard import Shard
from inference.split.worker import Outbox, Worker

READY, GO, DONE, FAILED, CUT_OFF = "ready", "go", "done", "failed", "cut off"
"""What is said on the control pipe, pickled, with what belongs to it."""


class CutOffError(Exception):
    """A device cannot reach another, or waits for it in vain: the other one has the news."""


def socket_path(folder: str, slot: int) -> str:
    """Where the device in ``slot`` listens."""
    return os.path.join(folder, str(slot))


class _Sockets(Outbox):
    """One connection to each device that gets something; two buffers a message, header and payload."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder
        self.connections: dict[int, Connection] = {}

    def deliver(self, receiver: int, header: bytes, payload: bytes) -> None:
        """Send both buffers through the receiver's socket."""
        try:
            if receiver not in self.connections:
                self.connections[receiver] = Client(socket_path(self.folder, receiver), "AF_UNIX")
            self.connections[receiver].send_bytes(header)
            self.connections[receiver].send_bytes(payload)
        except OSError as error:
            raise CutOffError(f"slot {receiver} cannot be reached: {error}") from error


class _Listener(threading.Thread):
    """Takes in what others send, so that no sender ever waits for a device that computes."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(1024)
        self.arrived: queue.Queue[tuple[bytes, bytes]] = queue.Queue()

    def run(self) -> None:
        """Until the process ends."""
        connections: list[Connection] = []
        while True:
            for ready in wait([self.socket, *connections]):
                if ready is self.socket:
                    connections.append(Connection(self.socket.accept()[0].detach()))
                    continue
                assert isinstance(ready, Connection)
                try:
                    self.arrived.put((ready.recv_bytes(), ready.recv_bytes()))
                except (EOFError, OSError):  # the sender has ended
                    connections.remove(ready)


def serve(control: Connection, folder: str, timeout_s: float) -> None:
    """Run one device: take its shard from ``control``, say ready, wait for go, run, and report.

    Args:
        control: pipe to the parent; everything on it is pickled.
        folder: where the sockets of all devices lie.
        timeout_s: after which a wait for others is given up.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends its devices
    torch.set_num_threads(1)
    try:
        control.send_bytes(pickle.dumps((DONE, _run(control, folder, timeout_s))))
    except CutOffError as error:
        _tell(control, CUT_OFF, str(error))
    except Exception:
        _tell(control, FAILED, traceback.format_exc())


def _run(control: Connection, folder: str, timeout_s: float) -> tuple[Any, ...]:
    shard: Shard
    shard, picture = pickle.loads(control.recv_bytes())
    listener = _Listener(socket_path(folder, shard.slot))
    listener.start()
    control.send_bytes(pickle.dumps((READY, None)))
    control.recv_bytes()
    worker = Worker(shard, _Sockets(folder))
    if picture is not None:
        worker.feed(picture)
    deadline = time.monotonic() + timeout_s
    for stage in sorted(shard.stages):
        while worker.lacks(stage):
            try:
                worker.accept(*listener.arrived.get(timeout=max(deadline - time.monotonic(), 0.001)))
            except queue.Empty:
                layer, missing = shard.stages[stage].name, list(worker.lacks(stage))
                raise CutOffError(f"layer {layer!r} got nothing from the slots {missing} in {timeout_s:g} s") from None
        worker.run(stage)
    return worker.output, worker.account()


def _tell(control: Connection, what: str, text: str) -> None:
    try:
        control.send_bytes(pickle.dumps((what, text)))
    except OSError:
        pass  # the parent has gone
