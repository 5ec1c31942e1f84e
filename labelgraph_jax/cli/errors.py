"""Errors in one line with an exit code: the foreseen, the full, and all others."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from labelgraph_jax.cli.interrupts import interrupts
from labelgraph_jax.cli.output import in_options, say

UNFORESEEN = 1
WRONG = 2

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "bad_alloc")
_LESS_MEMORY = {
    "train": "smaller --training.batch-size, --training.evaluation-batch-size or "
    "--text.max-length",
    "evaluate": "a smaller --batch-size",
    "predict": "a part of the file at a time",
    "serve": "a smaller --max-batch or fewer --buckets",
}
_LONGEST = 600
PACKAGE = Path(__file__).parents[1]


def in_one_line(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """Return an exit code and what is said of an error.

    Args:
        error: whatever a verb raised.
        arguments: as typed; its first is the verb.
    """
    if is_out_of_memory(error):
        less = _LESS_MEMORY.get(arguments[0] if arguments else "", "")
        hint = f"; {less} needs less" if less else ""
        return UNFORESEEN, f"the memory does not suffice: {_short(error)}{hint}"
    if isinstance(error, OSError) and error.errno in _FULL:
        where = error.filename or "a file"
        return WRONG, f"{where}: cannot be written: {error.strerror}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        other = f" -> {error.filename2}" if error.filename2 else ""
        return WRONG, f"{error.filename}{other}: {error.strerror}"
    if isinstance(error, (ValueError, OSError)):
        return WRONG, message(error)
    return UNFORESEEN, (
        f"not foreseen: {type(error).__name__}: {_short(error)} ({_place(error)}); "
        "with LABELGRAPH_TRACEBACK=1 the same command shows where it comes from"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory could not be had, of the machine or of a device."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error)
    return isinstance(error, RuntimeError) and any(s in said for s in _OUT_OF_MEMORY)


def message(error: BaseException | str) -> str:
    """Return what an error or a warning says, on one line, with options as typed."""
    return " ".join(in_options(str(error)).split())


def _short(error: BaseException) -> str:
    said = message(error) or "no message"
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


def _place(error: BaseException) -> str:
    """The innermost line of this package that an error passed, as `file.py:12`."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(str(PACKAGE))]
    if not frames:
        return "nowhere"
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def tell_of_threads() -> None:
    """Say in one line what a thread or a destructor of this process raises."""
    if os.environ.get("LABELGRAPH_TRACEBACK"):
        return

    def of_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            _warn(found.exc_value)

    def of_destructor(found: "sys.UnraisableHookArgs") -> None:
        if isinstance(found.exc_value, KeyboardInterrupt):
            interrupts.lost(found.exc_value)
        if found.exc_value is not None:
            _warn(found.exc_value)

    # A handler that cannot write its record would print a traceback of that.
    logging.raiseExceptions = False
    threading.excepthook = of_thread
    sys.unraisablehook = of_destructor


def _warn(error: BaseException) -> None:
    with contextlib.suppress(Exception):
        say(f"labelgraph: warning: {in_one_line(error, ())[1]}")
