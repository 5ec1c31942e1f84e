"""Rows in whatever form they are given, as a table."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from labelgraph_jax.config.settings import short
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import Table, read_table, table_of

if TYPE_CHECKING:
    from pandas import DataFrame

# A name in quotes cannot stand beside |.
Rows = Union[
    Table,
    str,
    Path,
    Mapping[str, Iterable[Any]],
    Sequence[Mapping[str, Any]],
    "DataFrame",
]
"""Rows: a table, the file of one, columns by name, one mapping per row, or a frame."""


def as_table(rows: Rows) -> Table:
    """Rows in any form that `Rows` names, as a table.

    Raises:
        DataError: no row, or a value that no column may hold.
    """
    if isinstance(rows, Table):
        return rows
    if isinstance(rows, (str, Path)):
        try:
            return read_table(rows)
        except OSError as error:  # no name that a file may have
            raise DataError(f"{rows!s:.60}: {error.strerror or error}") from None
    if isinstance(rows, Mapping):
        for name, values in rows.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise DataError(
                    f"rows by column must give a list of values for each; column "
                    f"{str(name)!r} holds {short(values)}: of one row give a "
                    "list of one mapping"
                )
        return table_of("rows", {str(name): rows[name] for name in rows})
    if hasattr(rows, "columns"):
        return table_of("rows", frame_columns(rows))
    known = isinstance(rows, Iterable) and not isinstance(rows, bytes)
    if not known or getattr(rows, "ndim", 1) != 1:
        raise DataError(
            "rows must be a data frame, the path of a file, columns by name, or a list "
            f"of one mapping per row; got {short(rows)}"
        )
    rows = list(rows)
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} must be a mapping, as {{'column': value}}; got "
                f"{type(row).__name__}"
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return table_of("rows", {name: [row.get(name) for row in rows] for name in names})


def frame_columns(frame: Any) -> dict[str, list[Any]]:
    """The columns of a pandas frame as plain Python, absent values None.

    Raises:
        ValueError: two columns have one name.
    """
    names = frame.columns.map(str)
    twice = names[names.duplicated()]
    if len(twice):
        raise ValueError(
            f"the columns of a data frame must have distinct names; got {twice[0]!r} "
            "twice"
        )
    return {
        str(name): frame[name].astype(object).where(frame[name].notna(), None).tolist()
        for name in frame.columns
    }
