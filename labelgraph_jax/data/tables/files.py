"""Files -> columns: CSV, TSV, parquet and JSON tables, plain or compressed.

A column is what all of its fields are: numbers, texts, or (parquet and JSONL alone)
lists of either; what a model reads in it, `schema` learns. Whatever a file gets wrong
is a `DataError` of one line.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelgraph_jax.config.wording import nearest_names
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import standard_input
from labelgraph_jax.data.readers.columns import (
    FORMATS,
    UNNAMED,
    NumberedRow,
    Rows,
    format_of,
    read_rows,
)
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.readers.folders import paths_of
from labelgraph_jax.data.readers.lines import (
    Line,
    decoded_lines,
    read_lines,
    split_suffix,
)
from labelgraph_jax.data.tables.values import (
    MOMENTS,
    Opaque,
    as_key,
    field_number,
    field_text,
    list_items,
    says_more,
    typed_value,
)

_CHUNK = 8_192
_NESTING = (tuple, Mapping, Opaque)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length.

    Attributes:
        name: where it comes from, for errors.
        columns: numbers as float64 with NaN where missing; texts as objects: str, ""
            for an empty field, None for one that says that it is missing; lists as
            objects, None or a tuple of str, or of float where some are fractions.
        lines: number of the line of each row in its file, int64 `[M]`; or None.
        written: texts of a column of numbers, objects, str or None, where a text says
            more than its number does: 1.10, 1.234.
        times: columns whose numbers are seconds since 1970 of a typed source.
        unreadable: columns that hold what no model reads, and the reason.

    Raises:
        DataError: no column, or columns of different lengths.
    """

    name: str
    columns: Mapping[str, np.ndarray]
    lines: np.ndarray | None = None
    written: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    times: frozenset[str] = frozenset()
    unreadable: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.columns:
            raise DataError(f"{self.name}: must have at least one column; got none")
        sizes = {name: len(values) for name, values in self.columns.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(
                f"{self.name}: columns must be of one length; got {shown(sizes)}"
            )

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def select(self, rows: np.ndarray | Sequence[int] | slice) -> Table:
        """The table of some rows, given by number or as a mask."""
        index: Any = rows if isinstance(rows, slice) else np.asarray(rows)
        lines = None if self.lines is None else self.lines[index]
        columns = {name: values[index] for name, values in self.columns.items()}
        written = {name: values[index] for name, values in self.written.items()}
        return dataclasses.replace(self, columns=columns, lines=lines, written=written)

    def drop(self, names: Iterable[str]) -> Table:
        """The table without some of its columns.

        Raises:
            DataError: no such column, or none is left.
        """
        names = tuple(names)
        for name in names:
            self.require(name)
        kept = {n: values for n, values in self.columns.items() if n not in names}
        return dataclasses.replace(self, columns=kept)

    def column(self, name: str) -> np.ndarray:
        """The values of a column.

        Raises:
            DataError: there is no such column, or no model could read it.
        """
        if name in self.unreadable and name in self.columns:
            raise DataError(self.unreadable[name])
        self.require(name)
        return self.columns[name]

    def require(self, name: str) -> None:
        """Refuse a name that no column has.

        Raises:
            DataError: there is no such column.
        """
        if name not in self.columns:
            near = nearest_names(name, self.columns, cutoff=0.5)
            nearest = f"the nearest is {near[0]!r}; " if near else ""
            raise DataError(
                f"{self.name}: no column {name!r}; {nearest}the columns are: "
                f"{', '.join(self.columns)}"
            )

    def where(self, row: int) -> str:
        """A row as errors name it: `file:line`."""
        return f"{self.name}:{row + 1 if self.lines is None else self.lines[row]}"


def read_table(
    path: str | Path | Sequence[Path],
    *,
    format: str | None = None,
    encoding: str = "",
    column_delimiter: str = "",
) -> Table:
    """Read a table; the suffix says the format, .gz or the like after it compression.

    CSV (comma, or what the header has) and TSV need a header; the unnamed index that
    pandas writes is left out.
    JSON lines, or an array of objects: keys are columns; a key that a line lacks is
    missing there. Spaces around a text are dropped. Missing: an empty field, null, NA,
    N/A or NaN; in a column of numbers also ?, None, - and a lone point. A column is one
    of numbers where all that is not missing is a number without leading zeros; true and
    false of JSON and parquet are 1 and 0, times are seconds since 1970, and durations
    seconds. A column of objects, bytes or lists of lists is `unreadable`.

    Args:
        path: the file; or the shards of one, as `rows-*.parquet`, a folder of them or
            their paths; `-` reads standard input, CSV unless `format` says otherwise.
        format: csv, tsv, jsonl, json or parquet, against the suffix.
        encoding: UTF-8 by default, or what the byte order mark says.
        column_delimiter: of a CSV, where its header does not tell.

    Raises:
        DataError: the file is missing, damaged, holds no row, or no column that can be
            read; the message names file and line.
    """
    lines = None
    if str(path) == "-":
        path, format = Path("stdin"), format or "csv"
        lines = decoded_lines(standard_input().buffer, "stdin", encoding=encoding)
        if format == "parquet":
            raise DataError("stdin: a stream must be csv, tsv or jsonl")
    options: Any = {"encoding": encoding, "delimiter": column_delimiter}
    if lines is not None and isinstance(path, Path):
        rows = read_rows(path, format_of(path, format, FORMATS), lines=lines, **options)
    else:
        single = isinstance(path, (str, Path))
        paths = files_of(str(path)) if isinstance(path, (str, Path)) else path
        shards = [_shard(one, format, options) for one in paths]
        name = str(path) if single else str(paths[0].parent)
        rows = shards[0] if len(shards) == 1 else _joined(name, shards)
    if rows.keyed:
        return _table(rows.name, rows.header, _in_order(rows))
    read = _table(rows.name, rows.header, rows.rows)
    return read.drop([UNNAMED]) if UNNAMED in rows.header[:1] else read


def files_of(source: str) -> list[Path]:
    """The file that is meant, the shards that a pattern means, or a folder's files.

    Raises:
        DataError: there is none.
    """
    if not Path(source).is_dir():
        return paths_of(source)
    files = sorted(Path(source).rglob("*"))
    found = [path for path in files if split_suffix(path)[0] in FORMATS]
    if not found:
        raise DataError(f"{source}: must hold files such as {', '.join(FORMATS)}")
    return found


def _shard(path: Path, format: str | None, options: dict[str, Any]) -> Rows:
    """The rows of a file; blank lines before its header are passed over."""
    format = format_of(path, format, FORMATS)
    lines: Iterator[Line] | None = None
    if format in ("csv", "tsv"):
        read = read_lines(path, encoding=options["encoding"])
        lines = itertools.dropwhile(lambda line: not line[1].strip(), read)
    return read_rows(path, format, lines=lines, **options)


def _joined(name: str, shards: Sequence[Rows]) -> Rows:
    """The rows of shards, counted from 1 over all of them.

    Raises:
        DataError: they have other columns, or one has objects and another one not.
    """
    first = shards[0]
    header = dict.fromkeys(column for shard in shards for column in shard.header)
    for shard in shards:
        same = shard.keyed or set(shard.header) == set(first.header)
        if not same or shard.keyed != first.keyed:
            differing = set(header) - set(shard.header) or set(header) - set(
                first.header
            )
            raise DataError(
                f"{shard.name}: must have the columns of {first.name}; they differ in "
                f"{', '.join(sorted(differing)) or 'their format'}"
            )

    def rows() -> Iterator[NumberedRow]:
        number = 0
        for shard in shards:
            getters = [shard.getter(column) for column in first.header]
            for _, row in shard.rows:
                number += 1
                yield number, row if shard.keyed else [get(row) for get in getters]

    return dataclasses.replace(first, name=name, header=tuple(header), rows=rows())


def table_of(name: str, columns: Mapping[str, Iterable[object]]) -> Table:
    """A table from columns in memory, each as a column of a file would be read.

    Raises:
        DataError: a value that no column may hold; no row; different lengths.
    """
    lists = [list(values) for values in columns.values()]
    if len({len(values) for values in lists}) > 1:
        sizes = dict(zip(columns, map(len, lists), strict=True))
        raise DataError(f"{name}: columns must be of one length; got {shown(sizes)}")
    return _table(name, tuple(columns), enumerate(zip(*lists, strict=True), start=1))


class _Codes(dict[object, int]):
    """Numbers the distinct fields of a column in the order they come."""

    def __missing__(self, field: object) -> int:
        self[field] = len(self)
        return len(self) - 1

    def of(self, fields: Sequence[object]) -> np.ndarray:
        try:
            return np.fromiter(map(self.__getitem__, fields), np.int32, len(fields))
        except TypeError:  # lists and objects, which no dictionary takes
            keys = list(map(as_key, fields))
            return np.fromiter(map(self.__getitem__, keys), np.int32, len(fields))


def _table(name: str, header: Sequence[str], rows: Iterable[NumberedRow]) -> Table:
    numbers: list[int] = []
    # A table has many rows and few distinct fields: only those are looked at.
    codes = [_Codes() for _ in header]
    parts: list[list[np.ndarray]] = [[] for _ in header]
    iterator = iter(rows)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        numbers += [number for number, _ in chunk]
        fields = zip(*(row for _, row in chunk), strict=True)
        for coded, part, values in zip(codes, parts, fields, strict=True):
            part.append(coded.of(values))
    if not numbers:
        raise DataError(f"{name}: must hold at least one row; got none")
    lines = np.array(numbers, np.int64)
    read = {
        column: _column(list(coded), np.concatenate(part), name, lines, column)
        for column, coded, part in zip(header, codes, parts, strict=True)
    }
    unreadable = {n: one.refused for n, one in read.items() if one.refused}
    if len(unreadable) == len(read):
        raise DataError(next(iter(unreadable.values())))
    return Table(
        name,
        {n: one.values for n, one in read.items()},
        lines,
        {n: one.written for n, one in read.items() if one.written is not None},
        frozenset(n for n, one in read.items() if one.is_time),
        unreadable,
    )


class _Column(NamedTuple):
    """A column and what a `Table` keeps beside it."""

    values: np.ndarray
    written: np.ndarray | None = None
    is_time: bool = False
    refused: str = ""


def _column(
    distinct: list[object], codes: np.ndarray, name: str, lines: np.ndarray, column: str
) -> _Column:
    """The fields of a column as numbers where they all are, else as texts or lists."""
    # Read every distinct field; the first that cannot be read refuses the column.
    listed = any(isinstance(value, tuple) for value in distinct)
    read: list[Any] = []
    kinds = [_items(value) for value in distinct if listed and value]
    for code, value in enumerate(distinct):
        try:
            if listed and value and _items(value) != kinds[0]:
                raise TypeError
            read.append(list_items(value) if listed else typed_value(value))
        except TypeError:
            nested = isinstance(value, _NESTING) and not _is_flat(value)
            must = "numbers, texts or lists of texts"
            if listed and not nested:
                must = f"lists of {kinds[0]}"
            line = lines[int(np.argmax(codes == code))]
            return _Column(
                np.full(len(codes), None, object),
                refused=f"{name}:{line}: column {column!r} must hold {must}; got "
                f"{shown(value)}",
            )
    # Lists of one kind.
    if listed:
        return _Column(_objects(_alike(read))[codes])
    # Numbers, and the texts beside them where these say more.
    numbers: list[Any] = [field_number(field) for field in read]
    if None not in numbers:
        texts = None
        pairs = zip(read, numbers, strict=True)
        if any(isinstance(f, str) and says_more(f, n) for f, n in pairs):
            written = (
                f if isinstance(f, str) else field_text(f, v)
                for f, v in zip(read, distinct, strict=True)
            )
            texts = _objects(list(written))[codes]
        known = [v for v, f in zip(distinct, read, strict=True) if f is not None]
        is_time = bool(known) and all(isinstance(v, MOMENTS) for v in known)
        return _Column(np.array(numbers, np.float64)[codes], texts, is_time)
    texts = [
        field_text(field, value) for field, value in zip(read, distinct, strict=True)
    ]
    return _Column(_objects(texts)[codes])


def _objects(fields: Sequence[object]) -> np.ndarray:
    values = np.empty(len(fields), object)
    # One by one: numpy would make two dimensions of tuples.
    for i, field in enumerate(fields):
        values[i] = field
    return values


def _items(value: object) -> str:
    """The kind of the first item of a list."""
    first = value[0] if isinstance(value, tuple) and value else ""
    return "texts" if isinstance(first, str) else "numbers"


def _alike(lists: Sequence[Any]) -> list[Any]:
    """Lists of which some hold fractions: their whole numbers are no names either."""
    if not any(isinstance(item, float) for items in lists for item in items or ()):
        return list(lists)
    return [items and tuple(map(float, items)) for items in lists]


def _is_flat(value: object) -> bool:
    """True for a field without an object, or a list of objects or of lists."""
    items = value if isinstance(value, tuple) else [value]
    return not any(isinstance(item, _NESTING) for item in items)


def _in_order(rows: Rows) -> Iterator[NumberedRow]:
    for number, fields in rows.rows:
        assert isinstance(fields, Mapping)
        yield number, tuple(fields.get(column) for column in rows.header)
