"""``python -m agents.figure``: comparisons in the form of the paper's figures, from runs of their own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agents.benchmark import compare
from agents.cli import main
from agents.output import plain
from conf.benchmark_schema import FigureConfig
from conf.messages import UserError, one_line
from conf.schema import DistPrivacyConfig, TrainConfig

if TYPE_CHECKING:
    from agents.entries import Entry
    from agents.figure_data import Cell
    from agents.run_folder import RunFolder
    from envs.distprivacy.generator import Generator


def run(config: FigureConfig) -> dict[str, Any]:
    """Train what the figure needs, play it, write the folder."""
    import torch
    from rich.console import Console

    from agents.figure_data import cell_table
    from agents.figure_plots import curves, front, panels

    # more threads than idle cores make small networks many times slower
    torch.set_num_threads(config.threads)
    name = config.name or f"figure-{time.strftime('%Y%m%d-%H%M%S')}"
    cells: list[Cell] = []
    if config.leave_after:
        folders = _train_leaving(config, name)
        svg = curves(folders, config.leave_after)
    else:
        cells = _front_cells(config, name) if config.traffic_prices else _grid_cells(config, name)
        svg = front(cells) if config.traffic_prices else panels(cells, config.measures)
    folder = _write(config, name, svg, cells)
    if config.format == "text":
        console = Console(width=None if sys.stdout.isatty() else 150)
        if cells:
            console.print(cell_table(cells))
        console.print(f"figure folder: {folder}", soft_wrap=True)
    return {"folder": str(folder), "cells": [cell.to_dict() for cell in cells]}


# --- what is trained -------------------------------------------------------------------------------------------------
def _train(config: FigureConfig, seed: int, name: str, callbacks: Sequence[Any] = (), **world: Any) -> RunFolder:
    """A run by the keys of training on env with changed keys ``world``, in a run folder of its own."""
    from agents.run_folder import RunFolder
    from agents.training import train

    values = {entry.name: getattr(config, entry.name) for entry in fields(TrainConfig)}
    env = replace(cast(DistPrivacyConfig, config.env), **world)
    changed = {"env": env, "seed": seed, "name": name, "baselines": [], "final_instances": 1, "format": "text"}
    print(f"training {name}", file=sys.stderr)
    scores = train(TrainConfig(**{**values, **changed}), callbacks=list(callbacks))
    assert scores.folder is not None
    return RunFolder.open(scores.folder)


def _train_leaving(config: FigureConfig, name: str) -> list[RunFolder]:
    """One run for each number of steps after which the last devices of the fleet leave."""
    from agents.leaving import Leaving

    world = cast(DistPrivacyConfig, config.env)
    slots = _generator(config, world.scenario, world.ssim, None).max_devices
    stay = slots - world.absent - config.leaving
    if stay < 1:
        raise UserError(
            f"leaving is {config.leaving}, expected fewer than the {slots - world.absent} devices of the fleet"
        )
    return [
        _train(config, seed, f"{name}-leave-{after}-seed-{seed}", [Leaving(after, range(stay, slots))])
        for after in config.leave_after
        for seed in config.seeds
    ]


def _entries(config: FigureConfig, folders: list[RunFolder]) -> list[Entry]:
    from agents.entries import baseline_entries, distinct, learned_entries

    entries = learned_entries(folders, config.samples, config.local_search, device=config.device, seed=config.seed)
    entries += baseline_entries(config.baselines, config.seed)
    distinct(entries)
    return entries


# --- what is played --------------------------------------------------------------------------------------------------
def _grid_cells(config: FigureConfig, name: str) -> list[Cell]:
    """Every scenario with every privacy level or fleet, played by the same policies."""
    from agents.entries import open_runs

    world = cast(DistPrivacyConfig, config.env)
    given = open_runs(config.runs)
    generators = [
        (scenario, label, _generator(config, scenario, ssim, types))
        for scenario in config.scenarios or [world.scenario]
        for label, ssim, types in _along(config)
    ]
    cells = []
    if not config.train_each:
        given += [_train(config, seed, f"{name}-seed-{seed}") for seed in config.seeds]
    for scenario in config.scenarios or [world.scenario]:
        folders = list(given)
        if config.train_each:
            folders += [
                _train(config, seed, f"{name}-{scenario}-seed-{seed}", scenario=scenario) for seed in config.seeds
            ]
        entries = _entries(config, folders)
        cells += [
            _cell(config, scenario, label, entries, generator)
            for owner, label, generator in generators
            if owner == scenario
        ]
    return cells


def _along(config: FigureConfig) -> list[tuple[str, float, dict[str, int] | None]]:
    """Label, privacy level and fleet of the places along a panel."""
    ssim = cast(DistPrivacyConfig, config.env).ssim
    if config.fleets:
        return [(text, ssim, fleet_of(text)) for text in config.fleets]
    return [(f"SSIM {level:g}", level, None) for level in config.ssims or [ssim]]


def fleet_of(text: str) -> dict[str, int]:
    """Devices by type of a text such as ``nexus=20 rpi3=50``. Raises ``UserError`` for another text."""
    from envs.distprivacy.scenarios import DEVICE_TYPES

    counts: dict[str, int] = {}
    for part in text.split():
        kind, _, count = part.partition("=")
        if kind not in DEVICE_TYPES or not count.isdecimal() or kind in counts:
            expected = f"type=count with types out of {', '.join(DEVICE_TYPES)}, each once"
            raise UserError(f"fleets has the entry {text!r}, expected {expected}")
        counts[kind] = int(count)
    if not sum(counts.values()):
        raise UserError(f"fleets has the entry {text!r}, expected at least one device")
    return counts


def _generator(config: FigureConfig, scenario: str, ssim: float, types: dict[str, int] | None) -> Generator:
    from envs.distprivacy.build import as_generator
    from envs.distprivacy.scenarios import SCENARIOS
    from envs.distprivacy.scenarios import scenario as named

    world = cast(DistPrivacyConfig, config.env)
    if scenario not in SCENARIOS:
        return as_generator(scenario)
    own = scenario == world.scenario
    return named(
        scenario,
        ssim=ssim,
        privacy_scope=world.privacy_scope,
        colluders=world.colluders,
        requests=world.requests if own else None,
        absent=world.absent if own else 0,
        types=types,
    )


def _cell(config: FigureConfig, panel: str, label: str, entries: list[Entry], generator: Generator) -> Cell:
    from agents.evaluation import InstanceSet
    from agents.figure_data import Cell
    from agents.optimality import Bounds
    from envs.distprivacy.generator import InstanceList
    from optimal.standard_sets import TEST_SEED, find_references

    fixed = isinstance(generator, InstanceList)
    instances = (
        InstanceSet.of(generator, cast(InstanceList, generator).instances)
        if fixed
        else InstanceSet.draw(generator, config.final_instances, TEST_SEED)
    )
    references = find_references(generator.task, instances.decoded())
    if config.solve:
        from optimal.solve import solve

        references = [
            solve(instance, time_limit=config.time_limit) if reference is None else reference
            for instance, reference in zip(instances.decoded(), references, strict=True)
        ]
    instances.bounds = Bounds.of(references)
    shown = references if config.optimum else []
    title = f"{panel}, {label}"
    result = compare(entries, instances, shown, title, seed=config.seed, timed=False, progress=config.progress)
    return Cell(panel, label, result)


def _front_cells(config: FigureConfig, name: str) -> list[Cell]:
    """One cell: policies trained at every traffic price, next to the baselines, on the scenario of env."""
    from agents.entries import baseline_entries, learned_entries

    world = cast(DistPrivacyConfig, config.env)
    entries = []
    for price in config.traffic_prices:
        runs = [
            _train(config, seed, f"{name}-price-{price:g}-seed-{seed}", traffic_price=price) for seed in config.seeds
        ]
        for entry in learned_entries(runs, config.samples, config.local_search, device=config.device, seed=config.seed):
            entries.append(replace(entry, name=f"{entry.name}, price {price:g}"))
    entries += baseline_entries(config.baselines, config.seed)
    generator = _generator(config, world.scenario, world.ssim, None)
    return [_cell(config, world.scenario, f"SSIM {world.ssim:g}", entries, generator)]


# --- what is left ----------------------------------------------------------------------------------------------------
def _write(config: FigureConfig, name: str, svg: str, cells: list[Cell]) -> Path:
    """figure.svg, cells.csv, figure.json, config.yaml and report.html in a new folder; its path."""
    from omegaconf import OmegaConf

    from agents import report
    from agents.figure_data import HEADINGS, cell_rows, cells_csv
    from agents.new_folder import new_folder
    from agents.versions import versions
    from envs.atomic import write_text_atomic

    made_by, settings = versions(), OmegaConf.to_yaml(OmegaConf.structured(config))
    caption = f"The paper: {config.claim}. Here: measured by the runs of this folder."
    data = {"caption": caption, "cells": [cell.to_dict() for cell in cells], "versions": made_by}
    parts = [report.caption(report.provenance(made_by)), report.picture(svg, caption)]
    parts += [report.table(HEADINGS, cell_rows(cells))] if cells else []
    parts.append(report.folded("Settings", settings))
    root = Path(config.run_root)
    try:
        with new_folder(root, name) as made:
            write_text_atomic(made.path / "figure.svg", svg)
            write_text_atomic(made.path / "figure.json", json.dumps(plain(data), indent=2, allow_nan=False) + "\n")
            write_text_atomic(made.path / "cells.csv", cells_csv(cells))
            write_text_atomic(made.path / "config.yaml", settings)
            write_text_atomic(made.path / "report.html", report.page(name, parts))
        return made.path
    except OSError as error:
        raise UserError(f"run_root is {root}, where no folder can be made: {one_line(str(error))}") from error


if __name__ == "__main__":
    raise SystemExit(main("figure", FigureConfig, run, ("runs", "run_root", "env.scenario")))
