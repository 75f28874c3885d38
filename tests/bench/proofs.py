"""What optimal.solve proves, and in which time: single requests, whole periods, budgets that bind.

python tests/bench/proofs.py [time_limit]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from envs.distprivacy.scenarios import scenario
from envs.distprivacy.types import Device, Instance, Request
from optimal.growth import WINDOW_S, instance_of, random_device
from optimal.solve import solve


def unequal(count: int) -> tuple[Device, ...]:
    """Devices with speeds and rates as in lenet-random."""
    rng = np.random.default_rng(count)
    return tuple(replace(random_device(rng, f"device-{j}"), memory_bytes=2e9) for j in range(count))


def single(network: str, devices: int | None) -> Instance:
    """One request of a network on so many unequal devices; None: on the 70 of the paper's fleet."""
    base = scenario("mixed-70").sample(np.random.default_rng(0))
    request = next(one for one in base.requests if one.network == network)
    fleet = base.devices if devices is None else unequal(devices)
    return replace(base, devices=fleet, requests=(request,))


def instances() -> Iterator[tuple[str, Instance]]:
    """Names and instances of the table."""
    for ssim in (0.8, 0.6):
        yield (
            f"lenet-10, ten requests, SSIM {ssim}",
            scenario("lenet-10", ssim=ssim, requests=10).sample(np.random.default_rng(0)),
        )
    rng = np.random.default_rng(5)
    base = scenario("lenet-random").sample(rng)
    devices = tuple(random_device(rng, f"device-{j}") for j in range(10))
    sources = tuple(random_device(rng, f"source-{j}") for j in range(10))
    requests = tuple(Request(j, "lenet") for j in range(10))
    yield (
        "10 LeNets, 10 unequal sources, 10 unequal devices",
        replace(base, devices=devices, sources=sources, requests=requests),
    )
    yield "1 LeNet, 30 unequal devices", single("lenet", 30)
    for seed in range(3):
        yield f"lenet-70, seed {seed}", scenario("lenet-70").sample(np.random.default_rng(seed))
    for count in (8, 20, 70):
        yield f"1 CIFAR-CNN, {count} unequal devices", single("cifar_cnn", count)
    yield "1 VGG16, 70 devices of the paper", single("vgg16", None)
    yield "1 VGG16, 70 unequal devices", single("vgg16", 70)
    for count in (2, 3, 4):
        for seed in range(3):
            instance = instance_of("requests", count, np.random.default_rng((1, seed)))
            yield f"{count} LeNets, 6 unequal devices with {1e3 * WINDOW_S} ms each, seed {seed}", instance
    for name in ("cifar-70", "vgg-70", "mixed-70"):
        yield f"{name}, one period", scenario(name).sample(np.random.default_rng(0))


def main() -> None:
    """Solve all, and print a row of a table for each."""
    parser = argparse.ArgumentParser(
        description="Solve single requests and whole periods, and print a table of the proofs."
    )
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for one instance (60)")
    limit = parser.parse_args().time_limit
    print("| instance | status | gap | rejections (proven) | by | seconds |\n|---|---|---|---|---|---|")
    for name, instance in instances():
        found = solve(instance, time_limit=limit)
        gap = "unknown" if found.gap is None else f"{100 * found.gap:.2g} %" if found.gap > 1e-12 else "0 %"
        rejections = f"{found.rejections} ({found.rejections_bound})"
        print(f"| {name} | {found.status} | {gap} | {rejections} | {found.solver} | {found.seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
