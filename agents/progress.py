"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def bar(text: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show ``text`` and a bar while it lasts; gives the function that is told how many of ``total`` are done."""
    console = Console(file=sys.stderr)
    columns = (TextColumn(f"[bold]{escape(text)}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=done)
