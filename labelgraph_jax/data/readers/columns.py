"""Files -> rows with named columns: CSV, TSV, parquet, JSON lines and arrays."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.readers.fields import DECODER, json_object, plain_times, shown
from labelgraph_jax.data.readers.lines import (
    COMPRESSED,
    Complain,
    Line,
    read_lines,
    refuse,
    split_suffix,
    zipped_name,
)
from labelgraph_jax.data.readers.parquet import parquet_columns

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".tsv": "tsv",
    ".csv": "csv",
    ".parquet": "parquet",
}
"""Formats of rows, by the suffix of a file."""
ABSENT: Any = ...
"""The value of a key that a JSON object does not have."""
UNNAMED = "Unnamed: 0"
"""The index that pandas writes before the first column, as pandas calls it then."""
NUMBERED = ("id", "labels", "text")
"""Names of the last columns of a TSV without a header."""

_COLUMN_DELIMITERS = (",", ";", "\t", "|")
# The csv module's own limit is 131,072 characters; this one fits every C long.
_LONGEST_FIELD = 2**31 - 1


Row = Sequence[object] | Mapping[str, object]
"""The fields of a row in the order of a header, or an object that may lack some."""
NumberedRow = tuple[int, Row]
"""A row behind the number of its (first) line."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Named columns and rows, each with the number of its (first) line.

    Attributes:
        name: the file, for errors.
        header: the columns.
        rows: line and fields; a sequence in the order of the header or, with `keyed`,
            an object that may lack some.
        nested: a field may be a list or an object.
        keyed: see `rows`.
        classes: the names behind the numbers of a column, where the file says them.
        delimiter: what stands between columns.
        has_header: the file names its columns itself.
    """

    name: str
    header: tuple[str, ...]
    rows: Iterable[NumberedRow]
    nested: bool = False
    keyed: bool = False
    classes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    delimiter: str = ""
    has_header: bool = True

    def getter(self, column: str) -> Callable[[Row], object]:
        """Return a function that takes a column's field out of a row."""
        if self.keyed:
            return operator.methodcaller("get", column, ABSENT)
        return operator.itemgetter(self.header.index(column))


def format_of(path: Path, format: str | None, known: Mapping[str, str]) -> str:
    """The format of a file, by its name where `format` does not say it.

    Args:
        path: the file.
        format: against the suffix.
        known: formats by suffix.

    Raises:
        DataError: neither says a format that is known.
    """
    names = list(dict.fromkeys(known.values()))
    if format:
        if format not in names:
            raise DataError(
                f"--format must be one of {', '.join(names)}; got {format!r}"
            )
        return format
    suffix, compression = split_suffix(path)
    if compression == ".zip" and suffix not in known and path.is_file():
        suffix = split_suffix(Path(zipped_name(path)))[0]
    if suffix == ".npz":
        raise DataError(
            f"{path}: a matrix alone has no labels: give the folder that holds it"
        )
    if suffix not in known:
        if not suffix and not path.exists():
            raise DataError(f"{path}: no such file or folder")
        raise DataError(
            f"{path}: the name must end in one of {', '.join(known)} ({COMPRESSED}), "
            f"or say --format; got {suffix or 'no suffix'!r}"
        )
    return known[suffix]


def read_rows(
    path: Path,
    format: str,
    *,
    lines: Iterator[Line] | None = None,
    encoding: str = "",
    delimiter: str = "",
    complain: Complain = refuse,
    blank: bool = False,
) -> Rows:
    """Read the rows of a file whose columns have names.

    Args:
        path: the file.
        format: one of `FORMATS`.
        lines: of a stream, in place of the file's.
        encoding: see `read_lines`.
        delimiter: what stands between columns, see `csv_table`.
        complain: is told of a row that cannot be read.
        blank: of CSV and TSV a blank line is a row without anything.

    Raises:
        DataError: the file is not what it must be.
    """
    if format == "parquet":
        return parquet_table(path)
    if lines is None:
        lines = read_lines(path, encoding=encoding, complain=complain)
    if format in ("csv", "tsv"):
        delimiter = delimiter or ("\t" if format == "tsv" else "")
        options: Any = {"delimiter": delimiter, "complain": complain, "blank": blank}
        return csv_table(lines, str(path), **options)
    return json_table(lines, str(path), array=format == "json", complain=complain)


def csv_table(
    lines: Iterator[Line],
    name: str,
    *,
    delimiter: str = "",
    complain: Complain = refuse,
    blank: bool = False,
) -> Rows:
    """Rows of CSV lines with a header; quoted fields may hold line breaks.

    An unnamed first column, the index that pandas writes, is called `UNNAMED`.

    Args:
        lines: numbered lines without their ends.
        name: the file, for errors.
        delimiter: where the header does not have it, the comma or else the first of
            semicolon, tab and | that it has.
        complain: is told of a row that has other columns.
        blank: see `read_rows`.

    Raises:
        DataError: no header, or a column name that is empty or stands there twice.
    """
    first = next(lines, None)
    if first is None:
        raise DataError(f"{name}: must hold a header and documents; the file is empty")
    if delimiter not in first[1] or not delimiter:
        others = (d for d in _COLUMN_DELIMITERS if d in first[1])
        delimiter = next(others, delimiter or ",")
    if len(delimiter) != 1:
        raise DataError(
            f"{name}: column_delimiter must be one character; got {delimiter!r}"
        )
    rows = _csv_rows(first, lines, name, delimiter)
    number, header = next(rows)
    names = [column.strip() for column in header]
    if len(names) > 1 and not names[0]:
        names[0] = UNNAMED if UNNAMED not in names else f"{UNNAMED}.1"
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice or not all(names):
        raise DataError(
            f"{name}:{number}: column names must be distinct and not empty; "
            f"got {shown(twice[0] if twice else '')}"
        )
    fields = f"{counted(len(names), 'field')}, as the header has"
    kept = same_width(rows, len(names), name, fields, "", complain, blank)
    return Rows(name, tuple(names), kept, delimiter=delimiter)


def _csv_rows(
    first: Line, rest: Iterator[Line], name: str, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    ended = (line + "\n" for _, line in itertools.chain([first], rest))
    reader = csv.reader(ended, delimiter=delimiter, strict=True)
    while True:
        start = first[0] + reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error).partition(" - ")[0]
            if "expected" in reason:
                reason += " (a quote in a quoted field is doubled)"
            if "new-line" in reason:
                reason = "lines end in a carriage return alone, as on old Macs"
            raise DataError(f"{name}:{start}: must be valid CSV; {reason}") from None
        yield start, row


def same_width(
    rows: Iterable[tuple[int, list[str]]],
    width: int,
    name: str,
    must: str,
    hint: str,
    complain: Complain,
    blank: bool = False,
) -> Iterator[tuple[int, list[str]]]:
    """The rows that have as many fields as they must; of others it is complained.

    With `blank` a blank line is a row of empty fields.
    """
    for number, row in rows:
        if blank and len(row) < 2 and not "".join(row).strip():
            row = [""] * width
        if len(row) == width:
            yield number, row
            continue
        got = f"{len(row)}{hint}"
        if not hint:
            got = counted(len(row), "field") if row else "a blank line"
        complain(DataError(f"{name}:{number}: must have {must}; got {got}"))


def numbered_table(
    lines: Iterable[Line],
    name: str,
    width: int,
    first: int,
    complain: Complain,
    blank: bool = False,
) -> Rows:
    """Rows of a TSV without a header, nothing of which is quoted.

    Args:
        lines: all of them.
        name: the file.
        width: fields of the first line; 1 to 3 get the names of `NUMBERED`, others
            their number from 1.
        first: the number of the first line.
        complain: is told of a row of another width.
        blank: see `read_rows`.
    """
    header = NUMBERED[-width:] if width <= 3 else tuple(map(str, range(1, width + 1)))
    rows = ((number, line.split("\t")) for number, line in lines)
    hint = " (labels with tabs or texts with tabs or line breaks need JSONL)"
    must = f"{counted(width, 'field')}, as line {first} has"
    kept = same_width(rows, width, name, must, hint, complain, blank)
    return Rows(name, header, kept, delimiter="\t", has_header=False)


def json_table(
    lines: Iterator[Line],
    name: str,
    *,
    array: bool = False,
    complain: Complain = refuse,
) -> Rows:
    """Rows of JSON objects.

    Args:
        lines: an object each; or with `array` perhaps one array of objects.
        name: the file.
        array: see `lines`.
        complain: is told of a line that is no object.

    Raises:
        DataError: no line is an object.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    header: dict[str, None] = {}
    if array:
        first = next(lines, None)
        if first is not None:
            lines = itertools.chain([first], lines)
        if first is not None and first[1].lstrip().startswith("["):
            rows = list(_elements("\n".join(line for _, line in lines), name, first[0]))
            lines = iter(())
            if len({number for number, _ in rows}) < len(rows):  # several on a line
                rows = [(i, fields) for i, (_, fields) in enumerate(rows, start=1)]
    for number, line in lines:
        try:
            rows.append((number, json_object(line, f"{name}:{number}")))
        except DataError as error:
            if array and line.strip() in ("{", ""):
                raise DataError(
                    f"{name}: must be an array of objects, [{{...}}, ...], or an "
                    "object a line; it is one object over several lines"
                ) from None
            complain(error)
    for _, fields in rows:
        header |= dict.fromkeys(fields)
    return Rows(name, tuple(header), rows, nested=True, keyed=True)


def _elements(text: str, name: str, line: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON array from some line on, and the line of each.

    Raises:
        DataError: something else stands in it or after it.
    """
    at, start, seen = text.index("[") + 1, line, 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        line, seen = line + text.count("\n", seen, at), at
        where = f"{name}:{line}"
        if text[at : at + 1] == "]":
            if rest := text[at + 1 :].lstrip():
                line += text.count("\n", at, len(text) - len(rest))
                raise DataError(
                    f"{name}:{line}: must be one array of JSON objects; got "
                    f"{shown(rest)} after it"
                )
            return
        try:
            fields, at = DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            place = f"{name}:{text.count(chr(10), 0, error.pos) + start}"
            raise DataError(
                f"{place}: must be an array of JSON objects; {error.msg} at column "
                f"{error.colno}"
            ) from None
        except (RecursionError, ValueError) as error:
            raise DataError(
                f"{where}: must be an array of JSON objects; {shown(str(error))}"
            ) from None
        if not isinstance(fields, dict):
            raise DataError(f"{where}: must be one JSON object; got {shown(fields)}")
        yield line, fields


def parquet_table(path: Path) -> Rows:
    """The rows of a parquet file; they count from 1.

    Raises:
        DataError: not a parquet file, or one that unpacks to more than is read.
    """
    return _rows_of(*parquet_columns(path), str(path))


def arrow_rows(table: Any, name: str) -> Rows:
    """The rows of an Arrow table, with the class names that Hugging Face keeps."""
    columns = [plain_times(column).to_pylist() for column in table.columns]
    return _rows_of(table.column_names, columns, table.schema.metadata or {}, name)


def _rows_of(
    names: Sequence[str],
    columns: Sequence[Sequence[object]],
    metadata: Mapping[bytes, bytes],
    name: str,
) -> Rows:
    about = parse_json(metadata.get(b"huggingface", b"{}"))
    features = about.get("info", {}).get("features", {})
    classes = {n: found for n, f in features.items() if (found := _class_names(f))}
    rows = enumerate(zip(*columns, strict=True), start=1)
    return Rows(name, tuple(names), rows, nested=True, classes=classes)


def _class_names(feature: object) -> tuple[str, ...]:
    """The names of a ClassLabel, alone or in a list; () of another feature."""
    if isinstance(feature, list):
        return _class_names(feature[0]) if len(feature) == 1 else ()
    if not isinstance(feature, Mapping):
        return ()
    if feature.get("_type") == "ClassLabel":
        return tuple(feature.get("names", ()))
    return _class_names(feature.get("feature"))
