"""The text of ``--help``, made of the config classes: every key with default, type, range, unit and meaning."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from conf.fields import Key, keys, shown

_OPTIONS = """\
  -h, --help            this text, with the values that the overrides next to it give
  -m, --multirun        run every combination of values with commas between them (seed=1,2,3)
  --config-dir FOLDER   a folder of your own with further YAML files, e.g. FOLDER/experiment/mine.yaml
  --cfg job|hydra|all   print the composed config and do nothing
  --version             print the version"""

_OVERRIDES = """\
  key=value             set a key: seed=3, env.ssim=0.8, name=null, baselines=[random,greedy]
  group=choice          choose a file: agent=dqn_paper is conf/agent/dqn_paper.yaml
  Paths are taken as typed; quote them for the shell only. A list takes one bare entry; several paths need brackets."""

_EXIT_CODES = """\
  0    done
  1    a defect of this program (with a traceback)
  2    wrong input: one sentence on standard error, nothing written
  130  interrupted (Ctrl-C)"""


def help_text(schema: type, config: DictConfig, groups: Mapping[str, Sequence[str]], width: int = 100) -> str:
    """The help of a command.

    Args:
        schema: its config class, whose docstring says what it does and gives examples.
        config: the composed config, Hydra's part included, whose values are shown.
        groups: config groups and their choices.
        width: columns.
    """
    command = getattr(schema, "COMMAND", "")
    about, _, examples = inspect.cleandoc(schema.__doc__ or "").partition("Examples:\n")
    chosen: Mapping[str, Any] = config.hydra.runtime.choices
    blocks = [f"usage: {command} [key=value ...] [options]"]
    blocks += [textwrap.fill(" ".join(part.split()), width) for part in about.strip().split("\n\n")]
    blocks.append("Examples\n" + textwrap.indent(textwrap.dedent(examples).format(command=command).rstrip(), "  "))
    blocks += _sections(schema, config, width)
    own = [name for name in groups if name in chosen]
    blocks.append("Groups\n" + "\n".join(_group(name, groups[name], chosen[name]) for name in own))
    blocks += [f"Overrides\n{_OVERRIDES}", f"Options\n{_OPTIONS}", f"Exit codes\n{_EXIT_CODES}"]
    return "\n\n".join(blocks)


def _sections(schema: type, config: DictConfig, width: int, heading: str = "Keys", prefix: str = "") -> Iterator[str]:
    """A block for each section of keys; nested classes come last."""
    values = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    lines: list[str] = []
    nested: list[Key] = []
    for entry in keys(schema, prefix):
        if entry.is_section:
            nested.append(entry)
            continue
        if entry.rule.section:
            if lines:
                yield "\n".join([heading, *lines])
            heading, lines = entry.rule.section, []
        lines.append(_key(entry, values.get(entry.name, "???"), width))
    yield "\n".join([heading, *lines])
    for entry in nested:
        kind = OmegaConf.get_type(config, entry.name) or entry.base
        about = f"{entry.path}: {inspect.cleandoc(kind.__doc__ or '').splitlines()[0]}".replace("``", "")
        yield from _sections(kind, config[entry.name], width, about, f"{entry.path}.")


def _key(entry: Key, value: Any, width: int) -> str:
    """One key: what can be typed, and under it meaning, type, range and unit."""
    missing = value == "???"
    unit = f"; {entry.rule.unit}" if entry.rule.unit else ""
    meaning = entry.rule.meaning[:1].upper() + entry.rule.meaning[1:]
    text = f"{meaning}. [{'must be given: ' if missing else ''}{entry.expected}{unit}]"
    indent = " " * 6
    typed = f"  {entry.path}={'...' if missing else shown(value)}"
    return f"{typed}\n{textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)}"


def _group(name: str, choices: Sequence[str], now: Any) -> str:
    return f"  {name}={'|'.join(choices)}" + (f"   (now {now})" if now is not None else "")
