"""Each device in a process of its own: the same output, and a clear error where one of them fails."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_split import Trouble, any_placement, cut, instance_of, small_net

from inference.split.cut import shards
from inference.split.execution import execute
from inference.split.parts import MapPart
from inference.split.plan import Plan
from inference.split.processes import DeviceFailedError, run_processes
from inference.split.shard import Shard

PATIENCE_S = 240.0  # a busy machine starts processes slowly
NAMES = ("a", "b", "camera")


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process and no socket outlives a run."""
    made: list[Path] = []
    make = tempfile.mkdtemp

    def noted(*args: Any, **options: Any) -> str:
        folder = make(*args, **options)
        made.append(Path(folder))
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", noted)
    yield
    assert multiprocessing.active_children() == []
    folders = [folder for folder in made if folder.name.startswith("split-")]
    assert folders and not any(folder.exists() for folder in folders)


def given() -> tuple[Shard, ...]:
    """A small network on two devices and the source."""
    split = cut(small_net())
    return shards(
        split, Plan.of(split.network, any_placement(split.network, 2, np.random.default_rng(2)).layers, 2), NAMES
    )


def with_trouble(kind: str) -> tuple[Shard, ...]:
    """The same, where a device goes wrong in an activation."""
    every = list(given())
    for number, shard in enumerate(every[:-1]):
        for stage, share in shard.stages.items():
            if isinstance(share.part, MapPart):
                bad = replace(share, part=MapPart(Trouble(kind)))  # type: ignore[arg-type]
                every[number] = replace(shard, stages={**shard.stages, stage: bad})
                return tuple(every)
    raise AssertionError("no device has an activation")


def test_processes_give_the_same_output_to_the_bit() -> None:
    split = cut(small_net())
    instance = instance_of(split.network, 2)
    placement = any_placement(split.network, 2, np.random.default_rng(2))
    inputs = torch.randn(3, 2, 9, 8)
    together = execute(split, instance, placement, inputs)
    apart = execute(split, instance, placement, inputs, processes=True, timeout_s=PATIENCE_S)
    apart.check()
    assert len(apart.accounts) == 3 and apart.sent_bytes.sum() > 0
    assert torch.equal(apart.output, together.output)
    assert apart.accounts == together.accounts


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("exit", r"^[ab] ended before it was done, with exit code 7$"),
        ("raise", r"(?s)^[ab] failed:\n.*ArithmeticError: no such number"),
    ],
)
def test_a_device_that_fails_is_told_and_the_others_end(kind: str, sentence: str) -> None:
    with pytest.raises(DeviceFailedError, match=sentence):
        run_processes(with_trouble(kind), torch.zeros(1, 2, 9, 8), timeout_s=PATIENCE_S)


def test_a_device_that_hangs_is_given_up() -> None:
    with pytest.raises(DeviceFailedError, match=r"^not done within 8 s: .*[ab]"):
        run_processes(with_trouble("sleep"), torch.zeros(1, 2, 9, 8), timeout_s=8.0)


def test_an_interrupted_run_ends_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inference.split.processes._Fleet.collect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_processes(given(), torch.zeros(1, 2, 9, 8), timeout_s=PATIENCE_S)
