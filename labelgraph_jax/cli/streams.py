"""Standard output and standard error, whose reader may go away or whose disk may fill.

Nothing that a command makes depends on them: once standard error is lost, what is said
is dropped, and so it is with standard output where the command makes something, such as
a run, a file or a service. A command whose point is what it prints ends.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class OutputLostError(BaseException):
    """Standard output cannot be written any more; there is nothing left to do."""


class Guarded:
    """A stream that drops what comes once it cannot be written to.

    Args:
        stream: what is written to; None where it is closed.

    Attributes:
        needed: raise `OutputLostError` then, too.
        is_closed: it has never been open.
        lost: the error that it was lost with; None while it works.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.is_closed = stream is None
        self._stream = stream or io.StringIO()
        self.needed = False
        self.lost: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it.

        Raises:
            OutputLostError: it cannot be written, and is needed.
        """
        if self.lost is None:
            try:
                try:
                    self._stream.write(text)
                except UnicodeEncodeError:
                    coding = self._stream.encoding or "ascii"
                    plain = text.encode(coding, "backslashreplace").decode(coding)
                    self._stream.write(plain)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Write what waits, or drop it.

        Raises:
            OutputLostError: it cannot be written, and is needed.
        """
        if self.lost is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def settle(self) -> None:
        """Write what waits, at the end of all; the error stands in `lost`."""
        with contextlib.suppress(OutputLostError):
            self.flush()

    def _lose(self, error: Exception) -> None:
        self.lost = error
        # What waits in buffers, and what libraries write there, goes nowhere.
        with contextlib.suppress(OSError, ValueError):
            descriptor = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        if self.needed:
            raise OutputLostError(str(error)) from error


@contextlib.contextmanager
def guarded() -> Iterator[Guarded]:
    """Guard both streams for as long as this lasts, and give standard output.

    It is needed, until a verb says that it makes something.
    """
    before = sys.stdout, sys.stderr
    output, error = Guarded(sys.stdout), Guarded(sys.stderr)
    output.needed = True
    sys.stdout, sys.stderr = output, error  # type: ignore[assignment]
    try:
        yield output
    finally:
        output.settle()
        error.settle()
        sys.stdout, sys.stderr = before


def fill_standard_descriptors() -> None:
    """Open what a parent has closed of 0, 1 and 2, so that no file gets its number.

    A library that writes to standard error would write into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
