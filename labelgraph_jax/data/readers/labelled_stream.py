"""A stream of labelled texts and of changes to labels, a JSON object a line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, TypedDict

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import (
    check_labels,
    check_text,
    json_object,
    shown,
)
from labelgraph_jax.data.readers.limits import MIB, longest_line, raised

CONTROL = {
    "remove": ("label",),
    "rename": ("label", "to"),
    "merge": ("labels", "to"),
    "split": ("label", "to"),
}
"""Changes to labels, and the keys that each of them has."""


@dataclass(frozen=True)
class Entry:
    """A line: a text with its labels, or a change.

    Attributes:
        where: it stands, `file:line`.
        text: of a document.
        labels: of it; None where nothing is known of them.
        change: one of `CONTROL` with its keys; None of a document.
    """

    where: str
    text: str = ""
    labels: tuple[str, ...] | None = None
    change: Mapping[str, Any] | None = None


class Position(TypedDict):
    """Bytes of a stream that were read, and their SHA-256."""

    offset: int
    sha256: str


@dataclass
class LabelledStream:
    """The entries of an open file, and how far it has been read.

    Args:
        stream: of bytes.
        name: of the file.
        text_key, labels_key: of a document's text and labels.

    Attributes:
        offset: bytes that were read.
        line: lines that were read to their end.
    """

    stream: IO[bytes]
    name: str
    text_key: str = "text"
    labels_key: str = "labels"
    offset: int = 0
    line: int = 0
    _within: bool = False
    _hash: Any = field(default_factory=hashlib.sha256, repr=False)

    @property
    def position(self) -> Position:
        """Bytes that were read, and their SHA-256."""
        return {"offset": self.offset, "sha256": self._hash.hexdigest()}

    @property
    def begun(self) -> int:
        """Lines that were read, the last of them perhaps without an end."""
        return self.line + self._within

    def skip(self, position: Position) -> bool:
        """Pass over a beginning that was read before; False where it is another."""
        # By bytes: the last line may have had no end yet.
        while left := position["offset"] - self.offset:
            part = self._bytes(self.stream.read, min(left, MIB))
            if not part:
                break
            self._count(part)
        return self.position == position

    def take(self) -> Entry | None:
        """Return the next entry; None at the end. Blank lines are passed over.

        A line that cannot be read counts as not read.

        Raises:
            DataError: it is none of both.
        """
        while line := self._readline():
            text = self._decoded(line)
            if text.strip():
                where = f"{self.name}:{self.line + 1}"
                found = self._entry(text.rstrip("\r\n"), where)
                self._count(line)
                return found
            self._count(line)
        return None

    def _bytes(self, read: Callable[[int], bytes], most: int) -> bytes:
        try:
            return read(most)
        except (OSError, EOFError) as error:
            raise DataError(f"{self.name}: cannot be read; {error}") from None

    def _readline(self) -> bytes:
        most = longest_line()
        line = self._bytes(self.stream.readline, most + 2)
        if len(line) > most:
            raise DataError(
                f"{self.name}:{self.line + 1}: a line must have at most "
                f"{most // MIB:,} MiB" + raised("--max-line")
            )
        return line

    def _count(self, part: bytes) -> None:
        self._hash.update(part)
        self.offset += len(part)
        self.line += part.count(b"\n")
        self._within = not part.endswith(b"\n")

    def _decoded(self, line: bytes) -> str:
        try:
            return line.decode("utf-8-sig" if not self.line else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.name}:{self.line + 1}: must be UTF-8 text; byte "
                f"{error.start + 1} of the line is 0x{line[error.start]:02x}"
            ) from None

    def _entry(self, text: str, where: str) -> Entry:
        found = json_object(text, where)
        if "control" in found:
            return Entry(where, change=_change(found, where))
        given = found.get(self.labels_key)
        labels = None if given is None else check_labels(given, where)
        if self.text_key not in found:
            raise DataError(
                f'{where}: must have "{self.text_key}" or "control"; the keys are: '
                f"{', '.join(found) or 'none'}"
            )
        return Entry(where, check_text(found[self.text_key], where), labels)


def _change(found: Mapping[str, object], where: str) -> dict[str, Any]:
    """A change to labels.

    Raises:
        DataError: there is no such change, or a key is missing or wrong.
    """
    kind = found["control"]
    if not isinstance(kind, str) or kind not in CONTROL:
        raise DataError(
            f'{where}: "control" must be one of {", ".join(CONTROL)}, got {shown(kind)}'
        )
    change: dict[str, Any] = {"control": kind}
    for key in CONTROL[kind]:
        several = key == "labels" or (kind, key) == ("split", "to")
        value = found.get(key)
        if several:
            names = check_labels(value, where, key)
            if len(names) < 2:
                raise DataError(f'{where}: "{key}" must name two labels at least')
            change[key] = names
        elif not isinstance(value, str) or not value.strip():
            raise DataError(f'{where}: {kind} needs "{key}", the name of a label')
        else:
            change[key] = check_labels([value], where, key)[0]
    return change
