"""The layout of a run's files: what was settled once, from the training file.

It is told, kept in the work directory as layout.json, and used for every later file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from labelgraph_jax.config.settings import from_values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """The layout of files.

    Attributes:
        format: of the training file.
        encoding: of its text; empty for UTF-8, or what the byte order mark says.
        column_delimiter: what stands between its columns.
        has_header: its columns have names.
        text_column: the text's; of several, whose texts are joined, `title,body`.
        id_column: the ids', if there are any.
        label_columns: the labels'.
        label_style: how these hold labels: `lists`; `flags`, 0/1 columns; `names`, a
            name each; `switches`, objects of 0 and 1; `delimited` texts, `literals` or
            `markup`.
        label_delimiter: between labels; `none`: a field is one label; empty: training
            has no field with anything that could be a delimiter.
        passed_over: columns that are not read.
        ask: refuse what is not clear. Version 0.6.0 did not.
    """

    format: str = ""
    encoding: str = ""
    column_delimiter: str = ""
    has_header: bool = True
    text_column: str = ""
    id_column: str = ""
    label_columns: tuple[str, ...] = ()
    label_style: str = ""
    label_delimiter: str = ""
    passed_over: tuple[str, ...] = ()
    ask: bool = True

    def to_json(self) -> dict[str, object]:
        """The layout as JSON values, for layout.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: object) -> Layout:
        """Read what `to_json` gave.

        Raises:
            ConfigError: an unknown key, or a value of the wrong kind.
        """
        return from_values(values, cls)

    def describe(self, name: str, text: str, labels: Sequence[str]) -> list[str]:
        """Say how a file was read, and its first document, in a line each."""
        written = {"fasttext": "fastText", "svm": "LIBSVM"}
        said = [written.get(self.format) or self.format.upper()]
        if self.column_delimiter and self.format in ("csv", "tsv"):
            tabs = self.column_delimiter == "\t"
            between = "tabs" if tabs else repr(self.column_delimiter)
            said[0] += f", columns between {between}"
            said[0] += "" if self.has_header else ", no header"
        if self.encoding:
            said[0] += f", {self.encoding}"
        if self.text_column:
            said.append(f"text from {self.text_column!r}".replace(",", "', '"))
        if self.label_columns:
            columns = ", ".join(map(repr, self.label_columns[:5]))
            more = ", ..." if len(self.label_columns) > 5 else ""
            said.append(f"labels from {columns}{more} ({self._labels()})")
        if self.passed_over:
            said.append(f"not read: {', '.join(self.passed_over[:8])}")
        lines = [f"{name}: {'; '.join(said)}"]
        if text:  # features have none
            text = " ".join(text.split())
            text = text if len(text) <= 60 else f"{text[:57]}..."
            names = ", ".join(map(repr, labels[:8])) or "no label"
            more = ", ..." if len(labels) > 8 else ""
            lines.append(f"{name}: the first document: {text!r} -> {names}{more}")
        return lines

    def _labels(self) -> str:
        if self.label_style == "delimited":
            if self.label_delimiter in ("", "none"):
                return "one a field"
            blank = not self.label_delimiter.strip(" ")
            return f"between {'blanks' if blank else repr(self.label_delimiter)}"
        return {
            "lists": "lists",
            "flags": "0 or 1",
            "names": "a name a field",
            "switches": "0 or 1 each",
            "literals": "written lists",
            "markup": "<label><label>",
        }.get(self.label_style, self.label_style)


OLD = Layout(ask=False)
"""Layout of a work directory of version 0.6.0, which kept none: what could be a
delimiter is one, and blanks divide the labels of a TSV without a header."""
