"""Documents from tables: which column is the text, which ones are the labels."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.readers.fields import (
    DocumentList,
    check_id,
    check_labels,
    check_tasks,
    check_text,
    shown,
    split_labels,
)
from labelgraph_jax.data.readers.lines import Line, open_bytes

TEXT_NAMES = ("text", "comment_text", "document", "content", "sentence")
LABEL_NAMES = ("labels", "label")
_TASKS_NAME = "tasks"
_DELIMITERS = ("|", ";", ",")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True}
_FLAGS |= {"false": False, "true": True}
# What pandas, R and spreadsheets write where nothing is known; -1: not scored.
_NOT_ANNOTATED = {"", "na", "nan", "-1", "-1.0"}
# The csv module's own limit is 131,072 characters; this one fits every C long.
_LONGEST_FIELD = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Table:
    """A named header and its rows, each with the number of its (first) line.

    Where `nested` holds, a field may be a list or an object.
    """

    name: str
    header: tuple[str, ...]
    rows: Iterable[tuple[int, Sequence[Any]]]
    nested: bool = False


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """What the caller says about a table; see `readers.texts.read_documents`."""

    text_column: str | None = None
    label_columns: tuple[str, ...] | None = None
    label_delimiter: str | None = None
    labels: str = "required"  # or "optional" or "ignored"


@dataclasses.dataclass(frozen=True)
class _Roles:
    """Which column plays which part; None and () where there is none."""

    text: int
    id: int | None
    tasks: int | None
    listed: int | None  # one column that holds all labels of a document
    flags: tuple[int, ...]  # a 0/1 column per label; empty where not annotated


def csv_table(
    lines: Iterator[Line], name: str, *, delimiter: str | None = None
) -> Table:
    """A table from CSV lines with a header; quoted fields may hold line breaks.

    Args:
        lines: numbered lines without their ends.
        name: the file, for errors.
        delimiter: None takes the comma, or the semicolon where the header has
            semicolons and no comma.

    Raises:
        DataError: no header, or a column name that is empty or stands there twice.
    """
    first = next(lines, None)
    if first is None:
        raise DataError(f"{name}: must hold a header and documents; the file is empty")
    if delimiter is None:
        delimiter = ";" if ";" in first[1] and "," not in first[1] else ","
    rows = _csv_rows(first, lines, name, delimiter)
    number, header = next(rows)
    names = tuple(column.strip() for column in header)
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice or not all(names):
        raise DataError(
            f"{name}:{number}: column names must be distinct and not empty; "
            f"got {shown(twice[0] if twice else '')}"
        )
    return Table(name, names, _same_width(rows, len(names), name))


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
            raise DataError(f"{name}:{start}: must be valid CSV; {error}") from None
        yield start, row


def _same_width(
    rows: Iterator[tuple[int, list[str]]], width: int, name: str
) -> Iterator[tuple[int, list[str]]]:
    for number, row in rows:
        if len(row) != width:
            got = f"{len(row)} fields" if row else "a blank line"
            raise DataError(
                f"{name}:{number}: must have {width} fields, as the header has; "
                f"got {got}"
            )
        yield number, row


def parquet_table(path: Path) -> Table:
    """A table from a parquet file; rows count from 1.

    Raises:
        DataError: not a parquet file.
    """
    import pyarrow
    import pyarrow.parquet

    with open_bytes(path) as stream:
        try:
            # In this thread alone: a thread of Arrow's that frees Python's bytes while
            # the interpreter ends aborts the process.
            source = pyarrow.BufferReader(stream.read())
            file = pyarrow.parquet.ParquetFile(source, pre_buffer=False)
            table = file.read(use_threads=False)
        except (pyarrow.ArrowException, OSError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{path}: must be an intact parquet file; {reason}"
            ) from None
    columns = [column.to_pylist() for column in table.columns]
    rows = enumerate(zip(*columns, strict=True), start=1)
    return Table(str(path), tuple(table.column_names), rows, nested=True)


def table_documents(table: Table, options: TableOptions) -> list[Document]:
    """The documents of a table.

    Raises:
        DataError: no column for the text or the labels, or a field that is not
            what its column holds.
    """
    roles = _find_roles(table, options)
    rows = list(table.rows)
    delimiter = options.label_delimiter
    if roles.listed is not None and delimiter is None:
        delimiter = _find_delimiter(table, rows, roles.listed)
    documents = DocumentList(table.name)
    for number, row in rows:
        where = f"{table.name}:{number}"
        labels: tuple[str, ...] = ()
        missing: tuple[str, ...] = ()
        if roles.listed is not None:
            labels = _listed_labels(row[roles.listed], delimiter, where)
        elif roles.flags:
            flags = {
                table.header[column]: _flag(row[column], table.header[column], where)
                for column in roles.flags
            }
            labels = tuple(name for name, flag in flags.items() if flag)
            missing = tuple(name for name, flag in flags.items() if flag is None)
        documents.add(
            number,
            check_text(row[roles.text], where),
            labels,
            id=None if roles.id is None else check_id(row[roles.id], where),
            tasks=None if roles.tasks is None else check_tasks(row[roles.tasks], where),
            unannotated=missing,
        )
    return documents.finish()


def _find_roles(table: Table, options: TableOptions) -> _Roles:
    header = table.header
    by_name = {column.lower(): i for i, column in reversed(list(enumerate(header)))}

    def named(column: str, role: str) -> int:
        if column not in header:
            raise DataError(
                f"{table.name}: no {role} column {column!r}; "
                f"the columns are: {', '.join(header)}"
            )
        return header.index(column)

    if options.text_column is not None:
        text = named(options.text_column, "text")
    else:
        found = [by_name[name] for name in TEXT_NAMES if name in by_name]
        if not found:
            raise DataError(
                f"{table.name}: must have a column called text (or name it with "
                "text_column; or learn other columns with --task COLUMN=KIND); the "
                f"columns are: {', '.join(header)}"
            )
        text = found[0]
    id_column = by_name.get("id")
    tasks = by_name.get(_TASKS_NAME) if table.nested else None
    listed: int | None = None
    flags: tuple[int, ...] = ()
    if options.labels == "ignored":
        pass
    elif options.label_columns is not None:
        chosen = tuple(named(column, "label") for column in options.label_columns)
        one = len(chosen) == 1 and (
            options.label_delimiter is not None
            or header[chosen[0]].lower() in LABEL_NAMES
        )
        listed, flags = (chosen[0], ()) if one else (None, chosen)
    else:
        listed = next((by_name[n] for n in LABEL_NAMES if n in by_name), None)
        if listed is None and options.labels == "required" and tasks is None:
            flags = tuple(
                i for i in range(len(header)) if i not in (text, id_column, tasks)
            )
    if options.labels == "required" and listed is None and not flags and tasks is None:
        raise DataError(
            f"{table.name}: must have a column called labels or a 0/1 column per "
            f"label; the columns are: {', '.join(header)}"
        )
    for column in flags:
        check_labels([header[column]], table.name)
    return _Roles(text, id_column, tasks, listed, flags)


def _find_delimiter(
    table: Table, rows: list[tuple[int, Sequence[Any]]], column: int
) -> str | None:
    """What stands between the labels of a column: see `read_documents`."""
    seen: dict[str, int] = {}
    for number, row in rows:
        cell = row[column]
        if isinstance(cell, str) and not cell.startswith("["):
            for delimiter in _DELIMITERS:
                if delimiter in cell:
                    seen.setdefault(delimiter, number)
    if len(seen) > 1:
        (one, _), (other, line) = sorted(seen.items(), key=lambda item: item[1])[:2]
        raise DataError(
            f"{table.name}:{line}: labels stand between {one!r} or {other!r}; say "
            "which with label_delimiter"
        )
    return next(iter(seen), None)


def _listed_labels(value: Any, delimiter: str | None, where: str) -> tuple[str, ...]:
    if value is None:
        raise DataError(f'{where}: "labels" must be a list of strings; got nothing')
    if not isinstance(value, str):
        return check_labels(value, where)
    if value.startswith("[") and value.rstrip().endswith("]"):
        raise DataError(
            f"{where}: labels in a column must stand between delimiters, as a|b; "
            f"got the list {shown(value)} (JSONL and parquet hold lists)"
        )
    return split_labels(value, delimiter, where)


def _flag(value: Any, column: str, where: str) -> bool | None:
    """True, False, or None where the document is not annotated for the label."""
    cell = "" if value is None else str(value).strip().lower()
    if cell in _NOT_ANNOTATED:
        return None
    flag = _FLAGS.get(cell)
    if flag is None:
        raise DataError(
            f"{where}: column {column!r} must hold 0 or 1; got {shown(value)} "
            "(name the label columns with label_columns); an empty field, NA or -1 "
            "where the document is not annotated for the label"
        )
    return flag
