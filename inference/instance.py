"""``python -m inference.instance``: a network, its privacy table and a fleet as an instance file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.cli import main
from conf.instance_schema import InstanceConfig

if TYPE_CHECKING:
    from envs.distprivacy.types import Fleet, Instance, Network, Task


def run(config: InstanceConfig) -> dict[str, Any]:
    """Write the file; returns its path, the number of instances and the limit of every layer.

    Raises:
        ValueError: one sentence; a file is missing or wrong, or the table does not fit the network.
    """
    from envs.distprivacy.files import save_instance, save_instances

    network = _network(config)
    task = _task(config, network)
    made = [_with_task(fleet, task, config.requests) for fleet in _fleets(config)]
    if config.out.lower().endswith(".json") and len(made) > 1:
        raise ValueError(f"{config.fleet}: holds {len(made)} instances, expected out=... that ends in .jsonl")
    if config.out.lower().endswith(".json"):
        save_instance(made[0], config.out)
    else:
        save_instances(made, config.out)
    limits = _limits(task, network)
    result = {
        "out": config.out,
        "instances": len(made),
        "network": network.name,
        "limits": limits,
        "notice": _notice(config, limits, [len(instance.devices) for instance in made]),
    }
    if config.format == "text":
        _print(config, result)
    return result


def _network(config: InstanceConfig) -> Network:
    if config.checkpoint is not None:
        from inference.cnn.trained import load_cnn

        return load_cnn(config.checkpoint).network
    from envs.distprivacy.networks import NETWORKS

    return NETWORKS[str(config.network)]()


def _task(config: InstanceConfig, network: Network) -> Task:
    from envs.distprivacy.table_file import load_tables
    from envs.distprivacy.types import Task

    tables = load_tables(config.table)
    if network.name not in tables:
        raise ValueError(f"{config.table}: has no table for network {network.name!r}, only for {', '.join(tables)}")
    table = {network.name: tables[network.name]}
    scope, colluders = config.privacy_scope, config.colluders
    try:
        return Task({network.name: network}, table, config.ssim, config.tolerance, scope, colluders)
    except ValueError as error:
        raise ValueError(f"{config.table}: {error}") from None


def _fleets(config: InstanceConfig) -> list[Instance | Fleet]:
    """Periods of the fleet, still of other networks or of none."""
    import numpy as np

    from envs.distprivacy.build import as_generator
    from envs.distprivacy.files import load_fleet_or_instance
    from envs.distprivacy.generator import InstanceList

    if config.fleet.endswith(".json"):
        return [load_fleet_or_instance(config.fleet)]
    generator = as_generator(config.fleet)
    if isinstance(generator, InstanceList):
        return list(generator.instances)
    rng = np.random.default_rng(config.seed)
    return [generator.sample(rng) for _ in range(config.instances or 1)]


def _with_task(fleet: Instance | Fleet, task: Task, requests: int | None) -> Instance:
    """The same devices and sources, asked for the one network of ``task``; a fleet without requests by each source once."""
    from envs.distprivacy.types import Fleet, Instance, Request

    (name,) = task.networks
    if requests is None and not isinstance(fleet, Fleet):
        asked = [request.source for request in fleet.requests]
    else:
        asked = [index % len(fleet.sources) for index in range(requests or len(fleet.sources))]
    made = tuple(Request(source, name) for source in asked)
    return Instance(task, fleet.devices, fleet.sources, made, fleet.period_s)


def _limits(task: Task, network: Network) -> list[dict[str, Any]]:
    """How the environment reads the table: for each distributed layer its segments, the limit, and whether it stays home."""
    from envs.distprivacy.privacy import layer_limits

    limits = layer_limits(network, task.privacy[network.name], task.ssim, task.tolerance)
    return [
        {"layer": layer.name, "segments": layer.segments, "limit": limit.limit, "on_source": limit.on_source}
        for layer, limit in zip(network.distributed, limits[1:-1], strict=True)
    ]


def _notice(config: InstanceConfig, limits: list[dict[str, Any]], devices: list[int]) -> str | None:
    """What makes the instances of little use: no layer leaves the source, or too few devices for the limits."""
    if all(row["on_source"] for row in limits):
        return (
            f"at ssim={config.ssim:g} every layer stays on the source, so there is nothing to decide, expected a table with "
            f"smaller values, or a greater ssim"
        )
    asked = [(-(-row["segments"] // row["limit"]), row) for row in limits if row["limit"] and not row["on_source"]]
    most, row = max(asked, key=lambda one: one[0], default=(0, None))
    short = sum(count < most for count in devices)
    if row is None or not short:
        return None
    who = f"the fleet has {devices[0]}" if len(devices) == 1 else f"{short:,} of {len(devices):,} fleets have fewer"
    return (
        f"layer {row['layer']} has {row['segments']} segments, at most {row['limit']} of them on a device, so that a request "
        f"takes {most} devices; {who}: all is rejected there"
    )


def _print(config: InstanceConfig, result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("layer", "segments", "limit"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    for row in result["limits"]:
        limit = "source" if row["on_source"] else "none" if row["limit"] is None else str(row["limit"])
        table.add_row(row["layer"], f"{row['segments']:,}", limit)
    console = Console()  # a title of the table would be broken to its width
    console.print(f"{result['network']} at SSIM {config.ssim:g}: most maps on one device", soft_wrap=True)
    console.print(table)
    many = "instance" if result["instances"] == 1 else "instances"
    if result["notice"]:
        console.print(result["notice"], soft_wrap=True)
    console.print(f"{result['instances']:,} {many}: {result['out']}", soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main("inference_instance", InstanceConfig, run, ("checkpoint", "table", "fleet", "out")))
