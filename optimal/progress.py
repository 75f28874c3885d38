"""One line on standard error that says what a solver is at."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]
"""Takes a short text for the user: what is being solved, what is known so far."""


@contextmanager
def status_line() -> Iterator[Say]:
    """A function that shows its text: on a terminal in one line that changes, with the time; else a line every 5 s."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        last = -math.inf

        def say_now_and_then(text: str) -> None:
            nonlocal last
            if time.monotonic() >= last + 5.0:
                last = time.monotonic()
                print(text, file=sys.stderr, flush=True)

        yield say_now_and_then
        return
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=None)

        def say(text: str) -> None:
            progress.update(task, description=text)

        yield say
