"""What a model reads of a table: columns -> category ids and standardised numbers."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.values import (
    category_name,
    number_column,
    value_counts,
    value_names,
)

ColumnKind = Literal["categorical", "numeric"]

UNSEEN, MISSING, FIRST_CATEGORY = 0, 1, 2
"""Category ids: a value without an id of its own, no value, the first category."""

# Whole numbers under such names count nothing: they name something.
_CODE_NAME = re.compile(r"(^|_)(id|code|zip|postcode)$|[a-z]Id$", re.IGNORECASE)
# Above this share of distinct values a category tells rows apart, not kinds of rows.
_IDENTIFIER = 0.9
_FEWEST_FOR_IDENTIFIER = 50
_FREE_TEXT_WORDS = 6.0


@dataclasses.dataclass(frozen=True)
class Column:
    """How one column is read, learned from the training rows.

    Attributes:
        name: of the column.
        kind: `categorical` (one id per value) or `numeric`.
        categories: values with an id of their own, the most frequent first.
        mean, scale: a number x is read as (x - mean) / scale, or where there is a
            `unit` as (asinh(x / unit) - mean) / scale: linear near 0, then logarithmic.
        unit: of a column with a long tail; 0 of the others.
        missing: how many training rows had no value.
        rare: how many training values had to do without an id of their own.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    unit: float = 0.0
    missing: int = 0
    rare: int = 0

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Numbers as a model reads them; a missing one as the mean, 0."""
        if self.unit:
            values = np.arcsinh(values / self.unit)
        return np.nan_to_num((values - self.mean) / self.scale, nan=0.0)


class EncodedTable(NamedTuple):
    """A table as a model reads it.

    Attributes:
        categories: int32 `[M, C]`, one column per categorical column.
        numbers: float32 `[M, Q]`: the numeric columns, then one 0 / 1 column for each
            of them that had missing values in training.
        unseen: per categorical column the values without an id of their own, counted;
            columns without any are left out.
    """

    categories: np.ndarray
    numbers: np.ndarray
    unseen: dict[str, Counter[str]]


@dataclasses.dataclass(frozen=True)
class TableSchema:
    """The columns that a model reads, in order, and those it does not, with reasons."""

    columns: tuple[Column, ...]
    dropped: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @staticmethod
    def infer(
        table: Table,
        *,
        categorical: Sequence[str] = (),
        numeric: Sequence[str] = (),
        min_count: int = 1,
        max_categories: int = 100_000,
        longest_tail: float = np.inf,
    ) -> TableSchema:
        """Learns how to read a table from its rows, which must be training rows alone.

        Texts are categories; numbers are numeric, unless they are whole and the name
        ends in id, code, zip or postcode. Left out, with the reason: columns with one
        value or none, categories of which nine in ten rows have their own, free text,
        lists. A column that is named in an argument is never left out.

        Args:
            table: without the targets.
            categorical: columns to read as categories, whatever they hold.
            numeric: columns to read as numbers.
            min_count: values in fewer rows share the id of unseen values.
            max_categories: likewise the rarest values beyond so many per column.
            longest_tail: numbers of a larger skewness (third standardised moment) are
                read through asinh, in units of their median size.

        Raises:
            DataError: no such column; a column in both lists; a text in a numeric
                column; lists in a categorical one; no column is left.
        """
        for name in (*categorical, *numeric):
            table.column(name)
        both = set(categorical) & set(numeric)
        if both:
            raise DataError(
                f"{table.name}: a column must be categorical or numeric; "
                f"{sorted(both)[0]!r} is named as both"
            )
        columns: list[Column] = []
        dropped: dict[str, str] = {}
        for name, values in table.columns.items():
            forced = name in categorical or name in numeric
            kind = _kind(name, values)
            if forced:
                kind = "numeric" if name in numeric else "categorical"
            reason = None if forced else _reason_to_drop(values, kind)
            if reason is not None:
                dropped[name] = reason
            elif kind == "numeric":
                columns.append(_numeric(table, name, longest_tail))
            else:
                columns.append(_categorical(table, name, min_count, max_categories))
        if not columns:
            reasons = ", ".join(f"{name} ({why})" for name, why in dropped.items())
            raise DataError(f"{table.name}: no column to learn from is left: {reasons}")
        return TableSchema(tuple(columns), dropped)

    @property
    def categorical(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.kind == "categorical")

    @property
    def numeric(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.kind == "numeric")

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of ids of each categorical column, those of unseen and missing in."""
        return tuple(FIRST_CATEGORY + len(c.categories) for c in self.categorical)

    @property
    def number_width(self) -> int:
        """Columns of `EncodedTable.numbers`."""
        return len(self.numeric) + sum(c.missing > 0 for c in self.numeric)

    def encode(self, table: Table) -> EncodedTable:
        """Reads the columns of the schema; others are passed over.

        Raises:
            DataError: the table lacks a column; a text in a numeric column.
        """
        unseen: dict[str, Counter[str]] = {}
        ids = np.empty((len(table), len(self.categorical)), np.int32)
        for i, column in enumerate(self.categorical):
            ids[:, i], unknown = _category_ids(column, table)
            if unknown:
                unseen[column.name] = unknown
        read = [number_column(table, column.name) for column in self.numeric]
        numbers = [
            column.standardise(values)
            for values, column in zip(read, self.numeric, strict=True)
        ]
        absent = [
            np.isnan(values)
            for values, column in zip(read, self.numeric, strict=True)
            if column.missing
        ]
        width = self.number_width
        stacked = (
            np.stack([*numbers, *absent], 1) if width else np.empty((len(table), 0))
        )
        return EncodedTable(ids, stacked.astype(np.float32), unseen)

    def to_json(self) -> str:
        """The schema as JSON that a person can read."""
        columns = []
        for column in self.columns:
            fields: dict[str, Any] = {"name": column.name, "kind": column.kind}
            if column.kind == "numeric":
                fields |= {"mean": column.mean, "scale": column.scale}
                fields |= {"unit": column.unit} if column.unit else {}
            else:
                fields |= {"categories": list(column.categories), "rare": column.rare}
            columns.append(fields | {"missing": column.missing})
        values = {"columns": columns, "dropped": dict(self.dropped)}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> TableSchema:
        """Reads what `to_json` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            values = json.loads(text)
            columns = []
            for fields in values["columns"]:
                if fields["kind"] not in ("categorical", "numeric"):
                    raise ValueError(f"no kind of column: {shown(fields['kind'])}")
                categories = tuple(map(str, fields.pop("categories", ())))
                columns.append(Column(categories=categories, **fields))
            return TableSchema(tuple(columns), dict(values["dropped"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"must be a table schema; {error}") from None


def _kind(name: str, values: np.ndarray) -> ColumnKind:
    if values.dtype == object:
        return "categorical"
    known = values[~np.isnan(values)]
    codes = _CODE_NAME.search(name) and (known == np.floor(known)).all()
    return "categorical" if codes else "numeric"


def _reason_to_drop(values: np.ndarray, kind: ColumnKind) -> str | None:
    if values.dtype != object:
        known = values[~np.isnan(values)]
        distinct: set[Any] | np.ndarray = np.unique(known)
    else:
        if any(isinstance(value, tuple) for value in values):
            return "lists"
        known = np.array([value for value in values if value], object)
        distinct = set(known)
    if not len(known):
        return "no value in any row"
    if len(distinct) == 1 and len(known) == len(values):
        return f"always {category_name(next(iter(distinct)))!r}"
    if kind == "numeric":
        return None
    share = len(distinct) / len(known)
    if values.dtype == object:
        sample = [len(value.split()) for value in list(distinct)[:1_000]]
        if np.mean(sample) > _FREE_TEXT_WORDS and share > 0.5:
            return "free text"
    if share > _IDENTIFIER and len(known) >= _FEWEST_FOR_IDENTIFIER:
        return "a value of its own in nearly every row"
    return None


def _numeric(table: Table, name: str, longest_tail: float) -> Column:
    values = number_column(table, name)
    missing = np.isnan(values)
    known = values[~missing]
    unit = 0.0
    if len(known) and known.any() and abs(_skewness(known)) > longest_tail:
        unit = float(np.median(np.abs(known[known != 0])))
        known = np.arcsinh(known / unit)
    mean = float(known.mean()) if len(known) else 0.0
    # A column with one value is all zeros, whatever it is divided by.
    scale = (float(known.std()) if len(known) else 0.0) or 1.0
    missed = int(missing.sum())
    return Column(name, "numeric", mean=mean, scale=scale, unit=unit, missing=missed)


def _skewness(values: np.ndarray) -> float:
    deviation = values.std()
    if not deviation:
        return 0.0
    return float(np.mean(((values - values.mean()) / deviation) ** 3))


def _categorical(
    table: Table, name: str, min_count: int, max_categories: int
) -> Column:
    counts = value_counts(table, name)
    missing = counts.pop(None, 0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
    kept = [value for value, count in ordered if count >= min_count and value]
    kept = kept[:max_categories]
    return Column(
        name,
        "categorical",
        categories=tuple(kept),
        missing=missing,
        rare=len(ordered) - len(kept),
    )


def _category_ids(column: Column, table: Table) -> tuple[np.ndarray, Counter[str]]:
    index, names = value_names(table, column.name)
    ids = {name: i for i, name in enumerate(column.categories, start=FIRST_CATEGORY)}
    coded = [MISSING if name is None else ids.get(name, UNSEEN) for name in names]
    unknown: Counter[str] = Counter()
    for name, id, count in zip(
        names, coded, np.bincount(index, minlength=len(names)).tolist(), strict=True
    ):
        if id == UNSEEN and name is not None:
            unknown[name] += count
    return np.asarray(coded, np.int32)[index], unknown
