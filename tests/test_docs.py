"""The documentation says what the code does: generated tables, links, commands, and snippets that run."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from agents.baselines import BASELINES
from agents.benchmark_result import COLUMNS as CSV_COLUMNS
from agents.benchmark_result import HEADINGS
from agents.callbacks import save_model
from agents.cli import main
from agents.placement_world import COLUMNS
from agents.run_folder import RunFolder
from agents.scores import Scores
from agents.token_bucket.baselines import MEANINGS
from agents.token_bucket.scores import BucketScores
from agents.token_bucket.world import COLUMNS as TOKEN_COLUMNS
from agents.training import make_agent, make_training_env
from conf.benchmark_schema import STANDARD_SETS, BenchmarkConfig, BuildSetsConfig, FigureConfig
from conf.cameras_schema import CamerasConfig
from conf.curate_schema import CurateConfig
from conf.exits_front_schema import ExitsFrontConfig
from conf.schema import SCENARIOS, CheckConfig, DistPrivacyConfig, EvaluateConfig, RolloutConfig, TrainConfig
from conf.solve_schema import GrowthConfig, SolveConfig
from conf.token_bucket_schema import TimelineConfig, TokenBucketCurvesConfig, TokenBucketTableConfig
from envs.distprivacy.files import check_fits, instance_from_dict, solution_from_dict
from envs.distprivacy.networks import NETWORKS
from envs.distprivacy.privacy import layer_limits, published_tables
from envs.distprivacy.replay import replay
from envs.early_exit import batch as exit_batch
from envs.early_exit.build import SHIPPED, Options, make_world
from envs.early_exit.env import EarlyExitEnv
from envs.early_exit.scenarios import SCENARIOS as EXIT_SCENARIOS
from envs.early_exit.table_file import load_table, parse_table
from envs.early_exit.thresholds_file import parse_thresholds
from envs.early_exit.work_file import parse_work
from envs.token_bucket import batch
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.metrics import DISTRIBUTIONS, distribution
from envs.token_bucket.observation import Window
from envs.token_bucket.scenarios import SCENARIOS as TOKEN_SCENARIOS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
COMMANDS: dict[str, tuple[str, type, tuple[str, ...]]] = {
    "agents.train": ("train", TrainConfig, ("run_root", "resume", "env.scenario")),
    "agents.evaluate": ("evaluate", EvaluateConfig, ("run", "instance", "out", "solution")),
    "agents.benchmark": ("benchmark", BenchmarkConfig, ("runs", "run_root", "env.scenario")),
    "agents.figure": ("figure", FigureConfig, ("runs", "run_root", "env.scenario")),
    "optimal.build_sets": ("build_sets", BuildSetsConfig, ("out",)),
    "agents.timeline": ("timeline", TimelineConfig, ("run", "instance", "out")),
    "agents.rollout": ("rollout", RolloutConfig, ("run", "instance", "out", "frames")),
    "optimal.check": ("check", CheckConfig, ("instance", "solution")),
    "optimal.solve": ("solve", SolveConfig, ("instance", "out", "cache")),
    "optimal.growth": ("growth", GrowthConfig, ("out",)),
    "optimal.early_exit.curate": ("curate", CurateConfig, ("tables", "work", "out")),
    "optimal.early_exit.front": ("exits_front", ExitsFrontConfig, ("table", "work", "out", "actions")),
    "optimal.token_bucket.cameras": ("cameras", CamerasConfig, ("out",)),
    "optimal.token_bucket.curves": ("token_bucket_curves", TokenBucketCurvesConfig, ("out",)),
    "optimal.token_bucket.table": ("token_bucket_table", TokenBucketTableConfig, ("out",)),
}


def blocks(text: str, language: str) -> list[str]:
    """The contents of all fenced blocks of a language ("": of none)."""
    return [body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if kind == language]


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    match = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    assert match, heading
    return match.group(1)


def rows(text: str) -> list[list[str]]:
    """The cells of all Markdown tables in ``text``, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [index for index, row in enumerate(cells) if set(row[0]) == {"-"}]
    return [row for index, row in enumerate(cells) if index not in rules and index + 1 not in rules]


def prose(text: str) -> str:
    """``text`` without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("observation_table", ROOT / "docs" / "tools" / "observation_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- tables ----------------------------------------------------------------------------------------------------------
def test_observation_tables_are_those_of_the_code() -> None:
    tool = load_tool()
    page = TEXT["distprivacy.md"]
    assert tool.filled(page) == page, "run: python docs/tools/observation_table.py --write"
    assert "| `D : 2D` | `increase` |" in page and "| `17D+24 : 18D+24` | `mask` |" in page


def test_every_curve_is_explained_in_order() -> None:
    table = rows(section(TEXT["training.md"], "Curves"))
    assert [row[0] for row in table] == [f"`{name}`" for name in COLUMNS]


def test_the_columns_of_the_printed_table_are_explained_in_order() -> None:
    table = rows(section(TEXT["training.md"], "The table"))
    printed = [str(column.header) for column in Scores("title", []).table().columns]
    assert [row[0] for row in table] == [f"`{name}`" for name in printed]


def test_the_columns_of_the_benchmark_and_the_standard_sets_are_explained_in_order() -> None:
    page = TEXT["benchmark.md"]
    assert [row[0] for row in rows(section(page, "The table"))] == [f"`{name}`" for name in HEADINGS]
    assert [row[0] for row in rows(section(page, "Rows by instance"))] == [f"`{name}`" for name in CSV_COLUMNS]
    assert [row[0] for row in rows(section(page, "Standard sets"))] == [f"`{name}`" for name in STANDARD_SETS]


def test_every_baseline_and_scenario_is_explained() -> None:
    assert {row[0] for row in rows(section(TEXT["training.md"], "Baselines"))} == {f"`{name}`" for name in BASELINES}
    named = " ".join(row[0] for row in rows(section(TEXT["distprivacy.md"], "3. Fleets and scenarios")))
    assert all(f"`{name}`" in named for name in SCENARIOS)


def test_the_privacy_limits_are_those_of_the_code() -> None:
    stated: dict[tuple[str, str], list[str]] = {}
    for quoted, span, *cells in rows(section(TEXT["distprivacy.md"], "6. Constraints")):
        owner = quoted.strip("`")
        names = [layer.name for layer in NETWORKS[owner]().layers]
        first, last = span.split(" to ")
        for name in names[names.index(first) : names.index(last) + 1]:
            stated[owner, name] = cells
    for name, make in NETWORKS.items():
        network = make()
        limits = [layer_limits(network, published_tables()[name], ssim, 0.01) for ssim in (0.8, 0.6, 0.4)]
        for index, layer in enumerate(network.layers[1:-1], start=1):
            found = [
                "source" if row[index].on_source else "none" if row[index].limit is None else str(row[index].limit)
                for row in limits
            ]
            if (name, layer.name) != ("lenet", "fc2"):
                assert stated[name, layer.name] == found, (name, layer.name)
        decided = [
            sum(layer.segments for layer, limit in zip(network.layers, row, strict=True) if not limit.on_source)
            for row in limits
        ]
        (line,) = [row for row in rows(section(TEXT["distprivacy.md"], "2. Networks")) if row[0] == f"`{name}`"]
        assert line[4] == ", ".join(f"{count:,}" for count in decided)
        assert line[3] == f"{sum(layer.segments for layer in network.distributed):,}"


@pytest.mark.parametrize("latent", [False, True])
def test_the_observation_of_token_bucket_is_that_of_the_code(latent: bool) -> None:
    window = Window(history=5, gap_history=3, latent=latent)
    space = window.space
    known = {"H": window.history, "G": window.gap_history, "L": 2 * latent}

    def number(text: str) -> int:
        return sum(known[term] if term in known else int(term) for term in text.strip("`").split("+"))

    stated = {}
    for place, name, length, _, _, ranges in rows(section(TEXT["token_bucket.md"], "Observation")):
        start, stop = (number(text) for text in place.strip("`").split(" : "))
        assert stop - start == number(length), name
        if stop == start:
            continue
        stated[name.strip("`")] = slice(start, stop)
        low, high = np.array([[float(end) for end in one.split(" to ")] for one in ranges.split(", ")]).T
        assert (space.low[start:stop] == low).all() and (space.high[start:stop] == high).all(), name
    assert stated == window.layout and list(stated) == list(window.layout)


def test_the_tables_of_token_bucket_are_those_of_the_code() -> None:
    page = TEXT["token_bucket.md"]

    def names(heading: str) -> list[str]:
        return [row[0].strip("`") for row in rows(section(page, heading))]

    assert names("Info") == ["action_mask", *batch.INTS, *batch.FLOATS]
    assert names("Curves") == list(TOKEN_COLUMNS)
    assert names("The table") == [str(column.header) for column in BucketScores("title", []).table().columns]
    assert {row[0].strip("`"): row[1] for row in rows(section(page, "Baselines"))} == MEANINGS
    assert names("The metric")[: len(DISTRIBUTIONS)] == [
        f"{name}` (default)" if name == "standard" else name for name in DISTRIBUTIONS
    ]
    assert [name.split("`")[0] for name in names("Scenarios")][: len(TOKEN_SCENARIOS)] == list(TOKEN_SCENARIOS)


def test_the_numbers_of_token_bucket_are_those_of_the_code() -> None:
    page = TEXT["token_bucket.md"]
    for rate, depth, *stated in rows(section(page, "The bucket")):
        bucket = Bucket.of(rate, depth)
        assert [int(cell) for cell in stated] == [bucket.refill, bucket.cost, bucket.capacity]
    for name, row in zip(DISTRIBUTIONS, rows(section(page, "The metric")), strict=False):
        known = distribution(name)
        losses = (known.weak_loss, known.weak_loss - known.mean, known.mean)
        assert [float(cell) for cell in row[1:4]] == pytest.approx(losses, abs=6e-5)


def test_the_observation_of_early_exit_is_that_of_the_code() -> None:
    env = EarlyExitEnv(label_delay=1, include_latent=True)
    known = {"A": env.action_space.n, "4E": 8, "E": 2}  # type: ignore[attr-defined]
    table, start = rows(section(TEXT["early_exit.md"], "Observation")), 0
    assert [row[0].strip("`") for row in table] == list(env.observation_layout)
    for (name, part), (_, length, _, ranges) in zip(env.observation_layout.items(), table, strict=True):
        text = length.strip("`")
        assert part == slice(start, start + int(known.get(text, 0) or text)), name
        low, high = np.array([[float(end) for end in one.split(" to ")] for one in ranges.split(", ")]).T
        space = env.observation_space
        assert (space.low[part] == low).all() and (space.high[part] == high).all(), name  # type: ignore[attr-defined]
        start = part.stop


def test_the_tables_of_early_exit_are_those_of_the_code() -> None:
    page = TEXT["early_exit.md"]
    told = " ".join(row[0] for row in rows(section(page, "Info")))
    for name in ("action_mask", *exit_batch.REPORT, *exit_batch.STATE, *exit_batch.HIDDEN):
        assert f"`{name}`" in told
    assert "`episode_used`, `episode_shortfall`" in told

    def share(cell: str, none: float | None) -> float | None:
        return none if cell in ("", "none") else float(cell)

    for name, row in zip(EXIT_SCENARIOS, rows(section(page, "Scenarios")), strict=True):
        scenario = EXIT_SCENARIOS[name]
        assert row[0].split("`")[1] == name and row[1] == scenario.meaning
        assert share(row[2], None) == scenario.budget
        assert (share(row[3], 0.0), share(row[4], 0.0)) == (scenario.send, scenario.late)
        levels = [() if cell == "as the month" else tuple(map(float, cell.split(", "))) for cell in row[5:]]
        assert levels == [scenario.attack_shares, scenario.bandwidths, scenario.loads]
    for name in Options.__annotations__:
        assert f"`{name}`" in page or f"`{name}=" in page, name


def test_the_defaults_of_early_exit_are_those_of_the_code() -> None:
    page, defaults = TEXT["early_exit.md"], make_world.__kwdefaults__
    table = [row[:3:2] for row in rows(section(page, "Costs"))[3:]] + [
        [row[0].split()[0], row[2]] for row in rows(section(page, "Rewards")) if len(row) == 3
    ]
    assert len(table) == 15
    for name, value in table:
        known = defaults[name.strip("`")]
        assert (known is None and value == "the scenario's") or float(value) == known, name
    for names, values, _ in rows(section(page, "Arguments")):
        for name, value in zip(names.split(", "), values.split(", "), strict=False):
            known = defaults.get(name.strip("`"))
            if known is None or known == () or name == "`label_delay`":
                assert value in ("none", "the scenario's", "`budget`"), name
            else:
                text = value.strip("`").replace("false", "False")
                assert text == str(known) or float(text) == known, name


def test_the_months_and_files_of_early_exit_are_what_the_page_says() -> None:
    page = TEXT["early_exit.md"]
    months = [load_table(path) for path in sorted(SHIPPED.glob("month_*.csv.gz"))]
    for k, row in enumerate(rows(section(page, "The shipped months"))[:2]):
        right = [f"{100 * (month.predicted[k] == month.label).mean():.1f}" for month in months]
        assert row[1:] == right
    table, actions = (block.encode() for block in blocks(page, "csv"))
    assert parse_table(table, "page").exits == parse_thresholds(actions, "page").exits == 2
    (work,) = blocks(page, "yaml")
    assert parse_work(work.encode(), "page").block_macs == (1856, 73728)


# --- set-up, links, commands -----------------------------------------------------------------------------------------
def test_the_readme_begins_with_the_two_commands() -> None:
    first = re.search(r"^```\w*\n(.*?)^```$", TEXT["README.md"], re.M | re.S)
    assert first is not None and first.group(1) == "make train\nmake test\n"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^train:", makefile, re.M) and re.search(r"^test:", makefile, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(TEXT[page.name])):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def commands() -> list[str]:
    found = [match for text in TEXT.values() for match in re.findall(r"python -m (?:agents|optimal)\.[^`|\n]+", text)]
    return sorted({command.strip() for command in found})


@pytest.mark.parametrize("command", commands())
def test_every_command_is_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Composed and checked like the real thing; only the work itself is left out."""
    monkeypatch.chdir(tmp_path)
    module, *arguments = shlex.split(command)[2:]
    name, schema, paths = COMMANDS[module]
    called: list[Any] = []
    assert main(name, schema, called.append, paths, argv=arguments) == 0
    assert called or "--help" in arguments


# --- files and snippets ----------------------------------------------------------------------------------------------
def readme_instance() -> str:
    (text,) = blocks(TEXT["README.md"], "json")
    return text


def test_the_example_files_fit_together() -> None:
    instance = instance_from_dict(json.loads(readme_instance()))
    assert instance.task.privacy_scope == "group"
    placement, report = (json.loads(block) for block in blocks(TEXT["distprivacy.md"], "json"))
    solution = solution_from_dict(placement)
    check_fits(solution, instance)
    found = replay(instance, solution)
    assert found.violations == () and found.objective_s > 0
    assert set(report) == set(found.to_dict())


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with what the snippets open: the README's instance, and a run on it that was never trained."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in training; two are far slower where the machine is shared
    Path("fleet.json").write_text(readme_instance(), encoding="utf-8")
    config = TrainConfig(name="fleet", num_envs=2, device="cpu", env=DistPrivacyConfig(scenario="fleet.json"))
    env = make_training_env(config)
    save_model(make_agent(config, env), RunFolder.create(config))
    env.close()
    yield tmp_path
    torch.set_num_threads(threads)


SNIPPETS = [(name, index, code) for name in TEXT for index, code in enumerate(blocks(TEXT[name], "python"))]


def shortened(code: str) -> str:
    """The snippet with one small rollout as its training."""
    code = re.sub(r"\.learn\([\d_]+\)", ".learn(1)", code)
    if "n_steps=" in code:
        return re.sub(r"n_steps=\d+", "n_steps=8", code)
    return code.replace('"MlpPolicy", env, ', '"MlpPolicy", env, n_steps=64, ')


@pytest.mark.parametrize(("page", "index", "code"), SNIPPETS, ids=[f"{name}-{index}" for name, index, _ in SNIPPETS])
def test_every_snippet_runs(page: str, index: int, code: str, workplace: Path) -> None:
    ast.parse(code)
    exec(compile(shortened(code), f"{page}, snippet {index}", "exec"), {"__name__": "__main__"})
    written = re.findall(r'save_\w+\(.*"([\w.]+)"\)$', code, re.M)
    assert all((workplace / name).is_file() for name in written)


def test_the_instance_of_the_readme_can_be_rolled_out(workplace: Path) -> None:
    from agents.rollout import run

    play: Callable[[RolloutConfig], dict[str, Any]] = run
    assert play(RolloutConfig(run="runs/fleet", out="fleet.gif"))["rejected"] is False
    assert (workplace / "fleet.gif").stat().st_size > 0


def test_pictures_are_small() -> None:
    pictures = [path for path in (ROOT / "docs" / "images").iterdir() if path.is_file()]
    assert {path.name for path in pictures} >= {"episode.gif", "frame.png"}
    assert all(path.stat().st_size < 1.5e6 for path in pictures)
