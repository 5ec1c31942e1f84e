"""Rows in whatever form they are given, as a table."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union

from labelgraph_jax.config.settings import short
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import plain_times
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
"""Rows: a table, the file of one, columns by name, one mapping per row, or a frame (of
pandas) or table (of Arrow)."""


def as_table(rows: Rows) -> Table:
    """Rows in any form that `Rows` names, as a table.

    Raises:
        DataError: no row, or a value that no column may hold.
    """
    # A table, or a file that holds one.
    if isinstance(rows, Table):
        return rows
    if isinstance(rows, (str, Path)):
        try:
            return read_table(rows)
        except OSError as error:  # no name that a file may have
            raise DataError(f"{rows!s:.60}: {error.strerror or error}") from None
    # Columns: by name, of a data frame, or of Arrow.
    if isinstance(rows, Mapping):
        for name, values in rows.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise DataError(
                    f"rows by column must give a list of values for each; column "
                    f"{str(name)!r} holds {short(values)}: of one row give a "
                    "list of one mapping"
                )
        named = _distinct((key, key) for key in rows)
        return table_of("rows", {name: rows[key] for key, name in named.items()})
    if hasattr(rows, "iloc") and hasattr(rows, "columns"):
        return table_of("rows", frame_columns(rows))
    if hasattr(rows, "to_pylist") and hasattr(rows, "schema"):  # a table of Arrow
        arrow: Any = rows
        places = _distinct(enumerate(arrow.schema.names))
        lists = [plain_times(column).to_pylist() for column in arrow.columns]
        return table_of("rows", {name: lists[place] for place, name in places.items()})
    # Else a mapping for every row.
    known = isinstance(rows, Iterable) and not isinstance(rows, bytes)
    if not known or getattr(rows, "ndim", 1) != 1:
        raise DataError(
            "rows must be a data frame, a table of Arrow, the path of a file, columns "
            f"by name, or a list of one mapping per row; got {short(rows)}"
        )
    rows = list(rows)
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} must be a mapping, as {{'column': value}}; got "
                f"{type(row).__name__}"
            )
    keys = dict.fromkeys(key for row in rows for key in row)
    named = _distinct((key, key) for key in keys)
    columns = {name: [row.get(key) for row in rows] for key, name in named.items()}
    return table_of("rows", columns)


Place = TypeVar("Place")


def _distinct(columns: Iterable[tuple[Place, object]]) -> dict[Place, str]:
    """The names of columns that were given under whatever stands for a name.

    Args:
        columns: of each where it is found, and what it is called.

    Raises:
        DataError: two have one name, as 0 and "0".
    """
    given: dict[str, Place] = {}
    for place, name in columns:
        if str(name) in given:
            raise DataError(
                f"rows: columns must have distinct names; got {str(name)!r} twice"
            )
        given[str(name)] = place
    return {place: name for name, place in given.items()}


def frame_columns(frame: "DataFrame") -> dict[str, list[object]]:
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
