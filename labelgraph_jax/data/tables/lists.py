"""Columns with several values a row: lists of ids, words of a text, vectors."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.cells import written_list
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.columns import (
    FIRST_CATEGORY,
    MISSING,
    UNSEEN,
    Column,
)
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.readings import widened
from labelgraph_jax.data.tables.values import (
    as_given,
    category_name,
    is_missing,
    parse_number,
)
from labelgraph_jax.data.tokenizers.units import words_of

_LONGEST = {"ids": 64, "text": 128}
"""At most so many ids or words of a row are read: the last ids, the first words."""
_MOST_WORDS = 20_000
_FEWEST_ROWS = 2

Field = tuple[float | str, ...] | None


def parse_list(text: str) -> Field:
    """The items of a list as JSON, Python or numpy writes it; None of another text.

    Whole numbers are names of something, others numbers; texts in quotes stay as they
    are written.

    Example:
        >>> parse_list("[12, 7]"), parse_list("[0.5 1.]"), parse_list("['1.10']")
        (('12', '7'), (0.5, 1.0), ('1.10',))
    """
    text = text.strip()
    if text[:1] != "[" or text[-1:] != "]":
        return None
    parts = re.findall(r"[^\s,]+", text[1:-1])
    numbers = [number for part in parts if (number := parse_number(part)) is not None]
    if len(numbers) == len(parts) and any(re.search(r"[.eE]", part) for part in parts):
        return tuple(numbers)
    items = written_list(text)
    if items is None:
        return None
    quoted = any(mark in text for mark in "'\"")
    return tuple(
        item.strip() if quoted else category_name(item.strip()) for item in items
    )


def item_names(items: Sequence[float | str], *, verbatim: bool) -> tuple[str, ...]:
    """The items of a list as names, each once.

    Args:
        items: the list.
        verbatim: texts are names as they are written: "1.1" and "1.10" are two.
    """
    keep = [verbatim and isinstance(item, str) for item in items]
    names = (
        str(item) if kept else category_name(item)
        for item, kept in zip(items, keep, strict=True)
    )
    return tuple(dict.fromkeys(names))


def list_fields(table: Table, name: str) -> list[Field] | None:
    """The lists of a column, None for a row without one; None where it has no lists.

    Raises:
        DataError: no such column, or one that no model reads.
    """
    values = table.column(name)
    if values.dtype != object:
        return [None] * len(values) if np.isnan(values).all() else None
    read: dict[object, Field] = {}
    for value in dict.fromkeys(values):
        field = value if isinstance(value, tuple) else None
        if isinstance(value, str) and not is_missing(value):
            field = parse_list(value)
            if field is None:
                return None
        read[value] = field
    return [read[value] for value in values]


def holds_lists(table: Table, name: str) -> bool:
    """Return whether a column holds lists, at least one."""
    fields = list_fields(table, name)
    return fields is not None and any(field is not None for field in fields)


def learn_vector(table: Table, name: str, *, forced: bool) -> Column | str:
    """Learn how lists of numbers of one length are read, or why they are not.

    Args:
        table: the training rows.
        name: of the column.
        forced: whole numbers are numbers too, and other columns an error.

    Raises:
        DataError: with `forced`, a list that is none of so many numbers.
    """
    fields = list_fields(table, name) or []
    known = [field for field in fields if field is not None]
    sizes = sorted({len(field) for field in known})
    if not forced and (len(sizes) != 1 or not sizes[0]):
        return f"lists of {sizes[0]} to {sizes[-1]} numbers: not all are of one length"
    column = Column(name, "vector", means=(0.0,) * (sizes[-1] if sizes else 0))
    values = read_vectors(column, table)
    present = ~np.isnan(values).any(axis=1)
    inside = values[present]
    low, high = widened(float(inside.min()), float(inside.max()))
    means = inside.mean(axis=0)
    return dataclasses.replace(
        column,
        means=tuple(means.tolist()),
        scale=float((inside - means).std()) or 1.0,
        low=low,
        high=high,
        missing=int((~present).sum()),
    )


def read_vectors(column: Column, table: Table) -> np.ndarray:
    """The lists of a `vector` column, float64 `[M, D]`, NaN where a row has none.

    Raises:
        DataError: no such column, or a list that is not one of D numbers.
    """
    size = len(column.means)
    values = np.full((len(table), size), np.nan)
    must = f"lists of {size} numbers"
    for row, field in enumerate(_fields(table, column.name, must)):
        if field is None:
            continue
        numbers = [parse_number(str(item)) for item in field]
        if len(numbers) != size or None in numbers:
            _refuse_row(table, column.name, must, row)
        values[row] = numbers
    return np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)


def standard_vectors(column: Column, values: np.ndarray) -> np.ndarray:
    """Vectors as a model reads them, within the known range.

    The mean of training is taken off, the unit is one deviation of all numbers; a
    missing vector is zeros.
    """
    assert column.low is not None and column.high is not None
    inside = np.clip(values, column.low, column.high)
    return np.nan_to_num((inside - np.asarray(column.means)) / column.scale, nan=0.0)


def learn_bag(
    table: Table, name: str, kind: str, min_count: int, most: int
) -> Column | None:
    """Learn how ids in lists, or words, are read.

    None where no item tells rows apart: each stands in one row alone, or in all of
    them.

    Args:
        table: the training rows.
        name: of the column.
        kind: `ids` or `text`.
        min_count: items in fewer rows are left out; of words, at least 2.
        most: the rarest items beyond so many are left out.
    """
    bags = _bags(table, name, kind, verbatim=True)
    counts = Counter(item for bag in bags if bag for item in set(bag))
    if not any(_FEWEST_ROWS <= count < len(bags) for count in counts.values()):
        return None
    least = max(min_count, _FEWEST_ROWS) if kind == "text" else min_count
    most = min(most, _MOST_WORDS) if kind == "text" else most
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = tuple(item for item, count in ordered if count >= least)[:most]
    if not kept:
        return None
    inside = set(kept)
    longest = max(sum(item in inside for item in bag) for bag in bags if bag)
    return Column(
        name,
        "text" if kind == "text" else "ids",
        categories=kept,
        verbatim=kind == "ids",
        length=min(max(longest, 1), _LONGEST[kind]),
        missing=sum(not bag for bag in bags),
        rare=len(counts) - len(kept),
    )


def bag_ids(column: Column, table: Table) -> tuple[np.ndarray, Counter[str]]:
    """Ids of a bag's items, and the items without an id, counted, of lists alone.

    Returns:
        int32 `[M, column.length]`: filled up with `UNSEEN`, which counts for nothing; a
        row without any item has `MISSING`.

    Raises:
        DataError: no such column, or a field is not what it must be.
    """
    places = {item: i for i, item in enumerate(column.categories, FIRST_CATEGORY)}
    ids = np.full((len(table), column.length), UNSEEN, np.int32)
    unseen: Counter[str] = Counter()
    bags = _bags(table, column.name, column.kind, verbatim=column.verbatim)
    for row, bag in enumerate(bags):
        known = [places[item] for item in bag if item in places]
        if column.kind == "ids":
            unseen.update(item for item in bag if item not in places)
            known = known[-column.length :]
        known = known[: column.length] if bag else [MISSING]
        ids[row, : len(known)] = known
    return ids, unseen


def _bags(table: Table, name: str, kind: str, *, verbatim: bool) -> list[Sequence[str]]:
    """The items of every row, in order."""
    if kind == "text":
        values = table.column(name)
        if values.dtype != object:
            values = table.written.get(name, values)
        for row, value in enumerate(values):
            if isinstance(value, tuple):
                _refuse_row(table, name, "texts", row)
        return [() if _is_gap(v) else words_of(_as_text(v)) for v in values]
    fields = _fields(table, name, "lists")
    return [item_names(field or (), verbatim=verbatim) for field in fields]


def _fields(table: Table, name: str, must: str) -> list[Field]:
    fields = list_fields(table, name)
    if fields is None:
        is_list = [_is_gap(v) or _is_list(v) for v in table.column(name)]
        _refuse_row(table, name, must, is_list.index(False))
    assert fields is not None
    return fields


def _refuse_row(table: Table, name: str, must: str, row: int) -> None:
    got = as_given(table.column(name)[row])
    raise DataError(
        f"{table.where(row)}: column {name!r} must hold {must}; got {shown(got)}"
    )


def _as_text(value: float | str) -> str:
    return value if isinstance(value, str) else category_name(value)


def _is_gap(value: object) -> bool:
    if isinstance(value, float):
        return bool(np.isnan(value))
    return value is None or (isinstance(value, str) and is_missing(value))


def _is_list(value: object) -> bool:
    return isinstance(value, tuple) or parse_list(str(value)) is not None
