"""Which exceptions of a run are the user's wrong input, and which are defects of ours."""

from __future__ import annotations

import dis
import os
from types import TracebackType
from typing import Any

from conf.fields import flat, shown
from conf.messages import UserError, one_line

PACKAGES = ("agents", "conf", "envs", "inference", "optimal")
"""This project's own packages: a ValueError that they raise says in one sentence what is wrong with the input."""


def sentence_on(error: Exception, config: Any) -> str | None:
    """The sentence for the user where ``error`` is about wrong input; None where it is a defect.

    Wrong input is a UserError, a ValueError that a ``raise`` of this project's own code made (not one that numpy or
    torch threw at it), and an operating system's refusal of a path that stands in ``config``.
    """
    if isinstance(error, UserError) or (isinstance(error, ValueError) and _raised_by_us(error.__traceback__)):
        return one_line(str(error))
    if isinstance(error, OSError) and isinstance(error.filename, str):
        for entry, value in flat(config):
            for path in value if isinstance(value, list) else [value]:
                if entry.rule.path and path and _is_about(error.filename, str(path)):
                    return f"{entry.path} is {shown(path)}, which cannot be used: {error.filename}: {error.strerror}"
    return None


def _is_about(filename: str, path: str) -> bool:
    """Whether the system refused ``path`` itself, what lies in it, or a folder on the way to it."""
    refused, given = os.path.realpath(filename), os.path.realpath(path)
    return filename.startswith(path) or refused.startswith(given) or given.startswith(refused + os.sep)


def _raised_by_us(traceback: TracebackType | None) -> bool:
    """Whether the innermost frame is our code, and at a raise statement: a failing C function has no frame."""
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    spec = frame.f_globals.get("__spec__")
    module = spec.name if spec is not None else str(frame.f_globals.get("__name__"))
    at = frame.f_code.co_code[traceback.tb_lasti]
    return module.partition(".")[0] in PACKAGES and dis.opname[at] == "RAISE_VARARGS"
