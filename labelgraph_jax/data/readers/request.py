"""Files to read, and all that is known about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.data.readers.fields import DocumentList
from labelgraph_jax.data.readers.lines import (
    Complain,
    Line,
    decoded_lines,
    read_lines,
    refuse,
)
from labelgraph_jax.data.readers.roles import Mode

LINES = ("svm", "txt")
"""Formats in which a blank line is a row as well."""


@dataclasses.dataclass
class Request:
    """Hold how files are read; see `texts.read_files`."""

    format: str
    options: ReadingConfig
    labels: Mode
    layout: Layout | None = None
    known: Collection[str] = ()
    told: Complain = refuse
    complaints: int = 0

    def __post_init__(self) -> None:
        """Encoding and column delimiter are the training file's where none is said."""
        if self.layout is not None:
            csv = self.layout.format == "csv"
            delimiter = self.layout.column_delimiter if csv else ""
            self.options = dataclasses.replace(
                self.options,
                encoding=self.options.encoding or self.layout.encoding,
                column_delimiter=self.options.column_delimiter or delimiter,
            )

    def complain(self, error: DataError) -> None:
        """Tell of a document that cannot be read, and remember that there is one."""
        self.complaints += 1
        self.told(error)

    def finish(self, documents: DocumentList) -> list[Document]:
        """The documents; there may be none where something was told already."""
        return documents.documents if self.complaints else documents.finish()

    def lines(self, source: Path | IO[bytes] | IO[str], name: str) -> Iterator[Line]:
        """Yield the lines of a file, or of an open stream called `name`."""
        options: Any = {
            "keep_blank": self.format in LINES,
            "encoding": self.options.encoding,
            "complain": self.complain,
        }
        if isinstance(source, Path):
            return read_lines(source, **options)
        return decoded_lines(source, name, **options)
