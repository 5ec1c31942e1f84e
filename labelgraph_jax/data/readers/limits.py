"""Limits of what is read: of one line, and of a packed file once it is unpacked."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from contextvars import ContextVar
from typing import IO, Any

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import DataError

MIB = 2**20
_LINE_BYTES = 500
"""Memory that a line takes beside its own bytes, about."""


@dataclasses.dataclass(frozen=True)
class Most:
    """The most that is read, in bytes.

    Attributes:
        line: of one line.
        unpacked: of a packed file, once it is unpacked.
    """

    line: int = ReadingConfig.max_line * MIB
    unpacked: int = ReadingConfig.max_unpacked * MIB


_USUAL = Most()
_most: ContextVar[Most] = ContextVar("most_read", default=_USUAL)


def longest_line() -> int:
    """Return the most bytes that a line may have."""
    return _most.get().line


@contextlib.contextmanager
def within(options: ReadingConfig, *, array: bool = False) -> Iterator[None]:
    """Read within the limits of some options, for as long as this lasts.

    Args:
        options: what the caller says about the files.
        array: a file may be one line, as a JSON array is.
    """
    unpacked = options.max_unpacked * MIB
    line = max(options.max_line * MIB, unpacked if array else 0)
    token = _most.set(Most(line, unpacked))
    try:
        yield
    finally:
        _most.reset(token)


def raised(option: str) -> str:
    """The words on what reads more, where the caller has such an option."""
    return "" if _most.get() is _USUAL else f"; a larger {option} reads it"


class Unpacked:
    """Counts what a packed file unpacks to.

    Args:
        name: the file, for the error.
    """

    def __init__(self, name: str) -> None:
        self._name, self._most, self._count = name, _most.get().unpacked, 0

    def add(self, count: int) -> None:
        """Count so many bytes more.

        Raises:
            DataError: they are too many.
        """
        self._count += count
        if self._count > self._most:
            raise DataError(
                f"{self._name}: must unpack to at most {self._most // MIB:,} MiB, with "
                f"{_LINE_BYTES} bytes for each line beside its own"
                + raised("--max-unpacked")
            )


class Unpacking(io.RawIOBase):
    """A stream that counts what is read from it, and its lines."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._unpacked = stream, Unpacked(name)

    def readable(self) -> bool:
        """True: the stream can be read, and `io` asks for it."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as there is something."""
        block = self._stream.read(len(buffer))
        self._unpacked.add(len(block) + _LINE_BYTES * block.count(b"\n"))
        buffer[: len(block)] = block
        return len(block)
