"""What every command does alike: options, help, checked config, sweeps, JSON output, exit codes.

A command is a config class (conf/schema.py), a YAML file of its name and a function:

```python
def run(config: CheckConfig) -> dict[str, Any]:
    from heavy.module import work  # imported here, so that --help and wrong input need no torch
    return work(config)

if __name__ == "__main__":
    raise SystemExit(main("check", CheckConfig, run, ("instance", "solution")))
```
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from agents.output import only_result, write_result
from agents.versions import installed_version
from agents.wrong_input import sentence_on
from conf.compose import Composer, as_object, parse, without_hydra
from conf.help import help_text
from conf.messages import UserError
from conf.overrides import quoted

T = TypeVar("T")
Result = Any
"""What a command's function returns: a mapping that JSON can hold, or None."""
Settle = Callable[[T, Collection[str]], T]
"""Last word on a config: gets it and the keys that were typed, returns the config to run. Raises UserError."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a sentence on how to go on: ``raise Interrupted("resume=... goes on from ...") from None``."""


class _Reported(Exception):
    """A failure whose traceback is on standard error already."""


@dataclass(frozen=True)
class _Job(Generic[T]):
    """One run of a command, also in another process: checks the config, calls the function."""

    schema: type[T]
    function: Callable[[T], Result]
    settle: Settle[T] | None

    def config(self, composed: DictConfig, typed: Collection[str]) -> T:
        """The config object to run; raises UserError."""
        config = as_object(composed, self.schema)
        return config if self.settle is None else self.settle(config, typed)

    def run(self, config: T) -> Result:
        """Call the function; raises UserError for wrong input, prints the traceback of anything else."""
        try:
            return self.function(config)
        except Exception as error:
            sentence = sentence_on(error, config)
            if sentence is not None:
                raise UserError(sentence) from error
            traceback.print_exc()
            raise _Reported from error

    def __call__(self, composed: DictConfig) -> Result:
        """One run of a sweep, called by Hydra's launcher: its folder lies in that of the sweep."""
        hydra = HydraConfig.get()
        overrides = list(hydra.overrides.task)
        print(f"run {hydra.job.num}: {' '.join(overrides)}", file=sys.stderr)
        config = self.config(composed, [override.key_or_group for override in parse(overrides)])
        if hasattr(config, "run_root"):
            config.run_root = os.path.normpath(os.path.join(hydra.sweep.dir, hydra.sweep.subdir))
        return {"overrides": overrides, "result": self.run(config)}


def main(
    config_name: str,
    schema: type[T],
    function: Callable[[T], Result],
    path_keys: Sequence[str] = (),
    *,
    settle: Settle[T] | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Run a command and return its exit code: 0 done, 1 a defect of ours, 2 wrong input, 130 interrupted.

    The config is composed and checked before anything is written. With ``format=json`` the result of the function, or
    ``{"runs": [{"overrides": [...], "result": ...}, ...]}`` with ``--multirun``, is the only thing on standard output.

    Args:
        config_name: YAML file in ``conf/``, without its ending.
        schema: its dataclass; ``COMMAND`` and the docstring are shown in the help.
        function: gets a checked object of ``schema``. A UserError, or a ValueError raised by this project's own code,
            is told as one sentence (code 2); any other exception is a defect (traceback, code 1).
        path_keys: keys whose values are paths and taken as typed.
        settle: last word on the config before the function runs, with the keys that the user typed.
        argv: arguments; None: those of the process.
    """
    job = _Job(schema, function, settle)
    try:
        return _main(config_name, job, path_keys, list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except _Reported:
        return 1
    except KeyboardInterrupt as error:
        how = f": {error}" if isinstance(error, Interrupted) else ""
        print(f"interrupted{how}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head) has left. Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception:
        traceback.print_exc()
        return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}, expected key=value or an option that --help lists")


def _read_options(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for names in (("-h", "--help"), ("-m", "--multirun"), ("--version",)):
        parser.add_argument(*names, action="store_true")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    return parser.parse_intermixed_args(argv)


def _main(config_name: str, job: _Job[Any], path_keys: Sequence[str], argv: Sequence[str]) -> int:
    options = _read_options(argv)
    if options.version:
        print(f"offramp {installed_version() or '(not installed)'}")
        return 0
    composer = Composer(config_name, job.schema, options.config_dir)
    try:
        multirun = options.multirun or "hydra.mode=MULTIRUN" in options.overrides
        overrides = quoted(options.overrides, job.schema, path_keys, multirun=multirun)
        if options.help:
            print(_help(composer, job.schema, overrides))
            return 0
        composed = composer.compose(overrides, multirun=multirun)
        if options.cfg:
            print(_printed(composed, options.cfg), end="")
        elif multirun or composed.hydra.mode == RunMode.MULTIRUN:  # a file of the user's may say so too
            _run_many(composer, job, overrides, composed)
        else:
            config = job.config(without_hydra(composed), [override.key_or_group for override in parse(overrides)])
            is_json = getattr(config, "format", "text") == "json"
            with only_result(is_json):
                result = job.run(config)
            if is_json:
                write_result(result or {})
        return 0
    finally:
        composer.close()


def _help(composer: Composer, schema: type, overrides: Sequence[str]) -> str:
    try:
        composed = composer.compose(overrides)
    except UserError:  # who asks for help with wrong overrides next to it gets the help
        composed = composer.compose([])
    return help_text(schema, composed, composer.groups(), min(max(shutil.get_terminal_size().columns, 60), 110))


def _run_many(composer: Composer, job: _Job[Any], overrides: Sequence[str], composed: DictConfig) -> None:
    """Check the config of every run of a sweep, then hand them to Hydra."""
    for child in composer.children(overrides, composed):
        typed = [override.key_or_group for override in parse(child)]
        job.config(without_hydra(composer.compose(child)), typed)
    is_json = composed.get("format") == "json"
    with only_result(is_json):
        returned = composer.sweep(overrides, job)
    if is_json:
        write_result({"runs": _results(returned)})


def _results(returned: Any) -> list[Any]:
    """The results of the runs, out of what a sweeper returns: nested lists of JobReturn (Hydra's own), or nothing."""
    if isinstance(returned, JobReturn):
        return [returned.return_value]
    return [result for entry in returned for result in _results(entry)] if isinstance(returned, list | tuple) else []


def _printed(composed: DictConfig, part: str) -> str:
    if part == "job":
        return OmegaConf.to_yaml(without_hydra(composed))
    return OmegaConf.to_yaml(composed if part == "all" else OmegaConf.create({"hydra": composed.hydra}))
