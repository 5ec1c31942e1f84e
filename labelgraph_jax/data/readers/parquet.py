"""Parquet files -> columns of Python values, a part of the rows at a time.

A few bytes of a parquet file can stand for any number of values, so that what they take
is counted before and while they are unpacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import plain_times
from labelgraph_jax.data.readers.limits import Unpacked
from labelgraph_jax.data.readers.lines import open_bytes

if TYPE_CHECKING:
    from pyarrow import Array
    from pyarrow.parquet import FileMetaData, ParquetFile

_ROWS, _FEW_ROWS = 4_096, 64
"""Rows that are unpacked together; few where each may have the same long text again."""
_ROW_BYTES, _VALUE_BYTES = 100, 50
"""Memory that a row and a value take about, beside the letters of a text."""


def parquet_columns(
    path: Path,
) -> tuple[tuple[str, ...], list[list[object]], Mapping[bytes, bytes]]:
    """Return names and values of the columns of a parquet file, and its metadata.

    Raises:
        DataError: not a parquet file, or one that unpacks to more than is read.
    """
    import pyarrow
    import pyarrow.parquet

    with open_bytes(path) as stream:
        try:
            # In this thread alone: a thread of Arrow's that frees Python's bytes while
            # the interpreter ends aborts the process.
            source = pyarrow.BufferReader(stream.read())
            found = pyarrow.parquet.ParquetFile(source, pre_buffer=False)
            unpacked = Unpacked(str(path))
            unpacked.add(_least_bytes(found.metadata))
            # A text that many rows have is one text, and not one a row.
            texts = [
                column.path
                for column in map(found.schema.column, range(len(found.schema)))
                if column.physical_type == "BYTE_ARRAY"
                and column.logical_type.type == "STRING"
            ]
            file = pyarrow.parquet.ParquetFile(
                source, pre_buffer=False, read_dictionary=texts
            )
            schema = file.schema_arrow
            columns: list[list[object]] = [[] for _ in schema.names]
            for group in range(file.num_row_groups):
                try:
                    part = _group(file, group, _ROWS, unpacked)
                except pyarrow.ArrowNotImplementedError:  # of lists, here and there
                    part = _group(found, group, _FEW_ROWS, unpacked)
                for column, values in zip(columns, part, strict=True):
                    column += values
        except (pyarrow.ArrowException, OSError, EOFError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"{path}: must be an intact parquet file; {reason}"
            ) from None
    return tuple(schema.names), columns, schema.metadata or {}


def _group(
    file: "ParquetFile", group: int, rows: int, unpacked: Unpacked
) -> list[list[object]]:
    """The columns of a group of rows, so many rows at a time."""
    columns: list[list[object]] = [[] for _ in file.schema_arrow.names]
    for batch in file.iter_batches(rows, row_groups=[group], use_threads=False):
        for column, array in zip(columns, batch.columns, strict=True):
            column += _values(array, unpacked)
    return columns


def _least_bytes(metadata: "FileMetaData") -> int:
    """The bytes that the rows and values of a file take at least."""
    values = sum(
        metadata.row_group(group).column(column).num_values
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    return _ROW_BYTES * metadata.num_rows + _VALUE_BYTES * values


def _values(array: "Array", unpacked: Unpacked) -> list[object]:
    """The values of an Arrow array; what they take is counted."""
    import pyarrow.types as types

    kind = array.type
    if types.is_dictionary(kind):
        words = array.dictionary.to_pylist()
        indices = array.indices.to_pylist()
        sizes = [len(w) if isinstance(w, (str, bytes)) else 0 for w in words]
        unpacked.add(sum(sizes[i] for i in indices if i is not None))
        return [None if i is None else words[i] for i in indices]
    if types.is_list(kind) or types.is_large_list(kind):
        ends = array.offsets.to_pylist()
        items = _values(array.values.slice(ends[0], ends[-1] - ends[0]), unpacked)
        absent = array.is_null().to_pylist()
        return [
            None if none else items[start - ends[0] : end - ends[0]]
            for none, start, end in zip(absent, ends[:-1], ends[1:], strict=True)
        ]
    unpacked.add(array.nbytes)
    return plain_times(array).to_pylist()
