"""``python -m agents.figure``: comparisons in the form of the paper's figures, from runs of their own."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agents.benchmark import compare
from agents.cli import main
from agents.output import plain
from conf.benchmark_schema import FigureConfig
from conf.messages import UserError, one_line
from conf.schema import DistPrivacyConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    from agents.figure_training import trained_leaving

    # more threads than idle cores make small networks many times slower
    torch.set_num_threads(config.threads)
    name = config.name or f"figure-{time.strftime('%Y%m%d-%H%M%S')}"
    cells: list[Cell] = []
    title = config.title or name
    if config.leave_after:
        world = cast(DistPrivacyConfig, config.env)
        devices = _generator(config, world.scenario, world.ssim, None).max_devices
        drawn = curves(trained_leaving(config, devices, name), config.leave_after, title)
    else:
        cells = _front_cells(config, name) if config.traffic_prices else _grid_cells(config, name)
        drawn = front(cells, title) if config.traffic_prices else panels(cells, config.measures, title)
    folder = _write(config, name, drawn, cells)
    if config.format == "text":
        console = Console(width=None if sys.stdout.isatty() else 150)
        if cells:
            console.print(cell_table(cells))
        console.print(f"figure folder: {folder}", soft_wrap=True)
    return {"folder": str(folder), "cells": [cell.to_dict() for cell in cells]}


# --- what is played --------------------------------------------------------------------------------------------------
def _entries(config: FigureConfig, folders: list[RunFolder]) -> list[Entry]:
    from agents.entries import baseline_entries, distinct, learned_entries

    entries = learned_entries(folders, config.samples, config.local_search, device=config.device, seed=config.seed)
    entries += baseline_entries(config.baselines, config.seed)
    distinct(entries)
    return entries


def _grid_cells(config: FigureConfig, name: str) -> list[Cell]:
    """Every scenario with every privacy level or fleet, played by the runs of its own or by all."""
    from agents.entries import open_runs
    from agents.figure_training import players, recipes, trained

    world = cast(DistPrivacyConfig, config.env)
    folders = open_runs(config.runs)
    recipes(config)  # whatever is wrong with one is told before the first is trained
    places = [(scenario, *place) for scenario in config.scenarios or [world.scenario] for place in _along(config)]
    generators = [_generator(config, scenario, ssim, types) for scenario, _, ssim, types in places]
    folders += trained(config, name)
    return [
        _cell(config, scenario, label, _entries(config, players(folders, scenario, ssim)), generator)
        for (scenario, label, ssim, _), generator in zip(places, generators, strict=True)
    ]


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
    from envs.distprivacy.files import content_hash
    from envs.distprivacy.generator import InstanceList
    from optimal.standard_sets import TEST_SEED, find_references

    fixed = isinstance(generator, InstanceList)
    instances = (
        InstanceSet.of(generator, cast(InstanceList, generator).instances)
        if fixed
        else InstanceSet.draw(generator, config.final_instances, TEST_SEED)
    )
    if len({content_hash(instance) for instance in instances.decoded()}) == 1:
        instances = InstanceSet(generator, instances.heads[:1])  # nothing in it is random, so one says all
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
    from agents.figure_training import trained_at_price

    world = cast(DistPrivacyConfig, config.env)
    entries = []
    for price in config.traffic_prices:
        runs = trained_at_price(config, price, name)
        for entry in learned_entries(runs, config.samples, config.local_search, device=config.device, seed=config.seed):
            entries.append(replace(entry, name=f"{entry.name}, price {price:g}"))
    entries += baseline_entries(config.baselines, config.seed)
    generator = _generator(config, world.scenario, world.ssim, None)
    return [_cell(config, world.scenario, f"SSIM {world.ssim:g}", entries, generator)]


# --- what is left ----------------------------------------------------------------------------------------------------
def _write(config: FigureConfig, name: str, drawn: Figure, cells: list[Cell]) -> Path:
    """figure.svg and .png, cells.csv, figure.json, config.yaml and report.html in a new folder; its path."""
    from omegaconf import OmegaConf

    from agents import report
    from agents.benchmark_plots import svg
    from agents.figure_data import HEADINGS, cell_rows, cells_csv
    from agents.new_folder import new_folder
    from agents.versions import versions
    from envs.atomic import atomic_path, write_text_atomic

    picture, made_by, settings = svg(drawn), versions(), OmegaConf.to_yaml(OmegaConf.structured(config))
    caption = f"The paper: {config.claim}. Here: our own runs."
    data = {
        "title": config.title or name,
        "caption": caption,
        "cells": [cell.to_dict() for cell in cells],
        "versions": made_by,
    }
    parts = [report.caption(report.provenance(made_by)), report.picture(picture, caption)]
    parts += [report.table(HEADINGS, cell_rows(cells))] if cells else []
    parts.append(report.folded("Settings", settings))
    root = Path(config.run_root)
    try:
        with new_folder(root, name) as made:
            write_text_atomic(made.path / "figure.svg", picture)
            with atomic_path(made.path / "figure.png") as path:
                drawn.savefig(path, format="png", dpi=110, bbox_inches="tight")
            write_text_atomic(made.path / "figure.json", json.dumps(plain(data), indent=2, allow_nan=False) + "\n")
            write_text_atomic(made.path / "cells.csv", cells_csv(cells))
            write_text_atomic(made.path / "config.yaml", settings)
            write_text_atomic(made.path / "report.html", report.page(config.title or name, parts))
        return made.path
    except OSError as error:
        raise UserError(f"run_root is {root}, where no folder can be made: {one_line(str(error))}") from error


if __name__ == "__main__":
    raise SystemExit(main("figure", FigureConfig, run, ("runs", "run_root", "env.scenario")))
