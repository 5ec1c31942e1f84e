"""Single fields and columns of a table as numbers, and as names of categories."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Protocol

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import shown

# 007 is a code and 1_000 is Python: neither is a number in a file.
_NUMBER = re.compile(
    r"[+-]?(0|[1-9]\d*|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?|[+-]?inf", re.I
)
LARGEST_WHOLE = 2**53
"""Beyond it not every whole number has a float64 of its own."""


class Columns(Protocol):
    """Columns by name: a `Table`."""

    @property
    def name(self) -> str:
        """What errors call them."""

    def column(self, name: str) -> np.ndarray:
        """A column's values."""

    def where(self, row: int) -> str:
        """A row as errors name it."""


def parse_number(text: str) -> float | None:
    """The number that a field holds; None where it holds none.

    007 and 1_000 are no numbers, nor is a whole number beyond 2^53, which float64
    would change: such things are names.
    """
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    whole = text.lstrip("+-").isdigit()
    return None if whole and abs(value) > LARGEST_WHOLE else value


def category_name(value: float | str) -> str:
    """A value as the name of a category: 3, 3.0 and "3.0" are all "3"."""
    if isinstance(value, str):
        number = parse_number(value)
        if number is None:
            return value
        value = number
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def value_names(table: Columns, name: str) -> tuple[np.ndarray, list[str | None]]:
    """Which distinct value of a column each row holds, and those values' names.

    Returns:
        Number of the value, int `[M]`; per value its `category_name`, None where there
        is none (several values may have one name).

    Raises:
        DataError: no such column, or it holds lists.
    """
    values = table.column(name)
    if values.dtype != object:
        distinct, index = np.unique(values, return_inverse=True)
        return index, [None if np.isnan(v) else category_name(v) for v in distinct]
    for row, value in enumerate(values):
        if isinstance(value, tuple):
            raise DataError(
                f"{table.where(row)}: column {name!r} must hold one value per row; "
                f"got the list {shown(list(value))}"
            )
    known = {value: i for i, value in enumerate(dict.fromkeys(values))}
    index = np.fromiter(map(known.__getitem__, values), np.int64, len(values))
    return index, [None if not v else category_name(v) for v in known]


def value_counts(table: Columns, name: str) -> Counter[str | None]:
    """How often each value of a column stands in a row; None for missing ones.

    Raises:
        DataError: as `value_names`.
    """
    index, names = value_names(table, name)
    counts: Counter[str | None] = Counter()
    for value, count in zip(names, np.bincount(index).tolist(), strict=True):
        counts[value] += count
    return counts


def number_column(table: Columns, name: str, must: str = "numbers") -> np.ndarray:
    """A column as finite numbers, float64 `[M]`, NaN where missing.

    Raises:
        DataError: no such column, or a field is something else; it says that the column
            must hold `must`.
    """
    values = table.column(name)
    if values.dtype == object:
        read = [
            math.nan
            if value is None or value == ""
            else parse_number(value)
            if isinstance(value, str)
            else None
            for value in values
        ]
        if None in read:
            row = read.index(None)
            raise DataError(
                f"{table.where(row)}: column {name!r} must hold {must}; "
                f"got {shown(values[row])}"
            )
        values = np.array(read, np.float64)
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise DataError(
            f"{table.where(row)}: column {name!r} must hold finite numbers; "
            f"got {values[row]}"
        )
    return values
